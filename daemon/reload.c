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
    bool has_asker;
    struct reload_asker asker;
    char *setting; /* NULL: the sources alone */
};

struct reload {
    struct reload_setup setup;
    uv_work_t request;
    bool running;
    struct list waiting, next_waiting; /* for the one under way; for those after it */
    char **settings; /* what was set since the last reload from the sources alone */
    size_t setting_count;
    const char *new_setting;           /* of the one under way; its waiter's */
    struct config_override *overrides; /* of the one under way: the sources' and the settings */
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

static void free_waiter(struct waiter *waiter)
{
    free(waiter->setting);
    free(waiter);
}

static void drop_settings(struct reload *reload)
{
    for (size_t i = 0; i < reload->setting_count; i++) {
        free(reload->settings[i]);
    }
    free(reload->settings);
    reload->settings = NULL;
    reload->setting_count = 0;
}

void reload_free(struct reload *reload)
{
    if (reload == NULL) {
        return;
    }
    list_splice_back(&reload->waiting, &reload->next_waiting);
    for (struct waiter *waiter = take_waiter(&reload->waiting); waiter != NULL;
         waiter = take_waiter(&reload->waiting)) {
        free_waiter(waiter);
    }
    drop_settings(reload);
    free(reload->overrides);
    snapshot_unref(reload->after);
    snapshot_unref(reload->before);
    free(reload->why_not);
    free(reload);
}

/* The sources with the settings laid over them; false when memory is out. */
static bool lay_over(struct reload *reload, struct config_sources *ret_sources)
{
    const struct config_sources *sources = reload->setup.sources;
    size_t count = sources->override_count;
    free(reload->overrides);
    reload->overrides = calloc(count + reload->setting_count + 1, sizeof(*reload->overrides));
    if (reload->overrides == NULL) {
        return false;
    }
    *ret_sources = *sources;
    if (count > 0) {
        memcpy(reload->overrides, sources->overrides, count * sizeof(*reload->overrides));
    }
    if (reload->new_setting != NULL) {
        for (size_t i = 0; i < reload->setting_count; i++) {
            reload->overrides[count++] = (struct config_override){CONFIG_SET, reload->settings[i]};
        }
        reload->overrides[count++] = (struct config_override){CONFIG_SET, reload->new_setting};
    }
    ret_sources->overrides = reload->overrides;
    ret_sources->override_count = count;
    return true;
}

/* In the thread pool: touches nothing but the files and its own fields. */
static void load(uv_work_t *request)
{
    struct reload *reload = request->data;
    struct options *options = NULL;
    struct config_errors errors;
    char text[SNAPSHOT_ERROR_BYTES];
    struct config_sources sources;
    if (!lay_over(reload, &sources)) {
        return;
    }
    config_errors_init(&errors);
    int code = config_load(&sources, &options, &errors);
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

/* What was accepted counts for later settings, too; a newer value of the same key replaces it. */
static void keep_setting(struct reload *reload)
{
    if (reload->new_setting == NULL) {
        drop_settings(reload);
        return;
    }
    size_t key_bytes = strcspn(reload->new_setting, "=") + 1;
    char *copy = strdup(reload->new_setting);
    for (size_t i = 0; copy != NULL && i < reload->setting_count; i++) {
        if (strncmp(reload->settings[i], copy, key_bytes) == 0) {
            free(reload->settings[i]);
            reload->settings[i] = copy;
            return;
        }
    }
    char **grown = realloc(reload->settings, (reload->setting_count + 1) * sizeof(*grown));
    if (copy == NULL || grown == NULL) {
        reload->settings = grown != NULL ? grown : reload->settings;
        free(copy);
        return;
    }
    reload->settings = grown;
    reload->settings[reload->setting_count++] = copy;
}

static void tell_waiter(struct reload *reload, struct waiter *waiter, bool refused)
{
    struct worker *worker = reload->setup.worker;
    struct message message = {.kind = MESSAGE_RELOADED, .handle = waiter->asker.handle};
    if (refused) {
        const char *why = reload->why_not != NULL ? reload->why_not : error_message(ERR_NO_MEMORY);
        message.why_not = strdup(why);
    }
    if (waiter->has_asker) {
        worker_post(worker, server_worker(reload->setup.server, waiter->asker.worker), &message);
    } else {
        free(message.why_not);
    }
}

/* Tells what has become of the reload under way. A status other than 0: it did not run. */
static void finish(struct reload *reload, int status)
{
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
        keep_setting(reload);
    }
    reload->setup.done(reload->setup.argument, after);
    for (struct waiter *waiter = take_waiter(&reload->waiting); waiter != NULL;
         waiter = take_waiter(&reload->waiting)) {
        tell_waiter(reload, waiter, refused);
        free_waiter(waiter);
    }
    reload->new_setting = NULL;
    free(reload->why_not);
    reload->why_not = NULL;
    snapshot_unref(reload->before);
    reload->before = NULL;
}

/* Who is served by the next one: a setting alone, or all reloads up to the next setting. */
static void choose(struct reload *reload)
{
    struct waiter *waiter = take_waiter(&reload->next_waiting);
    list_push_back(&reload->waiting, &waiter->node);
    reload->new_setting = waiter->setting;
    while (waiter->setting == NULL && !list_empty(&reload->next_waiting)) {
        struct list *node = list_first(&reload->next_waiting);
        if (CONTAINER_OF(node, struct waiter, node)->setting != NULL) {
            return;
        }
        list_remove(node);
        list_push_back(&reload->waiting, node);
    }
}

static bool more_wait(const struct reload *reload)
{
    return !list_empty(&reload->next_waiting) && !reload->setup.worker->stopping;
}

static void start(struct reload *reload);

static void on_loaded(uv_work_t *request, int status)
{
    struct reload *reload = request->data;
    finish(reload, status);
    if (more_wait(reload)) {
        start(reload);
    }
}

static void start(struct reload *reload)
{
    struct worker *worker = reload->setup.worker;
    int code;
    do {
        choose(reload);
        reload->setup.started(reload->setup.argument);
        reload->before = snapshot_ref(reload->setup.current(reload->setup.argument));
        reload->running = true;
        worker->jobs++;
        code = uv_queue_work(&worker->loop, &reload->request, load, on_loaded);
        if (code != 0) {
            finish(reload, code);
        }
    } while (code != 0 && more_wait(reload));
}

void reload_ask(struct reload *reload, const struct reload_asker *asker, const char *setting)
{
    struct waiter *waiter = calloc(1, sizeof(*waiter));
    char *copy = setting == NULL ? NULL : strdup(setting);
    if (waiter == NULL || (setting != NULL && copy == NULL)) {
        log_line(reload->setup.log, LOG_ERROR, LOG_NO_WORKER, "out of memory: no reload");
        free(waiter);
        free(copy);
        return;
    }
    waiter->setting = copy;
    waiter->has_asker = asker != NULL;
    if (asker != NULL) {
        waiter->asker = *asker;
    }
    list_push_back(&reload->next_waiting, &waiter->node);
    if (!reload->running) {
        start(reload);
    }
}
