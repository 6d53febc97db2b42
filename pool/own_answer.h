/* Statements that are answered here: SET, SHOW and RESET of howdah.* settings, set_config() and
 * current_setting() of them, EXPLAIN (HOWDAH); and those that are refused for their hint.
 *
 * An answer is given when nothing is due any more, so it comes in its order and the transaction's
 * status is known. No link is needed for it. An error inside a transaction block must fail that
 * transaction at the server: a statement that fails is sent in the place of the one that is
 * refused, and only its error is put right, as with pool/pin_limit.h.
 *
 * A query of several statements is answered when all of them are of this kind. One that has others
 * among them is refused: what is set there could not be undone as the server undoes the rest.
 */
#ifndef POOL_OWN_ANSWER_H
#define POOL_OWN_ANSWER_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "pool/link.h"
#include "pool/own.h"
#include "pool/route.h"
#include "pool/session.h"
#include "protocol/message.h"
#include "protocol/report.h"

struct engine;
struct plan;
struct plan_step;

/* What an answer needs to know, and why there is none. */
struct own_answer {
    enum own_where where;
    bool warns;      /* of a SET LOCAL without a block */
    bool describes;  /* a RowDescription comes first */
    bool suspends;   /* PortalSuspended takes the place of the CommandComplete */
    uint16_t format; /* of the columns */
    struct report report;
    char message[OWN_MESSAGE_BYTES];
};

/* In struct due_entry's `refused`: own_refusal says what the client is told. */
enum { OWN_REFUSED = UINT8_MAX };

/* Whether a text may be answered here, by its first letters: SET, SHOW, RESET, EXPLAIN, or what
 * begins with something else than a letter. */
static inline bool own_may_begin(const uint8_t *text, uint32_t len)
{
    uint32_t word;
    if (len < sizeof(word)) {
        return true; /* nobody knows yet */
    }
    memcpy(&word, text, sizeof(word));
    word |= UINT32_C(0x20202020);
    return (text[0] | 0x20) < 'a' || memcmp(&word, "set", 3) == 0 ||
           memcmp(&word, "show", 4) == 0 || memcmp(&word, "rese", 4) == 0 ||
           memcmp(&word, "expl", 4) == 0;
}

/* Whether own_take is to be asked about a message of which `have` bytes are here. */
static inline bool own_may_concern(const struct session *session, const uint8_t *at, uint32_t have)
{
    if (at[0] == FRONTEND_QUERY) {
        return own_may_begin(at + MESSAGE_HEADER_BYTES, have - MESSAGE_HEADER_BYTES);
    }
    return at[0] == FRONTEND_PARSE || (session->own != NULL && session->own->busy);
}

/* A message of the client's. False: it is not answered here. True: *ret_taken bytes of it were
 * taken; 0: it waits, with *ret_whole = what it needs to see together, or the session is closing.*/
bool own_take(struct engine *engine, struct session *session, const uint8_t *message,
              uint32_t total, uint32_t have, uint32_t *ret_taken, uint32_t *ret_whole);

/* A Query whose plan has PLAN_TOUCHES_OURS: it is answered or refused. Returns the bytes taken, or
 * 0: it waits, or the session is closing. */
uint32_t own_query(struct engine *engine, struct session *session, const struct plan *plan,
                   const uint8_t *message, uint32_t total);

/* The plan of a text if it is answered or refused here, a reference; NULL: it is not. */
struct plan *own_plan(struct engine *engine, const struct session *session, const char *text,
                      uint32_t len);

/* What the client is told in place of the error of an entry with OWN_REFUSED. */
struct report own_refusal(const struct session *session);

/* A setting of the startup packet, its name with "howdah.". False: the report says why not. */
bool own_startup(struct engine *engine, struct session *session, const char *name,
                 const char *value, struct own_answer *answer);

/* Enters the reply to a Query or Execute that is forwarded. False: the link has failed. */
static inline bool own_due(struct engine *engine, struct session *session, enum due_what what)
{
    bool notes = (session->own != NULL && session->own->notes) || route_notes(session);
    return notes ? link_due(engine, session->link, what, DUE_NOTE, 0)
                 : link_due_forward(engine, session->link, what);
}

/* A Query is about to be sent, of a session that has something of its own: whether it must wait
 * until nothing is due. */
bool own_query_waits(struct engine *engine, struct session *session, const char *text,
                     uint32_t len);

/* A statement with this plan (NULL: not known) is bound; a portal is executed: whether it waits. */
void own_bound(struct session *session, struct plan *plan);
bool own_execute_waits(struct engine *engine, struct session *session);

/* --- for pool/own_extended.c ------------------------------------------------------------------ */

/* Whether the session must wait until nothing is due; then it does. */
bool own_waits(struct engine *engine, struct session *session);

/* The transaction's status: 'I', 'T', 'E'. Nothing is due. */
char own_status(const struct session *session);

/* Why the text with this plan is not answered at all; report.code 0: it is. */
void own_judge(const struct session *session, const struct plan *plan, const char *text,
               uint32_t len, struct own_answer *answer);

/* The columns of a step's rows; 0: it has none. */
uint32_t own_columns(const struct plan_step *step, const char *ret_names[static 3]);
void own_describe(struct engine *engine, const struct plan_step *step, uint16_t format);

/* Does one statement and writes its answer into the engine's scratch. False: the report says why
 * not. */
bool own_run(struct engine *engine, struct session *session, const struct plan_step *step,
             const char *text, uint32_t len, struct own_answer *answer);

/* The rows of an EXPLAIN (HOWDAH). False: the report says why not. */
bool own_explained(struct engine *engine, struct session *session, const char *text, uint32_t len,
                   struct explanation *explanation, struct own_answer *answer);

/* A DataRow in the scratch; a value may be NULL. */
void own_write_row(struct engine *engine, const char *const *values, uint32_t count);

/* Keeps the report for own_refusal. False: the session is closing. */
bool own_keep_refusal(struct engine *engine, struct session *session, const struct report *report);

#endif
