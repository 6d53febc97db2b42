#include "pool/deferred_answer.h"

#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/limits.h"
#include "pool/core.h"
#include "pool/deferred_begin.h"
#include "pool/listen.h"
#include "pool/options.h"
#include "pool/own.h"
#include "pool/pool.h"
#include "pool/session.h"
#include "pool/state.h"
#include "protocol/message.h"
#include "protocol/report.h"
#include "protocol/sql_verb.h"
#include "router/plan.h"

/* --- what a text says ------------------------------------------------------------------------- */

static bool is_ascii(const char *text, uint32_t len)
{
    uint8_t all = 0;
    for (uint32_t i = 0; i < len; i++) {
        all |= (uint8_t)text[i];
    }
    return all < 0x80;
}

/* Whether a server of the pool is sure to accept such a BEGIN (check_transaction_isolation and
 * check_transaction_read_only, variable.c). */
static bool is_certain(const struct pool *pool, const struct plan_modes *modes)
{
    const char *standby = pool_reported(pool, "in_hot_standby");
    return (standby != NULL && strcmp(standby, "off") == 0) ||
           (modes->isolation != PLAN_SERIALIZABLE && modes->read_only != PLAN_CHOICE_NO);
}

/* Whether a statement with that plan is one that is answered here in the session's state. */
static bool is_ours(const struct session *session, const struct plan *plan)
{
    bool begins = plan->control == PLAN_CONTROL_BEGIN || plan->control == PLAN_CONTROL_START;
    switch ((enum session_begin)session->begin) {
    case BEGIN_NONE:
        return begins && is_certain(session->pool, &plan->modes);
    case BEGIN_DEFERRED:
        return plan->control == PLAN_CONTROL_COMMIT || plan->control == PLAN_CONTROL_ROLLBACK;
    case BEGIN_FAILED:
        return plan->control != PLAN_CONTROL_NONE && !begins;
    }
    UNREACHABLE();
}

/* Whether it may be: the cheapest look. */
static bool verb_may_be(const struct session *session, enum sql_verb verb)
{
    if (session->begin == BEGIN_NONE) {
        return verb == SQL_VERB_BEGIN || verb == SQL_VERB_START_TRANSACTION;
    }
    return verb == SQL_VERB_COMMIT || verb == SQL_VERB_END || verb == SQL_VERB_ROLLBACK ||
           verb == SQL_VERB_ABORT ||
           (verb == SQL_VERB_PREPARE_TRANSACTION && session->begin == BEGIN_FAILED);
}

bool deferred_answer_may_begin(const char *text, uint32_t len)
{
    char first = len == 0 ? ' ' : (char)(text[0] | ' ');
    return first < 'a' || first > 'z' || first == 'b' ||
           (first == 's' && (len < 2 || (text[1] | ' ') == 't'));
}

struct plan *deferred_answer_plan(struct engine *engine, const struct session *session,
                                  const char *text, uint32_t len)
{
    if (len > DEFERRED_TEXT_BYTES_MAX ||
        (session->begin == BEGIN_NONE && !deferred_answer_may_begin(text, len)) ||
        !verb_may_be(session, sql_verb_read(text, len)) || !is_ascii(text, len)) {
        return NULL;
    }
    struct plan *plan = state_plan(engine, session, text, len);
    if (is_ours(session, plan)) {
        return plan;
    }
    plan_unref(plan);
    return NULL;
}

/* --- answers ---------------------------------------------------------------------------------- */

void deferred_answer_write_end(struct engine *engine, struct session *session)
{
    session_write_ready(engine, deferred_begin_status(session));
    engine_flush_scratch(engine, &session->conn);
}

static void begins(struct engine *engine, struct session *session, const struct plan *plan)
{
    const struct pool_options *limits = &session->pool->limits;
    session->begin = BEGIN_DEFERRED;
    session->begin_modes = plan->modes;
    session->transaction_from_us = engine->now_us;
    if (limits->idle_transaction_timeout_ms > 0) {
        conn_wake_by(engine, &session->conn,
                     engine->now_us + limits->idle_transaction_timeout_ms * UINT64_C(1000));
    }
    session_write_tag(engine, plan->control == PLAN_CONTROL_START ? "START TRANSACTION" : "BEGIN");
}

/* COMMIT or ROLLBACK: AND CHAIN begins another with the same modes. */
static void ends(struct engine *engine, struct session *session, const struct plan *plan)
{
    struct pool *pool = session->pool;
    bool commits = plan->control == PLAN_CONTROL_COMMIT && session->begin == BEGIN_DEFERRED;
    pool->stats.transactions++;
    pool->stats.transaction_us += engine->now_us - session->transaction_from_us;
    if (session->own != NULL) { /* what was set for this transaction */
        if (!commits) {
            own_errored(session);
        }
        own_ready(engine, session, 'I');
    }
    session->begin = plan->chain ? BEGIN_DEFERRED : BEGIN_NONE;
    session->transaction_from_us = plan->chain ? engine->now_us : 0;
    session_write_tag(engine, commits ? "COMMIT" : "ROLLBACK");
    if (plan->chain) {
        return;
    }
    listen_unlinked(engine, session);
    if (pool->limits.client_idle_timeout_ms > 0) {
        conn_wake_by(engine, &session->conn,
                     engine->now_us + pool->limits.client_idle_timeout_ms * UINT64_C(1000));
    }
    if (engine->draining && !engine->patient) {
        session_resume_later(engine, session);
    }
}

void deferred_answer_write_tag(struct engine *engine, struct session *session,
                               const struct plan *plan)
{
    session->pool->stats.queries++;
    if (session->begin == BEGIN_NONE) {
        begins(engine, session, plan);
    } else {
        ends(engine, session, plan);
    }
}

/* What a server says of the text before it looks at the transaction (exec_simple_query and
 * exec_parse_message, postgres.c); code 0: nothing. Its message is in `error`. */
static struct report judge(struct engine *engine, const struct session *session, const char *text,
                           uint32_t len, bool prepares, struct syntax_error *error)
{
    struct report report = {.code = 0};
    struct plan *plan = state_plan(engine, session, text, len);
    if (plan->class == PLAN_OPAQUE) {
        if (state_is_no_sql(session, text, len, error)) {
            report = (struct report){
                .code = ERR_SYNTAX, .message = error->message, .position = error->position};
        }
    } else if (prepares && plan->statement_count > 1) {
        report =
            (struct report){.code = ERR_SYNTAX,
                            .message = "cannot insert multiple commands into a prepared statement"};
    }
    plan_unref(plan);
    return report;
}

void deferred_answer_write_refusal(struct engine *engine, const struct session *session,
                                   const char *text, uint32_t len, bool prepares)
{
    struct report report = {.code = 0};
    struct syntax_error error;
    if (text != NULL && len <= LIMIT_PLAN_BYTES) {
        report = judge(engine, session, text, len, prepares, &error);
    }
    if (report.code == 0) {
        report = (struct report){.code = ERR_FAILED_TRANSACTION};
    }
    report_write(&engine->scratch, &report);
}
