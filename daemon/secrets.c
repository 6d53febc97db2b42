#include "daemon/secrets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/map.h"
#include "base/text.h"
#include "daemon/lookup.h"
#include "daemon/server.h"
#include "daemon/snapshot.h"
#include "daemon/worker.h"
#include "pool/options.h"
#include "protocol/crypto.h"
#include "protocol/userlist.h"

#define FOUND_US (10 * 1000000ULL)
#define NOT_FOUND_US (5 * 1000000ULL)
#define FAILED_US (1 * 1000000ULL)

enum {
    LOOKUPS_PER_DATABASE_MAX = 2,
    LOOKUPS_MAX = 4, /* half of the thread pool: see THREAD_POOL_SIZE of daemon/process.c */
    ENTRIES_MAX = 10000,
};

struct secret_copy {
    int code;
    bool found;
    char *secret, *detail; /* NULL: none */
};

/* One who waits for an entry. */
struct asker {
    struct list node;
    uint32_t worker;
    struct handle handle;
};

enum entry_state { ENTRY_QUEUED, ENTRY_ASKED, ENTRY_KNOWN };

/* What is known, or being found out, about one user of one database. */
struct entry {
    struct map_node node;
    struct list order;         /* in known (oldest first), in queue, or in a job */
    struct list askers;        /* while it is not known */
    struct snapshot *snapshot; /* under which it is asked; NULL once it is known */
    enum entry_state state;
    uint64_t expires_us;
    int64_t valid_until_us; /* wall clock; INT64_MAX: for ever */
    struct secret_copy answer;
    char *database, *user;
};

/* One connection's worth of entries in the thread pool. */
struct job {
    uv_work_t request;
    struct list node; /* in running */
    struct secrets *secrets;
    struct snapshot *snapshot;
    struct lookup_source source;
    bool has_login; /* a login was configured for this */
    uint32_t count;
    struct entry *entries[LOOKUP_BATCH_MAX];
    char *users[LOOKUP_BATCH_MAX];
    struct lookup_result results[LOOKUP_BATCH_MAX];
};

struct secrets {
    struct worker *worker;
    uint64_t hash_key;
    struct map entries;
    struct list known, queue, running;
    uint32_t running_count;
};

/* --- answers --------------------------------------------------------------------------------- */

struct secret_answer secret_copy_answer(const struct secret_copy *copy)
{
    return (struct secret_answer){
        .code = copy->code, .found = copy->found, .secret = copy->secret, .detail = copy->detail};
}

static void wipe_text(char *text)
{
    if (text != NULL) {
        crypto_wipe(text, strlen(text));
        free(text);
    }
}

static void clear_answer(struct secret_copy *answer)
{
    wipe_text(answer->secret);
    free(answer->detail);
    *answer = (struct secret_copy){.code = 0};
}

void secret_copy_free(struct secret_copy *copy)
{
    if (copy != NULL) {
        clear_answer(copy);
        free(copy);
    }
}

static char *copy_or_null(const char *text)
{
    return text != NULL ? strdup(text) : NULL;
}

static void send_answer(struct secrets *secrets, uint32_t worker, struct handle handle,
                        const struct secret_copy *answer)
{
    struct secret_copy *copy = calloc(1, sizeof(*copy));
    if (copy == NULL) {
        abort(); /* as worker_post: a session would wait for ever */
    }
    *copy = (struct secret_copy){.code = answer->code,
                                 .found = answer->found,
                                 .secret = copy_or_null(answer->secret),
                                 .detail = copy_or_null(answer->detail)};
    if (answer->secret != NULL && copy->secret == NULL) {
        copy->code = ERR_NO_MEMORY;
        copy->found = false;
    }
    struct message message = {.kind = MESSAGE_SECRET, .handle = handle, .secret = copy};
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): `copy` is now the receiver's */
    worker_post(secrets->worker, server_worker(secrets->worker->server, worker), &message);
}

static void send_failure(struct secrets *secrets, uint32_t worker, struct handle handle, int code,
                         const char *detail)
{
    char text[LOOKUP_DETAIL_BYTES];
    snprintf(text, sizeof(text), "%s", detail);
    const struct secret_copy answer = {.code = code, .detail = text};
    send_answer(secrets, worker, handle, &answer);
}

/* --- entries --------------------------------------------------------------------------------- */

static void free_entry(struct secrets *secrets, struct entry *entry)
{
    map_remove(&secrets->entries, &entry->node);
    list_remove(&entry->order);
    for (struct list *node = list_first(&entry->askers); node != NULL;
         node = list_first(&entry->askers)) {
        list_remove(node);
        free(CONTAINER_OF(node, struct asker, node));
    }
    clear_answer(&entry->answer);
    snapshot_unref(entry->snapshot);
    free(entry->database);
    free(entry->user);
    free(entry);
}

static uint64_t hash_of(const struct secrets *secrets, const char *database, const char *user)
{
    uint64_t hash = hash_bytes(secrets->hash_key, database, strlen(database));
    return hash_bytes(hash, user, strlen(user));
}

static struct entry *find(struct secrets *secrets, const char *database, const char *user)
{
    uint64_t hash = hash_of(secrets, database, user);
    for (struct map_node *node = map_first(&secrets->entries, hash); node != NULL;
         node = map_next(node)) {
        struct entry *entry = CONTAINER_OF(node, struct entry, node);
        if (strcmp(entry->database, database) == 0 && strcmp(entry->user, user) == 0) {
            return entry;
        }
    }
    return NULL;
}

/* Queued and without askers; NULL when memory is out. */
static struct entry *add_entry(struct secrets *secrets, struct snapshot *snapshot,
                               const char *database, const char *user)
{
    if (secrets->entries.count >= ENTRIES_MAX && !list_empty(&secrets->known)) {
        free_entry(secrets, CONTAINER_OF(list_first(&secrets->known), struct entry, order));
    }
    struct entry *entry = calloc(1, sizeof(*entry));
    if (entry == NULL) {
        return NULL;
    }
    list_init(&entry->order);
    list_init(&entry->askers);
    entry->database = strdup(database);
    entry->user = strdup(user);
    if (entry->database == NULL || entry->user == NULL ||
        map_add(&secrets->entries, &entry->node, hash_of(secrets, database, user)) != 0) {
        free(entry->database);
        free(entry->user);
        free(entry);
        return NULL;
    }
    entry->snapshot = snapshot_ref(snapshot);
    list_push_back(&secrets->queue, &entry->order);
    return entry;
}

static int64_t wall_us(void)
{
    uv_timeval64_t now;
    return uv_gettimeofday(&now) == 0 ? now.tv_sec * 1000000 + now.tv_usec : 0;
}

/* A secret whose VALID UNTIL has passed is none, however fresh it was when it was read. */
static void answer_known(struct secrets *secrets, const struct entry *entry, uint32_t worker,
                         struct handle handle)
{
    if (entry->answer.found && entry->valid_until_us <= wall_us()) {
        char detail[] = "the password has expired";
        const struct secret_copy expired = {.found = true, .detail = detail};
        send_answer(secrets, worker, handle, &expired);
        return;
    }
    send_answer(secrets, worker, handle, &entry->answer);
}

/* --- where to ask ---------------------------------------------------------------------------- */

/* The login that asks: auth.query_user, else the service login, else the DSN's own user. */
static void choose_login(const struct options *options, const struct database_options *database,
                         const char *name, struct job *job)
{
    const char *asker = options->auth.query != NULL ? options->auth.query_user : NULL;
    const struct server_options *server = server_to_ask(job->secrets->worker->server, database);
    job->source.login = pq_login_at(options, database, server, name, asker);
    job->has_login = job->source.login.user != NULL;
}

/* The DSN's own password for its own user; NULL when it has none for this one. */
static const char *own_password(const struct secrets *secrets,
                                const struct database_options *database, const char *user)
{
    const struct server_options *server = server_to_ask(secrets->worker->server, database);
    bool is_own = text_same(server->user, user);
    return is_own && server->password != NULL && server->password[0] != '\0' ? server->password
                                                                             : NULL;
}

/* --- jobs ------------------------------------------------------------------------------------ */

static void look_up(uv_work_t *request)
{
    struct job *job = request->data;
    lookup_run(&job->source, job->users, job->count, job->results);
}

/* What the engine is told of a result; the strings are new. */
static struct secret_copy answer_of(const struct job *job, const struct entry *entry,
                                    const struct lookup_result *result)
{
    const struct options *options = job->snapshot->options;
    const struct database_options *database = options_find_database(options, entry->database);
    struct secret_copy answer = {.code = result->code, .found = result->found};
    if (result->code == 0 && result->has_secret) {
        answer.secret = strdup(result->secret);
        if (answer.secret == NULL) {
            answer = (struct secret_copy){.code = ERR_NO_MEMORY};
        }
    } else if (result->code == 0 && !result->found && options->auth.query != NULL) {
        answer.secret = copy_or_null(own_password(job->secrets, database, entry->user));
        answer.found = answer.secret != NULL;
    } else if (result->code != 0) {
        /* The built-in way was nobody's order: where it is closed there just is no source. */
        bool closed =
            options->auth.query == NULL &&
            (result->code == ERR_PRIVILEGE || (result->code == ERR_CONNECT && !job->has_login));
        answer.code = closed ? ERR_NO_SECRETS : result->code;
        answer.detail = strdup(result->detail);
    }
    return answer;
}

static void settle(struct job *job, struct entry *entry, const struct lookup_result *result)
{
    struct secrets *secrets = job->secrets;
    uint64_t now_us = worker_now_us(secrets->worker);
    entry->answer = answer_of(job, entry, result);
    entry->valid_until_us = result->expires ? result->valid_until_us : INT64_MAX;
    entry->state = ENTRY_KNOWN;
    entry->expires_us = now_us + (entry->answer.code != 0 ? FAILED_US
                                  : entry->answer.found   ? FOUND_US
                                                          : NOT_FOUND_US);
    for (struct list *node = list_first(&entry->askers); node != NULL;
         node = list_first(&entry->askers)) {
        struct asker *asker = CONTAINER_OF(node, struct asker, node);
        list_remove(node);
        answer_known(secrets, entry, asker->worker, asker->handle);
        free(asker);
    }
    bool is_present = entry->snapshot == secrets->worker->snapshot;
    snapshot_unref(entry->snapshot);
    entry->snapshot = NULL;
    list_remove(&entry->order);
    list_push_back(&secrets->known, &entry->order);
    if (!is_present) {
        free_entry(secrets, entry);
    }
}

static void free_job(struct job *job)
{
    list_remove(&job->node);
    snapshot_unref(job->snapshot);
    crypto_wipe(job->results, sizeof(job->results));
    free(job);
}

/* Tells what the job has found; frees it. A status other than 0: it did not run. */
static void end_job(struct job *job, int status)
{
    struct secrets *secrets = job->secrets;
    secrets->worker->jobs--;
    secrets->running_count--;
    if (secrets->worker->stopping) {
        free_job(job);
        return;
    }
    for (uint32_t i = 0; i < job->count; i++) {
        if (status != 0) {
            job->results[i].code = ERR_INTERNAL;
        }
        settle(job, job->entries[i], &job->results[i]);
    }
    free_job(job);
}

static uint32_t running_for(const struct secrets *secrets, const char *database)
{
    uint32_t count = 0;
    LIST_EACH (&secrets->running, node) {
        const struct job *job = CONTAINER_OF(node, struct job, node);
        count += strcmp(job->source.login.database, database) == 0;
    }
    return count;
}

/* Takes the queue's entries that go over the same connection into the job. */
static void fill_job(struct secrets *secrets, struct job *job, const struct entry *first)
{
    const char *name = first->database;
    LIST_EACH (&secrets->queue, node) {
        struct entry *entry = CONTAINER_OF(node, struct entry, order);
        if (job->count < LOOKUP_BATCH_MAX && entry->snapshot == job->snapshot &&
            strcmp(entry->database, name) == 0) {
            list_remove(node);
            entry->state = ENTRY_ASKED;
            job->users[job->count] = entry->user;
            job->entries[job->count++] = entry;
        }
    }
}

static void pump(struct secrets *secrets);

static void on_looked_up(uv_work_t *request, int status)
{
    struct job *job = request->data;
    struct secrets *secrets = job->secrets;
    end_job(job, status);
    if (!secrets->worker->stopping) {
        pump(secrets);
    }
}

/* False when memory is out: the entries stay queued for the next pump. */
static bool start_job(struct secrets *secrets, const struct entry *first)
{
    struct job *job = calloc(1, sizeof(*job));
    if (job == NULL) {
        return false;
    }
    const struct options *options = first->snapshot->options;
    const struct database_options *database = options_find_database(options, first->database);
    job->secrets = secrets;
    job->request.data = job;
    job->snapshot = snapshot_ref(first->snapshot);
    job->source.query = options->auth.query;
    choose_login(options, database, first->database, job);
    list_push_back(&secrets->running, &job->node);
    fill_job(secrets, job, first);
    secrets->running_count++;
    secrets->worker->jobs++;
    if (uv_queue_work(&secrets->worker->loop, &job->request, look_up, on_looked_up) != 0) {
        end_job(job, UV_ENOMEM);
    }
    return true;
}

/* Starts what may start, in the order of asking. */
static void pump(struct secrets *secrets)
{
    bool started = true;
    while (started && secrets->running_count < LOOKUPS_MAX) {
        started = false;
        LIST_EACH (&secrets->queue, node) {
            struct entry *entry = CONTAINER_OF(node, struct entry, order);
            if (running_for(secrets, entry->database) < LOOKUPS_PER_DATABASE_MAX) {
                started = start_job(secrets, entry); /* changes the queue: begin again */
                break;
            }
        }
    }
}

/* --- the door -------------------------------------------------------------------------------- */

struct secrets *secrets_new(struct worker *worker, uint64_t hash_key)
{
    struct secrets *secrets = calloc(1, sizeof(*secrets));
    if (secrets != NULL) {
        secrets->worker = worker;
        secrets->hash_key = hash_key;
        map_init(&secrets->entries);
        list_init(&secrets->known);
        list_init(&secrets->queue);
        list_init(&secrets->running);
    }
    return secrets;
}

void secrets_free(struct secrets *secrets)
{
    if (secrets == NULL) {
        return;
    }
    for (struct map_node *node = map_any(&secrets->entries); node != NULL;
         node = map_any(&secrets->entries)) {
        free_entry(secrets, CONTAINER_OF(node, struct entry, node));
    }
    map_fini(&secrets->entries);
    free(secrets);
}

void secrets_forget_one(struct secrets *secrets, const char *database, const char *user)
{
    struct entry *entry = find(secrets, database, user);
    if (entry != NULL && entry->state == ENTRY_KNOWN) {
        free_entry(secrets, entry);
    }
}

void secrets_forget(struct secrets *secrets)
{
    for (struct list *node = list_first(&secrets->known); node != NULL;
         node = list_first(&secrets->known)) {
        free_entry(secrets, CONTAINER_OF(node, struct entry, order));
    }
}

void secrets_ask(struct secrets *secrets, struct snapshot *snapshot, const char *database,
                 const char *user, uint32_t asker_worker, struct handle handle)
{
    const struct options *options = snapshot->options;
    const struct database_options *found = options_find_database(options, database);
    if (found == NULL || found->server_count == 0) {
        send_failure(secrets, asker_worker, handle, ERR_NO_DATABASE, "no such database");
        return;
    }
    const char *password = own_password(secrets, found, user);
    if (options->auth.query == NULL && password != NULL) {
        char *copy = strdup(password);
        const struct secret_copy answer = {
            .code = copy != NULL ? 0 : ERR_NO_MEMORY, .found = copy != NULL, .secret = copy};
        send_answer(secrets, asker_worker, handle, &answer);
        wipe_text(copy);
        return;
    }
    struct entry *entry = find(secrets, database, user);
    if (entry != NULL && entry->state == ENTRY_KNOWN &&
        entry->expires_us <= worker_now_us(secrets->worker)) {
        free_entry(secrets, entry);
        entry = NULL;
    }
    if (entry != NULL && entry->state == ENTRY_KNOWN) {
        answer_known(secrets, entry, asker_worker, handle);
        return;
    }
    if (entry == NULL) {
        entry = add_entry(secrets, snapshot, database, user);
    }
    struct asker *asker = calloc(1, sizeof(*asker));
    if (entry == NULL || asker == NULL) {
        free(asker);
        send_failure(secrets, asker_worker, handle, ERR_NO_MEMORY, "out of memory");
        return;
    }
    *asker = (struct asker){.worker = asker_worker, .handle = handle};
    list_push_back(&entry->askers, &asker->node);
    pump(secrets);
}
