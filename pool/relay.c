/* Server to client: each message is judged by the ledger, and passed on, swallowed, or fatal.
 *
 * Bytes that pass on are gathered into runs: what lies together is sent together, by reference.
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/limits.h"
#include "pool/apply.h"
#include "pool/columns.h"
#include "pool/core.h"
#include "pool/deferred_begin.h"
#include "pool/link.h"
#include "pool/listen.h"
#include "pool/names.h"
#include "pool/options.h"
#include "pool/own_answer.h"
#include "pool/pin_limit.h"
#include "pool/pool.h"
#include "pool/prepare.h"
#include "pool/restore.h"
#include "pool/route.h"
#include "pool/sequence.h"
#include "pool/session.h"
#include "pool/state.h"
#include "pool/statement_limit.h"
#include "protocol/message.h"
#include "protocol/report.h"

struct relay {
    struct engine *engine;
    struct link *link;
    struct block *block;
    uint8_t *run;             /* what lies from here to the cursor passes on */
    uint32_t whole;           /* bytes needed to go on; 0 = any */
    const uint8_t *described; /* the last ParameterDescription; NULL = none */
    bool stop;
};

/* Bytes of the server's go to the client, if there is one that hears them. */
static void pass_on(struct engine *engine, struct link *link, struct block *block, uint8_t *bytes,
                    uint32_t len)
{
    struct session *owner = link->owner;
    if (owner != NULL && owner->deaf) {
        session_unheard(engine, owner);
    } else if (owner != NULL && len > 0) {
        conn_send(engine, &owner->conn, block, bytes, len);
        link->told = true;
        owner->pool->stats.bytes_sent += len;
    }
}

static void end_run(struct relay *relay, uint8_t *at)
{
    pass_on(relay->engine, relay->link, relay->block, relay->run, (uint32_t)(at - relay->run));
    relay->run = at;
}

/* Leaves `len` bytes at `at` out of what passes on. */
static void leave_out(struct relay *relay, uint8_t *at, uint32_t len)
{
    end_run(relay, at);
    relay->run = at + len;
}

/* The ledger does not allow the message at `at`: what came before it passes on, then link and
 * client end. */
static void violated(struct relay *relay, uint8_t *at, const char *what)
{
    end_run(relay, at);
    relay->stop = true;
    link_fail(relay->engine, relay->link, ERR_SERVER_PROTOCOL, what);
}

static bool is_forwarded(const struct due_entry *head)
{
    return head->kind == DUE_FORWARD || head->kind >= DUE_SIFT;
}

/* Whether what the server says aside (notices, parameters, notifications) is for the client. A
 * notification is also where it comes amid the answer to a question of ours. */
static bool aside_passes(const struct link *link, uint8_t type)
{
    const struct due_entry *head = due_head(&link->due);
    bool listens =
        type == BACKEND_NOTIFICATION_RESPONSE && head != NULL && (head->flags & DUE_FLAG_ASK) != 0;
    return link->owner != NULL && !link->setup && (head == NULL || is_forwarded(head) || listens);
}

/* Whether what the server says aside at `at` passes on. */
static bool pass_aside(struct relay *relay, uint8_t *at, uint32_t total, bool whole)
{
    struct link *link = relay->link;
    bool passes = aside_passes(link, at[0]);
    if (at[0] == BACKEND_NOTIFICATION_RESPONSE && whole && (passes || link->hub != NULL)) {
        end_run(relay, at);
        passes = listen_notification(relay->engine, link, at + MESSAGE_HEADER_BYTES,
                                     total - MESSAGE_HEADER_BYTES);
    }
    return passes;
}

/* Whether the client is to wait for this ReadyForQuery, which has been noted. */
static bool holds_ready(struct link *link)
{
    struct session *owner = link->owner;
    if (owner == NULL || link->status != 'I' || link->unsynced || owner->state != SESSION_READY ||
        !listen_holds(owner)) {
        return false;
    }
    for (uint32_t i = 1; i < link->due.count; i++) { /* the first is this ReadyForQuery's own */
        const struct due_entry *entry = due_at(&link->due, i);
        if (entry->kind != DUE_SWALLOW && entry->what != DUE_NAME) {
            return false;
        }
    }
    owner->ready_held = true;
    return true;
}

/* Whether the head is a Describe of what the client calls by a name (pool/columns.h). */
static bool describes_named(const struct due_entry *head)
{
    return head != NULL && head->named != NULL &&
           (head->what == DUE_DESCRIBE_STATEMENT || head->what == DUE_DESCRIBE_PORTAL);
}

static bool must_be_whole(const struct due_entry *head, uint8_t type, uint32_t body_bytes)
{
    switch (type) {
    case BACKEND_DATA_ROW:
        return head != NULL && (head->flags & DUE_FLAG_ASK) != 0 && body_bytes <= LIMIT_STATE_BYTES;
    case BACKEND_READY_FOR_QUERY:
    case BACKEND_PARAMETER_STATUS:
        return true;
    case BACKEND_COMMAND_COMPLETE:
        return body_bytes <= LIMIT_NAME_BYTES;
    case BACKEND_ROW_DESCRIPTION:
        return describes_named(head) && body_bytes <= LIMIT_SERVER_WHOLE_BYTES;
    case BACKEND_NOTIFICATION_RESPONSE:
        return body_bytes <= LIMIT_SERVER_WHOLE_BYTES;
    case BACKEND_ERROR_RESPONSE:
        return body_bytes <= LIMIT_SERVER_WHOLE_BYTES ||
               (head != NULL && (head->begins || head->applies));
    }
    return false;
}

static bool tag_is(const uint8_t *body, uint32_t body_bytes, const char *tag)
{
    return body_bytes == strlen(tag) + 1 && memcmp(body, tag, body_bytes) == 0;
}

/* A PREPARE or DEALLOCATE of the client's was done. What the server was told to deallocate in place
 * of all was one: the client hears what it asked for. */
static void note_names(struct relay *relay, uint8_t *at, uint32_t total)
{
    static const char all[] = "DEALLOCATE ALL";
    struct engine *engine = relay->engine;
    struct link *link = relay->link;
    uint8_t *body = at + MESSAGE_HEADER_BYTES;
    uint32_t body_bytes = total - MESSAGE_HEADER_BYTES;
    if (link->due.count < 2 || due_at(&link->due, 1)->what != DUE_NAME ||
        !(tag_is(body, body_bytes, "PREPARE") || tag_is(body, body_bytes, "DEALLOCATE") ||
          tag_is(body, body_bytes, all)) ||
        !names_completed(engine, link) || link->owner == NULL) {
        return;
    }
    leave_out(relay, at, total);
    uint32_t mark = writer_begin(&engine->scratch, BACKEND_COMMAND_COMPLETE);
    writer_cstr(&engine->scratch, all);
    writer_end(&engine->scratch, mark);
    engine_flush_scratch(engine, &link->owner->conn);
}

/* DISCARD ALL and DEALLOCATE ALL end prepared statements, the client's and the link's. */
static void note_command(struct relay *relay, const uint8_t *body, uint32_t body_bytes)
{
    static const char discard[] = "DISCARD ALL";
    static const char deallocate[] = "DEALLOCATE ALL";
    struct link *link = relay->link;
    struct engine *engine = relay->engine;
    if (body_bytes < sizeof(discard) || body[0] != 'D') {
        return;
    }
    bool all =
        (body_bytes == sizeof(discard) && memcmp(body, discard, sizeof(discard)) == 0) ||
        (body_bytes == sizeof(deallocate) && memcmp(body, deallocate, sizeof(deallocate)) == 0);
    if (!all) {
        return;
    }
    link_forget_statements(engine, link);
    if (body[1] == 'I' && link->owner != NULL && link->owner->own != NULL) {
        own_discarded(engine, link->owner);
    }
    if (body[1] == 'I') { /* RESET ALL is part of DISCARD ALL */
        link_settings_reset(engine, link);
        if (link->owner != NULL && !link->owner->owns_link) {
            state_discarded(engine, link->owner);
        }
    }
}

/* What was set here is kept, or undone. */
static void note_own(struct relay *relay, const uint8_t *body, uint32_t body_bytes)
{
    struct session *owner = relay->link->owner;
    if (owner != NULL && owner->own != NULL && body_bytes > 0 && body[body_bytes - 1] == '\0') {
        own_completed(relay->engine, owner, (const char *)body);
    }
}

/* --- errors ----------------------------------------------------------------------------------- */

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
        struct report report =
            head->refused == OWN_REFUSED                             ? own_refusal(link->owner)
            : head->refused == COLUMNS_REFUSED || head->refused == 0 ? columns_report()
            : head->refused == STATEMENTS_REFUSED                    ? statement_limit_report()
                                                  : pin_limit_report(head->refused);
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
static void ahead_refused(struct link *link)
{
    struct due_entry *next = due_head(&link->due);
    link->owner->ahead_refused = true;
    if (next != NULL && next->what == DUE_SYNC) {
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

/* ErrorResponse. Returns whether it passes on. */
static bool take_error(struct relay *relay, uint8_t *at, uint32_t total, bool whole,
                       enum due_verdict verdict)
{
    struct link *link = relay->link;
    const struct due_entry *head = due_head(&link->due);
    bool setup = head != NULL && (head->flags & DUE_FLAG_SETUP) != 0;
    bool asked = head != NULL && (head->flags & DUE_FLAG_ASK) != 0;
    bool quiet = head != NULL && (head->flags & (DUE_FLAG_RESTORE | DUE_FLAG_QUIET)) != 0;
    bool forward = !setup && !asked && !quiet, healing = false, again = false;
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
    if (forward && link->owner != NULL && link->owner->own != NULL) {
        own_errored(link->owner);
    }
    if (whole && report_parse(at + MESSAGE_HEADER_BYTES, total - MESSAGE_HEADER_BYTES, &fields)) {
        link->terminated |= fields.severity[0] == 'F' || fields.severity[0] == 'P';
        link->killed |= link->terminated && strcmp(fields.sqlstate, "57P01") == 0;
        if (setup) {
            setup_error(relay, at + MESSAGE_HEADER_BYTES, total - MESSAGE_HEADER_BYTES);
        } else if (!asked && !quiet && route_can_again(link, &fields)) {
            relay->run = at; /* what stands before it the primary will say, too */
            forward = false;
            again = !link->terminated; /* else it goes on when the link has ended */
        } else if (!link->terminated && heals(relay, at, &fields, &again_at)) {
            healing = true;
        } else if (link->terminated || (!asked && !quiet)) {
            end_run(relay, at);
            forward = !error_replaced(relay, head, &fields) && !error_renamed(relay, at, total);
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
    if (forward) {
        route_erred(link);
    }
    if (link->owner != NULL && link->owner->ahead && !asked && !setup && !quiet) {
        ahead_refused(link);
    }
    return forward;
}

/* Whether the server refuses what went ahead of the client's messages with them: a BEGIN that it
 * was told of, or settings. Not so if it ends the connection with it. */
static bool refuses_ahead(struct relay *relay, const struct due_entry *head, uint8_t *at,
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
    leave_out(relay, at, total);
    if (head->applies) {
        apply_failed(engine, link, &fields);
    } else {
        relay->stop = true;
        deferred_begin_failed(engine, link, at, total);
    }
    return true;
}

/* A whole CommandComplete. True: it is not the client's, but of what we have put around its LISTEN
 * or UNLISTEN. */
static bool take_completion(struct relay *relay, const struct due_entry *head, const uint8_t *body,
                            uint32_t body_bytes)
{
    bool sifted = head->kind == DUE_SIFT && listen_sifts(relay->link, body, body_bytes);
    if (head->kind >= DUE_SIFT) {
        note_own(relay, body, body_bytes);
    }
    return sifted;
}

/* --- one message ------------------------------------------------------------------------------ */

/* In statement mode a transaction block ends before the client is told that it has one. */
static void refuse_transaction(struct relay *relay, uint8_t *at)
{
    leave_out(relay, at, MESSAGE_HEADER_BYTES + 1);
    session_refuse_transaction(relay->engine, relay->link->owner);
}

static bool is_status(uint8_t byte)
{
    return byte == 'I' || byte == 'T' || byte == 'E';
}

/* What every ReadyForQuery changes. */
static void note_ready(const struct engine *engine, struct link *link, uint8_t status)
{
    link->status = (char)status;
    link->begun = link->query_timed_out = false;
    link->due.copy_in = false;
    link->due.copy_both = false;
    link->used_us = engine->now_us;
    if (link->owner != NULL && link->owner->query_from_us != 0) {
        link->pool->stats.query_us += link->used_us - link->owner->query_from_us;
        link->owner->query_from_us = link->due.count > 1 ? link->used_us : 0;
    }
}

static void take_ready(struct relay *relay, uint8_t *at)
{
    struct link *link = relay->link;
    uint8_t status = at[MESSAGE_HEADER_BYTES];
    if (!is_status(status)) {
        violated(relay, at, "ReadyForQuery with an unknown status");
        return;
    }
    note_ready(relay->engine, link, status);
    if (link->owner != NULL && link->owner->routing != NULL) {
        status = at[MESSAGE_HEADER_BYTES] = route_ready(relay->engine, link, status);
    }
    if (apply_is_open(link)) {
        apply_ended(relay->engine, link);
    }
    if (link->owner != NULL && link->owner->own != NULL && is_forwarded(due_head(&link->due))) {
        own_ready(relay->engine, link->owner, (char)status);
    }
    if (link->owner != NULL && link->owner->restored != NULL && restore_is_next(link)) {
        end_run(relay, at);
        restore_tell(relay->engine, link);
    }
    if (status != 'I' && link->owner != NULL && link->pool->limits.mode == POOL_STATEMENT) {
        refuse_transaction(relay, at);
    }
}

/* A parameter that a RESET has changed for a moment, or that settings have which travel. */
static void tell_parameter(struct relay *relay, uint8_t *at, uint32_t total)
{
    struct link *link = relay->link;
    struct reader reader = reader_of(at + MESSAGE_HEADER_BYTES, total - MESSAGE_HEADER_BYTES);
    const char *name = reader_cstr(&reader);
    const char *value = reader_cstr(&reader);
    const char *told = value;
    if (reader.failed) {
        return;
    }
    if (apply_is_open(link)) {
        told = apply_is_told(link, name, value) ? NULL : value;
    } else if (restore_hides(link, name, value)) {
        told = NULL;
    }
    if (told == NULL) {
        leave_out(relay, at, total);
    }
}

static void take_parameter(struct relay *relay, const uint8_t *body, uint32_t body_bytes)
{
    struct reader reader = reader_of(body, body_bytes);
    const char *name = reader_cstr(&reader);
    const char *value = reader_cstr(&reader);
    if (!reader.failed && settings_name_ok(name)) {
        link_parameter(relay->engine, relay->link, name, value);
    }
}

/* The server asks for COPY data that a client which has gone will never send. */
static void copy_from_gone(struct relay *relay)
{
    struct session *owner = relay->link->owner;
    if (owner != NULL && owner->gone) {
        session_resume_later(relay->engine, owner);
    }
}

/* What a message changes here, before it passes on. */
static void note_message(struct relay *relay, uint8_t *at, uint32_t total)
{
    struct link *link = relay->link;
    switch (at[0]) {
    case BACKEND_READY_FOR_QUERY:
        take_ready(relay, at);
        break;
    case BACKEND_COMMAND_COMPLETE:
        link->ends_failed = link->status == 'E';
        if (total <= MESSAGE_HEADER_BYTES + LIMIT_NAME_BYTES) {
            note_command(relay, at + MESSAGE_HEADER_BYTES, total - MESSAGE_HEADER_BYTES);
            note_names(relay, at, total);
        }
        break;
    case BACKEND_ROW_DESCRIPTION:
    case BACKEND_NO_DATA:
        if (describes_named(due_head(&link->due))) {
            columns_described(relay->engine, due_head(&link->due), at, total);
        }
        break;
    case BACKEND_COPY_IN_RESPONSE:
        due_copy_in_begins(&link->due);
        /* The Sync behind the Execute was ignored: the COPY's answer comes with the next one. */
        link->unsynced =
            link->unsynced || (due_head(&link->due)->what == DUE_EXECUTE && link->due.count == 1);
        copy_from_gone(relay);
        break;
    case BACKEND_COPY_BOTH_RESPONSE:
        link->due.copy_both = true;
        copy_from_gone(relay);
        break;
    case BACKEND_PARAMETER_STATUS:
        if (aside_passes(link, BACKEND_PARAMETER_STATUS)) {
            tell_parameter(relay, at, total);
        }
        take_parameter(relay, at + MESSAGE_HEADER_BYTES, total - MESSAGE_HEADER_BYTES);
        break;
    }
}

static void entry_ends(struct relay *relay)
{
    struct link *link = relay->link;
    if (due_pops_plainly(due_head(&link->due), due_next(&link->due))) {
        due_pop(&link->due);
        return;
    }
    struct due_entry entry = *due_head(&link->due);
    due_pop(&link->due);
    link_entry_done(relay->engine, link, &entry);
}

/* A ParameterDescription waits for what comes behind it, for an error may take it back (heals).
 * False: more of that must be here. */
static bool take_description(struct relay *relay, uint8_t *at, uint32_t total, uint32_t have)
{
    uint32_t body_bytes, need = total + MESSAGE_HEADER_BYTES;
    if (total > LIMIT_SERVER_WHOLE_BYTES) {
        return true;
    }
    if (have >= need && at[total] == BACKEND_ERROR_RESPONSE &&
        message_header(message_backend_bounds, at + total, &body_bytes) &&
        body_bytes <= LIMIT_SERVER_WHOLE_BYTES) {
        need += body_bytes;
    }
    if (have < need) {
        relay->whole = need;
        return false;
    }
    end_run(relay, at);
    relay->described = at;
    return true;
}

/* Whether the client is to wait for what would pass on to it, or has had it. */
static bool is_withheld(struct link *link, uint8_t type)
{
    return (type == BACKEND_READY_FOR_QUERY && holds_ready(link)) ||
           (route_mutes(link) && route_is_muted(link->owner, type));
}

/* Judges one message whose header (or whole, where that is needed) is here. Returns the bytes it
 * takes of the message, or 0 when it cannot be taken yet. */
static uint32_t take(struct relay *relay, uint8_t *at, uint32_t have)
{
    struct link *link = relay->link;
    uint32_t body_bytes;
    if (!message_header(message_backend_bounds, at, &body_bytes)) {
        violated(relay, at, "unknown message type or length");
        return 0;
    }
    uint32_t total = MESSAGE_HEADER_BYTES + body_bytes;
    uint8_t type = at[0];
    bool whole = have >= total;
    const struct due_entry *head = due_head(&link->due);
    if (type == BACKEND_PARAMETER_DESCRIPTION && !take_description(relay, at, total, have)) {
        return 0;
    }
    if (!whole && must_be_whole(head, type, body_bytes)) {
        relay->whole = total;
        return 0;
    }
    enum due_verdict verdict = due_judge(head, type);
    bool forward = head != NULL && is_forwarded(head);
    if (whole && refuses_ahead(relay, head, at, total)) {
        return total;
    }
    if (type == BACKEND_ERROR_RESPONSE) {
        forward = take_error(relay, at, total, whole, verdict);
        if (verdict == DUE_VERDICT_VIOLATION && !link->terminated) {
            violated(relay, at, "ErrorResponse that nothing asked for");
            return 0;
        }
        verdict = verdict == DUE_VERDICT_VIOLATION ? DUE_VERDICT_PART : verdict;
    } else if (verdict == DUE_VERDICT_VIOLATION) {
        violated(relay, at, message_backend_name(type));
        return 0;
    } else if (verdict == DUE_VERDICT_ASIDE) {
        forward = pass_aside(relay, at, total, whole);
    }
    if (type == BACKEND_DATA_ROW) {
        ASSERT(head != NULL);
        if ((head->flags & DUE_FLAG_ASK) != 0) {
            state_row(link, at + MESSAGE_HEADER_BYTES, whole ? body_bytes : 0);
        }
    } else {
        note_message(relay, at, total);
        if (relay->stop) {
            return 0;
        }
    }
    if (type == BACKEND_COMMAND_COMPLETE && whole && head != NULL &&
        take_completion(relay, head, at + MESSAGE_HEADER_BYTES, body_bytes)) {
        forward = false;
    }
    forward = forward && !is_withheld(link, type);
    uint32_t now = whole ? total : have;
    link->body_left = total - now;
    link->body_forward = forward;
    if (!forward) {
        leave_out(relay, at, now);
    }
    if (verdict == DUE_VERDICT_LAST || verdict == DUE_VERDICT_PLAIN_LAST) {
        const struct due_entry *next = due_at(&link->due, 1);
        if (link->due.count > 1 && (next->kind == DUE_SYNTHESISE || next->what == DUE_NAME)) {
            end_run(relay, at + now); /* so that what is made up comes behind it */
        }
        entry_ends(relay);
    }
    return now;
}

/* Whether the message at `at` is a CommandComplete from which nothing follows: note_command wants
 * only those that begin with a D, note_names also those with a P. */
static inline bool completes_plainly(const uint8_t *at, const uint8_t *end)
{
    return at[0] == BACKEND_COMMAND_COMPLETE && end - at > MESSAGE_HEADER_BYTES &&
           at[MESSAGE_HEADER_BYTES] != 'D' && at[MESSAGE_HEADER_BYTES] != 'P';
}

/* By the head's rules: whether nothing follows from the message at `at`, a part of its reply. */
static inline bool is_plain_part(const uint8_t *rules, const uint8_t *at, const uint8_t *end)
{
    return rules[at[0]] == DUE_VERDICT_PLAIN ||
           (rules[at[0]] == DUE_VERDICT_PART && completes_plainly(at, end));
}

/* Steps over whole messages from which nothing follows, by the head's rules. */
static const uint8_t *pass_parts(const uint8_t *rules, const uint8_t *at, const uint8_t *end)
{
    uint32_t body_bytes;
    while (end - at >= MESSAGE_HEADER_BYTES && is_plain_part(rules, at, end) &&
           message_header(message_backend_bounds, at, &body_bytes) &&
           (uint32_t)(end - at) - MESSAGE_HEADER_BYTES >= body_bytes) {
        at += MESSAGE_HEADER_BYTES + body_bytes;
    }
    return at;
}

/* Whether a ReadyForQuery that only passes is at `at`. */
static bool ready_is_plain(const struct link *link, const uint8_t *at, const uint8_t *end)
{
    static const uint8_t header[] = {BACKEND_READY_FOR_QUERY, 0, 0, 0, 5};
    const struct session *owner = link->owner;
    return end - at > MESSAGE_HEADER_BYTES && memcmp(at, header, sizeof(header)) == 0 &&
           is_status(at[MESSAGE_HEADER_BYTES]) && link->settings_before == NULL && owner != NULL &&
           owner->own == NULL && owner->routing == NULL && owner->restored == NULL &&
           !listen_holds(owner) && link->pool->limits.mode != POOL_STATEMENT;
}

/* The common case: messages that only pass through to the client, from which at most follows that
 * the next entry is due. Returns the bytes that it covers from `at`, which may be none. */
static uint32_t pass_plain(const struct engine *engine, struct link *link, const uint8_t *at,
                           const uint8_t *end)
{
    struct due *due = &link->due;
    const struct due_entry *head = due_head(due);
    const uint8_t *from = at;
    uint32_t body_bytes;
    while (head != NULL && head->kind == DUE_FORWARD && link->status != 'E') {
        at = pass_parts(due_rules[head->what], at, end);
        if (end - at < MESSAGE_HEADER_BYTES) {
            break;
        }
        uint8_t verdict = due_rules[head->what][at[0]];
        const struct due_entry *next = due_next(due);
        bool ready = verdict == DUE_VERDICT_LAST && ready_is_plain(link, at, end);
        bool last = verdict == DUE_VERDICT_PLAIN_LAST || ready ||
                    (verdict == DUE_VERDICT_LAST && completes_plainly(at, end));
        bool ends = last && due_pops_plainly(head, next);
        if ((!ends && !is_plain_part(due_rules[head->what], at, end)) ||
            !message_header(message_backend_bounds, at, &body_bytes)) {
            break;
        }
        if (ready) {
            note_ready(engine, link, at[MESSAGE_HEADER_BYTES]);
        }
        if (ends) {
            due_pop(due);
            head = next;
        }
        uint32_t have = (uint32_t)(end - at) - MESSAGE_HEADER_BYTES;
        if (have < body_bytes) {
            link->body_left = body_bytes - have;
            link->body_forward = true;
            return (uint32_t)(end - from);
        }
        at += MESSAGE_HEADER_BYTES + body_bytes;
    }
    return (uint32_t)(at - from);
}

static uint32_t take_body(struct relay *relay, uint8_t *at, uint32_t have)
{
    struct link *link = relay->link;
    uint32_t now = have < link->body_left ? have : link->body_left;
    link->body_left -= now;
    if (!link->body_forward) {
        leave_out(relay, at, now);
    }
    return now;
}

/* All is passed on: a client that is behind is not given more before it has read. */
static void end_receive(struct engine *engine, struct link *link)
{
    const struct session *owner = link->owner;
    if (owner != NULL && owner->conn.tx.bytes > LIMIT_TX_HIGH_BYTES) {
        conn_set_reading(engine, &link->conn, false);
    }
    link_after_reply(engine, link);
}

/* Bytes that pass_plain has not covered, from relay->run on. */
static void relay_rest(struct relay *relay, uint8_t *at, uint8_t *end)
{
    struct engine *engine = relay->engine;
    struct link *link = relay->link;
    while (at < end && !relay->stop && !link->conn.closing) {
        uint32_t have = (uint32_t)(end - at), taken;
        if (link->body_left > 0) {
            taken = take_body(relay, at, have);
        } else if (have < MESSAGE_HEADER_BYTES) {
            break;
        } else {
            taken = route_mutes(link) ? 0 : pass_plain(engine, link, at, end);
            if (taken == 0) {
                taken = take(relay, at, have);
            }
        }
        if (taken == 0) {
            break;
        }
        at += taken;
    }
    if (link->conn.closing || relay->stop) {
        return;
    }
    end_run(relay, at);
    if (link->conn.held != NULL || at < end) {
        if (!conn_hold(engine, &link->conn, relay->block, at, (uint32_t)(end - at), relay->whole)) {
            link_fail(engine, link, ERR_NO_MEMORY, NULL);
            return;
        }
    }
    end_receive(engine, link);
}

void relay_bytes(struct engine *engine, struct link *link, struct block *block, uint8_t *bytes,
                 uint32_t len)
{
    uint32_t plain =
        link->body_left > 0 || route_mutes(link) ? 0 : pass_plain(engine, link, bytes, bytes + len);
    if (plain == len && link->conn.held == NULL) {
        pass_on(engine, link, block, bytes, len);
        end_receive(engine, link);
        return;
    }
    struct relay relay = {.engine = engine, .link = link, .block = block, .run = bytes};
    relay_rest(&relay, bytes + plain, bytes + len);
}
