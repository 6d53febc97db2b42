/* What a driver sends for one execution: Bind, Describe of the portal, Execute, Sync.
 *
 * Mostly they are plain: the statement is prepared on the link already and only reads, so that the
 * Bind needs but the name there in place of the client's; and from what stands behind it nothing
 * follows but an entry each in the ledger. So a run of them, here whole, is taken in one go and
 * sent as one piece. Where more could follow (statements that touch something, COPY, what skips to
 * a Sync, LISTEN, statements that name others, a RESET) there is no run: pool/session_pass.c
 * takes them one by one, and from a run it would make the same entries.
 */
#ifndef POOL_PORTAL_RUN_H
#define POOL_PORTAL_RUN_H

#include <stdint.h>

struct block;
struct engine;
struct session;

/* Takes the run at `at`, in `block`, of a session whose link takes statements. Returns its bytes, 0
 * when there is none. */
uint32_t portal_run_take(struct engine *engine, struct session *session, struct block *block,
                         uint8_t *at, uint32_t have);

#endif
