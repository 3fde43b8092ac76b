#pragma once
/*
 * Zombies: our own programs' go to the keeper, those of the board's slots into the journal, all
 * others away.
 */
#include "init/pid1/instance.h"

/* Reaps what there is, as far as the journal has room; TIMER_REAP is set when it had none. */
void reap_all(struct instance *in);

/* A signal for the supervisor to see. False when it could not be kept. */
bool reap_journal_signal(struct instance *in, int signal, pid_t sender, uid_t uid, bool must_fit);
