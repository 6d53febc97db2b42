/* An administrator at the console: PAUSE and RESUME, RECONNECT, RELOAD, SHOW, one after the other,
 * while the clients go on. What a RELOAD brings is drawn here, too: limits that are no higher than
 * those of the run's beginning, and another address of the server. */
#ifndef TESTS_SIM_CONSOLE_H
#define TESTS_SIM_CONSOLE_H

#include <stdbool.h>

#include "base/handle.h"

struct console;
struct shell;
struct sim;

struct console *console_new(struct sim *sim);
void console_free(struct console *console);

/* The engine asks for a reload, for that session. */
void console_reload(struct sim *sim, struct shell *shell, struct handle handle);

/* Whether it has been told that the database is paused, and has not asked to resume since. */
bool console_has_paused(const struct console *console, const char *database);

#endif
