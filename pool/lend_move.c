#include "pool/lend_move.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "pool/account.h"
#include "pool/admin.h"
#include "pool/cancel.h"
#include "pool/core.h"
#include "pool/follow.h"
#include "pool/hold.h"
#include "pool/lend.h"
#include "pool/link.h"
#include "pool/pid_hold.h"
#include "pool/pool.h"
#include "pool/vacate.h"

/* What of a moving link belonged to the stores of the engine that it leaves. */
struct lent_statement {
    uint64_t name_id, reading;
    uint32_t catalog;
    uint32_t body_bytes;
    uint8_t *body;
};

struct lent {
    struct setting *settings, *baseline; /* the texts are copies */
    uint32_t setting_count, baseline_count;
    struct lent_statement *statements; /* the least recently used first */
    uint32_t statement_count;
};

/* --- letters ---------------------------------------------------------------------------------- */

struct letter *letter_new(enum letter_kind kind, uint32_t worker, const char *database,
                          const char *user)
{
    struct letter *letter = calloc(1, sizeof(*letter));
    if (letter == NULL) {
        return NULL;
    }
    letter->kind = kind;
    letter->worker = worker;
    letter->database = database == NULL ? NULL : strdup(database);
    letter->user = user == NULL ? NULL : strdup(user);
    if ((database != NULL && letter->database == NULL) || (user != NULL && letter->user == NULL)) {
        letter_free(letter);
        return NULL;
    }
    return letter;
}

struct letter *letter_about(enum letter_kind kind, uint32_t worker, const struct account *account)
{
    struct letter *letter = letter_new(kind, worker, account->first, account->second);
    if (letter != NULL) {
        letter->pool_target = account->target;
    }
    return letter;
}

static void free_settings(struct setting *items, uint32_t count)
{
    for (uint32_t i = 0; items != NULL && i < count; i++) {
        free((char *)(uintptr_t)items[i].name);
        free((char *)(uintptr_t)items[i].value);
    }
    free(items);
}

static void lent_free(struct lent *lent)
{
    if (lent == NULL) {
        return;
    }
    free_settings(lent->settings, lent->setting_count);
    free_settings(lent->baseline, lent->baseline_count);
    for (uint32_t i = 0; lent->statements != NULL && i < lent->statement_count; i++) {
        free(lent->statements[i].body);
    }
    free(lent->statements);
    free(lent);
}

void letter_free(struct letter *letter)
{
    if (letter == NULL) {
        return;
    }
    free(letter->database);
    free(letter->user);
    lent_free(letter->lent);
    if (letter->link != NULL) {
        due_fini(&letter->link->due);
        heal_free(&letter->link->heal);
        free(letter->link);
    }
    admin_task_free(letter->task);
    free(letter);
}

static struct action *post(struct engine *engine, uint32_t to, enum action_kind kind,
                           struct letter *letter)
{
    struct action *action = letter == NULL ? NULL : engine_action(engine, kind);
    if (action == NULL) {
        letter_free(letter);
        return NULL;
    }
    letter->sender = engine->worker;
    action->worker = to;
    action->letter = letter;
    return action;
}

void lend_post(struct engine *engine, uint32_t to, struct pool *pool, enum letter_kind kind,
               uint32_t about_worker)
{
    post(engine, to, ACTION_MAIL, letter_about(kind, about_worker, pool->account));
}

void lend_post_about(struct engine *engine, uint32_t to, struct pool *pool, enum letter_kind kind,
                     uint32_t about_worker)
{
    if (to == engine->worker) {
        struct letter letter = {.kind = kind, .worker = about_worker, .sender = engine->worker};
        lend_letter_for_pool(engine, pool, &letter);
        return;
    }
    lend_post(engine, to, pool, kind, about_worker);
}

void letter_post(struct engine *engine, uint32_t to, struct letter *letter)
{
    post(engine, to, ACTION_MAIL, letter);
}

void lend_letter(struct engine *engine, struct letter *letter)
{
    int code;
    if (letter->kind == LETTER_CANCEL) {
        cancel_letter(engine, letter);
    } else if (letter->kind == LETTER_CANCELED) {
        cancel_done(engine, engine->worker, letter->requester);
    } else if (letter->kind == LETTER_VACATE) {
        vacate_letter(engine, letter);
    } else if (letter->kind == LETTER_PID_ASK || letter->kind == LETTER_PID_ANSWER ||
               letter->kind == LETTER_PID_END) {
        pid_hold_letter(engine, letter);
    } else if (letter->kind == LETTER_ADMIN) {
        admin_letter(engine, letter);
        return;
    } else {
        struct pool *pool =
            pool_get(engine, letter->database, letter->user, letter->pool_target, &code);
        if (pool != NULL) {
            lend_letter_for_pool(engine, pool, letter);
        }
    }
    letter_free(letter);
}

/* --- moving a link ---------------------------------------------------------------------------- */

static struct setting *copy_settings(const struct settings *settings, uint32_t *ret_count)
{
    struct setting *items = calloc(settings->count + 1, sizeof(*items));
    *ret_count = 0;
    for (uint32_t i = 0; items != NULL && i < settings->count; i++) {
        items[i].name = strdup(settings->items[i].name);
        items[i].value = strdup(settings->items[i].value);
        *ret_count = i + 1;
        if (items[i].name == NULL || items[i].value == NULL) {
            free_settings(items, *ret_count);
            return NULL;
        }
    }
    return items;
}

static bool copy_statements(struct lent *lent, const struct link *link)
{
    lent->statements = calloc(link->statements.by_id.count + 1, sizeof(*lent->statements));
    if (lent->statements == NULL) {
        return false;
    }
    for (struct list *node = link->statements.recent.prev; node != &link->statements.recent;
         node = node->prev) {
        struct link_statement *entry = CONTAINER_OF(node, struct link_statement, recent);
        uint8_t *body = malloc(entry->statement->body_bytes);
        if (body == NULL) {
            return false;
        }
        memcpy(body, entry->statement->body, entry->statement->body_bytes);
        lent->statements[lent->statement_count++] =
            (struct lent_statement){.name_id = entry->name_id,
                                    .reading = entry->statement->reading,
                                    .catalog = entry->catalog,
                                    .body_bytes = entry->statement->body_bytes,
                                    .body = body};
    }
    return true;
}

static struct lent *lent_new(const struct link *link)
{
    struct lent *lent = calloc(1, sizeof(*lent));
    if (lent == NULL) {
        return NULL;
    }
    lent->settings = copy_settings(link->settings, &lent->setting_count);
    lent->baseline = copy_settings(link->baseline, &lent->baseline_count);
    if (lent->settings == NULL || lent->baseline == NULL || !copy_statements(lent, link)) {
        lent_free(lent);
        return NULL;
    }
    return lent;
}

/* The socket's handle lives on as a ghost until the shell has let go of it. */
static bool leave_ghost(struct engine *engine, struct conn *conn)
{
    struct conn *ghost = calloc(1, sizeof(*ghost));
    if (ghost == NULL) {
        return false;
    }
    ghost->kind = CONN_GHOST;
    ghost->closing = true;
    ghost->handle = conn->handle;
    list_init(&ghost->dirty);
    list_remove(&conn->dirty);
    conn->todo = 0;
    timer_disarm(&engine->timers, &conn->timer);
    engine->connections.slots[conn->handle.slot].object = ghost;
    return true;
}

bool lend_move_out(struct engine *engine, struct pool *pool, uint32_t to)
{
    struct letter *letter = letter_about(LETTER_LINK, to, pool->account);
    struct link *link = lend_take_idle(engine, pool);
    struct lent *lent = link == NULL ? NULL : lent_new(link);
    struct handle handle = link == NULL ? (struct handle){0} : link->conn.handle;
    if (letter == NULL || lent == NULL || !leave_ghost(engine, &link->conn)) {
        letter_free(letter);
        lent_free(lent);
        if (link != NULL) {
            link_ready(engine, link);
        }
        return false;
    }
    ASSERT(link_may_release(link));
    link_statements_clear(&engine->statements, &link->statements);
    link_unnamed_unknown(engine, link);
    settings_unref(&engine->settings, link->settings);
    settings_unref(&engine->settings, link->baseline);
    link->settings = link->baseline = NULL;
    link->pool = NULL;
    engine->link_count--;
    letter->link = link;
    letter->lent = lent;
    struct action *action = post(engine, to, ACTION_LEND_OUT, letter);
    if (action != NULL) {
        action->handle = handle;
    }
    return action != NULL;
}

static bool take_lent(struct engine *engine, struct link *link, const struct lent *lent)
{
    link->settings = settings_intern(&engine->settings, lent->settings, lent->setting_count);
    link->baseline = settings_intern(&engine->settings, lent->baseline, lent->baseline_count);
    if (link->settings == NULL || link->baseline == NULL) {
        return false;
    }
    link_statements_init(&link->statements);
    for (uint32_t i = 0; i < lent->statement_count; i++) {
        const struct lent_statement *row = &lent->statements[i];
        struct statement *statement =
            statement_intern(&engine->statements, row->reading, row->body, row->body_bytes);
        if (statement == NULL ||
            link_statement_add(&link->statements, statement, row->name_id, row->catalog) == NULL) {
            statement_unref(&engine->statements, statement);
            return false;
        }
        statement_unref(&engine->statements, statement);
    }
    return true;
}

int engine_adopt(struct engine *engine, struct letter *letter, uint64_t now_us,
                 struct handle *ret_handle)
{
    int code = 0;
    struct link *link = letter->link;
    engine->now_us = now_us;
    struct pool *pool =
        pool_get(engine, letter->database, letter->user, letter->pool_target, &code);
    if (pool == NULL || conn_init(engine, &link->conn, CONN_LINK) != 0) {
        letter_free(letter);
        return code == 0 ? ERR_NO_MEMORY : code;
    }
    letter->link = NULL;
    engine->link_count++;
    link->pool = pool;
    list_init(&link->in_pool);
    list_push_back(&pool->busy, &link->in_pool);
    pool->busy_count++;
    link->state = LINK_LENT;
    bool whole = take_lent(engine, link, letter->lent);
    *ret_handle = link->conn.handle;
    letter_free(letter);
    link->granted = true;
    follow_compare(link);
    if (link->term == pool->term) {
        hold_let_in(pool); /* from elsewhere */
    }
    if (whole) {
        link_ready(engine, link);
    } else {
        link_fail(engine, link, ERR_NO_MEMORY, NULL);
    }
    engine_run_resumable(engine);
    return 0;
}
