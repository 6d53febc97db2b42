/* A link's remembered state is proven, not assumed: while nothing is under way on a link its
 * settings are those of its backend; an idle one has nothing there that a next client could find;
 * and a session is pinned to one exactly as long as the server has a reason. */
#include "tests/sim/check.h"

#include <string.h>
#include <strings.h>

#include "pool/core.h"
#include "pool/link.h"
#include "pool/listen.h"
#include "pool/pool.h"
#include "pool/session.h"
#include "pool/settings.h"
#include "pool/state.h"
#include "tests/sim/pg.h"
#include "tests/sim/server.h"
#include "tests/sim/shell.h"
#include "tests/sim/sim.h"

static void check_settings(struct sim *sim, const struct link *link, const struct pg *pg)
{
    for (uint32_t i = 0; i < PG_SERVER_COUNT; i++) {
        const char *name = pg_parameter_names[i], *truth = pg->now.values[i].current;
        const char *known = settings_get(link->settings, name);
        if (i == PG_CUSTOM) {
            truth = pg->has_custom ? truth : NULL;
        } else if (known == NULL) {
            known = pg->start[i];
        }
        bool same = truth == known || (truth != NULL && known != NULL && strcmp(truth, known) == 0);
        if (!same) {
            sim_fail(sim, "LINK: backend %u has %s = \"%s\", its link believes \"%s\"", pg->pid,
                     name, truth == NULL ? "(none)" : truth, known == NULL ? "(none)" : known);
        }
    }
}

static void check_idle(struct sim *sim, const struct link *link)
{
    const struct pg *pg = server_quiet_backend(sim->server, link->backend_pid);
    if (pg == NULL || link->conn.closing || sim->swarm.pool.mode == POOL_SESSION) {
        return;
    }
    check_settings(sim, link, pg);
    if (pg->status != 'I' || pg->now.temp[0] != '\0' || pg_has_cursor(pg, false) ||
        pg_has_lock(pg) || pg_listens(pg, NULL) || pg_has_sql_statement(pg)) {
        sim_fail(sim, "LINK: backend %u is idle and has status %c%s%s%s%s%s", pg->pid, pg->status,
                 pg->now.temp[0] != '\0' ? ", a temporary table" : "",
                 pg_has_cursor(pg, false) ? ", a cursor" : "", pg_has_lock(pg) ? ", a lock" : "",
                 pg_listens(pg, NULL) ? ", a channel" : "",
                 pg_has_sql_statement(pg) ? ", a statement" : "");
    }
}

static void check_pins(struct sim *sim, const struct link *link, const struct session *owner,
                       const struct pg *pg)
{
    const struct {
        uint32_t pin;
        bool there;
        const char *what;
    } pins[] = {{PIN_TEMP, pg->now.temp[0] != '\0', "a temporary table"},
                {PIN_ADVISORY, pg_has_lock(pg), "an advisory lock"},
                {PIN_HOLD, pg_has_cursor(pg, true), "a cursor"},
                {PIN_PREPARE, pg_has_sql_statement(pg), "a statement"},
                {PIN_LISTEN, pg_listens(pg, NULL), "a channel"}};
    for (size_t i = 0; i < sizeof(pins) / sizeof(pins[0]); i++) {
        bool pinned = (owner->pins & (pins[i].pin | PIN_UNKNOWN)) != 0;
        if (pins[i].there ? !pinned : (owner->pins & pins[i].pin) != 0) {
            sim_fail(sim, "PIN: backend %u %s %s, its session is %spinned for it", pg->pid,
                     pins[i].there ? "has" : "has not", pins[i].what, pins[i].there ? "not " : "");
        }
    }
    /* The question itself may be canceled. */
    if ((owner->pins & PIN_UNKNOWN) != 0 && !swarm_server_fails(&sim->swarm) &&
        !sim->swarm.late_cancels) {
        sim_fail(sim, "PIN: backend %u: its session is pinned, since no answer was understood",
                 pg->pid);
    }
    (void)link;
}

/* A session at rest that keeps its link. */
static void check_kept(struct sim *sim, const struct link *link)
{
    const struct session *owner = link->owner;
    if (link->state != LINK_LENT || owner == NULL || link->hub != NULL || link->conn.closing ||
        !link->used || owner->owns_link || link->status != 'I' || !due_empty(&link->due) ||
        link->question != NULL || link->setup || link->unsynced || owner->touched != 0 ||
        owner->set_alone != NULL || owner->ready_held || owner->conn.held_len > 0 ||
        owner->body_left > 0 || link->conn.tx.bytes > 0 || owner->state != SESSION_READY ||
        owner->restores != NULL || link->listens || listen_waits(owner)) {
        return;
    }
    const struct pg *pg = server_quiet_backend(sim->server, link->backend_pid);
    if (pg != NULL) {
        check_settings(sim, link, pg);
        check_pins(sim, link, owner, pg);
    }
}

void check_links(struct sim *sim, struct shell *shell)
{
    LIST_EACH (&shell->engine->pool_list, node) {
        const struct pool *pool = CONTAINER_OF(node, struct pool, listed);
        LIST_EACH (&pool->idle, at) {
            check_idle(sim, CONTAINER_OF(at, struct link, in_pool));
        }
        LIST_EACH (&pool->busy, at) {
            check_kept(sim, CONTAINER_OF(at, struct link, in_pool));
        }
    }
}
