/* Extended query in transaction mode: the client's statement names are virtual.
 *
 * A Parse is stored and sent under a name of ours, unless the link has that statement already: then
 * the answer is made up in its place. A Bind or Describe first makes sure that the link has what it
 * names. What the client would be refused by a server, a server is made to refuse: so the
 * transaction fails, and the pipeline is skipped, exactly as on a direct connection.
 */
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/list.h"
#include "pool/account.h"
#include "pool/columns.h"
#include "pool/core.h"
#include "pool/custom.h"
#include "pool/link.h"
#include "pool/listen.h"
#include "pool/names.h"
#include "pool/options.h"
#include "pool/own_answer.h"
#include "pool/own_extended.h"
#include "pool/pid_message.h"
#include "pool/pin_limit.h"
#include "pool/pool.h"
#include "pool/prepare.h"
#include "pool/refusal.h"
#include "pool/sequence.h"
#include "pool/session.h"
#include "pool/state.h"
#include "pool/statement_limit.h"
#include "protocol/frontend.h"
#include "protocol/message.h"
#include "protocol/report.h"
#include "router/plan.h"

static bool name_too_long(struct engine *engine, struct session *session)
{
    struct report report = {.code = ERR_LIMIT,
                            .detail = "The name of a prepared statement is too long for a pool in "
                                      "transaction mode."};
    session_fail(engine, session, &report);
    return false;
}

/* Also for what does not parse here: it does not parse at the server either, which says so in its
 * own words. */
static bool pass_as_is(struct engine *engine, struct session *session, enum due_what what,
                       struct block *block, uint8_t *message, uint32_t body_bytes)
{
    if (!link_due_forward(engine, session->link, what)) {
        return false;
    }
    session->link->unsynced = true;
    link_send(engine, session->link, block, message, MESSAGE_HEADER_BYTES + body_bytes);
    return true;
}

/* Makes the link's unnamed statement what the session's is. */
static bool ensure_unnamed(struct engine *engine, struct session *session)
{
    struct link *link = session->link;
    struct statement *unnamed = session->unnamed;
    if (unnamed != NULL && !unnamed->names && link->unnamed != unnamed) {
        prepare_reread(engine, session, &session->unnamed);
        unnamed = session->unnamed;
    }
    if (unnamed != NULL && unnamed->names) {
        unnamed = names_form(engine, session, unnamed);
        if (unnamed == NULL) {
            return false;
        }
    } else if (unnamed != NULL && unnamed->names_pids) {
        unnamed = pid_message_form(engine, session, unnamed);
    } else if (unnamed != NULL) {
        statement_ref(unnamed);
    }
    if (unnamed == NULL ? link->no_unnamed : link->unnamed == unnamed) {
        statement_unref(&engine->statements, unnamed);
        return true;
    }
    if (unnamed == NULL) {
        /* The server itself is to say that there is none. */
        if (!link_due(engine, link, DUE_CLOSE, DUE_SWALLOW, 0)) {
            return false;
        }
        frontend_close(&engine->scratch, 'S', "");
    } else {
        struct due_entry due = {.what = DUE_PARSE, .kind = DUE_SWALLOW};
        if (!link_due_entry(engine, link, &due)) {
            statement_unref(&engine->statements, unnamed);
            return false;
        }
        prepare_write(engine, "", unnamed);
    }
    prepare_flush(engine, link);
    statement_unref(&engine->statements, link->unnamed);
    link->unnamed = unnamed;
    link->no_unnamed = unnamed == NULL;
    return !session->conn.closing;
}

/* A name in a message, its length without the NUL. */
struct name {
    const char *text;
    uint32_t bytes;
};

/* No link has a statement of this name, and the server says so: our own names are not for clients
 * to call. */
static const struct name nobodys_name = {STATEMENT_NAME_PREFIX, sizeof(STATEMENT_NAME_PREFIX) - 1};

/* The next name of a message; "" with reader->failed when there is none. */
static struct name take_name(struct reader *reader)
{
    const char *text = reader_cstr(reader);
    if (reader->failed) {
        return (struct name){"", 0};
    }
    return (struct name){text, (uint32_t)((const char *)reader->at - text) - 1};
}

/* Whether the reply to this entry says what the link's unnamed statement is. What is asked for the
 * engine's own ends leaves it unknown, which ensure_unnamed sees. */
static bool changes_unnamed(const struct due_entry *entry)
{
    bool ours = entry->kind == DUE_SWALLOW && entry->flags == 0 && entry->prepared == NULL;
    return (entry->what == DUE_PARSE && (ours || (entry->flags & DUE_FLAG_UNNAMED) != 0)) ||
           (entry->what == DUE_CLOSE && ours);
}

/* The Parse that makes the unnamed statement what it is, the client's or ours, may yet be refused
 * or, behind an error, be skipped. (In the same batch that skips what uses it, too.) Then a Bind of
 * a later batch would find whatever was there before, be it another client's; so that one waits. */
static bool unnamed_waits(struct session *session)
{
    const struct link *link = session->link;
    bool synced = false;
    for (uint32_t i = link->due.count; i-- > 0;) {
        const struct due_entry *entry = due_at(&link->due, i);
        synced = synced || entry->what == DUE_SYNC;
        if (changes_unnamed(entry)) {
            session->blocked = session->blocked || synced;
            break;
        }
    }
    return session->blocked;
}

/* Behind a DISCARD ALL that is not answered yet what was prepared before it may be gone: what the
 * client has (`named`; NULL = nothing, or it is new), and in the same batch, too, what the link has
 * and what is under way. A later batch has learnt of that by the time it matters. */
static bool discard_waits(struct engine *engine, struct session *session,
                          const struct session_statement *named)
{
    struct link *link = session->link;
    session->discards = session->discards && !due_empty(&link->due);
    bool same_batch = !extended_status_is_open(link);
    if (!session->discards || (!same_batch && (named == NULL || named->pending_parse))) {
        return false;
    }
    session->blocked = true; /* link_after_reply comes back to it */
    if (same_batch && link->unsynced) {
        link_flush(engine, link);
    }
    return true;
}

/* Whether what the name stands for shows only when an earlier batch has been answered: a Parse or
 * Close of it, or the link's Parse of its statement, is under way with a Sync behind it. (In the
 * same batch an error skips both.) The message waits; link_after_reply comes back to it. */
static bool name_waits(struct engine *engine, struct session *session, struct name name)
{
    struct link *link = session->link;
    if (due_empty(&link->due)) {
        session->discards = false;
        return false;
    }
    if (name.bytes == 0) {
        return unnamed_waits(session);
    }
    const struct session_statement *named =
        session_statement_find(&session->statements, engine->hash_key, name.text, name.bytes);
    if (discard_waits(engine, session, named)) {
        return true;
    }
    const struct link_statement *prepared =
        named == NULL ? NULL : link_statement_find(&link->statements, named->statement);
    bool under_way = false, in_query = false;
    if ((prepared == NULL || prepared->pending == 0) &&
        !session_statement_pending(&session->statements, engine->hash_key, name.text, name.bytes)) {
        return false;
    }
    for (uint32_t i = 0; i < link->due.count && !session->blocked; i++) {
        const struct due_entry *entry = due_at(&link->due, i);
        session->blocked = entry->what == DUE_SYNC && under_way;
        under_way = under_way || (prepared != NULL && entry->prepared == prepared) ||
                    (entry->what == DUE_NAME && (entry->flags & DUE_FLAG_ALL) != 0) ||
                    (entry->named != NULL && strcmp(entry->named->name, name.text) == 0);
        in_query = entry->what == DUE_QUERY || (in_query && entry->what == DUE_NAME);
        session->blocked |= in_query && under_way; /* its end is its batch's */
    }
    return session->blocked;
}

/* The link's entry of what stands for a statement that names others, or pids. NULL: the session
 * closes. */
static struct link_statement *prepare_form(struct engine *engine, struct session *session,
                                           struct session_statement *named)
{
    struct link *link = session->link;
    struct statement *form = named->statement->names
                                 ? names_form(engine, session, named->statement)
                                 : pid_message_form(engine, session, named->statement);
    if (form == NULL) {
        return NULL;
    }
    struct link_statement *prepared = prepare_find(engine, link, form, named->catalog);
    if (prepared == NULL) {
        prepared = prepare_send(engine, link, form, DUE_SWALLOW, NULL);
    }
    statement_unref(&engine->statements, form);
    return prepared;
}

/* The name by which the link knows what the client calls `name`; the link has it when this returns.
 * A name the client does not have is passed as it is: no link has it, and the server says so. Its
 * text is NULL when the session is closing, or is to wait (columns_wait). `reads`: its rows will be
 * read by columns of which the client was told before. */
static struct name name_on_link(struct engine *engine, struct session *session, struct name name,
                                bool binds, bool reads, struct statement **ret_statement,
                                struct session_statement **ret_named)
{
    *ret_statement = NULL;
    *ret_named = NULL;
    if (name.bytes == 0) {
        *ret_statement = session->unnamed;
        if (binds && session->unnamed != NULL &&
            !sequence_before_statement(engine, session, session->unnamed)) {
            return (struct name){NULL, 0};
        }
        return ensure_unnamed(engine, session) ? name : (struct name){NULL, 0};
    }
    struct session_statement *entry =
        session_statement_find(&session->statements, engine->hash_key, name.text, name.bytes);
    if (entry == NULL) {
        return statement_name_is_ours(name.text, name.bytes) ? nobodys_name : name;
    }
    if (binds && !sequence_before_statement(engine, session, entry->statement)) {
        return (struct name){NULL, 0};
    }
    if (reads && entry->columns != 0 && columns_wait(engine, session, entry)) {
        return (struct name){NULL, 0};
    }
    bool has_form = entry->statement->names || (binds && entry->statement->names_pids);
    struct link_statement *prepared =
        has_form ? prepare_form(engine, session, entry) : prepare_named(engine, session, entry);
    if (prepared == NULL) {
        return (struct name){NULL, 0};
    }
    if (binds) { /* errors tell of what was bound */
        entry->form_id = entry->statement->names ? prepared->name_id : 0;
        entry->used = ++session->name_uses;
    }
    *ret_statement = entry->statement;
    *ret_named = entry;
    return (struct name){prepared->name, prepared->name_bytes};
}

/* --- Parse ------------------------------------------------------------------------------------ */

/* What a Parse of the statement sends: a reference. NULL: the session is closing. */
static struct statement *form_of(struct engine *engine, struct session *session,
                                 struct statement *statement)
{
    if (statement->names) {
        return names_form(engine, session, statement);
    }
    statement_ref(statement);
    return statement;
}

static bool parse_unnamed(struct engine *engine, struct session *session,
                          struct statement *statement, struct statement *form)
{
    struct link *link = session->link;
    struct due_entry due = {.what = DUE_PARSE,
                            .kind = DUE_FORWARD,
                            .flags = DUE_FLAG_UNNAMED,
                            .unnamed_before = session->unnamed};
    if (!link_due_entry(engine, link, &due)) {
        statement_unref(&engine->statements, statement);
        return false;
    }
    prepare_write(engine, "", form);
    prepare_flush(engine, link);
    link->no_unnamed = false;
    session->unnamed = statement; /* the store's reference; the one before is the entry's */
    statement_unref(&engine->statements, link->unnamed);
    statement_ref(form);
    link->unnamed = form;
    link->pool->stats.server_parses++;
    return true;
}

/* The client has a statement of that name: a Parse of its new text under the old one's name on the
 * link, or under a decoy's, fails where and how the server wants it; only the name in the message
 * is put right. */
static bool parse_duplicate(struct engine *engine, struct session *session,
                            struct session_statement *named, struct statement *statement)
{
    struct link *link = session->link;
    struct due_entry due = {
        .what = DUE_PARSE, .kind = DUE_FORWARD, .flags = DUE_FLAG_DUPLICATE, .named = named};
    const struct link_statement *taken = link_statement_find(&link->statements, named->statement);
    if (taken == NULL || taken->catalog == 0) {
        if (extended_status_is_open(link)) { /* is there a decoy? link_after_reply comes back */
            session->blocked = true;
            return false;
        }
        taken = names_decoy(engine, link);
    }
    if (taken == NULL || !link_due_entry(engine, link, &due)) {
        return false;
    }
    prepare_write(engine, taken->name, statement);
    prepare_flush(engine, link);
    return true;
}

/* Whether a Parse of the name or the text is under way with a Sync behind it: what a Parse sent now
 * means shows only when that one is answered. (In the same batch an error skips both.) */
static bool hangs_on_reply(const struct link *link, const struct session_statement *named,
                           const struct link_statement *prepared)
{
    bool under_way = false;
    if ((named == NULL || !named->pending_parse) && (prepared == NULL || prepared->pending == 0)) {
        return false;
    }
    for (uint32_t i = 0; i < link->due.count; i++) {
        const struct due_entry *entry = due_at(&link->due, i);
        if (entry->what == DUE_SYNC && under_way) {
            return true;
        }
        under_way = under_way || (entry->what == DUE_PARSE &&
                                  ((named != NULL && entry->named == named) ||
                                   (prepared != NULL && entry->prepared == prepared)));
    }
    return false;
}

bool extended_status_is_open(const struct link *link)
{
    for (uint32_t i = 0; i < link->due.count; i++) {
        const struct due_entry *entry = due_at(&link->due, i);
        bool ends =
            entry->what == DUE_SYNC || entry->what == DUE_QUERY || entry->what == DUE_FUNCTION_CALL;
        if (ends && (entry->flags & DUE_FLAG_SETUP) == 0) {
            return true;
        }
    }
    return false;
}

static bool parse_named(struct engine *engine, struct session *session, const char *name,
                        struct statement *statement, struct statement *form)
{
    struct link *link = session->link;
    struct session_statement *named =
        session_statement_find(&session->statements, engine->hash_key, name, strlen(name));
    struct link_statement *prepared = link_statement_find(&link->statements, form);
    if (name_waits(engine, session, (struct name){name, (uint32_t)strlen(name)})) {
        return false;
    }
    if (hangs_on_reply(link, named, prepared) ||
        (named == NULL && prepared != NULL && extended_status_is_open(link))) {
        session->blocked = true; /* link_after_reply comes back to it */
        return false;
    }
    if (named != NULL) {
        return parse_duplicate(engine, session, named, statement);
    }
    uint32_t catalog = shared_catalog(engine->shared);
    named = session_statement_add(&session->statements, engine->hash_key, name, statement, catalog);
    if (named == NULL) {
        return session_no_memory(engine, session);
    }
    named->pending_parse = true;
    bool is_old = prepared != NULL && prepared->shadowed;
    prepared = prepare_find(engine, link, form, is_old ? UINT32_MAX : catalog);
    /* In a failed transaction the server is to refuse it. */
    if (prepared == NULL || link->status == 'E') {
        return prepare_send(engine, link, form, DUE_FORWARD, named) != NULL;
    }
    struct due_entry due = {.what = DUE_PARSE, .kind = DUE_SYNTHESISE, .named = named};
    if (!link_due_entry(engine, link, &due)) {
        return false;
    }
    link_synthesise(engine, link);
    return true;
}

bool extended_parse(struct engine *engine, struct session *session, struct block *block,
                    uint8_t *message, uint32_t body_bytes)
{
    struct reader reader = reader_of(message + MESSAGE_HEADER_BYTES, body_bytes);
    const char *name = reader_cstr(&reader);
    const uint8_t *body = reader.at;
    uint32_t statement_bytes = (uint32_t)reader.left;
    reader_cstr(&reader);
    uint16_t types = reader_u16(&reader);
    reader_bytes(&reader, (size_t)types * 4);
    if (reader.failed || reader.left != 0) {
        return pass_as_is(engine, session, DUE_PARSE, block, message, body_bytes);
    }
    if (strlen(name) >= LIMIT_STATEMENT_NAME_BYTES) {
        return name_too_long(engine, session);
    }
    session->keeps_unnamed = session->keeps_unnamed && name[0] != '\0';
    struct statement *statement =
        statement_intern(&engine->statements, session->settings->reading, body, statement_bytes);
    if (statement == NULL) {
        return session_no_memory(engine, session);
    }
    const struct plan *plan = state_statement_plan(engine, session, statement);
    if (plan != NULL && (plan->touches & PLAN_TOUCHES_OURS) != 0) {
        return own_extended_parse(engine, session, name, statement);
    }
    bool waits = ((name[0] != '\0' || statement->names) && discard_waits(engine, session, NULL)) ||
                 names_wait(engine, session, statement);
    struct statement *form = waits ? NULL : form_of(engine, session, statement);
    if (form == NULL) {
        statement_unref(&engine->statements, statement);
        return false;
    }
    session->pool->stats.client_parses++;
    if (name[0] != '\0' && statement_limit_is_reached(session, strlen(name), statement_bytes)) {
        statement_unref(&engine->statements, statement);
        statement_unref(&engine->statements, form);
        return refusal_send_parse(engine, session->link, STATEMENTS_REFUSED);
    }
    bool taken;
    if (name[0] == '\0') {
        taken = parse_unnamed(engine, session, statement, form);
    } else {
        taken = parse_named(engine, session, name, statement, form);
        statement_unref(&engine->statements, statement);
    }
    statement_unref(&engine->statements, form);
    return taken;
}

/* Proven for one database and user, whose pool's account is the same at every worker, for one way
 * of reading, and as long as nobody changes the catalog. */
static uint64_t text_hash(const struct engine *engine, const struct pool *pool, uint64_t reading,
                          const uint8_t *body, size_t body_bytes)
{
    uint64_t key =
        hash_word(shared_hash_key(engine->shared) ^ reading,
                  (uint64_t)shared_catalog(engine->shared) << 32 | pool->account->number);
    return hash_bytes(key, body, body_bytes);
}

void session_statement_proven(struct engine *engine, const struct pool *pool,
                              const struct link_statement *prepared)
{
    const struct statement *statement = prepared->statement;
    if (prepared->catalog == shared_catalog(engine->shared)) {
        shared_prove(engine->shared, text_hash(engine, pool, statement->reading, statement->body,
                                               statement->body_bytes));
    }
}

bool extended_parse_known(struct engine *engine, struct session *session, const uint8_t *message,
                          uint32_t body_bytes)
{
    static const uint8_t parse_complete[] = {BACKEND_PARSE_COMPLETE, 0, 0, 0, 4};
    struct reader reader = reader_of(message + MESSAGE_HEADER_BYTES, body_bytes);
    const char *name = reader_cstr(&reader);
    size_t name_len = strlen(name);
    if (reader.failed || name_len == 0 || name_len >= LIMIT_STATEMENT_NAME_BYTES ||
        session_statement_find(&session->statements, engine->hash_key, name, name_len) != NULL ||
        statement_limit_is_reached(session, name_len, (uint32_t)reader.left)) {
        return false;
    }
    uint64_t reading = session->settings->reading;
    uint64_t hash = text_hash(engine, session->pool, reading, reader.at, reader.left);
    if (!shared_proven(engine->shared, hash)) {
        return false;
    }
    struct statement *statement =
        statement_intern(&engine->statements, reading, reader.at, (uint32_t)reader.left);
    if (statement == NULL) {
        return false;
    }
    bool added = session_statement_add(&session->statements, engine->hash_key, name, statement,
                                       shared_catalog(engine->shared)) != NULL;
    statement_unref(&engine->statements, statement);
    if (!added) {
        return false;
    }
    session->pool->stats.client_parses++;
    conn_write(engine, &session->conn, parse_complete, sizeof(parse_complete));
    return true;
}

/* --- Bind, Describe, Close -------------------------------------------------------------------- */

/* The client's statement of that name; NULL when there is none. */
static struct statement *find_statement(const struct engine *engine, const struct session *session,
                                        struct name name)
{
    if (name.bytes == 0) {
        return session->unnamed;
    }
    const struct session_statement *named =
        session_statement_find(&session->statements, engine->hash_key, name.text, name.bytes);
    return named == NULL ? NULL : named->statement;
}

/* name_waits, and also for what the statement itself names. */
static bool waits(struct engine *engine, struct session *session, struct name name)
{
    if (name_waits(engine, session, name)) {
        return true;
    }
    /* Else names_wait would wait for nothing. */
    return (session->link->status == 'E' || extended_status_is_open(session->link)) &&
           names_wait(engine, session, find_statement(engine, session, name));
}

/* Whether more of a Bind must be here, for the names in its parameters. */
static bool wants_bind(struct engine *engine, struct session *session, struct name name,
                       uint32_t total)
{
    struct statement *statement = find_statement(engine, session, name);
    return statement != NULL && total <= LIMIT_PLAN_BYTES &&
           custom_is_blind(session, state_statement_plan(engine, session, statement));
}

/* A new front of a Bind, with the other name. Its portal's name lies in `block`. */
static void send_bind_front(struct engine *engine, struct link *link, struct block *block,
                            struct name portal, struct name statement, uint32_t body_bytes)
{
    uint8_t front[MESSAGE_HEADER_BYTES + 1 + STATEMENT_NAME_BYTES];
    uint32_t len = MESSAGE_HEADER_BYTES;
    ASSERT(statement.bytes < STATEMENT_NAME_BYTES);
    front[0] = FRONTEND_BIND;
    message_store_u32(front + 1, body_bytes + 4);
    if (portal.bytes > 0) {
        link_write(engine, link, front, len);
        link_send(engine, link, block, (uint8_t *)portal.text, portal.bytes);
        len = 0;
    }
    front[len++] = '\0'; /* of the portal's name */
    memcpy(front + len, statement.text, statement.bytes + 1);
    link_write(engine, link, front, len + statement.bytes + 1);
}

/* pool/pin_limit.h: 0 = the statement may run. */
static uint8_t refused_pin(struct engine *engine, const struct session *session,
                           struct statement *statement)
{
    const struct plan *plan = state_statement_plan(engine, session, statement);
    return plan == NULL || plan->leaves == 0
               ? 0
               : pin_limit_refuses(session, pin_limit_leaves(session, plan));
}

uint8_t extended_bind_refused(struct engine *engine, const struct session *session,
                              const uint8_t *message, uint32_t body_bytes)
{
    struct reader reader = reader_of(message + MESSAGE_HEADER_BYTES, body_bytes);
    take_name(&reader);
    struct name name = take_name(&reader);
    if (reader.failed) {
        return 0;
    }
    struct statement *statement = find_statement(engine, session, name);
    return statement == NULL ? 0 : refused_pin(engine, session, statement);
}

/* In the place of a Bind goes one that fails, so that transaction and pipeline do what they do
 * behind any error. Our prefix alone is the name of no statement. */
static uint32_t refuse_bind(struct engine *engine, struct session *session, uint8_t refused,
                            uint32_t total, uint32_t here)
{
    struct due_entry due = {.what = DUE_BIND, .kind = DUE_FORWARD, .refused = refused};
    if (!link_due_entry(engine, session->link, &due)) {
        return 0;
    }
    frontend_bind(&engine->scratch, "", nobodys_name.text);
    prepare_flush(engine, session->link);
    session->body_left = total - here;
    session->body_fate = BODY_DISCARD;
    return here;
}

/* What it is to a session that listens. */
static void note_listen(struct engine *engine, struct session *session, struct name portal,
                        const struct statement *statement)
{
    if (session->listener != NULL) {
        bool unlistens = session->unlistens && statement != NULL;
        listen_bound(engine, session, portal.text,
                     unlistens ? (const char *)statement->body : NULL);
    }
}

/* What the statement (NULL: none that is known) may leave that is bound to that portal; `rest` is
 * what is here of the Bind behind its names. */
static void note_bound(struct engine *engine, struct session *session, struct name portal,
                       struct statement *statement, const struct reader *rest, bool whole)
{
    if (session->names != NULL) {
        names_rebound(session, portal.text);
    }
    if (session->own != NULL) {
        own_bound(session, statement == NULL ? NULL : statement->plan);
    }
    if (statement != NULL && statement->names) {
        custom_note_bound(engine, session, statement, rest->at, (uint32_t)rest->left, whole);
        names_bound(engine, session, statement, portal.text);
        session->batch_writes = true;
        session->query_is_read = false;
    } else if (statement != NULL) {
        if (!state_statement(engine, session, statement)) {
            custom_note_bound(engine, session, statement, rest->at, (uint32_t)rest->left, whole);
            session->batch_writes = true;
        }
        session->query_is_read = !session->batch_writes;
    }
    note_listen(engine, session, portal, statement);
    session->pool->stats.binds++;
}

uint32_t extended_bind(struct engine *engine, struct session *session, struct block *block,
                       uint8_t *message, uint32_t body_bytes, uint32_t have, uint32_t *ret_whole)
{
    struct link *link = session->link;
    uint32_t total = MESSAGE_HEADER_BYTES + body_bytes;
    uint32_t here = have < total ? have : total;
    struct reader reader = reader_of(message + MESSAGE_HEADER_BYTES, here - MESSAGE_HEADER_BYTES);
    struct statement *statement;
    struct session_statement *named;
    struct name portal = take_name(&reader);
    struct name name = take_name(&reader);
    if (reader.failed) {
        if (here == total) {
            return pass_as_is(engine, session, DUE_BIND, block, message, body_bytes) ? total : 0;
        }
        if (here > 2 * LIMIT_STATEMENT_NAME_BYTES) {
            name_too_long(engine, session);
            return 0;
        }
        *ret_whole =
            total < 2 * LIMIT_STATEMENT_NAME_BYTES ? total : 2 * LIMIT_STATEMENT_NAME_BYTES;
        return 0;
    }
    if (here < total && wants_bind(engine, session, name, total)) {
        *ret_whole = total;
        return 0;
    }
    if (waits(engine, session, name)) {
        return 0;
    }
    uint32_t described = columns_describe_bytes(message + here, have - here);
    struct name on_link =
        name_on_link(engine, session, name, true, described == 0, &statement, &named);
    if (on_link.text == NULL) {
        return 0;
    }
    uint8_t refused = statement == NULL ? 0 : refused_pin(engine, session, statement);
    bool outdated = named != NULL && named->columns_changed && described == 0;
    if (refused == 0 && statement != NULL && statement->names &&
        names_are_too_many(session, statement)) {
        refused = STATEMENTS_REFUSED;
    } else if (refused == 0 && outdated && here < total) {
        refused = COLUMNS_REFUSED;
    }
    if (refused != 0) {
        return refuse_bind(engine, session, refused, total, here);
    }
    if (!link_due(engine, link, DUE_BIND, outdated ? DUE_SWALLOW : DUE_FORWARD, 0)) {
        return 0;
    }
    due_at(&link->due, link->due.count - 1)->number = named == NULL ? 0 : named->number;
    note_bound(engine, session, portal, statement, &reader, here == total);
    link->unsynced = true;
    session->body_left = total - here;
    session->body_fate = BODY_FORWARD;
    if (on_link.text == name.text) {
        link_send(engine, link, block, message, here);
        return here;
    }
    /* A new front with the other name, and the rest as it is. */
    uint32_t rest_bytes = (uint32_t)reader.left;
    send_bind_front(engine, link, block, portal, on_link, body_bytes - name.bytes + on_link.bytes);
    link_send(engine, link, block, message + here - rest_bytes, rest_bytes);
    if (outdated) { /* a server looks at the parameters first: that Bind may have its own error */
        return refuse_bind(engine, session, COLUMNS_REFUSED, total, here);
    }
    return here + columns_learn(engine, session, block, message + here, described, named);
}

/* Close: a kind byte and a name. */
static const char *target_name(const uint8_t *message, uint32_t body_bytes)
{
    if (body_bytes == 0) {
        return NULL;
    }
    struct reader reader = reader_of(message + MESSAGE_HEADER_BYTES + 1, body_bytes - 1);
    const char *name = reader_cstr(&reader);
    return reader.failed || reader.left != 0 ? NULL : name;
}

bool extended_describe(struct engine *engine, struct session *session, struct block *block,
                       uint8_t *message, uint32_t body_bytes)
{
    struct link *link = session->link;
    if (body_bytes == 0 || message[MESSAGE_HEADER_BYTES] != 'S') {
        return pass_as_is(engine, session, DUE_DESCRIBE_PORTAL, block, message, body_bytes);
    }
    struct reader reader = reader_of(message + MESSAGE_HEADER_BYTES + 1, body_bytes - 1);
    struct statement *statement;
    struct session_statement *named;
    struct name name = take_name(&reader);
    if (reader.failed || reader.left != 0) {
        return pass_as_is(engine, session, DUE_DESCRIBE_STATEMENT, block, message, body_bytes);
    }
    if (waits(engine, session, name)) {
        return false;
    }
    struct name on_link = name_on_link(engine, session, name, false, false, &statement, &named);
    if (on_link.text == NULL) {
        return false;
    }
    if (on_link.text == name.text) {
        return pass_as_is(engine, session, DUE_DESCRIBE_STATEMENT, block, message, body_bytes);
    }
    struct due_entry due = {.what = DUE_DESCRIBE_STATEMENT,
                            .kind = DUE_FORWARD,
                            .catalog = shared_catalog(engine->shared),
                            .named = named};
    if (!link_due_entry(engine, link, &due)) {
        return false;
    }
    frontend_describe(&engine->scratch, on_link.text);
    prepare_flush(engine, link);
    return true;
}

bool extended_close(struct engine *engine, struct session *session, struct block *block,
                    uint8_t *message, uint32_t body_bytes)
{
    struct link *link = session->link;
    const char *name = target_name(message, body_bytes);
    if (name == NULL) {
        return pass_as_is(engine, session, DUE_CLOSE, block, message, body_bytes);
    }
    if (message[MESSAGE_HEADER_BYTES] != 'S' || name[0] == '\0') {
        bool unnamed = message[MESSAGE_HEADER_BYTES] == 'S';
        if (!link_due(engine, link, DUE_CLOSE, DUE_FORWARD, 0)) {
            return false;
        }
        link->unsynced = true;
        link_send(engine, link, block, message, MESSAGE_HEADER_BYTES + body_bytes);
        if (unnamed) {
            session_drop_unnamed(engine, session);
            link_unnamed_unknown(engine, link);
            link->no_unnamed = true;
        }
        return true;
    }
    /* Closing is between the client and us: the link keeps the statement for others. Closing what
     * does not exist is no error. */
    if (name_waits(engine, session, (struct name){name, (uint32_t)strlen(name)})) {
        return false;
    }
    struct session_statement *named =
        session_statement_find(&session->statements, engine->hash_key, name, strlen(name));
    if (named != NULL) {
        named->pending_close = true;
    }
    struct due_entry due = {.what = DUE_CLOSE, .kind = DUE_SYNTHESISE, .named = named};
    if (!link_due_entry(engine, link, &due)) {
        return false;
    }
    link->unsynced = true;
    link_synthesise(engine, link);
    return true;
}
