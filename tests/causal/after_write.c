/*
 * after_write: sessions that write a row of their own and read it back a given time later. Prints
 * one line of JSON: how many reads there were, how late they were sent, and how many did not show
 * the session's own write.
 *
 *     after_write PORT TABLE DELAY-US SESSIONS SECONDS
 *
 * The delay runs from the write's acknowledgement to the read. Between two rounds a session waits
 * for 5 to 15 ms. Where the reads ran is for the servers to say: each TABLE has statements that no
 * other has, so pg_stat_statements counts them.
 */
#include <libpq-fe.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SESSIONS_MAX = 64, PAUSE_LEAST_US = 5000, PAUSE_SPREAD_US = 10000, SQL_BYTES = 256 };

struct session {
    pthread_t thread;
    int port, id;
    const char *table;
    int64_t delay_us, until_us;
    uint64_t reads, stale, late_us;
};

static int64_t now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void sleep_until(int64_t at_us)
{
    struct timespec ts = {.tv_sec = at_us / 1000000, .tv_nsec = at_us % 1000000 * 1000};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) != 0)
        ;
}

static void die(PGconn *conn, const char *sql)
{
    fprintf(stderr, "after_write: %s: %s\n", sql, PQerrorMessage(conn));
    exit(2);
}

static PGresult *run(PGconn *conn, const char *sql, ExecStatusType wanted)
{
    PGresult *result = PQexec(conn, sql);

    if (PQresultStatus(result) != wanted)
        die(conn, sql);
    return result;
}

static void *session_main(void *argument)
{
    struct session *s = argument;
    char sql[SQL_BYTES], number[24];
    unsigned seed = (unsigned)s->id + 1;
    PGconn *conn;

    snprintf(sql, sizeof(sql), "host=127.0.0.1 port=%d user=postgres dbname=app sslmode=disable",
             s->port);
    conn = PQconnectdb(sql);
    if (PQstatus(conn) != CONNECTION_OK)
        die(conn, "connect");
    for (uint64_t round = 1; now_us() < s->until_us; round++) {
        int64_t acknowledged_us, sent_us;
        PGresult *result;

        snprintf(number, sizeof(number), "%llu", (unsigned long long)round);
        snprintf(sql, sizeof(sql), "UPDATE %s SET v = %s WHERE id = %d", s->table, number, s->id);
        PQclear(run(conn, sql, PGRES_COMMAND_OK));
        acknowledged_us = now_us();
        if (s->delay_us > 0)
            sleep_until(acknowledged_us + s->delay_us);
        snprintf(sql, sizeof(sql), "SELECT v FROM %s WHERE id = %d", s->table, s->id);
        sent_us = now_us();
        result = run(conn, sql, PGRES_TUPLES_OK);
        s->reads++;
        s->late_us += (uint64_t)(sent_us - acknowledged_us);
        s->stale += strcmp(PQgetvalue(result, 0, 0), number) != 0;
        PQclear(result);
        sleep_until(now_us() + PAUSE_LEAST_US + rand_r(&seed) % PAUSE_SPREAD_US);
    }
    PQfinish(conn);
    return NULL;
}

int main(int argc, char **argv)
{
    static struct session sessions[SESSIONS_MAX];
    uint64_t reads = 0, stale = 0, late_us = 0;
    long count;

    if (argc != 6) {
        fprintf(stderr, "usage: see the top of after_write.c\n");
        return 2;
    }
    count = strtol(argv[4], NULL, 10);
    for (long i = 0; i < count && i < SESSIONS_MAX; i++) {
        sessions[i] = (struct session){.port = (int)strtol(argv[1], NULL, 10), .id = (int)i};
        sessions[i].table = argv[2];
        sessions[i].delay_us = strtol(argv[3], NULL, 10);
        sessions[i].until_us = now_us() + (int64_t)(strtod(argv[5], NULL) * 1e6);
        if (pthread_create(&sessions[i].thread, NULL, session_main, &sessions[i]))
            return 2;
    }
    for (long i = 0; i < count && i < SESSIONS_MAX; i++) {
        pthread_join(sessions[i].thread, NULL);
        reads += sessions[i].reads;
        stale += sessions[i].stale;
        late_us += sessions[i].late_us;
    }
    printf("{\"reads\": %llu, \"stale\": %llu, \"delay_us\": %.0f}\n", (unsigned long long)reads,
           (unsigned long long)stale, reads > 0 ? (double)late_us / (double)reads : 0);
    return 0;
}
