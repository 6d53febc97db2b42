/* What the engine is told by the configuration: checked, immutable, shared by reference count.
 *
 * config/ fills these from the file, the flags and the environment; the engines only read them.
 * Durations are in milliseconds with 0 for "off", sizes in bytes, strings are owned by the snapshot
 * and live as long as it does; NULL means "not given" where the comment says so.
 */
#ifndef POOL_OPTIONS_H
#define POOL_OPTIONS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/auth_method.h"
#include "router/balance.h"

struct hba;      /* protocol/hba.h */
struct rules;    /* router/rules.h */
struct userlist; /* protocol/userlist.h */

enum pool_mode { POOL_SESSION, POOL_TRANSACTION, POOL_STATEMENT };

enum tls_mode {
    TLS_DISABLE,
    TLS_ALLOW, /* servers only, libpq's sslmode=allow: treated as prefer */
    TLS_PREFER,
    TLS_REQUIRE,
    TLS_VERIFY_CA,
    TLS_VERIFY_FULL,
};

enum channel_binding { CHANNEL_BINDING_DISABLE, CHANNEL_BINDING_PREFER, CHANNEL_BINDING_REQUIRE };

/* One server, as a libpq connection string names it. */
struct server_options {
    char *host;     /* name or address, or the directory of a Unix socket: begins with '/' */
    char *hostaddr; /* NULL, or the address to use in place of resolving host */
    uint16_t port;
    char *user;     /* NULL: the client's own */
    char *password; /* NULL: looked up, or passed through */
    char *dbname;   /* NULL: the database name that the client asked for */
    enum tls_mode sslmode;
    char *sslrootcert, *sslcert, *sslkey; /* NULL: not given */
    bool ssl_direct;                      /* sslnegotiation=direct */
    enum channel_binding channel_binding;
    char *application_name; /* NULL: not given */
    char *options;          /* NULL: not given; sent as the startup option */
    uint32_t weight;
};

struct pool_options {
    enum pool_mode mode;
    uint32_t size, min_idle, reserve;
    uint32_t reserve_after_ms;
    uint32_t wait_timeout_ms, idle_timeout_ms, max_lifetime_ms, connect_timeout_ms;
    uint32_t query_timeout_ms, idle_transaction_timeout_ms, client_idle_timeout_ms;
    uint32_t prepared_statements; /* kept per server connection; 0 = names pass as they are */
    uint32_t max_pinned;          /* pinned sessions, beside size; without has_max_pinned: size */
    bool has_max_pinned;
    bool check_state;    /* pool/state_check.h */
    bool deferred_begin; /* in transaction mode (pool/deferred_begin.h) */
};

/* Per-user overrides (the file's "users"); a field with its `has_` unset keeps the database's. */
struct user_options {
    char *name;
    bool has_mode, has_size;
    enum pool_mode mode;
    uint32_t size;
    uint32_t max_clients;            /* 0 = no limit of its own */
    uint32_t max_server_connections; /* over all databases; 0 = no limit */
};

/* Where reads go that need not go to the primary. */
enum routing_reads {
    READS_REPLICAS, /* to the primary only where no replica may be read */
    READS_PRIMARY,
    READS_ANY, /* the primary is one of those that are chosen from */
};

/* What a read at a replica is sure to see (docs/replicas.md). */
enum consistency {
    CONSISTENCY_EVENTUAL, /* nothing */
    CONSISTENCY_SESSION,  /* what its session has written and read before */
    CONSISTENCY_STRONG,   /* whatever was acknowledged through this process before */
};

/* Where the reads of a transaction that may write go. */
enum transaction_reads {
    TRANSACTION_READS_PRIMARY,
    TRANSACTION_READS_UNTIL_WRITE, /* to replicas before its first write, if READ COMMITTED */
};

struct database_options {
    char *name;                     /* "*" stands for any other name */
    struct server_options *servers; /* the primary first, then replicas in the file's order */
    uint32_t server_count;
    bool has_primary; /* servers[0] is it */
    bool discovers;   /* `hosts`: which of the servers is the primary is found out */
    enum routing_reads routing_reads;
    enum consistency consistency;
    enum transaction_reads transaction_reads;
    enum balance balance;                  /* among the replicas that may be read */
    uint32_t wait_for_replica_ms;          /* for one that is fresh enough; 0 = not at all */
    uint32_t max_lag_ms;                   /* of replicas that are read; 0 = any */
    uint32_t failover_wait_ms;             /* how long statements wait for a primary; 0 = not */
    char *service_user, *service_password; /* NULL: the DSN's own user */
    uint32_t max_server_connections;       /* per node, over all users; 0 = no limit */
    struct rules *rules;                   /* NULL: none */
    struct pool_options pool;
};

struct auth_options {
    enum auth_method method;
    char *hba_file;                                  /* NULL unless method is AUTH_HBA */
    char *users_file;                                /* NULL: none */
    char *query;                                     /* NULL: none */
    char *query_user;                                /* NULL: the service login */
    uint32_t fail_limit_count, fail_limit_window_ms; /* 0 = no limit */
    uint32_t fail_delay_ms;
};

struct tls_options {
    enum tls_mode mode;
    char *cert, *key, *ca; /* NULL: not given */
    bool min_version_13;
};

/* One option, as SHOW CONFIG lists it. */
struct config_row {
    char *key;            /* dotted path */
    char *value;          /* JSON text, secrets masked */
    const char *fallback; /* JSON text, static; NULL: none */
    bool changeable;      /* by a reload */
};

struct options {
    atomic_uint references; /* options_ref, options_unref */
    uint64_t generation;    /* grows by one with each accepted reload */

    char **listen;
    uint32_t listen_count;
    uint32_t workers; /* 0 = as many as usable CPUs */
    uint32_t max_clients;
    uint32_t shutdown_timeout_ms;

    struct tls_options tls;
    struct auth_options auth;

    char **admin_users, **stats_users;
    uint32_t admin_user_count, stats_user_count;

    int log_level; /* enum log_level of daemon/log.h, by its number: 0 error … 4 debug */
    bool log_json;

    struct database_options *databases;
    uint32_t database_count;
    struct user_options *users;
    uint32_t user_count;

    struct hba *hba;                /* the parsed auth.hba; NULL unless the method is AUTH_HBA */
    struct userlist *users_secrets; /* the parsed auth.users_file; NULL: none */

    /* Lists every option, for SHOW CONFIG: whoever fills a snapshot knows its table. NULL: nobody
     * does. 0 or ERR_NO_MEMORY; rows are given back to free_rows. */
    int (*list_rows)(const struct options *options, struct config_row **ret_rows,
                     size_t *ret_count);
    void (*free_rows)(struct config_row *rows, size_t count);
};

/* A snapshot with one reference, everything zero or NULL; NULL when memory is out. */
struct options *options_new(void);

/* One more holder; any thread. */
void options_ref(struct options *options);

/* One holder less; the last one frees it and wipes its secrets. NULL is allowed; any thread. */
void options_unref(struct options *options);

/* Frees what the server's fields own, wiping the password; not the struct itself. */
void server_options_fini(struct server_options *server);

/* Whether two servers are reached in the same way, whoever logs in there. */
bool options_same_address(const struct server_options *left, const struct server_options *right);

/* Whether two servers are one, reached and logged in to in the same way. Weights don't count. */
bool options_same_server(const struct server_options *left, const struct server_options *right);

/* The database that serves `name`: its own entry, else "*", else NULL. */
const struct database_options *options_find_database(const struct options *options,
                                                     const char *name);

/* Whether its servers are probed (router/nodes.h): there are several, or `hosts`. */
bool options_is_watched(const struct database_options *database);

/* NULL when the file has no overrides for that user. */
const struct user_options *options_find_user(const struct options *options, const char *name);

#endif
