/* ACTION_ASK_OS_USER: the name of a user of the operating system. It may come from a directory in
 * the network, so it is asked for in the thread pool. */
#ifndef DAEMON_OS_USER_H
#define DAEMON_OS_USER_H

#include <stdint.h>

#include "base/handle.h"

struct worker;

/* The answer is EVENT_OS_USER. */
void os_user_ask(struct worker *worker, struct handle handle, uint32_t uid);

#endif
