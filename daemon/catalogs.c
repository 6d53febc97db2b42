#include "daemon/catalogs.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/error.h"
#include "base/list.h"
#include "daemon/catalog_load.h"
#include "daemon/log.h"
#include "daemon/server.h"
#include "daemon/snapshot.h"
#include "daemon/worker.h"
#include "pool/account.h"
#include "pool/options.h"
#include "router/catalog.h"

/* Between two looks at a database: this, or as many times as the last one took, so that a server
 * with a large catalog and much DDL spends a fifth of a backend on it at most. */
#define PAUSE_MIN_US (200 * 1000ULL)
enum { PAUSE_TIMES = 4 };

/* Of a database that nobody may be connected to, as for the pools (VACANT_US in pool/vacate.c). */
#define VACANT_US (6 * 1000 * 1000ULL)

/* In the thread pool at one time: see THREAD_POOL_SIZE of daemon/process.c. */
enum { LOADS_MAX = 2 };

/* One database. */
struct entry {
    struct list node;
    char *name;
    struct snapshot *snapshot; /* of the last who asked */
    struct account *account;
    bool wanted, running;
    uint64_t not_before_us;

    struct catalog *catalog; /* NULL: none was had so far */
    uint64_t generation;     /* the account's ddl_count when the last look began */
    char fingerprint[CATALOG_FINGERPRINT_BYTES];
    uint64_t options_generation; /* of the options that the catalog was loaded with */
    int code;                    /* how the last look ended */
};

struct job {
    uv_work_t request;
    struct catalogs *catalogs;
    struct entry *entry;
    struct snapshot *snapshot;
    uint64_t started_us, generation;
    struct catalog_load load;
};

struct catalogs {
    struct worker *worker;
    struct shared *shared;
    struct list entries;
    uint32_t running_count;
    uint64_t serial;
    uv_timer_t timer;
};

/* --- entries --------------------------------------------------------------------------------- */

static struct entry *find_or_add(struct catalogs *catalogs, const char *name)
{
    LIST_EACH (&catalogs->entries, node) {
        struct entry *entry = CONTAINER_OF(node, struct entry, node);
        if (strcmp(entry->name, name) == 0) {
            return entry;
        }
    }
    struct entry *entry = calloc(1, sizeof(*entry));
    if (entry == NULL) {
        return NULL;
    }
    list_init(&entry->node);
    entry->name = strdup(name);
    entry->account = shared_account(catalogs->shared, "facts", name, "");
    if (entry->name == NULL || entry->account == NULL) {
        free(entry->name);
        free(entry);
        return NULL;
    }
    list_push_back(&catalogs->entries, &entry->node);
    return entry;
}

static void free_entry(struct entry *entry)
{
    list_remove(&entry->node);
    snapshot_unref(entry->snapshot);
    catalog_unref(entry->catalog);
    free(entry->name);
    free(entry);
}

/* --- telling --------------------------------------------------------------------------------- */

static void tell(const struct catalogs *catalogs, const struct entry *entry, uint32_t worker)
{
    struct message message = {.kind = MESSAGE_CATALOG};
    message.facts.database = strdup(entry->name);
    message.facts.generation = entry->generation;
    if (message.facts.database == NULL) {
        abort(); /* as worker_post: see there */
    }
    if (entry->code == 0) {
        catalog_ref(entry->catalog);
        message.facts.catalog = entry->catalog;
    }
    worker_post(catalogs->worker, server_worker(catalogs->worker->server, worker), &message);
}

static void tell_all(const struct catalogs *catalogs, const struct entry *entry)
{
    for (uint32_t i = 0; i < shared_worker_count(catalogs->shared); i++) {
        tell(catalogs, entry, i);
    }
}

/* A failure is told once, until there is another outcome. */
static void log_outcome(const struct catalogs *catalogs, const struct entry *entry,
                        const struct catalog_load *load, uint64_t took_us)
{
    struct log *log = catalogs->worker->log;
    if (load->code != 0 && load->code != entry->code) {
        log_line(log, LOG_WARNING, LOG_NO_WORKER,
                 "database \"%s\": its catalog cannot be read, so functions and tables count as "
                 "ones that may do anything: %s",
                 entry->name, load->detail);
    } else if (load->code == 0 && load->catalog != NULL) {
        log_line(log, LOG_DEBUG, LOG_NO_WORKER,
                 "database \"%s\": %u functions and %u relations loaded in %llu ms", entry->name,
                 load->catalog->function_count, load->catalog->relation_count,
                 (unsigned long long)took_us / 1000);
    }
}

/* --- jobs ------------------------------------------------------------------------------------ */

static void pump(struct catalogs *catalogs);

static void run(uv_work_t *request)
{
    struct job *job = request->data;
    catalog_load_run(&job->load);
}

static void settle(struct catalogs *catalogs, struct job *job)
{
    struct entry *entry = job->entry;
    struct catalog_load *load = &job->load;
    uint64_t now_us = worker_now_us(catalogs->worker), took_us = now_us - job->started_us;
    if (load->code == ERR_CANCELED) { /* what is known stays, and is looked at again */
        entry->wanted = true;
        entry->not_before_us = now_us + VACANT_US;
        return;
    }
    bool changed =
        entry->code != load->code || load->catalog != NULL || entry->generation != job->generation;
    entry->not_before_us =
        now_us + (took_us * PAUSE_TIMES > PAUSE_MIN_US ? took_us * PAUSE_TIMES : PAUSE_MIN_US);
    log_outcome(catalogs, entry, load, took_us);
    entry->code = load->code;
    entry->generation = job->generation;
    if (load->catalog != NULL) {
        catalog_unref(entry->catalog);
        entry->catalog = load->catalog;
        load->catalog = NULL;
        entry->options_generation = job->snapshot->options->generation;
        memcpy(entry->fingerprint, load->fingerprint, sizeof(entry->fingerprint));
    }
    if (changed) {
        tell_all(catalogs, entry);
    }
}

/* Tells what the job has found; frees it. A status other than 0: it did not run. */
static void end_job(struct job *job, int status)
{
    struct catalogs *catalogs = job->catalogs;
    job->entry->running = false;
    catalogs->running_count--;
    catalogs->worker->jobs--;
    if (!catalogs->worker->stopping) {
        if (status != 0) {
            job->load.code = ERR_INTERNAL;
        }
        settle(catalogs, job);
    }
    catalog_unref(job->load.catalog);
    snapshot_unref(job->snapshot);
    free(job);
}

static void on_ran(uv_work_t *request, int status)
{
    struct job *job = request->data;
    struct catalogs *catalogs = job->catalogs;
    end_job(job, status);
    if (!catalogs->worker->stopping) {
        pump(catalogs);
    }
}

/* What has no memory now is tried by the next who asks. */
static void start(struct catalogs *catalogs, struct entry *entry)
{
    const struct options *options = entry->snapshot->options;
    const struct database_options *database = options_find_database(options, entry->name);
    entry->wanted = false;
    if (database == NULL || database->server_count == 0) {
        return;
    }
    struct job *job = calloc(1, sizeof(*job));
    if (job == NULL) {
        return;
    }
    job->request.data = job;
    job->catalogs = catalogs;
    job->entry = entry;
    job->snapshot = snapshot_ref(entry->snapshot);
    job->started_us = worker_now_us(catalogs->worker);
    job->generation = atomic_load(&entry->account->ddl_count);
    job->load.serial = ++catalogs->serial;
    job->load.stop.count = &entry->account->vacates;
    job->load.stop.seen = atomic_load(&entry->account->vacates);
    job->load.login = pq_login_at(
        options, database, server_to_ask(catalogs->worker->server, database), entry->name, NULL);
    if (entry->catalog != NULL && entry->options_generation == options->generation) {
        memcpy(job->load.known, entry->fingerprint, sizeof(job->load.known));
    }
    entry->running = true;
    catalogs->running_count++;
    catalogs->worker->jobs++;
    if (uv_queue_work(&catalogs->worker->loop, &job->request, run, on_ran) != 0) {
        end_job(job, UV_ENOMEM);
    }
}

static void on_timer(uv_timer_t *timer)
{
    pump(timer->data);
}

/* Starts what may start now, and sets the timer for what may later. */
static void pump(struct catalogs *catalogs)
{
    uint64_t now_us = worker_now_us(catalogs->worker), next_us = UINT64_MAX;
    LIST_EACH (&catalogs->entries, node) {
        struct entry *entry = CONTAINER_OF(node, struct entry, node);
        if (!entry->wanted || entry->running || catalogs->running_count == LOADS_MAX) {
            continue;
        }
        if (entry->not_before_us <= now_us) {
            start(catalogs, entry);
        } else if (entry->not_before_us < next_us) {
            next_us = entry->not_before_us;
        }
    }
    if (next_us != UINT64_MAX) {
        uv_timer_start(&catalogs->timer, on_timer, (next_us - now_us + 999) / 1000, 0);
    }
}

/* --- the door -------------------------------------------------------------------------------- */

struct catalogs *catalogs_new(struct worker *worker, struct shared *shared)
{
    struct catalogs *catalogs = calloc(1, sizeof(*catalogs));
    if (catalogs != NULL) {
        catalogs->worker = worker;
        catalogs->shared = shared;
        list_init(&catalogs->entries);
        uv_timer_init(&worker->loop, &catalogs->timer);
        catalogs->timer.data = catalogs;
    }
    return catalogs;
}

void catalogs_free(struct catalogs *catalogs)
{
    if (catalogs == NULL) {
        return;
    }
    LIST_EACH (&catalogs->entries, node) {
        free_entry(CONTAINER_OF(node, struct entry, node));
    }
    free(catalogs);
}

void catalogs_ask(struct catalogs *catalogs, struct snapshot *snapshot, const char *database,
                  uint32_t asker)
{
    struct entry *entry = find_or_add(catalogs, database);
    if (entry == NULL) {
        return; /* without memory there are no facts */
    }
    snapshot_unref(entry->snapshot);
    entry->snapshot = snapshot_ref(snapshot);
    entry->wanted = true;
    if (entry->catalog != NULL) {
        tell(catalogs, entry, asker);
    }
    pump(catalogs);
}

void catalogs_tell_missing(const struct catalogs *catalogs, const struct options *options)
{
    for (uint32_t i = 0; i < options->database_count; i++) {
        const struct database_options *database = &options->databases[i];
        if (database->server_count > 0 && database->service_user == NULL &&
            database->servers[0].user == NULL) {
            log_line(catalogs->worker->log, LOG_INFO, LOG_NO_WORKER,
                     "database \"%s\": no login to read its catalog with, so each call of a "
                     "function of its own is followed by a question to the server: set "
                     "databases.%s.service.user",
                     database->name, database->name);
        }
    }
}
