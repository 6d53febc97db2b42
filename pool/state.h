/* What a session's statements have left at the server: its settings, and what pins it to its link.
 *
 * The plan of a statement (router/plan.h) says what it may touch. Nothing is guessed from its text:
 * when the transaction has ended, whatever became of it, the server is asked what holds now, on the
 * same link, behind the client's own statements. The link is not lent on before the answer:
 *
 *    statement: touches settings, temporary objects ...  ->  session->touched
 *    ReadyForQuery 'I', nothing due                      ->  state_ask: a question of our own
 *    its rows                                            ->  state_row
 *    its ReadyForQuery                                   ->  state_answered: settings and pins
 *
 * A session is *pinned* to its link as long as something of its own is there that can't be put on
 * another: then every transaction ends with the question whether that is gone.
 */
#ifndef POOL_STATE_H
#define POOL_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "pool/session.h"
#include "router/syntax.h"

struct engine;
struct link;
struct plan;
struct statement;

/* Why a session is pinned: bits of session->pins, in the order of pool/pins.def. */
enum pin {
#define PIN(name, text, avoid) PIN_INDEX_##name,
#include "pool/pins.def"
#undef PIN
    PIN_COUNT,
};

enum {
#define PIN(name, text, avoid) PIN_##name = 1 << PIN_INDEX_##name,
#include "pool/pins.def"
#undef PIN
};

/* What no statement takes away again, not even DISCARD ALL: a library that was loaded, the state of
 * random(), a setting of which nobody knows the name. */
enum { STATE_SPOILS = PLAN_TOUCH_LOAD | PLAN_TOUCH_SEED | PLAN_TOUCH_NAMELESS };

/* The plan as the facts of the session's catalog have it (pool/pool_facts.h): itself, or a copy in
 * `room`, which borrows all from it. */
const struct plan *state_by_facts(struct engine *engine, const struct session *session,
                                  struct plan *plan, struct plan *room);

/* A statement with this plan, as state_by_facts has it, is sent to the session's server. */
void state_touch(struct engine *engine, struct session *session, const struct plan *plan);

/* Whether texts come from the link's server, and go there, in its own encoding, which is that of
 * the settings that are remembered. */
bool state_is_raw(const struct link *link);

/* How the session's server reads texts. */
struct plan_context state_plan_context(const struct session *session);

/* Whether the session's server would refuse the text as no SQL; *ret_error says why. False, too,
 * where that is not known: it is of a later version, or none has logged in yet. */
bool state_is_no_sql(const struct session *session, const char *text, uint32_t len,
                     struct syntax_error *ret_error);

/* The plan of a text, as the session's server will read it; a reference. */
struct plan *state_plan(struct engine *engine, const struct session *session, const char *text,
                        uint32_t len);

/* The same where it takes but a look; borrowed until the next plan is made; else NULL. */
struct plan *state_known_plan(struct engine *engine, struct session *session, const char *text,
                              uint32_t len);

/* A simple query is sent; its text ends at its NUL. Returns whether it only reads. One that names
 * prepared statements, or is answered here (pool/own_answer.h), is left to the caller: *ret_named
 * is its plan, a reference. With session->refused_pin set it must not be sent: pool/pin_limit.h. */
bool state_query(struct engine *engine, struct session *session, const char *text, uint32_t len,
                 struct plan **ret_named);

/* The same for a prepared statement that is bound. */
bool state_statement(struct engine *engine, struct session *session, struct statement *statement);

/* Whether a statement with this plan, sent by the session now, changes nothing here: it reads, and
 * there is no pin that it could end (pool/sequence.h). */
bool state_is_plain_read(struct engine *engine, const struct session *session, struct plan *plan);

/* The plan of a prepared statement, the statement's own; NULL when the session would read the text
 * in another way than it was planned. */
struct plan *state_statement_plan(struct engine *engine, const struct session *session,
                                  struct statement *statement);

/* The same for what has no plan: it may have touched anything. */
void state_touch_all(struct engine *engine, struct session *session);

/* Whether statements were sent that can have left something, and the server was not asked since. */
static inline bool state_is_open(const struct session *session)
{
    return session->touched != 0 || session->set_alone != NULL ||
           (session->ran && (session->pins != 0 || session->checks_state));
}

/* Nothing is due on the session's link: asks what its statements have left there, if they can have
 * left something and the transaction has ended. True: the answer is awaited. */
bool state_ask(struct engine *engine, struct session *session);

/* What pins the session has changed (also keeps_named, keeps_unnamed): notes since when. */
void state_pins_changed(const struct engine *engine, struct session *session);

/* DISCARD ALL was done: the session is as it was when it began. `late`: its startup's settings are
 * not on their way yet. */
void state_discarded(struct engine *engine, struct session *session, bool late);

/* A row of the answer (a DataRow's body; nothing of one that is too long), an error in its place,
 * and its end. Ends the session when memory is out. */
void state_row(struct link *link, const uint8_t *body, uint32_t body_bytes);
void state_error(struct link *link, const char *sqlstate);
void state_answered(struct engine *engine, struct link *link);

/* Whether the loss of the link, which has an owner, is nobody's business: the client was told that
 * all is done and has sent nothing since, nothing of its own is there, and the question under way
 * but proves that (pool/state_check.h). Any other question may have had to tell of what is lost. */
bool state_spares(const struct link *link);

/* The question of a link that ends, or NULL. */
void state_free(struct link *link);

#endif
