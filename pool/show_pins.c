/* SHOW PINS: who keeps a server connection between transactions. */
#include "pool/admin_task.h"
#include "pool/cancel.h"
#include "pool/core.h"
#include "pool/link.h"
#include "pool/pool.h"
#include "pool/session.h"
#include "pool/show.h"
#include "pool/state.h"

struct reason {
    const char *name, *why, *avoid;
};

static const struct reason reasons[] = {
#define PIN(name, text, avoid) {#name, text, avoid},
#include "pool/pins.def"
#undef PIN
};

/* A Parse that is too large to be stored is no pin that the server could be asked about. */
static const struct reason large = {"LARGE",
                                    "a statement of more than 1 MiB, prepared by the protocol",
                                    "make it shorter, or close it by a new unnamed one"};

static void add_pin(struct engine *engine, struct admin_table *table, const struct session *session,
                    const struct reason *reason)
{
    char address[SHOW_ADDRESS_BYTES], since[SHOW_TIME_BYTES];
    const char *name = settings_get(session->settings, "application_name");
    show_format_address(&session->origin, address);
    show_format_time(engine, session->pinned_us, since);
    admin_table_number(table, cancel_virtual_pid(engine->worker, session->conn.handle));
    admin_table_text(table, session->pool->name);
    admin_table_text(table, session->pool->user);
    admin_table_text(table, address);
    admin_table_number(table, session->origin.port);
    admin_table_text(table, name == NULL ? "" : name);
    admin_table_number(table, session->link->backend_pid);
    admin_table_text(table, reason->name);
    admin_table_text(table, reason->why);
    admin_table_text(table, since);
    admin_table_number(table, (int64_t)((engine->now_us - session->pinned_us) / 1000000));
    admin_table_text(table, reason->avoid);
    admin_table_number(table, engine->worker);
}

static void add_session(struct engine *engine, struct admin_table *table,
                        const struct session *session)
{
    for (uint32_t pin = 0; pin < PIN_COUNT; pin++) {
        if ((session->pins >> pin & 1) != 0) {
            add_pin(engine, table, session, &reasons[pin]);
        }
    }
    if (session->keeps_named || session->keeps_unnamed) {
        add_pin(engine, table, session, &large);
    }
}

void show_pins(struct engine *engine, struct admin_task *task)
{
    for (uint32_t slot = 0; slot < engine->connections.count; slot++) {
        const struct conn *conn = engine->connections.slots[slot].object;
        if (conn == NULL || conn->closing || conn->kind != CONN_CLIENT) {
            continue;
        }
        const struct session *session = (const struct session *)conn;
        if (session->pool != NULL && session->link != NULL && session->pinned_us != 0) {
            add_session(engine, &task->table, session);
        }
    }
}
