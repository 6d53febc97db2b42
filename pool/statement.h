/* Prepared statements: one store per engine, virtual names per session, real names per link.
 *
 * A *statement* is what a Parse says besides the name, the query and the parameter types, and the
 * settings by which a server reads it: '1/2/2024'::date is a constant from then on. Sessions that
 * prepare the same text, read alike, share one. On a link it has a name of ours, made from its id,
 * which is unique in the process, so that a link keeps its names when it is lent to another worker.
 *
 *    session: name -> session_statement --+
 *                                         +--> statement (id, text)
 *    link:    id   -> link_statement -----+
 *
 * What a pipelined Parse or Close changes is *pending* until the server has answered, and undone
 * when the server skips it after an error (pool/due.h).
 *
 * What a link has prepared before the catalog changed (shared_catalog) may not be what a client
 * means who prepares it now: it is closed there, and prepared anew under another name.
 */
#ifndef POOL_STATEMENT_H
#define POOL_STATEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"

struct plan;

struct statement {
    struct map_node node;
    uint64_t id;
    uint32_t references;
    uint64_t reading; /* struct settings: how its text is read */
    bool from_sql;    /* of a PREPARE: the body is what stands behind its name, NUL, 'S' */
    bool names;       /* its text is a PREPARE, EXECUTE or DEALLOCATE (pool/names.h) */
    uint32_t body_bytes;
    struct plan *plan; /* what it does; NULL until somebody asks (pool/state.h); a reference */
    bool names_pids;   /* pid_function_in its query */
    uint8_t body[];    /* a Parse's body behind the name: query, NUL, number and OIDs of types */
};

struct statement_store {
    struct map statements;
    uint64_t hash_key;
    uint64_t next_id;
    bool names_pids; /* one of its statements does, or did */
    bool begins;     /* one of its statements is a BEGIN, or was (pool/deferred_begin.h) */
};

struct session_statement {
    struct map_node node;
    struct statement *statement;
    bool pending_parse, pending_close;
    uint32_t catalog; /* shared_catalog when it was prepared */
    uint32_t used;    /* of the session's uses of names by Bind or EXECUTE the last one's number */
    uint32_t number;  /* of those that the session has prepared; not 0 */
    uint64_t form_id; /* of a text with names: the name_id of its last form; else 0 */
    uint64_t columns; /* pool/columns.h: what the client was told; 0: nothing */
    uint32_t columns_catalog; /* shared_catalog when that was last known to hold, or not */
    bool columns_changed;     /* it does not */
    bool columns_answered;    /* the Bind that has asked is about to be taken */
    const struct link_statement *closed_by; /* the decoy of a DEALLOCATE ALL under way, or NULL */
    char name[];
};

struct session_statements {
    struct map by_name;
    size_t bytes;   /* of all, as session_statement_bytes counts them */
    uint32_t added; /* the last one's number */
};

enum { STATEMENT_NAME_BYTES = 32 };

/* What the names on links begin with. */
#define STATEMENT_NAME_PREFIX "howdah_"

struct link_statement {
    struct map_node node; /* by id */
    struct list recent;   /* in link_statements.recent, the most recently used first */
    struct statement *statement;
    uint64_t name_id; /* its name there: the id that the engine had given which prepared it */
    uint32_t pending; /* Parse and Close messages under way */
    uint32_t catalog; /* shared_catalog before its Parse was sent; 0 = it is not to be relied on */
    bool closing;     /* a Close is under way: not to be used, but still there if it is skipped */
    uint32_t batch;   /* the last one that it was held for */
    bool shadowed;    /* its client has made temporary objects since: a new Parse may mean those */
    uint32_t name_bytes;
    char name[STATEMENT_NAME_BYTES]; /* statement_name of name_id */
};

struct link_statements {
    struct map by_id;
    uint32_t closing_count;
    size_t bytes;   /* of the bodies of those that are not closing */
    uint32_t batch; /* of what is at hand: those that are held for it stay */
    struct list recent;
};

void statement_store_init(struct statement_store *store, uint32_t worker, uint64_t hash_key);

/* Every statement must have been given back. */
void statement_store_fini(struct statement_store *store);

/* A reference to the statement of this text and reading; NULL when memory is out. */
struct statement *statement_intern(struct statement_store *store, uint64_t reading,
                                   const uint8_t *body, uint32_t body_bytes);

/* What a PREPARE of SQL stores: `tail` is what stands behind its name. As statement_intern. */
struct statement *statement_intern_sql(struct statement_store *store, uint64_t reading,
                                       const char *tail, uint32_t tail_bytes);

/* The query that it runs; ends with a NUL. */
const char *statement_query(const struct statement *statement);

/* The last reference given back frees it. unref: NULL is allowed. */
void statement_ref(struct statement *statement);
void statement_unref(struct statement_store *store, struct statement *statement);

/* The name on a link that goes with an id. Returns its length, without the NUL. */
uint32_t statement_name(uint64_t id, char ret_name[STATEMENT_NAME_BYTES]);

/* Whether a client's name looks like one of those. */
bool statement_name_is_ours(const char *name, size_t len);

void session_statements_init(struct session_statements *statements);

/* The memory that a statement takes: as if no other session had it, too. */
size_t session_statement_bytes(size_t name_bytes, uint32_t body_bytes);

/* A session's statement of that name, the pending Close hidden; NULL when there is none. The name's
 * length is without its NUL. */
struct session_statement *session_statement_find(const struct session_statements *statements,
                                                 uint64_t hash_key, const char *name,
                                                 size_t name_bytes);

/* Whether a Parse or a Close of the name is under way. */
bool session_statement_pending(const struct session_statements *statements, uint64_t hash_key,
                               const char *name, size_t name_bytes);

/* Adds one; takes a reference of its own. NULL when memory is out. */
struct session_statement *session_statement_add(struct session_statements *statements,
                                                uint64_t hash_key, const char *name,
                                                struct statement *statement, uint32_t catalog);

/* Takes the entry out of the map and frees it, with its reference. */
void session_statement_remove(struct statement_store *store, struct session_statements *statements,
                              struct session_statement *entry);

/* Removes all, for DEALLOCATE ALL, DISCARD ALL and the session's end. */
void session_statements_clear(struct statement_store *store, struct session_statements *statements);

void link_statements_init(struct link_statements *statements);

/* The link's entry of that statement, not one that is being closed; NULL when there is none. */
struct link_statement *link_statement_find(const struct link_statements *statements,
                                           const struct statement *statement);

/* Adds one under the name that goes with `name_id`; takes a reference of its own. NULL when memory
 * is out. */
struct link_statement *link_statement_add(struct link_statements *statements,
                                          struct statement *statement, uint64_t name_id,
                                          uint32_t catalog);

/* None of them is to be relied on any more. */
void link_statements_doubt(struct link_statements *statements);

/* They go on, but for who prepares their text from now on. */
void link_statements_shadow(struct link_statements *statements);

/* It is now the most recently used. */
void link_statement_used(struct link_statements *statements, struct link_statement *entry);

/* Takes the entry out and frees it, with its reference. */
void link_statement_remove(struct statement_store *store, struct link_statements *statements,
                           struct link_statement *entry);

/* Whether the server may know that name: an entry of the statement has it, closing or not. */
bool link_statement_has_name(const struct link_statements *statements,
                             const struct statement *statement, uint64_t name_id);

/* A name that no statement has; for one whose own is still taken on a link. */
uint64_t statement_other_name(struct statement_store *store);

/* A Close of it is sent; or the server skipped that after an error, and it is there as before. */
void link_statement_close(struct link_statements *statements, struct link_statement *entry);
void link_statement_keep(struct link_statements *statements, struct link_statement *entry);

/* What is at hand is another batch from now on; the entry is held for the one at hand. */
void link_statements_next_batch(struct link_statements *statements);
void link_statement_hold(const struct link_statements *statements, struct link_statement *entry);

/* The least recently used that has no Parse under way and is not held; NULL when there is none. */
struct link_statement *link_statement_oldest(const struct link_statements *statements);
void link_statements_clear(struct statement_store *store, struct link_statements *statements);

#endif
