#include "pool/relay.h"

#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/limits.h"
#include "pool/core.h"
#include "pool/link.h"
#include "pool/listen.h"
#include "pool/modes.h"
#include "pool/options.h"
#include "pool/pool.h"
#include "pool/route.h"
#include "pool/session.h"
#include "pool/state.h"
#include "protocol/message.h"

/* Bytes of the server's go to the client, if there is one that hears them. */
static inline __attribute__((always_inline)) void pass_on(struct engine *engine, struct link *link,
                                                          struct block *block, uint8_t *bytes,
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

void relay_end_run(struct relay *relay, uint8_t *at)
{
    pass_on(relay->engine, relay->link, relay->block, relay->run, (uint32_t)(at - relay->run));
    relay->run = at;
}

void relay_leave_out(struct relay *relay, uint8_t *at, uint32_t len)
{
    relay_end_run(relay, at);
    relay->run = at + len;
}

void relay_violated(struct relay *relay, uint8_t *at, const char *what)
{
    relay_end_run(relay, at);
    relay->stop = true;
    link_fail(relay->engine, relay->link, ERR_SERVER_PROTOCOL, what);
}

bool relay_aside_passes(const struct link *link, uint8_t type)
{
    const struct due_entry *head = due_head(&link->due);
    bool listens =
        type == BACKEND_NOTIFICATION_RESPONSE && head != NULL && (head->flags & DUE_FLAG_ASK) != 0;
    return link->owner != NULL && !link->setup &&
           (head == NULL || relay_is_forwarded(head) || listens);
}

/* Whether what the server says aside at `at` passes on. */
static bool pass_aside(struct relay *relay, uint8_t *at, uint32_t total, bool whole)
{
    struct link *link = relay->link;
    bool passes = relay_aside_passes(link, at[0]);
    if (at[0] == BACKEND_NOTIFICATION_RESPONSE && whole && (passes || link->hub != NULL)) {
        relay_end_run(relay, at);
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

static bool must_be_whole(const struct due_entry *head, uint8_t type, uint32_t body_bytes)
{
    switch (type) {
    case BACKEND_DATA_ROW:
        return head != NULL && ((head->flags & DUE_FLAG_ASK) != 0 || head->begins) &&
               body_bytes <= LIMIT_STATE_BYTES;
    case BACKEND_READY_FOR_QUERY:
    case BACKEND_PARAMETER_STATUS:
        return true;
    case BACKEND_COMMAND_COMPLETE:
        return body_bytes <= LIMIT_NAME_BYTES;
    case BACKEND_ROW_DESCRIPTION:
        return relay_describes_named(head) && body_bytes <= LIMIT_SERVER_WHOLE_BYTES;
    case BACKEND_NOTIFICATION_RESPONSE:
        return body_bytes <= LIMIT_SERVER_WHOLE_BYTES;
    case BACKEND_ERROR_RESPONSE:
        return body_bytes <= LIMIT_SERVER_WHOLE_BYTES ||
               (head != NULL && (head->begins || head->applies));
    }
    return false;
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
    relay_end_run(relay, at);
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
        relay_violated(relay, at, "unknown message type or length");
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
    bool forward = head != NULL && relay_is_forwarded(head);
    if (whole && relay_refuses_ahead(relay, head, at, total)) {
        return total;
    }
    if (type == BACKEND_ERROR_RESPONSE) {
        forward = relay_take_error(relay, at, total, whole, verdict);
        if (verdict == DUE_VERDICT_VIOLATION && !link->terminated) {
            relay_violated(relay, at, "ErrorResponse that nothing asked for");
            return 0;
        }
        verdict = verdict == DUE_VERDICT_VIOLATION ? DUE_VERDICT_PART : verdict;
    } else if (verdict == DUE_VERDICT_VIOLATION) {
        relay_violated(relay, at, message_backend_name(type));
        return 0;
    } else if (verdict == DUE_VERDICT_ASIDE) {
        forward = pass_aside(relay, at, total, whole);
    }
    if (type == BACKEND_DATA_ROW) {
        ASSERT(head != NULL);
        if ((head->flags & DUE_FLAG_ASK) != 0) {
            state_row(link, at + MESSAGE_HEADER_BYTES, whole ? body_bytes : 0);
        } else if (head->begins) {
            modes_told(relay->engine, link, at + MESSAGE_HEADER_BYTES, whole ? body_bytes : 0);
        }
    } else {
        relay_note_message(relay, at, total);
        if (relay->stop) {
            return 0;
        }
    }
    if (type == BACKEND_COMMAND_COMPLETE && whole && head != NULL &&
        relay_take_completion(relay, head, at + MESSAGE_HEADER_BYTES, body_bytes)) {
        forward = false;
    }
    forward = forward && !is_withheld(link, type);
    uint32_t now = whole ? total : have;
    link->body_left = total - now;
    link->body_forward = forward;
    if (!forward) {
        relay_leave_out(relay, at, now);
    }
    if (verdict == DUE_VERDICT_LAST || verdict == DUE_VERDICT_PLAIN_LAST) {
        const struct due_entry *next = due_at(&link->due, 1);
        if (link->due.count > 1 && (next->kind == DUE_SYNTHESISE || next->what == DUE_NAME)) {
            relay_end_run(relay, at + now); /* so that what is made up comes behind it */
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

void relay_note_ready(const struct engine *engine, struct link *link, uint8_t status)
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

/* Whether a ReadyForQuery that only passes is at `at`. */
static bool ready_is_plain(const struct link *link, const uint8_t *at, const uint8_t *end)
{
    static const uint8_t header[] = {BACKEND_READY_FOR_QUERY, 0, 0, 0, 5};
    const struct session *owner = link->owner;
    return end - at > MESSAGE_HEADER_BYTES && memcmp(at, header, sizeof(header)) == 0 &&
           relay_is_status(at[MESSAGE_HEADER_BYTES]) && link->settings_before == NULL &&
           owner != NULL && owner->own == NULL && owner->restored == NULL &&
           (owner->routing == NULL || owner->begin == BEGIN_NONE) && !listen_holds(owner) &&
           link->pool->limits.mode != POOL_STATEMENT;
}

/* A ReadyForQuery that only passes ends the head. */
static inline void pass_ready(struct engine *engine, struct link *link, uint8_t status)
{
    relay_note_ready(engine, link, status);
    if (link->owner->routing != NULL) {
        route_ready(engine, link, status); /* as it is: no BEGIN waits */
    }
    due_pop(&link->due);
}

/* The common case: messages that only pass through to the client, from which at most follows that
 * the next entry is due. Returns the bytes that it covers from `at`, which may be none. */
static uint32_t pass_plain(struct engine *engine, struct link *link, const uint8_t *at,
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
        if (verdict == DUE_VERDICT_LAST && ready_is_plain(link, at, end)) {
            if (!due_pops_plainly(head, next)) {
                break;
            }
            pass_ready(engine, link, at[MESSAGE_HEADER_BYTES]);
            head = next;
            at += MESSAGE_HEADER_BYTES + 1;
            continue;
        }
        bool last = verdict == DUE_VERDICT_PLAIN_LAST ||
                    (verdict == DUE_VERDICT_LAST && completes_plainly(at, end));
        bool ends = last && due_pops_plainly(head, next);
        if ((!ends && !is_plain_part(due_rules[head->what], at, end)) ||
            !message_header(message_backend_bounds, at, &body_bytes)) {
            break;
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
        relay_leave_out(relay, at, now);
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
    relay_end_run(relay, at);
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
