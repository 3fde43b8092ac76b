#include "lib/tty.h"

#include <errno.h>
#include <termios.h>

#define REACTIONS (ISIG | ICANON | ECHO | ECHONL | IEXTEN)

static void remove_input(struct termios *termios)
{
	termios->c_cflag &= ~(tcflag_t)CREAD;
	termios->c_lflag &= ~(tcflag_t)REACTIONS;
	/* A break would be a signal, and XOFF would stop our own output. */
	termios->c_iflag &= ~(tcflag_t)(BRKINT | IXON | IXOFF);
	termios->c_iflag |= IGNBRK;
}

int tty_deafen(int fd)
{
	struct termios termios;

	if (tcgetattr(fd, &termios) < 0)
		return -errno;
	remove_input(&termios);
	if (tcsetattr(fd, TCSANOW, &termios) < 0 || tcflush(fd, TCIFLUSH) < 0)
		return -errno;
	/* tcsetattr() is content when one of several settings was taken. */
	if (tcgetattr(fd, &termios) < 0)
		return -errno;
	return termios.c_lflag & (tcflag_t)REACTIONS ? -EINVAL : 0;
}
