/* Custom settings ("app.tenant"): of which names the server is asked.
 *
 * pg_settings does not show what PostgreSQL and its libraries have not defined, so the server must
 * be asked for such a setting by its name. Where one was NULL it is '' for ever once it was set on
 * a backend, also by a transaction that was rolled back, and row security sees that: so a link that
 * has one goes only to sessions that have it (settings_strange).
 *
 * Names come from plans (SET, set_config) and, for functions that a text calls and for DO blocks,
 * from whatever in the text's literals and parameters looks like one. To ask for a name that is
 * none costs nothing: its answer is NULL. What functions themselves name is a catalog fact
 * (pool/pool_facts.h). Of what set_config() is given where nobody can see its name, or behind too
 * many others, the session keeps its link to itself (a pin), and the link is not lent again.
 */
#ifndef POOL_CUSTOM_H
#define POOL_CUSTOM_H

#include <stdbool.h>
#include <stdint.h>

struct engine;
struct plan;
struct session;
struct settings;
struct statement;

/* The names that the plan knows of. */
void custom_note_plan(struct engine *engine, struct session *session, const struct plan *plan);

/* What looks like such a name in a text's literals, at most 256, if its plan tells of functions
 * that may do anything, or of an EXECUTE; in all of the text if it was not understood (a plan of
 * NULL, too). */
void custom_note_text(struct engine *engine, struct session *session, const struct plan *plan,
                      const char *text, uint32_t len);

/* The same of a statement that is executed. */
void custom_note_statement(struct engine *engine, struct session *session,
                           struct statement *statement);

/* Whether a statement with this plan may set what its parameters name: its Bind is wanted whole, if
 * it is no longer than LIMIT_PLAN_BYTES, for custom_note_bind. */
bool custom_is_blind(const struct session *session, const struct plan *plan);

/* The names in the parameters of such a statement: what is here of the Bind message behind its
 * own; `whole`: that is all of it. */
void custom_note_bind(struct engine *engine, struct session *session, const struct plan *plan,
                      const uint8_t *parameters, uint32_t len, bool whole);

/* Both, of a statement that is bound, if it may set what its parameters name. */
void custom_note_bound(struct engine *engine, struct session *session, struct statement *statement,
                       const uint8_t *parameters, uint32_t len, bool whole);

/* Whether a text may set any setting. */
bool custom_may_set(const char *text, uint32_t len);

/* In session mode nobody asks: a link that may have got a custom setting by this text is not lent
 * again. */
void custom_spoils(struct session *session, const struct plan *plan, const char *text,
                   uint32_t len);

/* All names that the server of the session's link must be asked for; their values say nothing. A
 * reference; NULL when memory is out. */
struct settings *custom_asked(struct engine *engine, const struct session *session);

/* The server has told of all of them. */
void custom_answered(struct engine *engine, struct session *session);

/* DISCARD ALL was done, whatever the server was asked before. */
void custom_discarded(const struct session *session);

#endif
