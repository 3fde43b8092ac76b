#pragma once
/*
 * The console of a machine: it is written to, and nothing reads from it.
 *
 * A terminal that is open does things by itself with what is typed: it echoes, and sends signals to
 * whoever has it for a controlling terminal (termios(3)). Without CREAD a serial line's driver throws
 * away what comes in, before any of that.
 */

/* Takes from the terminal fd (borrowed) every reaction to input. 0, -ENOTTY, or -errno; -EINVAL: it
 * did not take the settings. */
int tty_deafen(int fd);
