/*
 * load: what pgbench does not do: storms of logins, crowds of idle clients, and transfers so cheap
 * on the client's side that they are not the slowest part. Prints one line of JSON.
 *
 *     load storm PORT SECONDS        log in, SELECT 1, leave, on 8 threads, again and again
 *     load idle PORT CLIENTS         log in and stay; on "prepare" in stdin each uses a prepared
 *                                    statement once; says "ready" after each; leaves at the end
 *                                    of stdin
 *     load out PORT SQL              read the whole answer and drop it
 *     load in PORT SQL BYTES         COPY that many bytes in, in rows of 1,000
 *     load orm PORT CLIENTS SECONDS STYLE
 *                                    transactions as an ORM does them, a thread a client: BEGIN,
 *                                    select, update and COMMIT, each of which waits for its answer;
 *                                    with what psycopg2 sends (STYLE simple) or asyncpg (prepared)
 *
 * In the environment: LOAD_USER, LOAD_DATABASE, LOAD_PASSWORD (set: SCRAM; unset: trust), LOAD_TLS
 * (set: TLS). All on 127.0.0.1.
 */
#include "wire.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    STORM_THREADS = 8,
    ROW_BYTES = 1000,
    CHUNK_ROWS = 65,
    ACCOUNTS = 100000,     /* of pgbench's, in a table of its scale 1 or more */
    TIMES_MAX = 100000,    /* of a client's transactions, whose times are kept */
    MESSAGES_BYTES = 1024, /* a batch */
};

static const char select_one[] = "SELECT 1";
static const char statement[] = "s1\0SELECT abalance FROM pgbench_accounts WHERE aid = $1\0\0";
static const char bind_one[] = "\0s1\0\0\0\0\1\0\0\0\0011\0";

struct storm_thread {
    pthread_t thread;
    const struct wire_target *target;
    double until_s;
    uint64_t logins;
};

static double now_s(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static struct wire_scratch *scratch_new(void)
{
    struct wire_scratch *scratch = calloc(1, sizeof(*scratch));

    if (!scratch)
        wire_die("calloc");
    return scratch;
}

static void *storm_main(void *argument)
{
    struct storm_thread *self = argument;
    struct wire_scratch *scratch = scratch_new();
    struct wire w;

    while (now_s() < self->until_s) {
        wire_open(&w, self->target, scratch);
        wire_send_message(&w, 'Q', select_one, sizeof(select_one));
        wire_until_ready(&w);
        wire_close(&w);
        self->logins++;
    }
    free(scratch);
    return NULL;
}

static void storm(const struct wire_target *target, double seconds)
{
    struct storm_thread threads[STORM_THREADS];
    double start_s = now_s();
    uint64_t logins = 0;

    for (size_t i = 0; i < STORM_THREADS; i++) {
        threads[i] = (struct storm_thread){.target = target, .until_s = start_s + seconds};
        if (pthread_create(&threads[i].thread, NULL, storm_main, &threads[i]))
            wire_die("pthread_create");
    }
    for (size_t i = 0; i < STORM_THREADS; i++) {
        pthread_join(threads[i].thread, NULL);
        logins += threads[i].logins;
    }
    printf("{\"logins\": %llu, \"seconds\": %.6f}\n", (unsigned long long)logins,
           now_s() - start_s);
}

/* --- transactions ----------------------------------------------------------------------------- */

struct orm_client {
    pthread_t thread;
    const struct wire_target *target;
    double until_s;
    bool prepared;
    uint64_t transactions;
    uint32_t *times_ns; /* of the first TIMES_MAX */
    uint32_t random;
};

/* Messages that are sent in one go, as drivers send them. */
struct batch {
    uint8_t bytes[MESSAGES_BYTES];
    size_t len;
};

static void batch_add(struct batch *batch, char type, const void *body, size_t len)
{
    uint32_t length = htonl((uint32_t)len + 4);

    if (len > sizeof(batch->bytes) - batch->len - 5)
        wire_die("a batch that is too long");
    batch->bytes[batch->len] = (uint8_t)type;
    memcpy(batch->bytes + batch->len + 1, &length, 4);
    if (len > 0)
        memcpy(batch->bytes + batch->len + 5, body, len);
    batch->len += len + 5;
}

static void batch_run(struct batch *batch, struct wire *w)
{
    wire_send(w, batch->bytes, batch->len);
    wire_until_ready(w);
    batch->len = 0;
}

static void query(struct wire *w, const char *sql)
{
    struct batch batch = {.len = 0};

    batch_add(&batch, 'Q', sql, strlen(sql) + 1);
    batch_run(&batch, w);
}

/* Prepares what the transactions run; asyncpg does it once, and keeps the statement. */
static void prepare(struct wire *w, char name, const char *sql)
{
    struct batch batch = {.len = 0};
    char body[256] = {name};
    size_t sql_bytes = strlen(sql) + 1;

    memcpy(body + 2, sql, sql_bytes); /* the name's NUL before it, no types behind it */
    batch_add(&batch, 'P', body, sql_bytes + 4);
    batch_add(&batch, 'S', NULL, 0);
    batch_run(&batch, w);
}

/* Bind, Execute and Sync of it, with an account's number in binary. */
static void run_prepared(struct wire *w, char name, uint32_t account)
{
    static const char execute[] = "\0\0\0\0";
    /* The unnamed portal, the statement, one format (binary), one parameter, its length and value,
     * results in binary. */
    char bind[] = "\0?\0\0\1\0\1\0\1\0\0\0\4....\0\1\0\1";
    struct batch batch = {.len = 0};
    uint32_t value = htonl(account);

    bind[1] = name;
    memcpy(bind + 13, &value, 4);
    batch_add(&batch, 'B', bind, sizeof(bind) - 1);
    batch_add(&batch, 'E', execute, sizeof(execute));
    batch_add(&batch, 'S', NULL, 0);
    batch_run(&batch, w);
}

static void transaction_simple(struct wire *w, uint32_t account)
{
    char sql[128];

    query(w, "BEGIN");
    snprintf(sql, sizeof(sql), "SELECT abalance FROM pgbench_accounts WHERE aid = %u", account);
    query(w, sql);
    snprintf(sql, sizeof(sql), "UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = %u",
             account);
    query(w, sql);
    query(w, "COMMIT");
}

static void transaction_prepared(struct wire *w, uint32_t account)
{
    query(w, "BEGIN;");
    run_prepared(w, 's', account);
    run_prepared(w, 'u', account);
    query(w, "COMMIT;");
}

static void *orm_main(void *argument)
{
    struct orm_client *self = argument;
    struct wire_scratch *scratch = scratch_new();
    struct wire w;
    double from_s, until_s;

    wire_open(&w, self->target, scratch);
    if (self->prepared) {
        prepare(&w, 's', "SELECT abalance FROM pgbench_accounts WHERE aid = $1");
        prepare(&w, 'u', "UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = $1");
    }
    for (from_s = now_s(); from_s < self->until_s; from_s = until_s) {
        self->random = self->random * 1664525 + 1013904223; /* Numerical Recipes' generator */
        uint32_t account = 1 + (self->random >> 8) % ACCOUNTS;
        if (self->prepared)
            transaction_prepared(&w, account);
        else
            transaction_simple(&w, account);
        until_s = now_s();
        if (self->transactions < TIMES_MAX)
            self->times_ns[self->transactions] = (uint32_t)((until_s - from_s) * 1e9);
        self->transactions++;
    }
    wire_close(&w);
    free(scratch);
    return NULL;
}

static int compare_times(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* The median of what all clients have kept, and how many transactions there were. */
static void print_orm(const struct orm_client *clients, size_t count, double start_s)
{
    uint32_t *times_ns = calloc(count * TIMES_MAX, sizeof(*times_ns));
    size_t kept = 0;
    uint64_t transactions = 0;

    if (!times_ns)
        wire_die("calloc");
    for (size_t i = 0; i < count; i++) {
        size_t mine = clients[i].transactions < TIMES_MAX ? clients[i].transactions : TIMES_MAX;
        memcpy(times_ns + kept, clients[i].times_ns, mine * sizeof(*times_ns));
        kept += mine;
        transactions += clients[i].transactions;
    }
    qsort(times_ns, kept, sizeof(*times_ns), compare_times);
    printf("{\"transactions\": %llu, \"seconds\": %.6f, \"median_us\": %.3f}\n",
           (unsigned long long)transactions, now_s() - start_s, times_ns[kept / 2] / 1e3);
    free(times_ns);
}

static void orm(const struct wire_target *target, size_t count, double seconds, bool prepared)
{
    struct orm_client *clients = calloc(count, sizeof(*clients));
    double start_s = now_s();

    if (!clients)
        wire_die("calloc");
    for (size_t i = 0; i < count; i++) {
        clients[i] = (struct orm_client){.target = target,
                                         .until_s = start_s + seconds,
                                         .prepared = prepared,
                                         .times_ns = calloc(TIMES_MAX, sizeof(uint32_t)),
                                         .random = (uint32_t)i};
        if (!clients[i].times_ns)
            wire_die("calloc");
        if (pthread_create(&clients[i].thread, NULL, orm_main, &clients[i]))
            wire_die("pthread_create");
    }
    for (size_t i = 0; i < count; i++)
        pthread_join(clients[i].thread, NULL);
    print_orm(clients, count, start_s);
    for (size_t i = 0; i < count; i++)
        free(clients[i].times_ns);
    free(clients);
}

/* --- idle crowds ------------------------------------------------------------------------------ */

static void use_prepared(struct wire *w)
{
    static const char execute[] = "\0\0\0\0";

    wire_send_message(w, 'P', statement, sizeof(statement));
    wire_send_message(w, 'B', bind_one, sizeof(bind_one));
    wire_send_message(w, 'E', execute, sizeof(execute));
    wire_send_message(w, 'S', NULL, 0);
    wire_until_ready(w);
}

static void idle(const struct wire_target *target, size_t clients)
{
    struct wire *crowd = calloc(clients, sizeof(*crowd));
    struct wire_scratch *scratch = scratch_new();
    char command[32];

    if (!crowd)
        wire_die("calloc");
    for (size_t i = 0; i < clients; i++)
        wire_open(&crowd[i], target, scratch);
    puts("ready");
    fflush(stdout);
    while (fgets(command, sizeof(command), stdin)) {
        if (strcmp(command, "prepare\n") != 0)
            wire_die("a command that idle does not know");
        for (size_t i = 0; i < clients; i++)
            use_prepared(&crowd[i]);
        puts("ready");
        fflush(stdout);
    }
    for (size_t i = 0; i < clients; i++)
        wire_close(&crowd[i]);
    free(scratch);
    free(crowd);
}

static void send_query(struct wire *w, const char *sql)
{
    wire_send_message(w, 'Q', sql, strlen(sql) + 1);
}

static void print_transfer(uint64_t bytes, double start_s)
{
    printf("{\"bytes\": %llu, \"seconds\": %.6f}\n", (unsigned long long)bytes, now_s() - start_s);
}

static void stream_out(const struct wire_target *target, const char *sql)
{
    struct wire_scratch *scratch = scratch_new();
    struct wire w;
    double start_s;

    wire_open(&w, target, scratch);
    w.received_bytes = 0;
    start_s = now_s();
    send_query(&w, sql);
    wire_until_ready(&w);
    print_transfer(w.received_bytes, start_s);
    wire_close(&w);
    free(scratch);
}

/* CHUNK_ROWS CopyData messages, each with one row of one column. */
static void fill_chunk(uint8_t *chunk)
{
    uint32_t length = htonl(ROW_BYTES + 4);

    for (size_t i = 0; i < CHUNK_ROWS; i++) {
        uint8_t *message = chunk + i * (5 + ROW_BYTES);
        message[0] = 'd';
        memcpy(message + 1, &length, 4);
        memset(message + 5, 'x', ROW_BYTES - 1);
        message[4 + ROW_BYTES] = '\n';
    }
}

static void stream_in(const struct wire_target *target, const char *sql, uint64_t bytes)
{
    uint8_t chunk[CHUNK_ROWS * (5 + ROW_BYTES)];
    struct wire_scratch *scratch = scratch_new();
    struct wire w;
    uint64_t sent = 0;
    double start_s;
    char type;

    fill_chunk(chunk);
    wire_open(&w, target, scratch);
    start_s = now_s();
    send_query(&w, sql);
    while ((type = wire_skip_message(&w)) != 'G') {
        if (type == 'Z')
            wire_die("that was no COPY FROM STDIN");
    }
    for (; sent < bytes; sent += sizeof(chunk))
        wire_send(&w, chunk, sizeof(chunk));
    wire_send_message(&w, 'c', NULL, 0);
    wire_until_ready(&w);
    print_transfer(sent, start_s);
    wire_close(&w);
    free(scratch);
}

static const char *setting(const char *name, const char *fallback)
{
    const char *value = getenv(name);

    return value ? value : fallback;
}

static bool run(int argc, char **argv)
{
    struct wire_target target = {
        .port = argc > 2 ? (uint16_t)strtoul(argv[2], NULL, 10) : 0,
        .user = setting("LOAD_USER", "bench"),
        .database = setting("LOAD_DATABASE", "bench"),
        .password = setting("LOAD_PASSWORD", NULL),
        .tls = getenv("LOAD_TLS") ? wire_tls_new() : NULL,
    };
    bool known = true;

    if (argc == 4 && strcmp(argv[1], "storm") == 0)
        storm(&target, strtod(argv[3], NULL));
    else if (argc == 4 && strcmp(argv[1], "idle") == 0)
        idle(&target, strtoul(argv[3], NULL, 10));
    else if (argc == 4 && strcmp(argv[1], "out") == 0)
        stream_out(&target, argv[3]);
    else if (argc == 5 && strcmp(argv[1], "in") == 0)
        stream_in(&target, argv[3], strtoull(argv[4], NULL, 10));
    else if (argc == 6 && strcmp(argv[1], "orm") == 0)
        orm(&target, strtoul(argv[3], NULL, 10), strtod(argv[4], NULL),
            strcmp(argv[5], "prepared") == 0);
    else
        known = false;
    SSL_CTX_free(target.tls);
    return known;
}

int main(int argc, char **argv)
{
    if (run(argc, argv))
        return 0;
    fprintf(stderr, "usage: load storm|idle|out|in|orm PORT ...\n");
    return 2;
}
