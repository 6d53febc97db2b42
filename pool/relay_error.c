#include "pool/relay.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "pool/apply.h"
#include "pool/columns.h"
#include "pool/core.h"
#include "pool/deferred_begin.h"
#include "pool/link.h"
#include "pool/names.h"
#include "pool/options.h"
#include "pool/own.h"
#include "pool/pool.h"
#include "pool/refusal.h"
#include "pool/route.h"
#include "pool/sequence.h"
#include "pool/session.h"
#include "pool/state.h"
#include "protocol/message.h"
#include "protocol/report.h"
#include "router/rules.h"

static void replace_error(struct relay *relay, const struct report *report)
{
    session_report(relay->engine, relay->link->owner, report);
}

/* An ErrorResponse that is here whole. Returns true when the client has been told otherwise. */
static bool error_replaced(struct relay *relay, const struct due_entry *head,
                           const struct report_fields *fields)
{
    struct link *link = relay->link;
    if (link->owner == NULL) {
        return false;
    }
    if (link->query_timed_out && strcmp(fields->sqlstate, "57014") == 0) {
        struct report report = {.code = ERR_QUERY_TIMEOUT};
        replace_error(relay, &report);
        return true;
    }
    if (head != NULL && (head->refused != 0 || columns_misfit(head, fields))) {
        char detail[RULE_TEXT_BYTES];
        struct report report = refusal_report(link->owner, head, detail);
        replace_error(relay, &report);
        return true;
    }
    if (head != NULL && (head->flags & DUE_FLAG_DUPLICATE) != 0 && head->named != NULL &&
        strcmp(fields->sqlstate, "42P05") == 0) {
        char text[LIMIT_NAME_BYTES + 64];
        struct report report = {.code = ERR_DUPLICATE_STATEMENT, .message = text};
        snprintf(text, sizeof(text), "prepared statement \"%.*s\" already exists",
                 LIMIT_NAME_BYTES - 1, head->named->name);
        replace_error(relay, &report);
        return true;
    }
    return false;
}

/* The same, when it tells of names that are not the client's, or positions. */
static bool error_renamed(struct relay *relay, const uint8_t *at, uint32_t total)
{
    struct link *link = relay->link;
    if (!names_error(relay->engine, link, at + MESSAGE_HEADER_BYTES,
                     total - MESSAGE_HEADER_BYTES)) {
        return false;
    }
    engine_flush_scratch(relay->engine, &link->owner->conn);
    return true;
}

/* What a query executes could not be prepared: this is the query's answer, with the ReadyForQuery
 * that is due. */
static void ahead_refused(struct engine *engine, struct link *link)
{
    link->owner->ahead_refused = true;
    if (due_empty(&link->due) && !link_swallow_sync(engine, link)) {
        return;
    }
    struct due_entry *next = due_head(&link->due);
    if (next->what == DUE_SYNC) {
        next->kind = DUE_FORWARD;
    }
}

static void setup_error(struct relay *relay, const uint8_t *body, uint32_t body_bytes)
{
    struct link *link = relay->link;
    pool_copy_bytes(&link->deferred_error, &link->deferred_error_bytes, body, body_bytes);
}

/* Whether the error at `at` is not told, since what the client has sent from `ret_again_at` on is
 * sent again. It must not hear the ParameterDescription either that came before it. */
static bool heals(struct relay *relay, const uint8_t *at, const struct report_fields *fields,
                  uint32_t *ret_again_at)
{
    struct link *link = relay->link;
    if (!heal_is_due(relay->engine, link, fields)) {
        return false;
    }
    bool described = due_head(&link->due)->what == DUE_DESCRIBE_STATEMENT &&
                     strcmp(fields->sqlstate, "26000") != 0;
    if ((described && (relay->described == NULL || relay->described != relay->run)) ||
        !heal_can(link, ret_again_at)) {
        return false;
    }
    if (described) {
        relay->run = (uint8_t *)at;
    }
    return true;
}

/* Whether the link ends, which its client needs no more. */
static bool spares(struct relay *relay, uint8_t *at, const char *message)
{
    struct link *link = relay->link;
    if (!link->terminated || link->owner == NULL || !state_spares(link)) {
        return false;
    }
    relay_end_run(relay, at);
    relay->stop = true;
    link_fail(relay->engine, link, ERR_SERVER_LOST, message);
    return true;
}

bool relay_take_error(struct relay *relay, uint8_t *at, uint32_t total, bool whole,
                      enum due_verdict verdict)
{
    struct link *link = relay->link;
    const struct due_entry *head = due_head(&link->due);
    bool setup = head != NULL && (head->flags & DUE_FLAG_SETUP) != 0;
    bool asked = head != NULL && (head->flags & DUE_FLAG_ASK) != 0;
    bool quiet = head != NULL && (head->flags & (DUE_FLAG_RESTORE | DUE_FLAG_QUIET)) != 0;
    bool told = !setup && !asked && !quiet, changed = false, healing = false, again = false;
    uint32_t again_at;
    struct report_fields fields = {.sqlstate = ""};
    link->due.copy_in = false;
    link->spoilt |= link->state == LINK_RESET || /* what should be gone may still be there */
                    (head != NULL && (head->flags & DUE_FLAG_QUIET) != 0);
    if (head != NULL && head->sequences) {
        link->sequenced_by = SEQUENCED_BY_MANY; /* none were discarded */
    }
    link->setup_failed |= setup;
    link->erred = true;
    link->ends_failed = false;
    if (told && link->owner != NULL && link->status == 'I') {
        link->owner->resets_custom = false; /* it was rolled back */
    }
    if (whole && report_parse(at + MESSAGE_HEADER_BYTES, total - MESSAGE_HEADER_BYTES, &fields)) {
        link->terminated |= fields.severity[0] == 'F' || fields.severity[0] == 'P';
        link->killed |= link->terminated && strcmp(fields.sqlstate, "57P01") == 0;
        if (asked && spares(relay, at, fields.message)) {
            return false;
        }
        if (setup) {
            setup_error(relay, at + MESSAGE_HEADER_BYTES, total - MESSAGE_HEADER_BYTES);
        } else if (!asked && !quiet && route_can_again(link, &fields)) {
            relay->run = at; /* what stands before it the primary will say, too */
            (void)heal_is_due(relay->engine, link, &fields); /* it is prepared anew next time */
            told = false;
            again = !link->terminated; /* else it goes on when the link has ended */
        } else if (!link->terminated && heals(relay, at, &fields, &again_at)) {
            healing = true;
        } else if (link->terminated || (!asked && !quiet)) {
            relay_end_run(relay, at);
            told = true;
            changed = error_replaced(relay, head, &fields) || error_renamed(relay, at, total);
        }
    }
    if (asked) {
        state_error(link, fields.sqlstate);
    }
    link->query_timed_out = false;
    if (verdict == DUE_VERDICT_ERROR) {
        link_skip_to_sync(relay->engine, link);
    }
    if (healing || again) {
        healing ? heal_again(relay->engine, link, again_at) : route_again(relay->engine, link);
        return false;
    }
    if (told) { /* in whatever words */
        link->end_told |= link->terminated;
        route_erred(link);
    }
    if (told && link->owner != NULL && link->owner->own != NULL) {
        own_errored(link->owner);
    }
    if (link->owner != NULL && link->owner->ahead && !asked && !setup && !quiet) {
        ahead_refused(relay->engine, link);
    }
    return told && !changed;
}

bool relay_refuses_ahead(struct relay *relay, const struct due_entry *head, uint8_t *at,
                         uint32_t total)
{
    struct engine *engine = relay->engine;
    struct link *link = relay->link;
    struct report_fields fields;
    if (at[0] != BACKEND_ERROR_RESPONSE || head == NULL || !(head->begins || head->applies) ||
        link->owner == NULL ||
        !report_parse(at + MESSAGE_HEADER_BYTES, total - MESSAGE_HEADER_BYTES, &fields) ||
        fields.severity[0] != 'E') {
        return false;
    }
    relay_leave_out(relay, at, total);
    if (head->applies) {
        apply_failed(engine, link, &fields);
    } else {
        relay->stop = true;
        deferred_begin_failed(engine, link, at, total);
    }
    return true;
}
