/* ACTION_DERIVE: the milliseconds of PBKDF2 that a SCRAM login needs, in the thread pool. */
#ifndef DAEMON_DERIVE_H
#define DAEMON_DERIVE_H

#include "base/handle.h"

struct worker;

/* Copies the inputs and begins; the answer is EVENT_DERIVED. */
void derive_start(struct worker *worker, struct handle handle);

#endif
