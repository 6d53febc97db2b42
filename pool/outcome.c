#include "pool/outcome.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "pool/link.h"
#include "pool/pool.h"
#include "pool/session.h"
#include "protocol/report.h"
#include "protocol/sql_verb.h"
#include "router/plan.h"

/* Whether it may commit when it is executed, outside of a transaction block: procedures, and what
 * can't run in a block (exec_execute_message, postgres.c). */
static bool commits_itself(const struct session *session, const struct plan *plan)
{
    return session->link->status == 'I' &&
           (plan->class == PLAN_UTILITY || (plan->touches & PLAN_TOUCH_ALONE) != 0);
}

void outcome_note(struct session *session, const struct plan *plan)
{
    session->ends |= commits_itself(session, plan) ? ENDS_ITSELF : 0;
    if ((plan->touches & (PLAN_TOUCH_END | PLAN_TOUCH_OPAQUE)) != 0) {
        session->ends |= plan->control == PLAN_CONTROL_ROLLBACK ? ENDS_ROLLBACK : ENDS_MAYBE;
    }
}

/* Whether it is one statement, of those that are most usual inside of a transaction. */
static bool ends_nothing(const char *text, uint32_t len)
{
    while (len > 0 && (text[len - 1] == '\0' || text[len - 1] == ';')) {
        len--;
    }
    enum sql_verb verb = sql_verb_read(text, len);
    bool usual = sql_verb_is_row(verb) || verb == SQL_VERB_BEGIN ||
                 verb == SQL_VERB_START_TRANSACTION || verb == SQL_VERB_SAVEPOINT ||
                 verb == SQL_VERB_RELEASE || verb == SQL_VERB_ROLLBACK_TO || verb == SQL_VERB_SET ||
                 verb == SQL_VERB_COPY;
    return usual && memchr(text, ';', len) == NULL;
}

void outcome_note_text(struct session *session, const char *text, uint32_t len)
{
    session->ends |= ends_nothing(text, len) ? 0 : ENDS_MAYBE;
}

void outcome_note_parse(struct session *session, bool unnamed, const char *text, uint32_t len)
{
    if (!ends_nothing(text, len)) {
        session->ends |= ENDS_MAYBE;
        session->ends_prepared |= !unnamed; /* it can be bound at any time */
    }
}

/* What of the client's awaits its answer. */
struct under_way {
    uint32_t queries;    /* simple ones */
    uint32_t statements; /* these, and what else runs something */
    uint32_t syncs;      /* outside of a transaction they commit what was executed */
};

static struct under_way count(const struct due *due)
{
    struct under_way found = {0};
    for (uint32_t i = 0; i < due->count; i++) {
        const struct due_entry *entry = due_at(due, i);
        if (entry->kind != DUE_SWALLOW && entry->kind != DUE_SYNTHESISE) {
            found.queries += entry->what == DUE_QUERY;
            found.statements += entry->what == DUE_QUERY || entry->what == DUE_EXECUTE ||
                                entry->what == DUE_FUNCTION_CALL;
            found.syncs += entry->what == DUE_SYNC;
        }
    }
    return found;
}

/* Whether all that is under way is proven to write nothing. Of queries the last one is known. */
static bool only_reads(const struct session *session, struct under_way under_way)
{
    bool reads = under_way.queries == 0 || (under_way.queries == 1 && session->query_is_read);
    return (reads && !session->batch_writes && !session->owns_link && session->ends == 0) ||
           session->set_alone != NULL;
}

/* Whether the server can't have ended the last statement, since it does not have all of it: half a
 * message, or COPY data without its end. Of the same query as COPY a COMMIT may be done. */
static bool is_incomplete(const struct link *link)
{
    const struct session *session = link->owner;
    if (link->due.copy_in) {
        return (session->ends & ENDS_MAYBE) == 0;
    }
    return session->body_left > 0 && session->body_fate == BODY_FORWARD;
}

enum outcome outcome_of(const struct link *link)
{
    const struct session *session = link->owner;
    struct under_way under_way = count(&link->due);
    bool inside = link->status != 'I' || link->begun;
    bool none = under_way.statements + under_way.syncs == 0;
    if (none) {
        return inside ? OUTCOME_ROLLED_BACK : OUTCOME_NOTHING;
    }
    if (!link->conn.handed || (inside && link->pool->target != POOL_PRIMARY)) {
        return OUTCOME_ROLLED_BACK; /* a standby commits nothing */
    }
    if (is_incomplete(link) && under_way.statements + under_way.syncs == 1) {
        return OUTCOME_ROLLED_BACK;
    }
    if (!inside) {
        return only_reads(session, under_way) ? OUTCOME_NOTHING : OUTCOME_UNKNOWN;
    }
    bool extended = under_way.statements > under_way.queries;
    bool commits = (session->ends & ENDS_MAYBE) != 0 || (session->ends_prepared && extended) ||
                   ((session->ends & ENDS_ROLLBACK) != 0 && under_way.statements > 1);
    return commits ? OUTCOME_UNKNOWN : OUTCOME_ROLLED_BACK;
}

struct report outcome_report(const struct link *link, int code, const char *detail,
                             char text[OUTCOME_TEXT_BYTES])
{
    switch (outcome_of(link)) {
    case OUTCOME_NOTHING:
        break;
    case OUTCOME_ROLLED_BACK:
        return (struct report){.code = code,
                               .detail = detail,
                               .hint = "The transaction was rolled back: it can be run again."};
    case OUTCOME_UNKNOWN:
        snprintf(text, OUTCOME_TEXT_BYTES,
                 "The connection was lost before the server had answered (%s%s%s): what it was "
                 "asked last may have been committed or not.",
                 error_message(code), detail == NULL ? "" : ": ", detail == NULL ? "" : detail);
        return (struct report){.code = ERR_UNKNOWN_OUTCOME,
                               .detail = text,
                               .hint =
                                   "Look whether its changes are there before running it again."};
    }
    return (struct report){.code = code, .detail = detail};
}
