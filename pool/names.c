#include "pool/names.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/limits.h"
#include "pool/account.h"
#include "pool/core.h"
#include "pool/custom.h"
#include "pool/link.h"
#include "pool/own_answer.h"
#include "pool/pin_limit.h"
#include "pool/pool.h"
#include "pool/prepare.h"
#include "pool/sequence.h"
#include "pool/session.h"
#include "pool/state.h"
#include "pool/statement_limit.h"
#include "protocol/message.h"
#include "protocol/sql_names.h"
#include "router/plan.h"

/* What becomes of one name. */
struct choice {
    enum sql_name_kind kind;
    bool as_is;                  /* it stays: neither the client nor we have such a statement */
    bool duplicate;              /* a PREPARE that must fail: `by` is a decoy's */
    struct statement *statement; /* PREPARE: what it stores; a reference */
    uint64_t name_id;            /* of `by` */
    uint32_t shift_at;           /* as in struct due_entry */
    int8_t shift;
    char name[SQL_NAME_BYTES]; /* the client's */
    char by[STATEMENT_NAME_BYTES];
};

/* The names of a session's extended statements under way. */
struct names {
    struct choice formed; /* by the last names_form */
    struct choice bound;
    bool is_bound;
    char portal[SQL_NAME_BYTES];
};

static const char *text_of(const struct statement *statement)
{
    return (const char *)statement->body;
}

static struct session_statement *find_named(const struct engine *engine,
                                            const struct session *session, const char *name)
{
    return session_statement_find(&session->statements, engine->hash_key, name, strlen(name));
}

/* What the session prepares may have its own names at the server. */
static bool is_physical(const struct session *session)
{
    return (session->pins & (PIN_PREPARE | PIN_UNKNOWN)) != 0 ||
           (session->touched & (PLAN_TOUCH_PREPARE | PLAN_TOUCH_OPAQUE)) != 0;
}

/* Whether what is to be prepared would be more than the session may have. */
static bool too_many(const struct session *session, const struct sql_name *names, uint32_t count)
{
    size_t name_bytes = 0;
    uint32_t body_bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (names[i].kind == SQL_NAME_PREPARE) {
            name_bytes += strlen(names[i].text);
            body_bytes += names[i].end - (names[i].at + names[i].len);
        }
    }
    return body_bytes > 0 && !is_physical(session) &&
           statement_limit_is_reached(session, name_bytes, body_bytes);
}

bool names_are_too_many(const struct session *session, const struct statement *statement)
{
    struct sql_name names[SQL_NAMES_MAX];
    const char *text = text_of(statement);
    uint32_t count = sql_names_find(text, (uint32_t)strlen(text), names);
    return count != SQL_NAMES_STRANGE && too_many(session, names, count);
}

/* --- choosing names --------------------------------------------------------------------------- */

/* An empty statement on the link, to be deallocated in place of others; NULL when there is none,
 * and with `prepares` when the link has failed. */
static struct link_statement *find_decoy(struct engine *engine, struct link *link, bool prepares)
{
    static const uint8_t empty[] = {'\0', 0, 0};
    struct statement *statement = statement_intern(&engine->statements, 0, empty, sizeof(empty));
    if (statement == NULL) {
        link_fail(engine, link, ERR_NO_MEMORY, NULL);
        return NULL;
    }
    struct link_statement *decoy = prepares ? prepare_find(engine, link, statement, 1)
                                            : link_statement_find(&link->statements, statement);
    if (decoy == NULL && prepares) {
        decoy = prepare_send(engine, link, statement, DUE_SWALLOW, NULL);
    }
    statement_unref(&engine->statements, statement);
    return decoy;
}

struct link_statement *names_decoy(struct engine *engine, struct link *link)
{
    return find_decoy(engine, link, true);
}

static bool choose_decoy(struct engine *engine, struct link *link, struct choice *choice)
{
    struct link_statement *decoy = names_decoy(engine, link);
    if (decoy == NULL) {
        return false;
    }
    link_statement_hold(&link->statements, decoy);
    choice->name_id = decoy->name_id;
    memcpy(choice->by, decoy->name, sizeof(choice->by));
    return true;
}

static bool choose_new(struct engine *engine, struct link *link, const char *text,
                       const struct sql_name *name, struct choice *choice)
{
    uint32_t tail_at = name->at + name->len;
    struct statement *statement = statement_intern_sql(
        &engine->statements, link->owner->settings->reading, text + tail_at, name->end - tail_at);
    if (statement == NULL) {
        link_fail(engine, link, ERR_NO_MEMORY, NULL);
        return false;
    }
    choice->statement = statement;
    choice->name_id = statement->id;
    if (link_statement_has_name(&link->statements, statement, statement->id)) {
        choice->name_id = statement_other_name(&engine->statements);
    }
    statement_name(choice->name_id, choice->by);
    return prepare_make_room(engine, link);
}

static void choose_prepared(const struct link *link, struct statement *statement,
                            struct choice *choice)
{
    const struct link_statement *prepared = link_statement_find(&link->statements, statement);
    choice->name_id = prepared == NULL ? statement->id : prepared->name_id;
    statement_name(choice->name_id, choice->by);
}

/* Chooses what the name in the text becomes. False: the session is closing. */
static bool choose(struct engine *engine, struct session *session, const char *text,
                   const struct sql_name *name, struct choice *ret_choice)
{
    struct choice choice = {.kind = name->kind};
    struct link *link = session->link;
    const struct session_statement *named = find_named(engine, session, name->text);
    bool chosen = true;
    memcpy(choice.name, name->text, sizeof(choice.name));
    if (name->kind == SQL_NAME_ALL ? !is_physical(session)
                                   : named != NULL && name->kind != SQL_NAME_EXECUTE) {
        choice.duplicate = name->kind == SQL_NAME_PREPARE;
        chosen = choose_decoy(engine, link, &choice);
    } else if (named != NULL) {
        choose_prepared(link, named->statement, &choice);
    } else if (name->kind == SQL_NAME_PREPARE && !is_physical(session)) {
        chosen = choose_new(engine, link, text, name, &choice);
    } else if (statement_name_is_ours(name->text, strlen(name->text))) {
        memcpy(choice.by, STATEMENT_NAME_PREFIX, sizeof(STATEMENT_NAME_PREFIX));
    } else {
        choice.as_is = true;
    }
    if (!choice.as_is) {
        uint32_t old = sql_names_characters(text + name->at, name->len);
        choice.shift_at = sql_names_characters(text, name->at) + 1;
        choice.shift = (int8_t)((int32_t)strlen(choice.by) - (int32_t)old);
    }
    *ret_choice = choice;
    return chosen;
}

/* --- what a choice changes -------------------------------------------------------------------- */

static bool apply_prepare(struct engine *engine, struct session *session,
                          const struct choice *choice, struct due_entry *entry)
{
    struct link *link = session->link;
    uint32_t catalog = shared_catalog(engine->shared);
    struct link_statement *prepared =
        link_statement_add(&link->statements, choice->statement, choice->name_id, catalog);
    struct session_statement *named =
        prepared == NULL ? NULL
                         : session_statement_add(&session->statements, engine->hash_key,
                                                 choice->name, choice->statement, catalog);
    if (named == NULL) {
        return session_no_memory(engine, session);
    }
    prepared->pending++;
    named->pending_parse = true;
    named->used = ++session->name_uses; /* by an EXECUTE of the same text */
    entry->prepared = prepared;
    entry->named = named;
    return true;
}

static void apply_deallocate(struct engine *engine, struct session *session,
                             const struct choice *choice, struct due_entry *entry)
{
    struct link_statement *decoy = find_decoy(engine, session->link, false);
    if (decoy == NULL || decoy->name_id != choice->name_id) {
        return; /* it was dropped since: the server will not know it either */
    }
    entry->prepared = decoy;
    link_statement_close(&session->link->statements, decoy);
    if (choice->kind == SQL_NAME_DEALLOCATE) {
        entry->named = find_named(engine, session, choice->name);
        if (entry->named != NULL) {
            entry->named->pending_close = true;
        }
        return;
    }
    entry->flags |= DUE_FLAG_ALL;
    for (struct map_node *node = map_walk(&session->statements.by_name, NULL); node != NULL;
         node = map_walk(&session->statements.by_name, node)) {
        struct session_statement *named = CONTAINER_OF(node, struct session_statement, node);
        if (!named->pending_close) {
            named->pending_close = true;
            named->closed_by = decoy;
        }
    }
}

/* The client's statements are from now on what they are if the choice's statement succeeds. False:
 * the session is closing. */
static bool apply(struct engine *engine, struct session *session, const struct choice *choice,
                  struct due_entry *ret_entry)
{
    struct due_entry entry = {.what = DUE_NAME,
                              .kind = DUE_FORWARD,
                              .shift = choice->shift,
                              .shift_at = choice->shift_at};
    if (choice->kind == SQL_NAME_PREPARE) {
        entry.flags = DUE_FLAG_PREPARES;
        if (choice->duplicate) {
            entry.flags |= DUE_FLAG_DUPLICATE;
            entry.named = find_named(engine, session, choice->name);
        } else if (!choice->as_is && !apply_prepare(engine, session, choice, &entry)) {
            return false;
        }
    } else if (choice->kind != SQL_NAME_EXECUTE) {
        entry.flags = DUE_FLAG_DEALLOCATES;
        session->discards |= choice->as_is && choice->kind == SQL_NAME_ALL;
        if (choice->by[0] != '\0') {
            apply_deallocate(engine, session, choice, &entry);
        }
    }
    *ret_entry = entry;
    return true;
}

/* What the DEALLOCATE ALL with this decoy has closed: gone, or there as before. */
static void end_all(struct engine *engine, struct link *link, const struct link_statement *decoy,
                    bool gone)
{
    struct map *statements = &link->owner->statements.by_name;
    struct map_node *next, *node = map_walk(statements, NULL);
    for (; node != NULL; node = next) {
        struct session_statement *named = CONTAINER_OF(node, struct session_statement, node);
        next = map_walk(statements, node);
        if (named->closed_by != decoy) {
            continue;
        }
        named->closed_by = NULL;
        named->pending_close = false;
        if (gone) {
            link_remove_named(engine, link, named);
        }
    }
}

void names_settle(struct engine *engine, struct link *link, const struct due_entry *entry)
{
    if ((entry->flags & DUE_FLAG_DUPLICATE) != 0) {
        return;
    }
    if ((entry->flags & DUE_FLAG_PREPARES) != 0) {
        if (entry->prepared != NULL) {
            entry->prepared->pending--;
        }
        if (entry->named != NULL) {
            entry->named->pending_parse = false;
        }
        return;
    }
    if ((entry->flags & DUE_FLAG_ALL) != 0 && link->owner != NULL) {
        end_all(engine, link, entry->prepared, true);
    } else if (entry->named != NULL && link->owner != NULL) {
        link_remove_named(engine, link, entry->named);
    }
    if (entry->prepared != NULL) {
        link_statement_remove(&engine->statements, &link->statements, entry->prepared);
    }
}

void names_undo(struct engine *engine, struct link *link, const struct due_entry *entry)
{
    if ((entry->flags & DUE_FLAG_DUPLICATE) != 0) {
        return;
    }
    if ((entry->flags & DUE_FLAG_PREPARES) != 0) {
        if (entry->prepared != NULL && --entry->prepared->pending == 0) {
            link_statement_remove(&engine->statements, &link->statements, entry->prepared);
        }
        if (entry->named != NULL && link->owner != NULL) {
            link_remove_named(engine, link, entry->named);
        }
        return;
    }
    if ((entry->flags & DUE_FLAG_ALL) != 0 && link->owner != NULL) {
        end_all(engine, link, entry->prepared, false);
    } else if (entry->named != NULL) {
        entry->named->pending_close = false;
    }
    if (entry->prepared != NULL && entry->prepared->closing) {
        link_statement_keep(&link->statements, entry->prepared);
    }
}

bool names_completed(struct engine *engine, struct link *link)
{
    for (uint32_t i = 1; i < link->due.count && due_at(&link->due, i)->what == DUE_NAME; i++) {
        struct due_entry *at = due_at(&link->due, i), entry = *at;
        if ((entry.flags & (DUE_FLAG_PREPARES | DUE_FLAG_DEALLOCATES)) != 0) {
            at->flags = 0;
            at->named = NULL;
            at->prepared = NULL;
            names_settle(engine, link, &entry);
            return (entry.flags & DUE_FLAG_ALL) != 0;
        }
    }
    return false;
}

/* --- simple queries --------------------------------------------------------------------------- */

/* Whether the names found are all that the plan says there are. COPY changes the order in the
 * ledger. */
static bool is_understood(const struct plan *plan, const struct sql_name *names, uint32_t count)
{
    static const uint32_t touches[] = {PLAN_TOUCH_PREPARE, PLAN_TOUCH_EXECUTE,
                                       PLAN_TOUCH_DEALLOCATE, PLAN_TOUCH_DEALLOCATE};
    uint32_t found = 0;
    if (count == SQL_NAMES_STRANGE || (plan->touches & PLAN_TOUCH_OPAQUE) != 0 ||
        (plan->touches & PLAN_TOUCH_COPY_FROM) != 0) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        found |= touches[names[i].kind];
    }
    return found == (plan->touches & PLAN_TOUCH_NAMES) && found != 0;
}

/* What a statement with names does besides: PREPARE leaves nothing of its own at the server. */
static void touch(struct engine *engine, struct session *session, struct plan *plan,
                  const struct sql_name *names, uint32_t count)
{
    struct plan room;
    struct plan rest = *state_by_facts(engine, session, plan, &room);
    bool physical = is_physical(session);
    rest.touches &= physical ? UINT32_MAX : ~(uint32_t)PLAN_TOUCH_PREPARE;
    state_touch(engine, session, &rest);
    prepare_alters(session, plan);
    for (uint32_t i = 0; i < count; i++) {
        struct session_statement *named = find_named(engine, session, names[i].text);
        if (names[i].kind != SQL_NAME_EXECUTE) {
            continue;
        }
        if (named != NULL) {
            named->used = ++session->name_uses;
            state_statement(engine, session, named->statement);
            custom_note_statement(engine, session, named->statement);
            sequence_executed(engine, session, named->statement);
        } else if (physical) {
            state_touch_all(engine, session);
        }
    }
}

/* Prepares on the link what the query executes; the query waits for that. True: it must wait. */
static bool prepares_ahead(struct engine *engine, struct session *session,
                           const struct sql_name *names, uint32_t count)
{
    static const uint8_t sync[] = {FRONTEND_SYNC, 0, 0, 0, 4};
    struct link *link = session->link;
    bool any = false, unsynced = link->unsynced;
    for (uint32_t i = 0; i < count; i++) {
        struct session_statement *named = find_named(engine, session, names[i].text);
        struct link_statement *prepared = NULL;
        if (names[i].kind != SQL_NAME_EXECUTE || named == NULL) {
            continue;
        }
        prepared = prepare_find(engine, link, named->statement, named->catalog);
        if (prepared == NULL) {
            any = true;
            prepared = prepare_named(engine, session, named);
        }
        if (prepared == NULL) {
            return true;
        }
        link_statement_hold(&link->statements, prepared);
    }
    if (!any) {
        return false;
    }
    session->ahead = true;
    session->blocked = true;
    if (unsynced) { /* a Sync would commit what stands there; the query is a part of that */
        link_flush(engine, link);
    } else {
        link->unsynced = false;
        link_write(engine, link, sync, sizeof(sync));
        link_due(engine, link, DUE_SYNC, DUE_SWALLOW, 0);
    }
    return true;
}

bool names_refused(struct session *session)
{
    bool refused = session->ahead_refused;
    session->ahead = session->ahead && !refused;
    session->ahead_refused = false;
    return refused;
}

/* The query with its new names, and its entries in the ledger. */
static void send_query(struct engine *engine, struct session *session, const char *text,
                       uint32_t len, const struct sql_name *names, const struct choice *choices,
                       const struct due_entry *entries, uint32_t count)
{
    struct link *link = session->link;
    uint32_t from = 0, mark = writer_begin(&engine->scratch, FRONTEND_QUERY);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t to = choices[i].as_is ? names[i].at + names[i].len : names[i].at;
        writer_bytes(&engine->scratch, text + from, to - from);
        writer_bytes(&engine->scratch, choices[i].by, strlen(choices[i].by));
        from = names[i].at + names[i].len;
    }
    writer_bytes(&engine->scratch, text + from, len - from);
    writer_u8(&engine->scratch, '\0');
    writer_end(&engine->scratch, mark);
    session_query_begins(engine, session);
    if (!own_due(engine, session, DUE_QUERY)) {
        writer_reset(&engine->scratch);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!link_due_entry(engine, link, &entries[i])) {
            writer_reset(&engine->scratch);
            return;
        }
    }
    link->unsynced = false; /* its ReadyForQuery ends what came before, too */
    engine_flush_scratch(engine, &link->conn);
}

/* Positions in the new text, of what was chosen in the old one. */
static void add_shifts(struct choice *choices, uint32_t count)
{
    int32_t shift = 0;
    for (uint32_t i = 0; i < count; i++) {
        choices[i].shift_at = (uint32_t)((int32_t)choices[i].shift_at + shift);
        shift += choices[i].shift;
    }
}

static bool rewrite(struct engine *engine, struct session *session, const char *text, uint32_t len,
                    const struct sql_name *names, uint32_t count)
{
    struct choice choices[SQL_NAMES_MAX];
    struct due_entry entries[SQL_NAMES_MAX];
    bool going = true;
    uint32_t chosen = 0;
    while (going && chosen < count) {
        going = choose(engine, session, text, &names[chosen], &choices[chosen]) &&
                apply(engine, session, &choices[chosen], &entries[chosen]);
        chosen++;
    }
    if (going) {
        add_shifts(choices, count);
        for (uint32_t i = 0; i < count; i++) {
            entries[i].shift_at = choices[i].shift_at;
        }
        send_query(engine, session, text, len, names, choices, entries, count);
    }
    for (uint32_t i = 0; i < chosen; i++) {
        statement_unref(&engine->statements, choices[i].statement);
    }
    return going;
}

bool names_query(struct engine *engine, struct session *session, struct plan *plan,
                 const uint8_t *message, uint32_t total, uint32_t *ret_taken)
{
    struct sql_name names[SQL_NAMES_MAX];
    struct link *link = session->link;
    const char *text = (const char *)message + MESSAGE_HEADER_BYTES;
    uint32_t len = message_text_bytes(text, total - MESSAGE_HEADER_BYTES);
    uint32_t count = sql_names_find(text, len, names);
    bool whole = len + 1 == total - MESSAGE_HEADER_BYTES; /* else the server refuses it */
    if (!whole || !is_understood(plan, names, count) || link->due.copy_in) {
        session->refused_pin = pin_limit_refuses(session, plan->leaves & PLAN_TOUCH_PREPARE);
        if (session->refused_pin == 0) {
            prepare_alters(session, plan);
            struct plan room;
            const struct plan *seen = state_by_facts(engine, session, plan, &room);
            state_touch(engine, session, seen);
            sequence_before_query(engine, session, plan);
        }
        return false;
    }
    *ret_taken = 0;
    if (!link_has_failed(link) && too_many(session, names, count)) {
        session->refused_pin = STATEMENTS_REFUSED;
        return false;
    }
    if (!due_empty(&link->due)) {
        session->blocked = true; /* link_after_reply comes back to it */
        if (link->unsynced) {
            link_flush(engine, link);
        }
        return true;
    }
    link_statements_next_batch(&link->statements);
    if (!link_has_failed(link) && prepares_ahead(engine, session, names, count)) {
        return true;
    }
    session->ahead = false;
    session->query_is_read = false;
    session->query_is_one = plan->statement_count == 1 && names[0].kind != SQL_NAME_PREPARE;
    touch(engine, session, plan, names, count);
    sequence_before_query(engine, session, plan);
    if (rewrite(engine, session, text, len, names, count)) {
        link_statements_next_batch(&link->statements); /* what it runs stands in the packet */
        *ret_taken = total;
    }
    return true;
}

/* --- extended --------------------------------------------------------------------------------- */

/* Whether what runs ahead in the same batch may end the failed transaction, in which nothing can be
 * prepared. */
static bool may_be_ended(const struct link *link)
{
    bool executes = false;
    for (uint32_t i = 0; i < link->due.count && link_has_failed(link); i++) {
        executes |= due_at(&link->due, i)->what == DUE_EXECUTE;
    }
    return executes;
}

bool names_wait(struct engine *engine, struct session *session, const struct statement *statement)
{
    struct link *link = session->link;
    bool open = extended_status_is_open(link);
    if (statement == NULL || !statement->names || (!open && !may_be_ended(link))) {
        return false;
    }
    session->blocked = true;
    if (!open) {
        link_flush(engine, link);
    }
    return true;
}

static void drop_choice(struct engine *engine, struct choice *choice)
{
    statement_unref(&engine->statements, choice->statement);
    *choice = (struct choice){.as_is = true, .kind = SQL_NAME_EXECUTE};
}

void names_free(struct engine *engine, struct session *session)
{
    if (session->names != NULL) {
        drop_choice(engine, &session->names->formed);
        drop_choice(engine, &session->names->bound);
        free(session->names);
        session->names = NULL;
    }
}

/* The statement's text with the chosen name, and its types. */
static struct statement *renamed(struct engine *engine, const struct statement *statement,
                                 const struct sql_name *name, const struct choice *choice)
{
    struct writer body;
    uint32_t rest_at = name->at + name->len;
    writer_init(&body);
    writer_bytes(&body, statement->body, name->at);
    writer_bytes(&body, choice->by, strlen(choice->by));
    writer_bytes(&body, statement->body + rest_at, statement->body_bytes - rest_at);
    struct statement *form = body.failed ? NULL
                                         : statement_intern(&engine->statements, statement->reading,
                                                            body.bytes, body.len);
    writer_fini(&body);
    return form;
}

/* What an EXECUTE runs is prepared on the link. */
static bool prepare_executed(struct engine *engine, struct session *session,
                             const struct sql_name *name)
{
    struct link *link = session->link;
    struct session_statement *named = find_named(engine, session, name->text);
    if (name->kind != SQL_NAME_EXECUTE || named == NULL || link_has_failed(link)) {
        return true;
    }
    struct link_statement *prepared = prepare_named(engine, session, named);
    if (prepared != NULL) {
        link_statement_hold(&link->statements, prepared);
    }
    return prepared != NULL;
}

struct statement *names_form(struct engine *engine, struct session *session,
                             struct statement *statement)
{
    struct sql_name names[SQL_NAMES_MAX];
    const char *text = text_of(statement);
    uint32_t len = (uint32_t)strlen(text), count = sql_names_find(text, len, names);
    struct plan *plan = state_plan(engine, session, text, len);
    bool understood = count == 1 && is_understood(plan, names, count);
    plan_unref(plan);
    if (session->names == NULL) {
        session->names = calloc(1, sizeof(*session->names));
    }
    if (session->names == NULL) {
        session_no_memory(engine, session);
        return NULL;
    }
    struct choice *choice = &session->names->formed;
    drop_choice(engine, choice);
    if (due_empty(&session->link->due)) {
        link_statements_next_batch(&session->link->statements);
    }
    if (understood) {
        if (!prepare_executed(engine, session, names) ||
            !choose(engine, session, text, names, choice)) {
            return NULL;
        }
        if (!choice->as_is) {
            struct statement *form = renamed(engine, statement, names, choice);
            if (form == NULL) {
                session_no_memory(engine, session);
            }
            return form;
        }
    }
    statement_ref(statement);
    return statement;
}

void names_bound(struct engine *engine, struct session *session, const struct statement *statement,
                 const char *portal)
{
    struct sql_name found[SQL_NAMES_MAX];
    struct names *names = session->names;
    const char *text = text_of(statement);
    uint32_t len = (uint32_t)strlen(text), count = sql_names_find(text, len, found);
    struct plan *plan = state_plan(engine, session, text, len);
    if (is_understood(plan, found, count)) {
        touch(engine, session, plan, found, count);
    } else {
        struct plan room;
        state_touch(engine, session, state_by_facts(engine, session, plan, &room));
    }
    plan_unref(plan);
    drop_choice(engine, &names->bound);
    names->bound = names->formed;
    names->formed.statement = NULL;
    names->is_bound = strlen(portal) < sizeof(names->portal);
    if (names->is_bound) {
        memcpy(names->portal, portal, strlen(portal) + 1);
    }
}

static bool is_bound_to(const struct session *session, const char *portal)
{
    const struct names *names = session->names;
    return names != NULL && names->is_bound && strcmp(names->portal, portal) == 0;
}

void names_rebound(struct session *session, const char *portal)
{
    if (is_bound_to(session, portal)) {
        session->names->is_bound = false;
    }
}

bool names_execute(struct engine *engine, struct session *session, const char *portal)
{
    struct due_entry entry;
    if (!is_bound_to(session, portal)) {
        return true;
    }
    session->names->is_bound = false;
    return apply(engine, session, &session->names->bound, &entry) &&
           link_due_entry(engine, session->link, &entry);
}
