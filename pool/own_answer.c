#include "pool/own_answer.h"

#include <stdio.h>
#include <strings.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/limits.h"
#include "pool/core.h"
#include "pool/deferred_begin.h"
#include "pool/link.h"
#include "pool/own_explain.h"
#include "pool/own_extended.h"
#include "pool/pool.h"
#include "pool/state.h"
#include "protocol/frontend.h"
#include "protocol/sql_lexer.h"
#include "protocol/sql_split.h"
#include "router/explain.h"
#include "router/explain_text.h"
#include "router/hint.h"
#include "router/plan.h"

static const char prefix[] = "howdah.";

/* --- waiting and refusing --------------------------------------------------------------------- */

char own_status(const struct session *session)
{
    const struct link *link = session->link;
    if (link == NULL || deferred_begin_is_open(session)) {
        return deferred_begin_status(session);
    }
    return link->status == 'E' && !link_has_failed(link) ? 'T' : link->status;
}

bool own_waits(struct engine *engine, struct session *session)
{
    struct link *link = session->link;
    if (link == NULL || link->setup) {
        return link != NULL;
    }
    if (due_empty(&link->due) && link->body_left == 0) {
        return false;
    }
    session->blocked = true; /* link_after_reply comes back to it, with each part of the answer */
    if (link->unsynced) {
        link_flush(engine, link);
    }
    return true;
}

bool own_keep_refusal(struct engine *engine, struct session *session, const struct report *report)
{
    struct own *own = own_of(engine, session);
    if (own == NULL) {
        return session_no_memory(engine, session);
    }
    const char *message = report->message == NULL ? error_message(report->code) : report->message;
    snprintf(own->refused_message, sizeof(own->refused_message), "%s", message);
    own->refused_code = report->code;
    own->refused_at = report->position;
    own->refused_detail = report->detail;
    own->refused_hint = report->hint;
    return true;
}

struct report own_refusal(const struct session *session)
{
    const struct own *own = session->own;
    ASSERT(own != NULL && own->refused_code != 0);
    return (struct report){.code = own->refused_code,
                           .position = own->refused_at,
                           .message = own->refused_message,
                           .detail = own->refused_detail,
                           .hint = own->refused_hint};
}

/* The query is over: a ReadyForQuery, of the server if it was told something since the last. */
static void end_query(struct engine *engine, struct session *session)
{
    struct link *link = session->link;
    char status = own_status(session);
    if (link != NULL && link->unsynced) {
        engine_flush_scratch(engine, &session->conn);
        frontend_sync(&engine->scratch);
        engine_flush_scratch(engine, &link->conn);
        link->unsynced = false;
        link_due(engine, link, DUE_SYNC, DUE_FORWARD, 0);
        return;
    }
    session_write_ready(engine, status);
    engine_flush_scratch(engine, &session->conn);
    if (session->own != NULL) {
        own_ready(engine, session, status);
    }
    session_release_unused(engine, session);
}

/* Behind what has been answered of the query. */
static void refuse_query(struct engine *engine, struct session *session,
                         const struct report *report)
{
    struct link *link = session->link;
    if (session->own != NULL) {
        own_errored(session);
    }
    if (link == NULL || own_status(session) != 'T') {
        deferred_begin_refused(session);
        report_write(&engine->scratch, report);
        end_query(engine, session);
        return;
    }
    struct due_entry due = {.what = DUE_QUERY, .kind = DUE_FORWARD, .refused = OWN_REFUSED};
    engine_flush_scratch(engine, &session->conn);
    if (!own_keep_refusal(engine, session, report) || !link_due_entry(engine, link, &due)) {
        return;
    }
    session_query_begins(engine, session);
    link->unsynced = false;
    frontend_query(&engine->scratch, "refused by Howdah");
    engine_flush_scratch(engine, &link->conn);
}

/* --- what is wrong ---------------------------------------------------------------------------- */

static uint32_t count_characters(const char *text, uint32_t len)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < len; i++) {
        count += ((uint8_t)text[i] & 0xC0) != 0x80; /* not a further byte of UTF-8 */
    }
    return count;
}

static void judge_hint(const char *text, uint32_t len, struct own_answer *answer)
{
    struct hint_error error = {.message = "malformed hint"};
    hint_find_error(text, len, &error);
    snprintf(answer->message, sizeof(answer->message), "%s", error.message);
    answer->report = (struct report){.code = ERR_SYNTAX,
                                     .message = answer->message,
                                     .hint = error.help,
                                     .position = count_characters(text, error.at) + 1};
}

void own_judge(const struct session *session, const struct plan *plan, const char *text,
               uint32_t len, struct own_answer *answer)
{
    answer->report = (struct report){.code = 0};
    if ((plan->touches & PLAN_TOUCH_BAD_HINT) != 0) {
        judge_hint(text, len, answer);
    } else if (own_status(session) == 'E') {
        answer->report = (struct report){.code = ERR_FAILED_TRANSACTION};
    } else if (!plan->is_ours) {
        answer->report = (struct report){
            .code = ERR_UNSUPPORTED,
            .message = "howdah.* settings and EXPLAIN (HOWDAH) cannot be mixed with what a server "
                       "runs",
            .detail = "Howdah answers them itself; no server knows them.",
            .hint = "Send SET, SHOW, RESET or EXPLAIN (HOWDAH) as a query of their own, with the "
                    "values written in them."};
    }
}

static bool refuse_name(const struct plan_step *step, struct own_answer *answer)
{
    static const char *const near[CONTROL_COUNT] = {
#define CONTROL(name, label, usual, values, doc) "Perhaps you mean \"howdah." label "\".",
#include "router/control.def"
#undef CONTROL
    };
    const char *label = step->name + sizeof(prefix) - 1;
    enum control nearest = control_nearest(label, strlen(label));
    snprintf(answer->message, sizeof(answer->message),
             "unrecognized configuration parameter \"%.100s\"", step->name);
    answer->report = (struct report){
        .code = ERR_UNDEFINED_OBJECT,
        .message = answer->message,
        .hint = nearest == CONTROL_COUNT ? "There are howdah.route, howdah.consistency, "
                                           "howdah.shard, howdah.shard_key and howdah.cache."
                                         : near[nearest]};
    return false;
}

/* --- the statements --------------------------------------------------------------------------- */

void own_write_row(struct engine *engine, const char *const *values, uint32_t count)
{
    uint32_t mark = writer_begin(&engine->scratch, BACKEND_DATA_ROW);
    writer_u16(&engine->scratch, (uint16_t)count);
    for (uint32_t i = 0; i < count; i++) {
        size_t bytes = values[i] == NULL ? 0 : strlen(values[i]);
        writer_u32(&engine->scratch, values[i] == NULL ? UINT32_MAX : (uint32_t)bytes);
        writer_bytes(&engine->scratch, values[i] == NULL ? "" : values[i], bytes);
    }
    writer_end(&engine->scratch, mark);
}

uint32_t own_columns(const struct plan_step *step, const char *ret_names[static 3])
{
    switch ((enum plan_step_kind)step->kind) {
    case PLAN_STEP_SHOW:
        ret_names[0] = step->name;
        return 1;
    case PLAN_STEP_SET_CONFIG:
    case PLAN_STEP_CURRENT_SETTING:
        ret_names[0] = step->label;
        return 1;
    case PLAN_STEP_EXPLAIN:
        memcpy(ret_names, explain_columns, sizeof(explain_columns));
        return EXPLAIN_COLUMNS;
    default:
        return 0;
    }
}

void own_describe(struct engine *engine, const struct plan_step *step, uint16_t format)
{
    enum { TYPE_TEXT = 25 };
    const char *names[EXPLAIN_COLUMNS];
    uint32_t count = own_columns(step, names);
    struct writer *writer = &engine->scratch;
    if (count == 0) {
        session_write_empty(engine, BACKEND_NO_DATA);
        return;
    }
    uint32_t mark = writer_begin(writer, BACKEND_ROW_DESCRIPTION);
    writer_u16(writer, (uint16_t)count);
    for (uint32_t i = 0; i < count; i++) {
        writer_cstr(writer, names[i]);
        writer_u32(writer, 0); /* of no table */
        writer_u16(writer, 0);
        writer_u32(writer, TYPE_TEXT);
        writer_u16(writer, UINT16_MAX); /* any length */
        writer_u32(writer, UINT32_MAX);
        writer_u16(writer, format);
    }
    writer_end(writer, mark);
}

static bool run_set(struct engine *engine, struct session *session, const struct plan_step *step,
                    struct own_answer *answer)
{
    const char *label = step->name + sizeof(prefix) - 1;
    enum control control = control_find(label, strlen(label));
    char value[CONTROL_VALUE_BYTES];
    if (control == CONTROL_COUNT) {
        return refuse_name(step, answer);
    }
    if (step->strange) {
        snprintf(answer->message, sizeof(answer->message), "SET %s takes only one argument",
                 step->name);
        answer->report = (struct report){.code = ERR_BAD_VALUE, .message = answer->message};
        return false;
    }
    if (step->value != NULL &&
        control_check(control, step->value, strlen(step->value), value) != 0) {
        snprintf(answer->message, sizeof(answer->message),
                 "invalid value for parameter \"%s\": \"%.100s\"", step->name, step->value);
        answer->report = (struct report){
            .code = ERR_BAD_VALUE, .message = answer->message, .hint = control_allowed(control)};
        return false;
    }
    if (step->local && answer->warns && step->kind == PLAN_STEP_SET) {
        struct report report = {.warning = true, .code = ERR_NO_TRANSACTION};
        report_write(&engine->scratch, &report);
    }
    int code = own_set(engine, session, control, step->value == NULL ? NULL : value, step->local,
                       answer->where);
    answer->report = (struct report){.code = code};
    return code == 0;
}

/* As run_set; the row is what was set, also where that has ended already. */
static bool run_set_config(struct engine *engine, struct session *session,
                           const struct plan_step *step, struct own_answer *answer)
{
    char value[CONTROL_VALUE_BYTES];
    const char *label = step->name + sizeof(prefix) - 1, *values[] = {value};
    if (!run_set(engine, session, step, answer)) {
        return false;
    }
    control_check(control_find(label, strlen(label)), step->value, strlen(step->value), value);
    if (answer->describes) {
        own_describe(engine, step, answer->format);
    }
    own_write_row(engine, values, 1);
    return true;
}

static bool run_show(struct engine *engine, const struct session *session,
                     const struct plan_step *step, struct own_answer *answer)
{
    const char *label = step->name + sizeof(prefix) - 1, *value = NULL;
    enum control control = control_find(label, strlen(label));
    if (control == CONTROL_COUNT && !step->missing_ok) {
        return refuse_name(step, answer);
    }
    if (control != CONTROL_COUNT) {
        value = own_get(session, control);
    }
    if (answer->describes) {
        own_describe(engine, step, answer->format);
    }
    own_write_row(engine, &value, 1);
    return true;
}

bool own_explained(struct engine *engine, struct session *session, const char *text, uint32_t len,
                   struct explanation *explanation, struct own_answer *answer)
{
    struct explain_text found;
    if (!explain_text_find(text, len, &found) || found.has_others) {
        answer->report =
            (struct report){.code = ERR_BAD_VALUE,
                            .message = "EXPLAIN option HOWDAH cannot be used with others",
                            .detail = "Nothing is run, so there is nothing to measure.",
                            .hint = "Write EXPLAIN (HOWDAH) and the statement."};
        return false;
    }
    int code = own_explain_session(engine, session, text + found.at, len - found.at, explanation);
    if (code == ERR_SYNTAX) {
        uint32_t before = count_characters(text, found.at);
        snprintf(answer->message, sizeof(answer->message), "%.199s", explanation->error);
        answer->report = (struct report){
            .code = ERR_SYNTAX,
            .message = answer->message,
            .position = explanation->error_at == 0 ? 0 : before + explanation->error_at};
    } else if (code != 0) {
        answer->report = (struct report){.code = code};
    }
    return code == 0;
}

static bool run_explain(struct engine *engine, struct session *session,
                        const struct plan_step *step, const char *text, uint32_t len,
                        struct own_answer *answer)
{
    struct explanation explanation;
    const char *values[EXPLAIN_COLUMNS], *at = NULL;
    explanation_init(&explanation);
    bool explained = own_explained(engine, session, text, len, &explanation, answer);
    if (explained && answer->describes) {
        own_describe(engine, step, answer->format);
    }
    while (explained && (at = explanation_next(&explanation, at, values)) != NULL) {
        own_write_row(engine, values, EXPLAIN_COLUMNS);
    }
    explanation_fini(&explanation);
    return explained;
}

bool own_run(struct engine *engine, struct session *session, const struct plan_step *step,
             const char *text, uint32_t len, struct own_answer *answer)
{
    bool done = false;
    const char *tag = "";
    switch ((enum plan_step_kind)step->kind) {
    case PLAN_STEP_SET:
        done = run_set(engine, session, step, answer);
        tag = step->resets ? "RESET" : "SET";
        break;
    case PLAN_STEP_SHOW:
        done = run_show(engine, session, step, answer);
        tag = "SHOW";
        break;
    case PLAN_STEP_SET_CONFIG:
        done = run_set_config(engine, session, step, answer);
        tag = "SELECT 1";
        break;
    case PLAN_STEP_CURRENT_SETTING:
        done = run_show(engine, session, step, answer);
        tag = "SELECT 1";
        break;
    case PLAN_STEP_EXPLAIN:
        done = run_explain(engine, session, step, text, len, answer);
        tag = "EXPLAIN";
        break;
    case PLAN_STEP_COMMIT:
    case PLAN_STEP_ROLLBACK:
    case PLAN_STEP_SAVEPOINT:
    case PLAN_STEP_RELEASE:
    case PLAN_STEP_ROLLBACK_TO:
    case PLAN_STEP_RESET:
    case PLAN_STEP_RESET_ALL:
        UNREACHABLE();
    }
    if (done && answer->suspends) {
        session_write_empty(engine, BACKEND_PORTAL_SUSPENDED);
    } else if (done) {
        session_write_tag(engine, tag);
    }
    return done;
}

bool own_startup(struct engine *engine, struct session *session, const char *name,
                 const char *value, struct own_answer *answer)
{
    char lower[LIMIT_NAME_BYTES];
    struct plan_step step = {.kind = PLAN_STEP_SET, .name = lower, .value = value};
    snprintf(lower, sizeof(lower), "%s", name);
    for (char *c = lower; *c != '\0'; c++) {
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
    }
    answer->where = OWN_ALONE;
    if (!run_set(engine, session, &step, answer)) {
        return false;
    }
    own_began(engine, session);
    return true;
}

/* --- what passes ------------------------------------------------------------------------------ */

bool own_query_waits(struct engine *engine, struct session *session, const char *text, uint32_t len)
{
    struct plan *plan = state_plan(engine, session, text, message_text_bytes(text, len));
    bool waits = false;
    if (own_must_note(session, plan)) {
        waits = own_waits(engine, session);
        if (!waits) {
            own_notes(session, plan);
        }
    }
    plan_unref(plan);
    return waits;
}

void own_bound(struct session *session, struct plan *plan)
{
    struct own *own = session->own;
    if (plan != NULL) {
        plan_ref(plan);
    }
    plan_unref(own->bound);
    own->bound = plan;
}

bool own_execute_waits(struct engine *engine, struct session *session)
{
    struct own *own = session->own;
    if (own->bound == NULL || !own_must_note(session, own->bound)) {
        return false;
    }
    if (own_waits(engine, session)) {
        return true;
    }
    own_notes(session, own->bound);
    return false;
}

/* --- simple queries --------------------------------------------------------------------------- */

uint32_t own_query(struct engine *engine, struct session *session, const struct plan *plan,
                   const uint8_t *message, uint32_t total)
{
    const char *text = (const char *)message + MESSAGE_HEADER_BYTES;
    uint32_t len = message_text_bytes(text, total - MESSAGE_HEADER_BYTES);
    struct own_answer answer = {.describes = true};
    struct sql_lexer lexer;
    struct sql_statement at = {0, len, false};
    if (own_waits(engine, session)) {
        return 0;
    }
    bool in_block = own_status(session) == 'T', several = plan->step_count > 1;
    answer.where = in_block ? OWN_BLOCK : (several ? OWN_IMPLICIT : OWN_ALONE);
    answer.warns = !in_block && !several;
    session_drop_unnamed(engine, session); /* exec_simple_query, postgres.c */
    own_judge(session, plan, text, len, &answer);
    sql_lexer_init(&lexer, text, len, 0);
    for (uint32_t i = 0; i < plan->step_count && answer.report.code == 0; i++) {
        if (several) {
            sql_split_next(&lexer, &at);
        }
        own_run(engine, session, &plan->steps[i], text + at.start, at.end - at.start, &answer);
    }
    if (answer.report.code == 0) {
        end_query(engine, session);
    } else {
        refuse_query(engine, session, &answer.report);
    }
    return session->conn.closing ? 0 : total;
}

/* Whether "howdah" stands anywhere in it. */
static bool names_us(const char *text, uint32_t len)
{
    static const char name[] = "howdah";
    for (uint32_t i = 0; i + sizeof(name) - 1 <= len; i++) {
        if ((text[i] | 0x20) == 'h' && strncasecmp(text + i, name, sizeof(name) - 1) == 0) {
            return true;
        }
    }
    return false;
}

/* The plan of a text that may be ours, a reference; NULL: it is not. */
struct plan *own_plan(struct engine *engine, const struct session *session, const char *text,
                      uint32_t len)
{
    if (!names_us(text, len)) {
        return NULL;
    }
    struct plan *plan = state_plan(engine, session, text, len);
    if ((plan->touches & PLAN_TOUCHES_OURS) != 0) {
        return plan;
    }
    plan_unref(plan);
    return NULL;
}

bool own_take(struct engine *engine, struct session *session, const uint8_t *message,
              uint32_t total, uint32_t have, uint32_t *ret_taken, uint32_t *ret_whole)
{
    const struct link *link = session->link;
    bool passes =
        session->skipping || total > LIMIT_PLAN_BYTES || session->replication ||
        (link != NULL && (link->due.skipping || link->due.copy_in || link->due.copy_both));
    *ret_taken = 0;
    if (passes) {
        return false; /* what comes of it is not for us to say */
    }
    if (message[0] != FRONTEND_QUERY) {
        return own_extended_take(engine, session, message, total, have, ret_taken, ret_whole);
    }
    if (have < total) { /* as much as own_may_begin wants, then all of it */
        *ret_whole = have < MESSAGE_HEADER_BYTES + 4 ? MESSAGE_HEADER_BYTES + 4 : total;
        *ret_whole = *ret_whole < total ? *ret_whole : total;
        return true;
    }
    const char *text = (const char *)message + MESSAGE_HEADER_BYTES;
    uint32_t len = message_text_bytes(text, total - MESSAGE_HEADER_BYTES);
    bool whole = len + 1 == total - MESSAGE_HEADER_BYTES; /* else the server refuses it */
    struct plan *plan = whole ? own_plan(engine, session, text, len) : NULL;
    if (plan == NULL) {
        return false;
    }
    *ret_taken = own_query(engine, session, plan, message, total);
    plan_unref(plan);
    return true;
}
