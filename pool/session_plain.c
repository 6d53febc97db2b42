/* Extended query where prepared statements are not kept (pool.prepared_statements is 0, or session
 * mode): messages pass as they are, but what they may leave at the server is noted as always
 * (pool/state.h), and in session mode what outlives even DISCARD ALL. */
#include <string.h>

#include "base/limits.h"
#include "pool/core.h"
#include "pool/custom.h"
#include "pool/link.h"
#include "pool/outcome.h"
#include "pool/pool_facts.h"
#include "pool/restore.h"
#include "pool/sequence.h"
#include "pool/session.h"
#include "pool/state.h"
#include "pool/vacate.h"
#include "protocol/message.h"
#include "protocol/sql_verb.h"
#include "router/plan.h"

/* Only the unnamed statement's plan is remembered. */
static bool note_parse(struct engine *engine, struct session *session, struct reader *reader)
{
    const char *name = reader_cstr(reader);
    const char *text = reader_cstr(reader);
    if (!reader->failed && name[0] == '\0') {
        plan_unref(session->plain_plan);
        session->plain_plan = state_plan(engine, session, text, (uint32_t)strlen(text));
        custom_note_text(engine, session, session->plain_plan, text, (uint32_t)strlen(text));
        /* Now, since what it sends may end what is unnamed. */
        return sequence_before(engine, session, session->plain_plan);
    }
    return true;
}

static bool note_bind(struct engine *engine, struct session *session, struct reader *reader,
                      bool whole)
{
    reader_cstr(reader);
    const char *name = reader_cstr(reader);
    struct plan *plan = session->plain_plan;
    plan = reader->failed || name[0] != '\0' ? NULL : plan;
    if (custom_is_blind(session, plan)) {
        custom_note_bind(engine, session, plan, reader->at, (uint32_t)reader->left, whole);
    }
    if (plan == NULL) {
        state_touch_all(engine, session);
        return true;
    }
    state_touch(engine, session, plan);
    restore_note(engine, session, plan);
    return true;
}

void session_note_owned(struct engine *engine, struct session *session, const uint8_t *body,
                        uint32_t len)
{
    struct reader reader = reader_of(body, len);
    const char *name = reader_cstr(&reader);
    const char *text = reader_cstr(&reader);
    uint32_t text_len = reader.failed ? 0 : (uint32_t)strlen(text);
    outcome_note_parse(session, !reader.failed && name[0] == '\0', text, text_len);
    enum sql_verb verb = sql_verb_read(text, text_len);
    if (verb != SQL_VERB_LOAD && verb != SQL_VERB_CREATE && verb != SQL_VERB_DROP &&
        verb != SQL_VERB_ALTER && !custom_may_set(text, text_len)) {
        return;
    }
    struct plan *plan = state_plan(engine, session, text, text_len);
    session->link->spoilt |= (plan->touches & STATE_SPOILS) != 0;
    custom_spoils(session, plan, text, text_len);
    vacate_before(engine, session, plan);
    if (plan->changes_facts) {
        pool_facts_change(session);
    }
    plan_unref(plan);
}

bool session_note_plain(struct engine *engine, struct session *session, const uint8_t *message,
                        uint32_t total, uint32_t have, uint32_t *ret_whole)
{
    bool parses = message[0] == FRONTEND_PARSE;
    uint32_t names_bytes = 2 * LIMIT_STATEMENT_NAME_BYTES;
    bool wants_all = parses || total < names_bytes ||
                     (total <= LIMIT_PLAN_BYTES && custom_is_blind(session, session->plain_plan));
    uint32_t need = wants_all ? total : names_bytes;
    if (have < need) {
        *ret_whole = need;
        return false;
    }
    struct reader reader = reader_of(message + MESSAGE_HEADER_BYTES, need - MESSAGE_HEADER_BYTES);
    return parses ? note_parse(engine, session, &reader)
                  : note_bind(engine, session, &reader, need == total);
}
