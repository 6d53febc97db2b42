/*
 * causal: many client sessions that write and read at once, and a check of every row that is read
 * against what its session must see by now. Prints one line of JSON.
 *
 *     causal PROMISE WRITE-PORT READ-PORTS PRIMARY-PORT SESSIONS OPERATIONS SECONDS SEED [tolerate]
 *
 * PROMISE is what is checked: session (own writes, and nothing older than what was seen) or strong
 * (also whatever any session had acknowledged before the read was sent). READ-PORTS is `-`, or
 * ports with commas between: then reads outside of transactions go there in turn, and everything
 * else to WRITE-PORT, so that the program splits reads from writes itself, as naively as can be.
 * PRIMARY-PORT is the primary server's own: each read says which server's port it ran behind; with
 * a comma and another one, that is the primary's from a SIGUSR1 on. It ends after so many
 * operations, or seconds, or with a SIGTERM. With `tolerate`, reads may fail for lack of a server.
 *
 * Each session owns rows that nobody else writes: KEYS counters, and lines in a log. Its writes are
 * numbered 1, 2, 3 ..., and a write puts its number into what it changes; so a row says up to where
 * its owner's history is shown, and that is held against two numbers a reader has for each owner:
 *
 *     known     the newest write of that owner that this session has made or seen, in any row
 *     acked     the newest that the owner had been told of before this read was sent (strong)
 *
 * A row must show at least the newest of the owner's writes up to those numbers that changed it, as
 * commits of one owner become visible in their order; nothing that was rolled back, and nothing
 * that was not sent yet. A session that connects anew knows nothing (strong: what was acked).
 *
 * One thing is told apart, as no proxy can rule it out: a replica may show a commit an instant
 * before the primary does, since the primary writes the commit's record first and then makes it
 * visible. Reads at the primary that only miss what a replica has shown count as `early`.
 */
#include <libpq-fe.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    SESSIONS_MAX = 256,
    KEYS = 4,
    LOG = KEYS, /* the log's number among what an owner writes */
    THINGS = KEYS + 1,
    WRITES_MAX = 1 << 17, /* of one session */
    READ_PORTS_MAX = 4,
    PARAMS_MAX = 3,
    SQL_BYTES = 512,
    EXAMPLES_MAX = 8,
    WRITES_EVERY_MS = 100,
    WRITES_FOR_MS = 20,
    RECONNECT_EVERY = 700, /* operations of a session, about */
};

enum style { STYLE_SIMPLE, STYLE_EXTENDED, STYLE_PREPARED, STYLES };

enum fault { FAULT_OWN, FAULT_MONOTONIC, FAULT_CAUSAL, FAULT_STRONG, FAULT_PHANTOM, FAULTS };

static const char *const fault_names[FAULTS] = {"own", "monotonic", "causal", "strong", "phantom"};

enum statement {
    READ_OWNER,
    READ_ROW,
    READ_TWO,
    READ_KEY,
    READ_LOG,
    READ_PRIMARY,
    WRITE_ROW,
    WRITE_CTE,
    WRITE_FUNCTION,
    WRITE_LOG,
    STATEMENTS,
};

#define READ_COLUMNS "SELECT owner, key, seq, current_setting('port')::int FROM counters "

static const struct {
    const char *name, *sql;
    int params;
} statements[STATEMENTS] = {
    [READ_OWNER] = {"read_owner", READ_COLUMNS "WHERE owner = $1", 1},
    [READ_ROW] = {"read_row", READ_COLUMNS "WHERE owner = $1 AND key = $2", 2},
    [READ_TWO] = {"read_two", READ_COLUMNS "WHERE owner IN ($1, $2)", 2},
    [READ_KEY] = {"read_key", READ_COLUMNS "WHERE key = $1", 1},
    [READ_LOG] =
        {"read_log",
         "SELECT owner, 4, max(seq), current_setting('port')::int FROM log WHERE owner = $1 "
         "GROUP BY owner",
         1},
    [READ_PRIMARY] = {"read_primary",
                      "/* howdah: route=primary */ " READ_COLUMNS "WHERE owner = $1", 1},
    [WRITE_ROW] = {"write_row", "UPDATE counters SET seq = $3 WHERE owner = $1 AND key = $2", 3},
    [WRITE_CTE] = {"write_cte",
                   "WITH w AS (UPDATE counters SET seq = $3 WHERE owner = $1 AND key = $2 "
                   "RETURNING owner) SELECT owner FROM w",
                   3},
    [WRITE_FUNCTION] = {"write_function", "SELECT counters_set($1, $2, $3)", 3},
    [WRITE_LOG] = {"write_log", "INSERT INTO log VALUES ($1, $2, repeat('x', 60))", 2},
};

/* What one session writes, for all to look at. */
struct owner {
    _Atomic uint32_t sent, acked;
    _Atomic uint8_t *changed; /* by a write's number: a bit for each thing; 0: rolled back */
};

/* SIGUSR1: nothing is under way, and the next one is the primary. */
static _Atomic int primary_port, next_primary_port;

/* SIGTERM: it is enough. */
static _Atomic bool stopped;

struct world {
    bool strong, tolerate;
    int write_port, read_ports[READ_PORTS_MAX], read_port_count;
    uint32_t sessions;
    uint64_t operations;
    double until_s;
    struct owner owners[SESSIONS_MAX];
    _Atomic uint64_t done, faults[FAULTS], early, reads, writes, at_replicas, errors, reconnects;
    _Atomic bool over;
    pthread_mutex_t print;
    uint32_t examples;
};

struct session {
    struct world *world;
    pthread_t thread;
    uint32_t id;
    uint64_t random;
    enum style style;
    unsigned write_percent;
    PGconn *writes, *reads[READ_PORTS_MAX];
    uint32_t turn;
    bool in_transaction, frozen;  /* frozen: later statements show the first one's snapshot */
    uint32_t known[SESSIONS_MAX]; /* from anywhere */
    uint32_t known_safely[SESSIONS_MAX]; /* not from a replica alone */
    uint32_t acked_before[SESSIONS_MAX]; /* before the read was sent */
    uint32_t seen[SESSIONS_MAX][THINGS]; /* in that very row */
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "causal: %s: %s\n", what, why);
    exit(2);
}

static double now_s(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static uint32_t chance(struct session *s, uint32_t below)
{
    s->random = s->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(s->random >> 33) % below;
}

/* --- connections ------------------------------------------------------------------------------ */

static PGconn *connect_to(int port)
{
    char info[128];
    PGconn *conn;

    snprintf(info, sizeof(info), "host=127.0.0.1 port=%d user=postgres dbname=app sslmode=disable",
             port);
    conn = PQconnectdb(info);
    if (PQstatus(conn) != CONNECTION_OK)
        die("connect", PQerrorMessage(conn));
    return conn;
}

static PGconn *prepared_connection(struct session *s, int port)
{
    PGconn *conn = connect_to(port);

    for (int i = 0; i < STATEMENTS && s->style == STYLE_PREPARED; i++) {
        PGresult *result = PQprepare(conn, statements[i].name, statements[i].sql, 0, NULL);

        if (PQresultStatus(result) != PGRES_COMMAND_OK)
            die(statements[i].sql, PQerrorMessage(conn));
        PQclear(result);
    }
    return conn;
}

static void session_connect(struct session *s)
{
    s->writes = prepared_connection(s, s->world->write_port);
    for (int i = 0; i < s->world->read_port_count; i++)
        s->reads[i] = prepared_connection(s, s->world->read_ports[i]);
}

static void session_disconnect(struct session *s)
{
    PQfinish(s->writes);
    for (int i = 0; i < s->world->read_port_count; i++)
        PQfinish(s->reads[i]);
}

/* A new connection is a new session: nothing is promised to it of what the last one knew. */
static void session_reconnect(struct session *s)
{
    session_disconnect(s);
    session_connect(s);
    s->in_transaction = s->frozen = false;
    memset(s->known, 0, sizeof(s->known));
    memset(s->known_safely, 0, sizeof(s->known_safely));
    memset(s->seen, 0, sizeof(s->seen));
    s->world->reconnects++;
}

static PGconn *connection_for(struct session *s, enum statement what)
{
    if (what >= READ_PRIMARY || s->in_transaction || s->world->read_port_count == 0)
        return s->writes;
    return s->reads[s->turn++ % (uint32_t)s->world->read_port_count];
}

/* --- statements ------------------------------------------------------------------------------- */

/* Without parameters: $1 is replaced by the number itself. */
static void write_out(const char *sql, const uint32_t *params, char *ret_sql)
{
    size_t len = 0;

    for (const char *at = sql; *at != '\0'; at++) {
        if (*at == '$')
            len += (size_t)snprintf(ret_sql + len, SQL_BYTES - len, "%u", params[*++at - '1']);
        else
            ret_sql[len++] = *at;
    }
    ret_sql[len] = '\0';
}

static PGresult *send_statement(struct session *s, PGconn *conn, enum statement what,
                                const uint32_t *params)
{
    char texts[PARAMS_MAX][12], sql[SQL_BYTES];
    const char *values[PARAMS_MAX] = {NULL};
    int count = statements[what].params;

    if (s->style == STYLE_SIMPLE) {
        write_out(statements[what].sql, params, sql);
        return PQexec(conn, sql);
    }
    for (int i = 0; i < count; i++) {
        snprintf(texts[i], sizeof(texts[i]), "%u", params[i]);
        values[i] = texts[i];
    }
    if (s->style == STYLE_PREPARED)
        return PQexecPrepared(conn, statements[what].name, count, values, NULL, NULL, 0);
    return PQexecParams(conn, statements[what].sql, count, NULL, values, NULL, NULL, 0);
}

/* Errors that the loss of a server explains. */
static bool may_fail(const struct session *s, const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    return s->world->tolerate && (state == NULL || strncmp(state, "57P", 3) == 0 ||
                                  strncmp(state, "08", 2) == 0 || strcmp(state, "25P02") == 0);
}

/* NULL: it failed as it may, and the session has been connected anew. */
static PGresult *run(struct session *s, enum statement what, const uint32_t *params)
{
    PGconn *conn = connection_for(s, what);
    PGresult *result = send_statement(s, conn, what, params);
    ExecStatusType status = PQresultStatus(result);

    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
        return result;
    if (what >= WRITE_ROW || !may_fail(s, result))
        die(statements[what].sql, PQerrorMessage(conn));
    PQclear(result);
    s->world->errors++;
    session_reconnect(s);
    return NULL;
}

/* A transaction with one snapshot is one server's, and fails with that as statements do. */
static void control(struct session *s, const char *sql)
{
    PGresult *result = s->style == STYLE_SIMPLE
                           ? PQexec(s->writes, sql)
                           : PQexecParams(s->writes, sql, 0, NULL, NULL, NULL, NULL, 0);

    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        if (!s->frozen || !may_fail(s, result))
            die(sql, PQerrorMessage(s->writes));
        PQclear(result);
        s->world->errors++;
        session_reconnect(s);
        return;
    }
    if (strcmp(sql, "COMMIT") == 0 && strcmp(PQcmdStatus(result), "COMMIT") != 0)
        die(sql, PQcmdStatus(result));
    PQclear(result);
}

/* --- the check -------------------------------------------------------------------------------- */

/* The newest write of the owner, up to this one, that changed the thing; 0: there is none. */
static uint32_t latest(const struct owner *owner, uint32_t thing, uint32_t upto)
{
    while (upto > 0 && !(owner->changed[upto] & 1u << thing))
        upto--;
    return upto;
}

static void fault(struct session *s, enum fault kind, uint32_t owner, uint32_t thing,
                  uint32_t shown, uint32_t wanted, int port)
{
    struct world *world = s->world;

    world->faults[kind]++;
    pthread_mutex_lock(&world->print);
    if (world->examples++ < EXAMPLES_MAX)
        fprintf(stderr,
                "causal: %s: session %u (style %d) read thing %u of %u behind port %d: %u, "
                "wanted at least %u%s\n",
                fault_names[kind], s->id, (int)s->style, thing, owner, port, shown, wanted,
                s->in_transaction ? " (in a transaction)" : "");
    pthread_mutex_unlock(&world->print);
}

static void check_row(struct session *s, uint32_t owner_id, uint32_t thing, uint32_t shown,
                      int port)
{
    const struct owner *owner = &s->world->owners[owner_id];
    bool at_primary = port == primary_port;
    uint32_t known = latest(owner, thing, s->known[owner_id]);
    uint32_t safely = latest(owner, thing, s->known_safely[owner_id]);
    uint32_t acked = latest(owner, thing, s->acked_before[owner_id]);

    if (shown > 0 && (shown > owner->sent || !(owner->changed[shown] & 1u << thing)))
        fault(s, FAULT_PHANTOM, owner_id, thing, shown, known, port);
    else if (shown < known && at_primary && shown >= safely)
        s->world->early++;
    else if (shown < known && owner_id == s->id)
        fault(s, FAULT_OWN, owner_id, thing, shown, known, port);
    else if (shown < s->seen[owner_id][thing])
        fault(s, FAULT_MONOTONIC, owner_id, thing, shown, s->seen[owner_id][thing], port);
    else if (shown < known)
        fault(s, FAULT_CAUSAL, owner_id, thing, shown, known, port);
    else if (s->world->strong && shown < acked)
        fault(s, FAULT_STRONG, owner_id, thing, shown, acked, port);
}

static void learn(struct session *s, uint32_t owner, uint32_t thing, uint32_t shown, int port)
{
    if (shown > s->known[owner])
        s->known[owner] = shown;
    if (shown > s->known_safely[owner] && port == primary_port)
        s->known_safely[owner] = shown;
    if (shown > s->seen[owner][thing])
        s->seen[owner][thing] = shown;
}

static uint32_t number_at(const PGresult *result, int row, int column)
{
    return (uint32_t)strtoul(PQgetvalue(result, row, column), NULL, 10);
}

/* One read, checked; false: it failed, as it may, and a transaction is over. */
static bool read_and_check(struct session *s, enum statement what, const uint32_t *params)
{
    struct world *world = s->world;
    PGresult *result;
    int port = 0;

    if (!s->frozen)
        for (uint32_t i = 0; i < world->sessions; i++)
            s->acked_before[i] = world->owners[i].acked;
    result = run(s, what, params);
    if (result == NULL)
        return false;
    if (PQntuples(result) == 0)
        die(statements[what].sql, "no row");
    for (int pass = 0; pass < 2; pass++) {
        for (int row = 0; row < PQntuples(result); row++) {
            port = (int)number_at(result, row, 3);
            (pass == 0 ? check_row : learn)(s, number_at(result, row, 0), number_at(result, row, 1),
                                            number_at(result, row, 2), port);
        }
    }
    PQclear(result);
    world->reads++;
    world->done++;
    if (port != primary_port)
        world->at_replicas++;
    return true;
}

/* --- what a session does ---------------------------------------------------------------------- */

/* Another session than oneself mostly; one of the few that write much half of the time. */
static uint32_t someone(struct session *s)
{
    uint32_t found = chance(s, s->world->sessions);

    return chance(s, 2) ? found : found / 4 * 4;
}

static bool read_something(struct session *s)
{
    uint32_t r = chance(s, 100), params[PARAMS_MAX] = {s->id};

    if (r < 30)
        return read_and_check(s, READ_OWNER, params);
    if (r < 40)
        return read_and_check(s, READ_LOG, params);
    params[0] = someone(s);
    params[1] = chance(s, KEYS);
    if (r < 65)
        return read_and_check(s, READ_ROW, params);
    if (r < 75)
        return read_and_check(s, READ_LOG, params);
    if (r < 80)
        return read_and_check(s, READ_PRIMARY, params);
    if (r < 85)
        return read_and_check(s, READ_KEY, &params[1]);
    params[1] = s->id;
    return read_and_check(s, READ_TWO, params);
}

static void read_in_transaction(struct session *s)
{
    static const char *const begins[] = {"BEGIN", "BEGIN READ ONLY",
                                         "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"};
    uint32_t kind = chance(s, 3);

    control(s, begins[kind]);
    s->in_transaction = true;
    for (uint32_t i = 0; i < 3; i++) {
        if (!read_something(s))
            return;
        s->frozen = kind == 2;
    }
    control(s, "COMMIT");
    s->in_transaction = s->frozen = false;
}

/* The number of the next write, which is going to change these things. */
static uint32_t write_begin(struct session *s, uint8_t things)
{
    struct owner *self = &s->world->owners[s->id];
    uint32_t number = self->sent + 1;

    if (number >= WRITES_MAX)
        die("write", "too many");
    self->changed[number] = things;
    self->sent = number;
    return number;
}

static void write_acknowledged(struct session *s, uint32_t number)
{
    s->world->owners[s->id].acked = number;
    s->known[s->id] = s->known_safely[s->id] = number;
    s->world->writes++;
    s->world->done++;
}

static void must_run(struct session *s, enum statement what, uint32_t a, uint32_t b, uint32_t c)
{
    PQclear(run(s, what, (uint32_t[]){a, b, c}));
}

/* Reads, writes two things, reads them again, and commits, or, one time in five, does not. */
static void write_in_transaction(struct session *s)
{
    bool commits = chance(s, 5) > 0;
    uint32_t key = chance(s, KEYS), number, known;
    uint8_t things = (uint8_t)(1u << key | 1u << LOG);

    control(s, "BEGIN");
    s->in_transaction = true;
    for (uint32_t i = chance(s, 3); i > 0; i--)
        if (!read_something(s))
            return;
    number = write_begin(s, commits ? things : 0);
    must_run(s, WRITE_ROW, s->id, key, number);
    must_run(s, WRITE_LOG, s->id, number, 0);
    known = s->known[s->id];
    if (commits) {
        s->known[s->id] = s->known_safely[s->id] = number;
        read_and_check(s, READ_OWNER, &(uint32_t){s->id});
        read_and_check(s, READ_ROW, (uint32_t[]){someone(s), key});
        s->known[s->id] = s->known_safely[s->id] = known;
    }
    s->in_transaction = false;
    control(s, commits ? "COMMIT" : "ROLLBACK");
    if (commits)
        write_acknowledged(s, number);
}

static void write_something(struct session *s)
{
    static const enum statement ways[] = {WRITE_ROW, WRITE_ROW, WRITE_CTE, WRITE_FUNCTION};
    uint32_t r = chance(s, 10), key = chance(s, KEYS), number;

    if (r < 2) {
        write_in_transaction(s);
        return;
    }
    number = write_begin(s, (uint8_t)(1u << (r < 4 ? (uint32_t)LOG : key)));
    if (r < 4)
        must_run(s, WRITE_LOG, s->id, number, 0);
    else
        must_run(s, ways[chance(s, 4)], s->id, key, number);
    write_acknowledged(s, number);
}

/* Half of the time at once; up to 1, 5 or 30 ms otherwise. */
static void think(struct session *s)
{
    uint32_t r = chance(s, 100);
    uint32_t most_us = r < 50 ? 0 : r < 80 ? 1000 : r < 95 ? 5000 : 30000;

    if (most_us > 0)
        nanosleep(&(struct timespec){.tv_nsec = 1000L * chance(s, most_us)}, NULL);
}

/* In strong each write holds up all sessions: without pauses no replica would ever be read. */
static bool may_write(const struct world *world)
{
    return !world->strong || (uint64_t)(now_s() * 1000) % WRITES_EVERY_MS < WRITES_FOR_MS;
}

static void *session_main(void *argument)
{
    struct session *s = argument;
    struct world *world = s->world;

    session_connect(s);
    while (!world->over) {
        if (stopped || world->done >= world->operations || now_s() >= world->until_s)
            world->over = true;
        else if (may_write(world) && chance(s, 100) < s->write_percent)
            write_something(s);
        else if (chance(s, 12) == 0)
            read_in_transaction(s);
        else
            read_something(s);
        if (chance(s, RECONNECT_EVERY) == 0)
            session_reconnect(s);
        think(s);
    }
    session_disconnect(s);
    return NULL;
}

/* --- the end ---------------------------------------------------------------------------------- */

/* Whether the primary has each acknowledged write once, and no other; how many differ. */
static uint64_t count_lost(struct world *world)
{
    static const char sql[] = "SELECT owner, key, seq, 0 FROM counters UNION ALL "
                              "SELECT owner, 4, seq, 1 FROM log WHERE seq > 0";
    PGconn *conn = connect_to(primary_port);
    PGresult *result = PQexec(conn, sql);
    uint64_t lost = 0, lines = 0, wanted = 0;

    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        die(sql, PQerrorMessage(conn));
    for (int row = 0; row < PQntuples(result); row++) {
        struct owner *owner = &world->owners[number_at(result, row, 0)];
        uint32_t thing = number_at(result, row, 1), number = number_at(result, row, 2);

        if (thing == LOG) {
            lines++;
            lost += number > owner->acked || !(owner->changed[number] & 1u << LOG);
        } else {
            lost += number != latest(owner, thing, owner->acked);
        }
    }
    for (uint32_t i = 0; i < world->sessions; i++)
        for (uint32_t number = 1; number <= world->owners[i].acked; number++)
            wanted += (world->owners[i].changed[number] & 1u << LOG) != 0;
    PQclear(result);
    PQfinish(conn);
    return lost + (lines > wanted ? lines - wanted : wanted - lines);
}

static void report(struct world *world, double seconds)
{
    printf("{\"operations\": %llu, \"reads\": %llu, \"writes\": %llu, \"at_replicas\": %llu, "
           "\"errors\": %llu, \"reconnects\": %llu, \"seconds\": %.1f, \"lost\": %llu, "
           "\"early\": %llu",
           (unsigned long long)world->done, (unsigned long long)world->reads,
           (unsigned long long)world->writes, (unsigned long long)world->at_replicas,
           (unsigned long long)world->errors, (unsigned long long)world->reconnects, seconds,
           (unsigned long long)count_lost(world), (unsigned long long)world->early);
    for (int i = 0; i < FAULTS; i++)
        printf(", \"%s\": %llu", fault_names[i], (unsigned long long)world->faults[i]);
    printf("}\n");
}

static void read_ports(struct world *world, char *list)
{
    if (strcmp(list, "-") == 0)
        return;
    for (char *at = list; at != NULL && world->read_port_count < READ_PORTS_MAX;) {
        world->read_ports[world->read_port_count++] = (int)strtol(at, NULL, 10);
        at = strchr(at, ',');
        at = at == NULL ? NULL : at + 1;
    }
}

static void switch_over(int number)
{
    (void)number;
    primary_port = next_primary_port;
}

static void stop(int number)
{
    (void)number;
    stopped = true;
}

int main(int argc, char **argv)
{
    static struct world world;
    static struct session sessions[SESSIONS_MAX];
    static const unsigned write_percents[] = {50, 2, 12, 2};
    double start_s = now_s();

    if (argc < 9)
        die("usage", "see the top of causal.c");
    world.strong = strcmp(argv[1], "strong") == 0;
    world.write_port = (int)strtol(argv[2], NULL, 10);
    read_ports(&world, argv[3]);
    primary_port = next_primary_port = (int)strtol(argv[4], NULL, 10);
    if (strchr(argv[4], ',') != NULL)
        next_primary_port = (int)strtol(strchr(argv[4], ',') + 1, NULL, 10);
    signal(SIGUSR1, switch_over);
    signal(SIGTERM, stop);
    world.sessions = (uint32_t)strtoul(argv[5], NULL, 10);
    world.operations = strtoull(argv[6], NULL, 10);
    world.until_s = start_s + strtod(argv[7], NULL);
    world.tolerate = argc > 9;
    if (world.sessions == 0 || world.sessions > SESSIONS_MAX)
        die("sessions", "out of range");
    pthread_mutex_init(&world.print, NULL);
    for (uint32_t i = 0; i < world.sessions; i++) {
        world.owners[i].changed = calloc(WRITES_MAX, 1);
        if (world.owners[i].changed == NULL)
            die("memory", "none");
    }
    for (uint32_t i = 0; i < world.sessions; i++) {
        sessions[i] = (struct session){.world = &world, .id = i, .style = i / 4 % STYLES};
        sessions[i].random = strtoull(argv[8], NULL, 10) * 1000 + i;
        sessions[i].write_percent = write_percents[i % 4];
        if (pthread_create(&sessions[i].thread, NULL, session_main, &sessions[i]))
            die("thread", "cannot be started");
    }
    for (uint32_t i = 0; i < world.sessions; i++)
        pthread_join(sessions[i].thread, NULL);
    report(&world, now_s() - start_s);
    return 0;
}
