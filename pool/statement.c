#include "pool/statement.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "pool/pid.h"
#include "protocol/message.h"
#include "protocol/sql_names.h"
#include "protocol/sql_verb.h"
#include "router/plan.h"

void statement_store_init(struct statement_store *store, uint32_t worker, uint64_t hash_key)
{
    *store = (struct statement_store){.hash_key = hash_key, .next_id = (uint64_t)worker << 48 | 1};
    map_init(&store->statements);
}

void statement_store_fini(struct statement_store *store)
{
    ASSERT(store->statements.count == 0);
    map_fini(&store->statements);
}

static struct statement *find(const struct statement_store *store, uint64_t hash, uint64_t reading,
                              const uint8_t *body, uint32_t body_bytes)
{
    for (struct map_node *node = map_first(&store->statements, hash); node != NULL;
         node = map_next(node)) {
        struct statement *found = CONTAINER_OF(node, struct statement, node);
        if (found->reading == reading && found->body_bytes == body_bytes &&
            memcmp(found->body, body, body_bytes) == 0) {
            return found;
        }
    }
    return NULL;
}

/* No Parse's body has a single byte behind its query's NUL. */
static void look_at(struct statement *statement)
{
    struct sql_name names[SQL_NAMES_MAX];
    const char *text = (const char *)statement->body;
    size_t len = message_text_bytes(text, statement->body_bytes);
    enum sql_verb verb = sql_verb_read(text, len);
    bool may_name = verb == SQL_VERB_PREPARE || verb == SQL_VERB_EXECUTE ||
                    verb == SQL_VERB_DEALLOCATE || verb == SQL_VERB_EXPLAIN ||
                    verb == SQL_VERB_CREATE;
    statement->from_sql = len + 2 == statement->body_bytes;
    statement->names = !statement->from_sql && may_name && sql_names_find(text, len, names) == 1;
}

struct statement *statement_intern(struct statement_store *store, uint64_t reading,
                                   const uint8_t *body, uint32_t body_bytes)
{
    uint64_t hash = hash_bytes(store->hash_key ^ reading, body, body_bytes);
    struct statement *found = find(store, hash, reading, body, body_bytes);
    if (found != NULL) {
        found->references++;
        return found;
    }
    struct statement *statement = malloc(sizeof(*statement) + body_bytes);
    if (statement == NULL) {
        return NULL;
    }
    statement->id = store->next_id++;
    statement->references = 1;
    statement->reading = reading;
    statement->body_bytes = body_bytes;
    statement->plan = NULL;
    statement->names_pids = pid_function_in(body, message_text_bytes(body, body_bytes));
    store->names_pids = store->names_pids || statement->names_pids;
    enum sql_verb verb = sql_verb_read((const char *)body, message_text_bytes(body, body_bytes));
    store->begins |= verb == SQL_VERB_BEGIN || verb == SQL_VERB_START_TRANSACTION;
    memcpy(statement->body, body, body_bytes);
    look_at(statement);
    if (map_add(&store->statements, &statement->node, hash) != 0) {
        free(statement);
        return NULL;
    }
    return statement;
}

struct statement *statement_intern_sql(struct statement_store *store, uint64_t reading,
                                       const char *tail, uint32_t tail_bytes)
{
    uint8_t *body = malloc(tail_bytes + 2);
    if (body == NULL) {
        return NULL;
    }
    memcpy(body, tail, tail_bytes);
    body[tail_bytes] = '\0';
    body[tail_bytes + 1] = 'S';
    struct statement *statement = statement_intern(store, reading, body, tail_bytes + 2);
    free(body);
    return statement;
}

const char *statement_query(const struct statement *statement)
{
    const char *text = (const char *)statement->body;
    return statement->from_sql ? text + sql_names_query_at(text, strlen(text)) : text;
}

void statement_ref(struct statement *statement)
{
    statement->references++;
}

void statement_unref(struct statement_store *store, struct statement *statement)
{
    if (statement == NULL) {
        return;
    }
    ASSERT(statement->references > 0);
    if (--statement->references == 0) {
        map_remove(&store->statements, &statement->node);
        plan_unref(statement->plan);
        free(statement);
    }
}

uint32_t statement_name(uint64_t id, char ret_name[STATEMENT_NAME_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    char reversed[16];
    uint32_t count = 0, len = sizeof(STATEMENT_NAME_PREFIX) - 1;
    for (; id != 0; id >>= 4) {
        reversed[count++] = digits[id & 15];
    }
    memcpy(ret_name, STATEMENT_NAME_PREFIX, len);
    while (count > 0) {
        ret_name[len++] = reversed[--count];
    }
    ret_name[len] = '\0';
    return len;
}

bool statement_name_is_ours(const char *name, size_t len)
{
    size_t prefix_len = sizeof(STATEMENT_NAME_PREFIX) - 1;
    return len >= prefix_len && memcmp(name, STATEMENT_NAME_PREFIX, prefix_len) == 0;
}

void session_statements_init(struct session_statements *statements)
{
    map_init(&statements->by_name);
    statements->bytes = 0;
}

size_t session_statement_bytes(size_t name_bytes, uint32_t body_bytes)
{
    return sizeof(struct session_statement) + name_bytes + 1 + sizeof(struct statement) +
           body_bytes;
}

struct session_statement *session_statement_find(const struct session_statements *statements,
                                                 uint64_t hash_key, const char *name,
                                                 size_t name_bytes)
{
    if (statements->by_name.count == 0) {
        return NULL;
    }
    uint64_t hash = hash_bytes(hash_key, name, name_bytes);
    for (struct map_node *node = map_first(&statements->by_name, hash); node != NULL;
         node = map_next(node)) {
        struct session_statement *entry = CONTAINER_OF(node, struct session_statement, node);
        if (!entry->pending_close && strcmp(entry->name, name) == 0) {
            return entry;
        }
    }
    return NULL;
}

bool session_statement_pending(const struct session_statements *statements, uint64_t hash_key,
                               const char *name, size_t name_bytes)
{
    if (statements->by_name.count == 0) {
        return false;
    }
    uint64_t hash = hash_bytes(hash_key, name, name_bytes);
    for (struct map_node *node = map_first(&statements->by_name, hash); node != NULL;
         node = map_next(node)) {
        const struct session_statement *entry = CONTAINER_OF(node, struct session_statement, node);
        if ((entry->pending_close || entry->pending_parse) && strcmp(entry->name, name) == 0) {
            return true;
        }
    }
    return false;
}

struct session_statement *session_statement_add(struct session_statements *statements,
                                                uint64_t hash_key, const char *name,
                                                struct statement *statement, uint32_t catalog)
{
    size_t name_bytes = strlen(name) + 1;
    struct session_statement *entry = malloc(sizeof(*entry) + name_bytes);
    if (entry == NULL) {
        return NULL;
    }
    *entry = (struct session_statement){
        .statement = statement, .catalog = catalog, .number = ++statements->added};
    memcpy(entry->name, name, name_bytes);
    if (map_add(&statements->by_name, &entry->node, hash_bytes(hash_key, name, name_bytes - 1)) !=
        0) {
        free(entry);
        return NULL;
    }
    statements->bytes += session_statement_bytes(name_bytes - 1, statement->body_bytes);
    statement_ref(statement);
    return entry;
}

void session_statement_remove(struct statement_store *store, struct session_statements *statements,
                              struct session_statement *entry)
{
    statements->bytes -= session_statement_bytes(strlen(entry->name), entry->statement->body_bytes);
    map_remove(&statements->by_name, &entry->node);
    statement_unref(store, entry->statement);
    free(entry);
}

void session_statements_clear(struct statement_store *store, struct session_statements *statements)
{
    for (struct map_node *node = map_any(&statements->by_name); node != NULL;
         node = map_any(&statements->by_name)) {
        session_statement_remove(store, statements,
                                 CONTAINER_OF(node, struct session_statement, node));
    }
    ASSERT(statements->bytes == 0);
    map_fini(&statements->by_name);
}

void link_statements_init(struct link_statements *statements)
{
    map_init(&statements->by_id);
    list_init(&statements->recent);
    statements->closing_count = 0;
    statements->bytes = 0;
    statements->batch = 1;
}

static uint64_t hash_id(const struct statement *statement)
{
    return hash_word(0, statement->id);
}

struct link_statement *link_statement_find(const struct link_statements *statements,
                                           const struct statement *statement)
{
    for (struct map_node *node = map_first(&statements->by_id, hash_id(statement)); node != NULL;
         node = map_next(node)) {
        struct link_statement *entry = CONTAINER_OF(node, struct link_statement, node);
        if (entry->statement == statement && !entry->closing) {
            return entry;
        }
    }
    return NULL;
}

bool link_statement_has_name(const struct link_statements *statements,
                             const struct statement *statement, uint64_t name_id)
{
    for (struct map_node *node = map_first(&statements->by_id, hash_id(statement)); node != NULL;
         node = map_next(node)) {
        const struct link_statement *entry = CONTAINER_OF(node, struct link_statement, node);
        if (entry->name_id == name_id) {
            return true;
        }
    }
    return false;
}

uint64_t statement_other_name(struct statement_store *store)
{
    return store->next_id++;
}

void link_statement_close(struct link_statements *statements, struct link_statement *entry)
{
    ASSERT(!entry->closing);
    entry->closing = true;
    entry->pending++;
    statements->closing_count++;
    statements->bytes -= entry->statement->body_bytes;
}

void link_statement_keep(struct link_statements *statements, struct link_statement *entry)
{
    ASSERT(entry->closing && statements->closing_count > 0);
    entry->closing = false;
    entry->pending--;
    statements->closing_count--;
    statements->bytes += entry->statement->body_bytes;
}

struct link_statement *link_statement_add(struct link_statements *statements,
                                          struct statement *statement, uint64_t name_id,
                                          uint32_t catalog)
{
    struct link_statement *entry = malloc(sizeof(*entry));
    if (entry == NULL) {
        return NULL;
    }
    *entry =
        (struct link_statement){.statement = statement, .name_id = name_id, .catalog = catalog};
    entry->name_bytes = statement_name(name_id, entry->name);
    list_init(&entry->recent);
    if (map_add(&statements->by_id, &entry->node, hash_id(statement)) != 0) {
        free(entry);
        return NULL;
    }
    statement_ref(statement);
    statements->bytes += statement->body_bytes;
    list_push_front(&statements->recent, &entry->recent);
    return entry;
}

void link_statements_doubt(struct link_statements *statements)
{
    LIST_EACH (&statements->recent, node) {
        CONTAINER_OF(node, struct link_statement, recent)->catalog = 0;
    }
}

void link_statements_shadow(struct link_statements *statements)
{
    LIST_EACH (&statements->recent, node) {
        CONTAINER_OF(node, struct link_statement, recent)->shadowed = true;
    }
}

void link_statement_used(struct link_statements *statements, struct link_statement *entry)
{
    if (statements->recent.next != &entry->recent) {
        list_remove(&entry->recent);
        list_push_front(&statements->recent, &entry->recent);
    }
}

void link_statement_remove(struct statement_store *store, struct link_statements *statements,
                           struct link_statement *entry)
{
    statements->closing_count -= entry->closing;
    statements->bytes -= entry->closing ? 0 : entry->statement->body_bytes;
    map_remove(&statements->by_id, &entry->node);
    list_remove(&entry->recent);
    statement_unref(store, entry->statement);
    free(entry);
}

void link_statements_next_batch(struct link_statements *statements)
{
    statements->batch++;
}

void link_statement_hold(const struct link_statements *statements, struct link_statement *entry)
{
    entry->batch = statements->batch;
}

struct link_statement *link_statement_oldest(const struct link_statements *statements)
{
    for (struct list *node = statements->recent.prev; node != &statements->recent;
         node = node->prev) {
        struct link_statement *entry = CONTAINER_OF(node, struct link_statement, recent);
        if (entry->pending == 0 && entry->batch != statements->batch) {
            return entry;
        }
    }
    return NULL;
}

void link_statements_clear(struct statement_store *store, struct link_statements *statements)
{
    while (!list_empty(&statements->recent)) {
        link_statement_remove(store, statements,
                              CONTAINER_OF(statements->recent.next, struct link_statement, recent));
    }
    map_fini(&statements->by_id);
}
