/* The rules of routing.rules that refuse (router/rules.h): what they refuse reaches no server.
 *
 * Every message that brings a statement, or names one, is looked at before anything is done with
 * it:
 *
 *    Query, Parse      its text, whole; and what an EXECUTE in it runs
 *    Bind, Describe    the statement's text once more: the rules may be others than at its Parse
 *    FunctionCall      a large object's function as if SQL called it; of others nothing is known
 *
 * So it does not matter how a session's pool works, or whether it keeps statements. A session
 * without a link is told at once, one with a link through its server (pool/refusal.h).
 *
 * What is not known counts as opaque, which every rule that refuses refuses: texts that are too
 * large, and what was prepared where Howdah keeps no statements, if the rules have changed since
 * the session's login. A portal that was bound before goes on.
 */
#ifndef POOL_FIREWALL_H
#define POOL_FIREWALL_H

#include <stdbool.h>
#include <stdint.h>

struct due_entry;
struct engine;
struct plan;
struct pool;
struct report;
struct rule;
struct session;

/* In struct due_entry's `refused`: this and the rule's number. */
enum { FIREWALL_REFUSED = 128 };

/* The pool's options have come: pool->refuses. */
void firewall_options(struct pool *pool);

/* The session's login is done: session->guarded, without which nothing of its need be looked at. */
void firewall_begin(struct session *session);

/* Its pool has new options: a session that is open, too, is guarded by the rules of now. */
void firewall_reloaded(struct session *session);

/* A message of the client's, of which `have` bytes are here, for a session with a link. True: it is
 * refused, *ret_taken of its bytes are taken and the rest will be; or nothing of it may be taken
 * now, and *ret_taken is 0: *ret_whole bytes must be seen together, or the session is closing. */
bool firewall_stops(struct engine *engine, struct session *session, const uint8_t *message,
                    uint32_t total, uint32_t have, uint32_t *ret_taken, uint32_t *ret_whole);

/* The same for a session without a link. True: it was told, and skips to its Sync from this message
 * on. False with *ret_whole above `have`: so many bytes must be seen together. */
bool firewall_tells(struct engine *engine, struct session *session, const uint8_t *message,
                    uint32_t total, uint32_t have, uint32_t *ret_whole);

/* The rule by which a text with this plan is refused; NULL: it is not. */
const struct rule *firewall_rule(struct engine *engine, const struct session *session,
                                 struct plan *plan, const char *text, uint32_t len);

/* What the client is told in place of the error of an entry that is FIREWALL_REFUSED. `detail` is
 * room of RULE_TEXT_BYTES, and lives as long as the report. */
struct report firewall_report(const struct session *session, const struct due_entry *entry,
                              char *detail);

#endif
