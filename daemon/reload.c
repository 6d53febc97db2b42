#include "daemon/reload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/error.h"
#include "base/list.h"
#include "daemon/log.h"
#include "daemon/process.h"
#include "daemon/server.h"
#include "daemon/snapshot.h"
#include "daemon/worker.h"

struct waiter {
    struct list node;
    struct reload_asker asker;
};

struct reload {
    struct reload_setup setup;
    uv_work_t request;
    bool running;
    bool again;
    struct list waiting, next_waiting; /* for the one under way; for the one after it */
    struct snapshot *before;           /* held while running */
    struct snapshot *after;            /* what the thread has made; NULL: refused */
    char *why_not;                     /* lines; NULL with `after` NULL: memory is out */
};

struct reload *reload_new(const struct reload_setup *setup)
{
    struct reload *reload = calloc(1, sizeof(*reload));
    if (reload != NULL) {
        reload->setup = *setup;
        reload->request.data = reload;
        list_init(&reload->waiting);
        list_init(&reload->next_waiting);
    }
    return reload;
}

static struct waiter *take_waiter(struct list *waiters)
{
    struct list *node = list_first(waiters);
    if (node == NULL) {
        return NULL;
    }
    list_remove(node);
    return CONTAINER_OF(node, struct waiter, node);
}

void reload_free(struct reload *reload)
{
    if (reload == NULL) {
        return;
    }
    list_splice_back(&reload->waiting, &reload->next_waiting);
    for (struct waiter *waiter = take_waiter(&reload->waiting); waiter != NULL;
         waiter = take_waiter(&reload->waiting)) {
        free(waiter);
    }
    snapshot_unref(reload->after);
    snapshot_unref(reload->before);
    free(reload->why_not);
    free(reload);
}

/* In the thread pool: touches nothing but the files and its own fields. */
static void load(uv_work_t *request)
{
    struct reload *reload = request->data;
    struct options *options = NULL;
    struct config_errors errors;
    char text[SNAPSHOT_ERROR_BYTES];
    config_errors_init(&errors);
    int code = config_load(reload->setup.sources, &options, &errors);
    if (code != 0) {
        size_t bytes;
        FILE *lines = open_memstream(&reload->why_not, &bytes);
        if (lines != NULL) {
            config_errors_write(&errors, lines);
            fclose(lines);
        }
        config_errors_fini(&errors);
        return;
    }
    config_errors_fini(&errors);
    const char *fixed = config_fixed_change(reload->before->options, options);
    if (fixed != NULL) {
        snprintf(text, sizeof(text), "%s can only be changed by a restart", fixed);
        reload->why_not = strdup(text);
        options_unref(options);
        return;
    }
    options->generation = reload->before->options->generation + 1;
    process_fit_clients(options, reload->setup.log);
    if (snapshot_new(options, &reload->after, text) != 0) {
        reload->after = NULL;
        reload->why_not = strdup(text);
    }
}

static void log_refusal(const struct reload *reload)
{
    struct log *log = reload->setup.log;
    const char *line = reload->why_not;
    log_line(log, LOG_ERROR, LOG_NO_WORKER,
             "the reload was refused and has changed nothing, because:");
    while (line != NULL && *line != '\0') {
        size_t length = strcspn(line, "\n");
        log_line(log, LOG_ERROR, LOG_NO_WORKER, "  %.*s", (int)length, line);
        line += length + (line[length] == '\n' ? 1 : 0);
    }
}

static void start(struct reload *reload);

static void on_loaded(uv_work_t *request, int status)
{
    struct reload *reload = request->data;
    struct worker *worker = reload->setup.worker;
    struct snapshot *after = reload->after;
    bool refused = after == NULL || status != 0;
    worker->jobs--;
    reload->running = false;
    reload->after = NULL;
    if (worker->stopping) {
        snapshot_unref(after);
        return;
    }
    if (refused) {
        log_refusal(reload);
    } else {
        log_line(reload->setup.log, LOG_NOTICE, LOG_NO_WORKER, "the configuration was reloaded");
    }
    reload->setup.done(reload->setup.argument, after);
    for (struct waiter *waiter = take_waiter(&reload->waiting); waiter != NULL;
         waiter = take_waiter(&reload->waiting)) {
        struct message message = {.kind = MESSAGE_RELOADED, .handle = waiter->asker.handle};
        if (refused) {
            const char *why =
                reload->why_not != NULL ? reload->why_not : error_message(ERR_NO_MEMORY);
            message.why_not = strdup(why);
        }
        worker_post(worker, server_worker(reload->setup.server, waiter->asker.worker), &message);
        free(waiter);
    }
    free(reload->why_not);
    reload->why_not = NULL;
    snapshot_unref(reload->before);
    reload->before = NULL;
    if (reload->again) {
        reload->again = false;
        list_splice_back(&reload->waiting, &reload->next_waiting);
        start(reload);
    }
}

static void start(struct reload *reload)
{
    struct worker *worker = reload->setup.worker;
    reload->setup.started(reload->setup.argument);
    reload->before = snapshot_ref(reload->setup.current(reload->setup.argument));
    reload->running = true;
    worker->jobs++;
    if (uv_queue_work(&worker->loop, &reload->request, load, on_loaded) != 0) {
        on_loaded(&reload->request, UV_ENOMEM);
    }
}

void reload_ask(struct reload *reload, const struct reload_asker *asker)
{
    struct waiter *waiter = asker != NULL ? calloc(1, sizeof(*waiter)) : NULL;
    if (waiter != NULL) {
        waiter->asker = *asker;
        list_push_back(reload->running ? &reload->next_waiting : &reload->waiting, &waiter->node);
    }
    if (reload->running) {
        reload->again = true;
    } else {
        start(reload);
    }
}
