/* What else a session of the model has: statements that SQL has prepared, a temporary table,
 * cursors, advisory locks, the sequence's last value, and what it listens to. */
#include <stdio.h>
#include <string.h>

#include "tests/sim/pg.h"

/* --- statements by SQL ------------------------------------------------------------------------ */

const struct pg_statement *pg_executed(struct pg *pg, const struct pg_command *command)
{
    const struct pg_statement *statement = pg_find_statement(pg, command->tag);
    return statement == NULL || statement->command.kind == PG_EXECUTE ? NULL : statement;
}

bool pg_has_changed(const struct pg *pg, const struct pg_statement *statement)
{
    return pg->world != NULL && statement->command.kind == PG_CHANGING &&
           statement->catalog != pg->world->catalog;
}

bool pg_is_outdated(struct pg *pg, const struct pg_statement *statement)
{
    if (!pg_has_changed(pg, statement)) {
        return false;
    }
    pg->routine = "RevalidateCachedQuery";
    pg_error(pg, "0A000", "cached plan must not change result type");
    return true;
}

bool pg_lose_statement(struct pg *pg, uint32_t which)
{
    for (uint32_t i = 0; i < PG_STATEMENTS_MAX; i++) {
        struct pg_statement *statement = &pg->statements[(which + i) % PG_STATEMENTS_MAX];
        if (statement->used && strncmp(statement->name, "howdah_", 7) == 0) {
            statement->used = false;
            return true;
        }
    }
    return false;
}

static bool prepare(struct pg *pg, const struct pg_command *command)
{
    char text[PG_TEXT_BYTES], *at = text;
    struct pg_command prepared;
    snprintf(text, sizeof(text), "%s", command->text);
    if (!pg_parse_next(&at, &prepared) || prepared.kind == PG_SYNTAX_ERROR) {
        pg_error(pg, "42601", "syntax error at or near \"%s\"", command->text);
        return false;
    }
    struct pg_statement *statement = pg_add_statement(pg, command->tag, &prepared);
    if (statement == NULL) {
        return false;
    }
    statement->from_sql = true;
    pg_complete(pg, "PREPARE");
    return true;
}

bool pg_has_sql_statement(const struct pg *pg)
{
    for (uint32_t i = 0; i < PG_STATEMENTS_MAX; i++) {
        const struct pg_statement *statement = &pg->statements[i];
        if (statement->used && statement->from_sql && strncmp(statement->name, "howdah_", 7) != 0) {
            return true;
        }
    }
    return false;
}

/* --- the temporary table ---------------------------------------------------------------------- */

static bool lacks_table(struct pg *pg)
{
    if (pg->now.temp[0] != '\0') {
        return false;
    }
    pg_error(pg, "42P01", "relation \"mine\" does not exist");
    return true;
}

static bool create_temp(struct pg *pg, const struct pg_command *command, const char *tag)
{
    if (pg->now.temp[0] != '\0') {
        pg_error(pg, "42P07", "relation \"mine\" already exists");
        return false;
    }
    snprintf(pg->now.temp, sizeof(pg->now.temp), "%s", tag);
    pg->now.temp_drops = command->flag;
    pg_complete(pg, "SELECT 1");
    return true;
}

static bool select_temp(struct pg *pg)
{
    if (lacks_table(pg)) {
        return false;
    }
    pg_data(pg, 'D', pg->now.temp, 0, 0);
    pg_complete(pg, "SELECT 1");
    return true;
}

static bool drop_temp(struct pg *pg)
{
    if (lacks_table(pg)) {
        return false;
    }
    pg->now.temp[0] = '\0';
    pg->now.temp_drops = false;
    pg_complete(pg, "DROP TABLE");
    return true;
}

/* --- cursors ---------------------------------------------------------------------------------- */

static struct pg_cursor *find_cursor(struct pg *pg, const char *name)
{
    for (uint32_t i = 0; i < PG_CURSORS_MAX; i++) {
        if (strcmp(pg->now.cursors[i].name, name) == 0) {
            return &pg->now.cursors[i];
        }
    }
    return NULL;
}

bool pg_has_cursor(const struct pg *pg, bool hold)
{
    for (uint32_t i = 0; i < PG_CURSORS_MAX; i++) {
        const struct pg_cursor *cursor = &pg->now.cursors[i];
        if (cursor->name[0] != '\0' && (cursor->hold || !hold)) {
            return true;
        }
    }
    return false;
}

static bool declare(struct pg *pg, const struct pg_command *command)
{
    if (find_cursor(pg, command->value) != NULL) {
        pg_error(pg, "42P03", "cursor \"%s\" already exists", command->value);
        return false;
    }
    if (!command->flag && pg->status == 'I') {
        pg_error(pg, "25P01", "DECLARE CURSOR can only be used in transaction blocks");
        return false;
    }
    struct pg_cursor *cursor = find_cursor(pg, "");
    if (cursor == NULL) {
        pg_error(pg, "53200", "the model has no room for more cursors");
        return false;
    }
    *cursor = (struct pg_cursor){.rows = command->rows, .hold = command->flag};
    snprintf(cursor->name, sizeof(cursor->name), "%s", command->value);
    snprintf(cursor->tag, sizeof(cursor->tag), "%s", command->tag);
    pg_complete(pg, "DECLARE CURSOR");
    return true;
}

static bool use_cursor(struct pg *pg, const struct pg_command *command)
{
    struct pg_cursor *cursor = find_cursor(pg, command->value);
    if (cursor == NULL) {
        pg_error(pg, "34000", "cursor \"%s\" does not exist", command->value);
        return false;
    }
    if (command->kind == PG_CLOSE) {
        cursor->name[0] = '\0';
        pg_complete(pg, "CLOSE CURSOR");
        return true;
    }
    uint32_t count = 0;
    for (; count < command->rows && cursor->next < cursor->rows; count++) {
        pg_data(pg, 'D', cursor->tag, cursor->next++, 0);
    }
    pg_complete_rows(pg, "FETCH", count);
    return true;
}

/* --- locks and the sequence ------------------------------------------------------------------- */

bool pg_has_lock(const struct pg *pg)
{
    for (uint32_t i = 0; i < PG_LOCKS && pg->world != NULL; i++) {
        if (pg->world->lock_owners[i] == pg) {
            return true;
        }
    }
    return false;
}

static void release_locks(struct pg *pg)
{
    for (uint32_t i = 0; i < PG_LOCKS && pg->world != NULL; i++) {
        if (pg->world->lock_owners[i] == pg) {
            pg->world->lock_owners[i] = NULL;
            pg->world->lock_counts[i] = 0;
        }
    }
}

static bool lock(struct pg *pg, const struct pg_command *command)
{
    uint32_t key = command->rows;
    struct pg_world *world = pg->world;
    bool takes = command->kind == PG_TRY_LOCK;
    char text[32];
    if (world == NULL) {
        snprintf(text, sizeof(text), "?%s %u", takes ? "lock" : "unlock", key);
        pg_value(pg, text);
    } else if (takes) {
        bool may = world->lock_owners[key] == NULL || world->lock_owners[key] == pg;
        world->lock_owners[key] = may ? pg : world->lock_owners[key];
        world->lock_counts[key] += may;
        pg_value(pg, may ? "t" : "f");
    } else {
        bool has = world->lock_owners[key] == pg;
        world->lock_counts[key] -= has;
        world->lock_owners[key] =
            has && world->lock_counts[key] == 0 ? NULL : world->lock_owners[key];
        pg_value(pg, has ? "t" : "f");
    }
    pg_complete(pg, "SELECT 1");
    return true;
}

static bool use_sequence(struct pg *pg, const struct pg_command *command)
{
    char text[32];
    bool next = command->kind == PG_NEXTVAL;
    if (pg->world != NULL && next) {
        pg->last_value = ++pg->world->sequence;
    } else if (pg->world != NULL && pg->last_value == 0) {
        pg_error(pg, "55000", "currval of sequence \"s\" is not yet defined in this session");
        return false;
    }
    snprintf(text, sizeof(text), "%u", pg->last_value);
    pg_value(pg, pg->world != NULL ? text : next ? "?next" : "?last");
    pg_complete(pg, "SELECT 1");
    return true;
}

/* --- signals ---------------------------------------------------------------------------------- */

static void signal_backend(struct pg *pg, const struct pg_command *command)
{
    struct pg_world *world = pg->world;
    uint32_t pid = command->rows;
    bool known = world != NULL && world->signal(world->object, pg, pid, command->flag);
    if (world != NULL && !known) {
        char text[64];
        snprintf(text, sizeof(text), "PID %u is not a PostgreSQL backend process", pid);
        pg_write_report(pg, 'N', "WARNING", "01000", text);
    }
    pg_value(pg, world == NULL ? "?signal" : known ? "t" : "f");
    pg_complete(pg, "SELECT 1");
}

/* --- LISTEN and NOTIFY ------------------------------------------------------------------------ */

bool pg_listens(const struct pg *pg, const char *channel)
{
    for (uint32_t i = 0; i < PG_CHANNELS_MAX; i++) {
        if (pg->channels[i][0] != '\0' &&
            (channel == NULL || strcmp(pg->channels[i], channel) == 0)) {
            return true;
        }
    }
    return false;
}

static bool pend(struct pg *pg, const struct pg_command *command)
{
    static const char *const tags[] = {"LISTEN", "UNLISTEN", "NOTIFY"};
    if (pg->now.pending_count == PG_PENDING_MAX) {
        pg_error(pg, "53200", "the model has no room for more channels");
        return false;
    }
    struct pg_pending *pending = &pg->pending[pg->now.pending_count++];
    pending->what = command->kind == PG_LISTEN     ? PG_DO_LISTEN
                    : command->kind == PG_UNLISTEN ? PG_DO_UNLISTEN
                                                   : PG_DO_NOTIFY;
    snprintf(pending->channel, sizeof(pending->channel), "%s", command->tag);
    snprintf(pending->payload, sizeof(pending->payload), "%s", command->value);
    pg_complete(pg, tags[pending->what]);
    return true;
}

static void listen_to(struct pg *pg, const char *channel)
{
    for (uint32_t i = 0; i < PG_CHANNELS_MAX && !pg_listens(pg, channel); i++) {
        if (pg->channels[i][0] == '\0') {
            snprintf(pg->channels[i], PG_NAME_BYTES, "%s", channel);
        }
    }
}

static void unlisten(struct pg *pg, const char *channel)
{
    for (uint32_t i = 0; i < PG_CHANNELS_MAX; i++) {
        if (strcmp(channel, "*") == 0 || strcmp(pg->channels[i], channel) == 0) {
            pg->channels[i][0] = '\0';
        }
    }
}

/* A row of the queue is for whoever listens when it is committed; the notifier among them. */
static void notify(struct pg *pg, const struct pg_pending *pending)
{
    struct pg_world *world = pg->world;
    if (world == NULL) {
        return;
    }
    world->noted(world->object, pending->channel, pending->payload);
    for (struct pg *at = world->backends; at != NULL; at = at->next_in_world) {
        if (!pg_listens(at, pending->channel)) {
            continue;
        }
        uint32_t mark = writer_begin(&at->inbox, 'A');
        writer_u32(&at->inbox, pg->pid);
        writer_cstr(&at->inbox, pending->channel);
        writer_cstr(&at->inbox, pending->payload);
        writer_end(&at->inbox, mark);
        world->wake(at);
    }
}

/* PreCommit_Notify, AtCommit_Notify (async.c). */
void pg_commit_session(struct pg *pg)
{
    for (uint32_t i = 0; i < pg->now.pending_count; i++) {
        const struct pg_pending *pending = &pg->pending[i];
        if (pending->what == PG_DO_LISTEN) {
            listen_to(pg, pending->channel);
        } else if (pending->what == PG_DO_UNLISTEN) {
            unlisten(pg, pending->channel);
        }
    }
    for (uint32_t i = 0; i < pg->now.pending_count; i++) {
        if (pg->pending[i].what == PG_DO_NOTIFY) {
            notify(pg, &pg->pending[i]);
        }
    }
}

void pg_deliver(struct pg *pg)
{
    writer_bytes(&pg->out, pg->inbox.bytes, pg->inbox.len);
    pg->flushed = pg->inbox.len > 0 ? pg->out.len : pg->flushed;
    writer_reset(&pg->inbox);
}

void pg_join(struct pg *pg, struct pg_world *world)
{
    pg->world = world;
    pg->next_in_world = world->backends;
    world->backends = pg;
}

void pg_leave(struct pg *pg)
{
    struct pg_world *world = pg->world;
    if (world == NULL) {
        return;
    }
    release_locks(pg);
    for (struct pg **at = &world->backends; *at != NULL; at = &(*at)->next_in_world) {
        if (*at == pg) {
            *at = pg->next_in_world;
            break;
        }
    }
    pg->world = NULL;
}

/* --- all of it -------------------------------------------------------------------------------- */

void pg_discard_session(struct pg *pg)
{
    pg->now.temp[0] = '\0';
    pg->now.temp_drops = false;
    memset(pg->now.cursors, 0, sizeof(pg->now.cursors));
    unlisten(pg, "*");
    release_locks(pg);
    pg->last_value = 0;
}

bool pg_perform_session(struct pg *pg, const struct pg_command *command, const char *tag)
{
    switch ((int)command->kind) {
    case PG_PREPARE:
        return prepare(pg, command);
    case PG_CREATE_TEMP:
        return create_temp(pg, command, tag);
    case PG_SELECT_TEMP:
        return select_temp(pg);
    case PG_DROP_TEMP:
        return drop_temp(pg);
    case PG_DECLARE:
        return declare(pg, command);
    case PG_FETCH:
    case PG_CLOSE:
        return use_cursor(pg, command);
    case PG_TRY_LOCK:
    case PG_UNLOCK:
        return lock(pg, command);
    case PG_UNLOCK_ALL:
        release_locks(pg);
        pg_value(pg, pg->world == NULL ? "?unlock_all" : "");
        pg_complete(pg, "SELECT 1");
        return true;
    case PG_NEXTVAL:
    case PG_CURRVAL:
        return use_sequence(pg, command);
    case PG_CHANGING:
        pg_data(pg, 'D', "changing", 0, 0);
        pg_complete(pg, "SELECT 1");
        return true;
    case PG_EXPLAIN:
        pg_value(pg, pg->world == NULL ? "?rows" : "a server is asked for Howdah's plan");
        pg_complete(pg, "EXPLAIN");
        return true;
    case PG_SIGNAL:
        signal_backend(pg, command);
        return true;
    case PG_DISCARD_SEQUENCES:
        pg->last_value = 0;
        pg_complete(pg, "DISCARD SEQUENCES");
        return true;
    default:
        return pend(pg, command);
    }
}
