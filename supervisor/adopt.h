#pragma once
/*
 * Taking over: at the first start and after each death the supervisor does the same thing, which is
 * to find on the board what was begun and to finish it.
 */
struct manager;

/* Everything up to the first wait of the loop. */
void adopt_run(struct manager *manager, int notify_socket);

/* Applies the notifications, then what the journal held before them: what a service said before it
 * ended must be heard before its end. Publishes the cursor. */
void adopt_news(struct manager *manager, int notify_socket);
