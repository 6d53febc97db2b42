/* What errors tell of prepared statements: the client's names and positions in place of ours. */
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "pool/core.h"
#include "pool/link.h"
#include "pool/names.h"
#include "pool/session.h"
#include "protocol/message.h"

/* ERRCODE_DUPLICATE_PSTATEMENT */
#define DUPLICATE "42P05"

/* exec_bind_message, postgres.c: the number of parameters is wrong */
#define PROTOCOL_VIOLATION "08P01"

/* The client's name of a statement that it has already, and that a PREPARE was to make again. */
static const char *duplicate_name(const struct link *link)
{
    for (uint32_t i = 1; i < link->due.count && due_at(&link->due, i)->what == DUE_NAME; i++) {
        const struct due_entry *entry = due_at(&link->due, i);
        if ((entry->flags & DUE_FLAG_DUPLICATE) != 0 && entry->named != NULL) {
            return entry->named->name;
        }
    }
    return NULL;
}

/* Whether it is what was bound where the error is. */
static bool is_bound(const struct session_statement *named, const struct due_entry *head)
{
    return head != NULL && head->what == DUE_BIND && named->number == head->number;
}

/* The client's name for what the link calls `by`; NULL when there is none. `of_bind`: it is what
 * was bound, though another form of the text may have taken its place since. */
static const char *client_name(const struct link *link, const char *by, size_t len, bool of_bind)
{
    const struct session *owner = link->owner;
    const struct link_statement *found = NULL;
    LIST_EACH (&link->statements.recent, node) {
        const struct link_statement *entry = CONTAINER_OF(node, struct link_statement, recent);
        if (entry->name_bytes == len && memcmp(entry->name, by, len) == 0) {
            found = entry;
        }
    }
    /* It may have several names: the one that was bound there, else the last one used. */
    const struct due_entry *head = due_head(&link->due);
    const struct session_statement *last = NULL;
    for (struct map_node *node = map_walk(&owner->statements.by_name, NULL); node != NULL;
         node = map_walk(&owner->statements.by_name, node)) {
        const struct session_statement *named = CONTAINER_OF(node, struct session_statement, node);
        if (of_bind && is_bound(named, head)) {
            return named->name;
        }
        if (found == NULL ||
            (named->statement != found->statement && named->form_id != found->name_id)) {
            continue;
        }
        if (is_bound(named, head)) {
            return named->name;
        }
        bool later = named->pending_parse; /* a PREPARE behind it in the same query */
        last = !later && (last == NULL || named->used > last->used) ? named : last;
    }
    return last == NULL ? NULL : last->name;
}

/* A message with the client's names; true when one of ours was in it. */
static bool write_message(struct writer *writer, const struct link *link, const char *sqlstate,
                          const char *text)
{
    bool any = false;
    const char *found;
    const char *duplicate = strcmp(sqlstate, DUPLICATE) == 0 ? duplicate_name(link) : NULL;
    while ((found = strstr(text, "\"" STATEMENT_NAME_PREFIX)) != NULL) {
        const char *by = found + 1, *end = strchr(by, '"');
        const char *name = end == NULL ? NULL : duplicate;
        if (name == NULL && end != NULL) {
            bool of_bind = strcmp(sqlstate, PROTOCOL_VIOLATION) == 0;
            name = client_name(link, by, (size_t)(end - by), of_bind);
        }
        const char *next = name == NULL ? by : end;
        writer_bytes(writer, text, (size_t)(by - text));
        if (name != NULL) {
            writer_bytes(writer, name, strlen(name));
            any = true;
        }
        text = next;
    }
    writer_cstr(writer, text);
    return any;
}

/* A position in what the client has sent. */
static bool write_position(struct writer *writer, const struct link *link, const char *text)
{
    long position = strtol(text, NULL, 10), shifted = position;
    for (uint32_t i = 1; i < link->due.count && due_at(&link->due, i)->what == DUE_NAME; i++) {
        const struct due_entry *entry = due_at(&link->due, i);
        shifted -= position > (long)entry->shift_at ? entry->shift : 0;
    }
    if (shifted == position || shifted < 1) {
        writer_cstr(writer, text);
        return false;
    }
    writer_format(writer, "%ld", shifted);
    writer_u8(writer, '\0');
    return true;
}

bool names_error(struct engine *engine, const struct link *link, const uint8_t *body,
                 uint32_t body_bytes)
{
    struct writer *writer = &engine->scratch;
    struct reader reader = reader_of(body, body_bytes);
    bool any = false;
    const char *sqlstate = "";
    uint8_t kind;
    if (link->owner == NULL || !session_virtual_statements(link->owner)) {
        return false;
    }
    uint32_t mark = writer_begin(writer, BACKEND_ERROR_RESPONSE);
    while ((kind = reader_u8(&reader)) != 0 && !reader.failed) {
        const char *text = reader_cstr(&reader);
        writer_u8(writer, kind);
        sqlstate = kind == 'C' ? text : sqlstate; /* the code is told ahead of the message */
        if (kind == 'M') {
            any |= write_message(writer, link, sqlstate, text);
        } else if (kind == 'P') {
            any |= write_position(writer, link, text);
        } else {
            writer_cstr(writer, text);
        }
    }
    writer_u8(writer, '\0');
    writer_end(writer, mark);
    if (!any || reader.failed) {
        writer_reset(writer);
        return false;
    }
    return true;
}
