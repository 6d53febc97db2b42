#include "pool/heal.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/error.h"
#include "pool/core.h"
#include "pool/link.h"
#include "pool/prepare.h"
#include "pool/session.h"
#include "protocol/message.h"
#include "protocol/report.h"

/* Room for so many bytes: LIMIT_HEAL_BYTES, or what that becomes by doubling. */
static bool make_room(struct heal *heal, uint32_t len)
{
    uint32_t room = LIMIT_HEAL_BYTES;
    while (room < len) {
        room *= 2;
    }
    uint8_t *bytes = realloc(heal->bytes, room);
    if (bytes == NULL) {
        return false;
    }
    heal->bytes = bytes;
    heal->room = room;
    return true;
}

void heal_note_more(struct heal *heal, const uint8_t *bytes, uint32_t len, uint32_t len_max)
{
    if (heal->incomplete || heal->len > len_max || len > len_max - heal->len ||
        !make_room(heal, heal->len + len)) {
        heal->incomplete = true;
        return;
    }
    memcpy(heal->bytes + heal->len, bytes, len);
    heal->len += len;
}

void heal_free(struct heal *heal)
{
    free(heal->bytes);
    *heal = (struct heal){0};
}

/* --- errors ----------------------------------------------------------------------------------- */

/* Names on links are made by statement_name; of a name that it never had, a server is told another.
 */
static bool names_ours(const char *message)
{
    const char *found = strstr(message, STATEMENT_NAME_PREFIX);
    const char *id = found == NULL ? "" : found + strlen(STATEMENT_NAME_PREFIX);
    return *id != '\0' && strchr("0123456789abcdef", *id) != NULL;
}

bool heal_is_due(struct engine *engine, struct link *link, const struct report_fields *fields)
{
    const struct due_entry *head = due_head(&link->due);
    if (head == NULL || head->kind == DUE_SWALLOW) {
        return false;
    }
    /* Within a function it would have a context. (That of a Bind may be of its parameters.) */
    bool within = head->what != DUE_BIND && fields->context[0] != '\0';
    if (strcmp(fields->sqlstate, "0A000") == 0 && !within &&
        strcmp(fields->routine, "RevalidateCachedQuery") == 0) {
        prepare_outdated(engine, link);
        return true;
    }
    /* A type was made anew: these messages are in no language but their own. */
    bool lost_type = strcmp(fields->sqlstate, "XX000") == 0 &&
                     (head->what == DUE_BIND || head->what == DUE_DESCRIBE_STATEMENT) &&
                     strncmp(fields->message, "cache lookup failed for ", 24) == 0;
    if (lost_type) {
        prepare_outdated(engine, link);
        return true;
    }
    if (strcmp(fields->sqlstate, "26000") == 0 && !within && names_ours(fields->message)) {
        link_statements_doubt(&link->statements); /* it is hardly the only one */
        return true;
    }
    return false;
}

/* --- what can be sent again ------------------------------------------------------------------- */

/* How many of the client's messages await their answers, when nothing comes behind the batch or the
 * query that is failing; else 0. */
static uint32_t count_awaited(const struct due *due)
{
    uint32_t count = 0;
    bool ended = false;
    for (uint32_t i = 0; i < due->count; i++) {
        const struct due_entry *entry = due_at(due, i);
        if (entry->what == DUE_NAME) {
            continue;
        }
        if (ended || entry->what == DUE_COPY_END || entry->kind == DUE_SIFT) {
            return 0;
        }
        count += entry->kind != DUE_SWALLOW;
        ended =
            entry->what == DUE_SYNC || entry->what == DUE_QUERY || entry->what == DUE_FUNCTION_CALL;
    }
    return count;
}

/* The copy's messages that are answered; false when one is not whole, or there is COPY data. */
static bool count_messages(const struct heal *heal, uint32_t *ret_count)
{
    uint32_t at = 0, count = 0;
    while (at < heal->len) {
        const uint8_t *message = heal->bytes + at;
        uint32_t total = message_whole_bytes(message_frontend_bounds, message, heal->len - at);
        if (total == 0 || message[0] == FRONTEND_COPY_DATA || message[0] == FRONTEND_COPY_DONE ||
            message[0] == FRONTEND_COPY_FAIL) {
            return false;
        }
        count += message[0] != FRONTEND_FLUSH;
        at += total;
    }
    *ret_count = count;
    return true;
}

/* Where the message stands of which `before` come before it; false when one of those of its own
 * batch has done something that the error undoes. */
static bool find_message(const struct heal *heal, uint32_t before, uint32_t *ret_at)
{
    uint32_t at = 0, body_bytes;
    bool clean = true;
    while (before > 0 || heal->bytes[at] == FRONTEND_FLUSH) {
        const uint8_t *message = heal->bytes + at;
        uint8_t type = message[0];
        bool known = message_header(message_frontend_bounds, message, &body_bytes);
        ASSERT(known);
        clean = type == FRONTEND_SYNC || type == FRONTEND_QUERY || type == FRONTEND_FUNCTION_CALL ||
                (clean && type != FRONTEND_BIND && type != FRONTEND_EXECUTE);
        before -= type != FRONTEND_FLUSH;
        at += MESSAGE_HEADER_BYTES + body_bytes;
    }
    *ret_at = at;
    return clean;
}

/* The message that a healed error can answer; 0 = none. */
static uint8_t type_of(const struct due_entry *head)
{
    return head->what == DUE_BIND                 ? FRONTEND_BIND
           : head->what == DUE_DESCRIBE_STATEMENT ? FRONTEND_DESCRIBE
           : head->what == DUE_QUERY              ? FRONTEND_QUERY
                                                  : 0;
}

bool heal_can(const struct link *link, uint32_t *ret_at)
{
    const struct session *owner = link->owner;
    const struct heal *heal = &link->heal;
    const struct due_entry *head = due_head(&link->due);
    uint32_t awaited = count_awaited(&link->due), count, at;
    uint8_t type = type_of(head);
    if (owner == NULL || owner->healed || owner->state != SESSION_READY || owner->body_left > 0 ||
        owner->deaf || link->status != 'I' || link->due.skipping || link->due.copy_in ||
        heal->incomplete || link->begun || awaited == 0 || !count_messages(heal, &count) ||
        awaited > count || !find_message(heal, count - awaited, &at)) {
        return false;
    }
    /* A query must be one EXECUTE or DEALLOCATE and nothing else: one name. */
    if (type == 0 || heal->bytes[at] != type ||
        (type == FRONTEND_QUERY && (link->due.count != 2 || !owner->query_is_one))) {
        return false;
    }
    *ret_at = at;
    return true;
}

bool heal_put_back(struct engine *engine, struct link *link, uint32_t at)
{
    struct conn *conn = &link->owner->conn;
    struct heal *heal = &link->heal;
    uint32_t len = heal->len - at, total = len + conn->held_len;
    struct block *block = blocks_private(&engine->blocks, total);
    if (block == NULL) {
        return false;
    }
    memcpy(block->bytes, heal->bytes + at, len);
    if (conn->held_len > 0) {
        memcpy(block->bytes + len, conn->held->bytes + conn->held_at, conn->held_len);
    }
    heal_forget(heal);
    bool held = conn_hold(engine, conn, block, block->bytes, total, 0);
    block_unref(&engine->blocks, block);
    return held;
}

void heal_again(struct engine *engine, struct link *link, uint32_t at)
{
    struct session *owner = link->owner;
    if (!link_swallow_sync(engine, link)) {
        return;
    }
    owner->healed = true;
    if (heal_put_back(engine, link, at)) {
        session_resume_later(engine, owner);
    } else {
        link_fail(engine, link, ERR_NO_MEMORY, NULL);
    }
}
