#include "pool/relay.h"

#include <string.h>

#include "base/limits.h"
#include "pool/apply.h"
#include "pool/columns.h"
#include "pool/core.h"
#include "pool/link.h"
#include "pool/listen.h"
#include "pool/names.h"
#include "pool/options.h"
#include "pool/own.h"
#include "pool/pool.h"
#include "pool/restore.h"
#include "pool/route.h"
#include "pool/session.h"
#include "pool/state.h"
#include "protocol/message.h"

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
    relay_leave_out(relay, at, total);
    session_write_tag(engine, all);
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
        bool late = link->owner != NULL && restore_discarded(engine, link->owner);
        if (link->owner != NULL && !link->owner->owns_link) {
            state_discarded(engine, link->owner, late);
        }
    }
}

/* What was set here is kept, or undone; others may read from now on what was committed. */
static void note_end(struct relay *relay, const uint8_t *body, uint32_t body_bytes)
{
    struct session *owner = relay->link->owner;
    if (owner != NULL && route_notes(owner)) {
        route_completed(relay->engine, owner);
    }
    if (owner != NULL && owner->own != NULL && body_bytes > 0 && body[body_bytes - 1] == '\0') {
        own_completed(relay->engine, owner, (const char *)body);
    }
}

bool relay_take_completion(struct relay *relay, const struct due_entry *head, const uint8_t *body,
                           uint32_t body_bytes)
{
    bool sifted = head->kind == DUE_SIFT && listen_sifts(relay->link, body, body_bytes);
    if (head->kind >= DUE_SIFT) {
        note_end(relay, body, body_bytes);
    }
    return sifted;
}

/* In statement mode a transaction block ends before the client is told that it has one. */
static void refuse_transaction(struct relay *relay, uint8_t *at)
{
    relay_leave_out(relay, at, MESSAGE_HEADER_BYTES + 1);
    session_refuse_transaction(relay->engine, relay->link->owner);
}

static void take_ready(struct relay *relay, uint8_t *at)
{
    struct link *link = relay->link;
    uint8_t status = at[MESSAGE_HEADER_BYTES];
    if (!relay_is_status(status)) {
        relay_violated(relay, at, "ReadyForQuery with an unknown status");
        return;
    }
    relay_note_ready(relay->engine, link, status);
    if (link->owner != NULL && link->owner->routing != NULL) {
        status = at[MESSAGE_HEADER_BYTES] = route_ready(relay->engine, link, status);
    }
    if (apply_is_open(link)) {
        apply_ended(relay->engine, link);
    }
    if (link->owner != NULL && link->owner->own != NULL &&
        relay_is_forwarded(due_head(&link->due))) {
        own_ready(relay->engine, link->owner, (char)status);
    }
    if (link->owner != NULL && link->owner->restored != NULL) {
        if (restore_is_next(link)) {
            relay_end_run(relay, at);
            restore_tell(relay->engine, link);
        } else if (link->due.count == 1) {
            restore_ready(relay->engine, link->owner);
        }
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
        relay_leave_out(relay, at, total);
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

void relay_note_message(struct relay *relay, uint8_t *at, uint32_t total)
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
        if (relay_describes_named(due_head(&link->due))) {
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
        if (relay_aside_passes(link, BACKEND_PARAMETER_STATUS)) {
            tell_parameter(relay, at, total);
        }
        take_parameter(relay, at + MESSAGE_HEADER_BYTES, total - MESSAGE_HEADER_BYTES);
        break;
    }
}
