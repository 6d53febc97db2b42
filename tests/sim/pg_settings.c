/* The model's settings: who may set what, until when, and what is told of it. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "tests/sim/pg.h"

const char *const pg_parameter_names[PG_PARAMETER_COUNT] = {
    "DateStyle",          "TimeZone", "application_name", "client_encoding",
    "default_tablespace", "app.who",  "howdah.shard",     "howdah.route"};

static bool find_parameter(const char *name, enum pg_parameter_id *ret_id)
{
    for (uint32_t i = 0; i < PG_PARAMETER_COUNT; i++) {
        if (strcasecmp(pg_parameter_names[i], name) == 0) {
            *ret_id = (enum pg_parameter_id)i;
            return true;
        }
    }
    return false;
}

/* The server's own spelling; NULL for a value that it refuses. */
static const char *canonical(enum pg_parameter_id id, const char *value)
{
    static const char *const spellings[][2] = {
        {"iso", "ISO, MDY"}, {"german", "German, DMY"}, {"utf8", "UTF8"}, {"latin1", "LATIN1"}};
    if (id == PG_OWN_ROUTE) {
        return strcmp(value, "auto") == 0 || strcmp(value, "replica") == 0 ? value : NULL;
    }
    if (id != PG_DATE_STYLE && id != PG_CLIENT_ENCODING) {
        return value;
    }
    for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++) {
        bool date = i < 2;
        if (date == (id == PG_DATE_STYLE) &&
            (strcasecmp(value, spellings[i][0]) == 0 || strcmp(value, spellings[i][1]) == 0)) {
            return spellings[i][1];
        }
    }
    return NULL;
}

static bool is_unknown(struct pg *pg, const char *name, enum pg_parameter_id *ret_id)
{
    if (find_parameter(name, ret_id) && (*ret_id < PG_SERVER_COUNT || pg->world == NULL)) {
        return false;
    }
    pg_error(pg, "42704", "unrecognized configuration parameter \"%s\"", name);
    return true;
}

static void put(struct pg *pg, enum pg_parameter_id id, const char *value, bool local)
{
    struct pg_value *at = &pg->now.values[id];
    snprintf(at->current, sizeof(at->current), "%s", value);
    if (!local) {
        memcpy(at->session, at->current, sizeof(at->session));
    }
    pg->has_custom |= id == PG_CUSTOM; /* once and for all: guc.c, add_placeholder_variable */
}

bool pg_set(struct pg *pg, const char *name, const char *value, bool local)
{
    enum pg_parameter_id id;
    if (is_unknown(pg, name, &id)) {
        return false;
    }
    const char *spelled = canonical(id, value);
    if (spelled == NULL) {
        pg_error(pg, "22023", "invalid value for parameter \"%s\": \"%s\"", name, value);
        return false;
    }
    put(pg, id, spelled, local);
    return true;
}

bool pg_reset(struct pg *pg, const char *name)
{
    enum pg_parameter_id id;
    if (is_unknown(pg, name, &id)) {
        return false;
    }
    char start[PG_VALUE_BYTES];
    memcpy(start, pg->start[id], sizeof(start));
    put(pg, id, start, false);
    pg_complete(pg, "RESET");
    return true;
}

void pg_reset_all(struct pg *pg)
{
    bool had_custom = pg->has_custom;
    for (uint32_t i = 0; i < PG_PARAMETER_COUNT; i++) {
        put(pg, (enum pg_parameter_id)i, pg->start[i], false);
    }
    pg->has_custom = had_custom;
}

/* transaction_isolation and its kin. */
static bool show_mode(struct pg *pg, const char *name)
{
    const struct pg_modes *modes = &pg->modes;
    if (strcmp(name, "transaction_isolation") == 0) {
        pg_value(pg, pg_isolations[modes->isolation]);
    } else if (strcmp(name, "transaction_read_only") == 0) {
        pg_value(pg, modes->read_only ? "on" : "off");
    } else if (strcmp(name, "transaction_deferrable") == 0) {
        pg_value(pg, modes->deferrable ? "on" : "off");
    } else {
        return false;
    }
    pg_complete(pg, "SHOW");
    return true;
}

bool pg_show(struct pg *pg, const char *name)
{
    enum pg_parameter_id id;
    if (show_mode(pg, name)) {
        return true;
    }
    if (is_unknown(pg, name, &id)) {
        return false;
    }
    if (id == PG_CUSTOM && !pg->has_custom) {
        pg_error(pg, "42704", "unrecognized configuration parameter \"%s\"", name);
        return false;
    }
    if (id >= PG_SERVER_COUNT) {
        pg_value(pg, pg->now.values[id].current);
    } else {
        pg_data(pg, 'D', pg->now.values[id].current, 0, 0);
    }
    pg_complete(pg, "SHOW");
    return true;
}

void pg_current_setting(struct pg *pg, const char *name)
{
    enum pg_parameter_id id;
    bool known = find_parameter(name, &id) && (id != PG_CUSTOM || pg->has_custom);
    if (known && id >= PG_SERVER_COUNT && pg->world == NULL) {
        pg_value(pg, pg->now.values[id].current);
    } else if (known) {
        pg_data(pg, 'D', pg->now.values[id].current, 0, 0);
    }
    pg_complete_rows(pg, "SELECT", known);
}

bool pg_start_parameter(struct pg *pg, const char *name, const char *value)
{
    enum pg_parameter_id id;
    if (!find_parameter(name, &id)) {
        return true;
    }
    const char *spelled = canonical(id, value);
    if (spelled == NULL) {
        return false;
    }
    put(pg, id, spelled, false);
    memcpy(pg->start[id], pg->now.values[id].current, PG_VALUE_BYTES);
    if (id < PG_REPORTED_COUNT) {
        memcpy(pg->reported[id], pg->start[id], PG_VALUE_BYTES);
    }
    pg->has_custom = false;
    pg->before = pg->now;
    return true;
}

void pg_start_role(struct pg *pg, const char *user)
{
    if (strcmp(user, "u1") == 0) {
        pg_start_parameter(pg, "TimeZone", "Role/u1");
        pg_start_parameter(pg, "default_tablespace", "space of u1");
    }
}

static void report(struct pg *pg, const char *name, const char *value)
{
    uint32_t mark = writer_begin(&pg->out, 'S');
    writer_cstr(&pg->out, name);
    writer_cstr(&pg->out, value);
    writer_end(&pg->out, mark);
}

/* ReportChangedGUCOptions: before ReadyForQuery, what differs from what was reported last. */
void pg_report_parameters(struct pg *pg)
{
    for (uint32_t i = 0; i < PG_REPORTED_COUNT; i++) {
        const char *current = pg->now.values[i].current;
        if (strcmp(current, pg->reported[i]) != 0) {
            report(pg, pg_parameter_names[i], current);
            memcpy(pg->reported[i], current, PG_VALUE_BYTES);
        }
    }
}

void pg_greet(struct pg *pg)
{
    for (uint32_t i = 0; i < PG_REPORTED_COUNT; i++) {
        report(pg, pg_parameter_names[i], pg->now.values[i].current);
    }
    report(pg, "server_version", "16.0"); /* later than the parser's: it may know what is no SQL */
    report(pg, "server_encoding", "UTF8");
    report(pg, "is_superuser", "off");
}

/* --- the question of pool/state.c ------------------------------------------------------------- */

static void column(struct pg *pg, const char *text)
{
    writer_u32(&pg->out, (uint32_t)strlen(text));
    writer_bytes(&pg->out, text, strlen(text));
}

static uint32_t row(struct pg *pg, const char *kind, const char *name, const char *value)
{
    uint32_t mark = writer_begin(&pg->out, 'D');
    writer_u16(&pg->out, 3);
    column(pg, kind);
    column(pg, name);
    column(pg, value);
    writer_end(&pg->out, mark);
    return 1;
}

/* pg_settings has what a session has set, but custom settings only if they are asked for by name.
 */
static uint32_t tell_settings(struct pg *pg, const char *names)
{
    uint32_t rows = 0;
    for (uint32_t i = 0; i < PG_CUSTOM; i++) {
        const char *current = pg->now.values[i].current;
        if (strcmp(current, pg->start[i]) != 0) {
            rows += row(pg, "s", pg_parameter_names[i], current);
        }
    }
    if (pg->has_custom && strstr(names, pg_parameter_names[PG_CUSTOM]) != NULL) {
        rows += row(pg, "s", pg_parameter_names[PG_CUSTOM], pg->now.values[PG_CUSTOM].current);
    }
    return rows;
}

void pg_tell_state(struct pg *pg, const char *text, const char *names)
{
    uint32_t rows = 0;
    if (strchr(text, 's') != NULL) {
        rows += tell_settings(pg, names);
    }
    if (strchr(text, 'T') != NULL && pg->now.temp[0] != '\0') {
        rows += row(pg, "p", "TEMP", "");
    }
    if (strchr(text, 'A') != NULL && pg_has_lock(pg)) {
        rows += row(pg, "p", "ADVISORY", "");
    }
    if (strchr(text, 'H') != NULL && pg_has_cursor(pg, true)) {
        rows += row(pg, "p", "HOLD", "");
    }
    for (uint32_t i = 0; i < PG_CHANNELS_MAX && strchr(text, 'l') != NULL; i++) {
        if (pg->channels[i][0] != '\0') {
            rows += row(pg, "l", pg->channels[i], "");
        }
    }
    if (strchr(text, 'P') != NULL && pg_has_sql_statement(pg)) {
        rows += row(pg, "p", "PREPARE", "");
    }
    pg_complete_rows(pg, "SELECT", rows);
}
