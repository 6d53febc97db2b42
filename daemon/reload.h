/* Reading the configuration again, in the thread pool: a new snapshot, or the reasons why not.
 *
 * All or nothing: file, users, hba and every certificate must be good, and nothing may ask for what
 * only a restart can change. One reload runs at a time; who asks meanwhile gets one more after it,
 * for the file may have changed since it was read.
 */
#ifndef DAEMON_RELOAD_H
#define DAEMON_RELOAD_H

#include "base/handle.h"
#include "config/config.h"

struct log;
struct reload;
struct server;
struct snapshot;
struct worker;

/* An administrator's session that waits for the outcome. */
struct reload_asker {
    uint32_t worker;
    struct handle handle;
};

struct reload_setup {
    struct worker *worker; /* on whose loop it comes back */
    struct server *server;
    struct log *log;
    const struct config_sources *sources;
    void *argument; /* of the three below */
    struct snapshot *(*current)(void *argument);
    void (*started)(void *argument);
    /* A new snapshot, whose one reference is the callee's, or NULL: refused, and logged. */
    void (*done)(void *argument, struct snapshot *snapshot);
};

struct reload *reload_new(const struct reload_setup *setup);
void reload_free(struct reload *reload);

/* Reloads now or after the one under way; `asker` may be NULL, and is told by MESSAGE_RELOADED.
 * `setting` is NULL, or "key=value" as --set takes it (copied): laid over the sources and over what
 * was set before. A reload without one drops what was set. */
void reload_ask(struct reload *reload, const struct reload_asker *asker, const char *setting);

#endif
