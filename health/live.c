#include "health/live.h"

#include <stdatomic.h>
#include <unistd.h>

#include "lib/clock.h"

static void poke(int fd)
{
	const uint64_t one = 1;

	/* A missing or broken fd shows as a missing answer. */
	if (write(fd, &one, sizeof(one)) < 0)
		return;
}

void live_ask(const struct live *live, struct live_question *ret_question)
{
	*ret_question = (struct live_question){
		.init_before = atomic_load(&live->journal->answers),
		.supervisor_before = atomic_load(&live->board->header->answers),
		.deadline_us = clock_now_us() + LIVE_TIMEOUT_US,
	};
	poke(live->ask_init_fd);
	poke(live->ask_supervisor_fd);
}

void live_drain(const struct live *live)
{
	uint64_t count;

	if (read(live->answer_fd, &count, sizeof(count)) < 0)
		return;
}

bool live_look(const struct live *live, struct live_question *question, uint64_t now_us)
{
	question->init_answered = atomic_load(&live->journal->answers) != question->init_before;
	question->supervisor_answered =
		atomic_load(&live->board->header->answers) != question->supervisor_before;
	return (question->init_answered && question->supervisor_answered) ||
	       now_us >= question->deadline_us;
}
