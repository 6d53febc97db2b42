/* The secrets of users, from where the configuration says (the answer to ACTION_ASK_SECRET).
 *
 * The users file has been asked by the engine already; here, in this order:
 *   1. auth.query, as auth.query_user, the service login or the DSN's own user;
 *   2. the DSN's own password, for its own user;
 *   3. pg_authid, over the service login. Not when there is an auth.query: what that does not tell
 *      shall not be told by another way.
 * Whatever goes wrong is a denial. Answers are kept for a short while; those who ask for the same
 * one meanwhile share it. Look-ups run in the thread pool, few at a time, several keys to a
 * connection (daemon/lookup.h). All of it lives on worker 0's thread.
 */
#ifndef DAEMON_SECRETS_H
#define DAEMON_SECRETS_H

#include <stdint.h>

#include "base/handle.h"
#include "pool/engine.h"

struct secret_copy;
struct secrets;
struct snapshot;
struct worker;

/* `worker` is worker 0. NULL when memory is out. secrets_free wipes everything. */
struct secrets *secrets_new(struct worker *worker, uint64_t hash_key);
void secrets_free(struct secrets *secrets);

/* Answers by MESSAGE_SECRET to `asker` about `handle`, now or later. Copies the names. */
void secrets_ask(struct secrets *secrets, struct snapshot *snapshot, const char *database,
                 const char *user, uint32_t asker, struct handle handle);

/* Forgets what is known of one user: it may have changed. */
void secrets_forget_one(struct secrets *secrets, const char *database, const char *user);

/* Forgets what is known: the configuration has changed. */
void secrets_forget(struct secrets *secrets);

/* The answer as the engine takes it; valid as long as the copy. */
struct secret_answer secret_copy_answer(const struct secret_copy *copy);

/* Wipes it; takes NULL. */
void secret_copy_free(struct secret_copy *copy);

#endif
