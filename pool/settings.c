#include "pool/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/writer.h"
#include "protocol/frontend.h"
#include "protocol/message.h"
#include "router/plan.h"

int settings_store_init(struct settings_store *store, uint64_t hash_key)
{
    *store = (struct settings_store){.hash_key = hash_key};
    map_init(&store->sets);
    store->none = settings_intern(store, NULL, 0);
    return store->none == NULL ? ERR_NO_MEMORY : 0;
}

void settings_store_fini(struct settings_store *store)
{
    for (struct map_node *node = map_any(&store->sets); node != NULL;
         node = map_any(&store->sets)) {
        map_remove(&store->sets, node);
        free(CONTAINER_OF(node, struct settings, node));
    }
    map_fini(&store->sets);
}

static uint64_t hash_items(const struct settings_store *store, const struct setting *items,
                           uint32_t count)
{
    uint64_t hash = store->hash_key;
    for (uint32_t i = 0; i < count; i++) {
        hash = hash_bytes(hash, items[i].name, strlen(items[i].name));
        hash = hash_bytes(hash, items[i].value, strlen(items[i].value));
    }
    return hash;
}

static bool same_items(const struct settings *settings, const struct setting *items, uint32_t count)
{
    if (settings->count != count) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(settings->items[i].name, items[i].name) != 0 ||
            strcmp(settings->items[i].value, items[i].value) != 0) {
            return false;
        }
    }
    return true;
}

/* Whether the server reads a statement by it: how its characters and literals are understood, which
 * become constants when it is parsed, and where names are looked up. */
static bool is_read_by(const char *name)
{
    static const char *const names[] = {"array_nulls",
                                        "backslash_quote",
                                        "client_encoding",
                                        "DateStyle",
                                        "IntervalStyle",
                                        "lc_monetary",
                                        "search_path",
                                        "standard_conforming_strings",
                                        "TimeZone",
                                        "timezone_abbreviations",
                                        "transform_null_equals",
                                        "xmloption"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcasecmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* What an item says of its whole set. */
static void note_item(struct settings *settings, const struct setting *item)
{
    static const char *const unsafe[] = {
        "sjis",   "shift_jis_2004", "big5",     "gbk",        "gb18030", "uhc",
        "johab",  "mskanji",        "shiftjis", "windows949", "win949",  "windows936",
        "win936", "windows950",     "win950",   "windows932", "win932"};
    settings->has_custom |= strchr(item->name, '.') != NULL;
    if (is_read_by(item->name)) { /* the same at all workers, between which links move */
        settings->reading = hash_bytes(settings->reading, item->name, strlen(item->name) + 1);
        settings->reading = hash_bytes(settings->reading, item->value, strlen(item->value) + 1);
    }
    if (strcasecmp(item->name, "standard_conforming_strings") == 0) {
        settings->other_strings = strcasecmp(item->value, "on") != 0;
    }
    for (size_t i = 0;
         strcasecmp(item->name, "client_encoding") == 0 && i < sizeof(unsafe) / sizeof(unsafe[0]);
         i++) {
        settings->unsafe_encoding |= strcasecmp(item->value, unsafe[i]) == 0;
    }
}

static struct settings *copy_items(const struct setting *items, uint32_t count)
{
    size_t text_bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        text_bytes += strlen(items[i].name) + strlen(items[i].value) + 2;
    }
    struct settings *settings =
        malloc(sizeof(*settings) + count * sizeof(struct setting) + text_bytes);
    if (settings == NULL) {
        return NULL;
    }
    settings->references = 1;
    settings->count = count;
    settings->other_strings = false;
    settings->has_custom = false;
    settings->unsafe_encoding = false;
    settings->reading = 0;
    char *text = (char *)&settings->items[count];
    for (uint32_t i = 0; i < count; i++) {
        size_t name_bytes = strlen(items[i].name) + 1;
        size_t value_bytes = strlen(items[i].value) + 1;
        settings->items[i].name = memcpy(text, items[i].name, name_bytes);
        settings->items[i].value = memcpy(text + name_bytes, items[i].value, value_bytes);
        text += name_bytes + value_bytes;
        note_item(settings, &items[i]);
    }
    return settings;
}

/* `items` are ordered by name and have no name twice. */
static struct settings *intern_ordered(struct settings_store *store, const struct setting *items,
                                       uint32_t count)
{
    uint64_t hash = hash_items(store, items, count);
    for (struct map_node *node = map_first(&store->sets, hash); node != NULL;
         node = map_next(node)) {
        struct settings *settings = CONTAINER_OF(node, struct settings, node);
        if (same_items(settings, items, count)) {
            settings_ref(settings);
            return settings;
        }
    }
    struct settings *settings = copy_items(items, count);
    if (settings == NULL) {
        return NULL;
    }
    if (map_add(&store->sets, &settings->node, hash) != 0) {
        free(settings);
        return NULL;
    }
    return settings;
}

/* Puts one item into the ordered array, in place of an older one of that name. */
static uint32_t insert_item(struct setting *ordered, uint32_t count, struct setting item)
{
    uint32_t at = count;
    while (at > 0 && strcasecmp(ordered[at - 1].name, item.name) > 0) {
        at--;
    }
    if (at > 0 && strcasecmp(ordered[at - 1].name, item.name) == 0) {
        ordered[at - 1].value = item.value;
        return count;
    }
    if (count == SETTINGS_COUNT_MAX) {
        return count;
    }
    memmove(&ordered[at + 1], &ordered[at], (count - at) * sizeof(*ordered));
    ordered[at] = item;
    return count + 1;
}

struct settings *settings_intern(struct settings_store *store, const struct setting *items,
                                 uint32_t count)
{
    struct setting ordered[SETTINGS_COUNT_MAX];
    uint32_t ordered_count = 0;
    if (count == 0) {
        return intern_ordered(store, items, 0);
    }
    for (uint32_t i = 0; i < count; i++) {
        ordered_count = insert_item(ordered, ordered_count, items[i]);
    }
    return intern_ordered(store, ordered, ordered_count);
}

struct settings *settings_with(struct settings_store *store, const struct settings *settings,
                               const char *name, const char *value)
{
    struct setting ordered[SETTINGS_COUNT_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < settings->count; i++) {
        if (value != NULL || strcasecmp(settings->items[i].name, name) != 0) {
            ordered[count++] = settings->items[i];
        }
    }
    if (value != NULL) {
        count = insert_item(ordered, count, (struct setting){name, value});
    }
    return intern_ordered(store, ordered, count);
}

bool settings_set(struct settings_store *store, struct settings **at, const char *name,
                  const char *value)
{
    struct settings *now = settings_with(store, *at, name, value);
    if (now == NULL) {
        return false;
    }
    settings_unref(store, *at);
    *at = now;
    return true;
}

bool settings_has_room(const struct settings *settings, const struct plan_setting *more)
{
    size_t bytes = strlen(more->name) + (more->value == NULL ? 0 : strlen(more->value));
    for (uint32_t i = 0; i < settings->count; i++) {
        bytes += strlen(settings->items[i].name) + strlen(settings->items[i].value);
    }
    return settings->count < SETTINGS_COUNT_MAX - SETTINGS_SPARE && bytes <= LIMIT_STATE_BYTES;
}

void settings_replace(struct settings_store *store, struct settings **at, struct settings *by)
{
    settings_ref(by);
    settings_unref(store, *at);
    *at = by;
}

void settings_ref(struct settings *settings)
{
    settings->references++;
}

void settings_unref(struct settings_store *store, struct settings *settings)
{
    if (settings == NULL) {
        return;
    }
    ASSERT(settings->references > 0);
    if (--settings->references == 0) {
        map_remove(&store->sets, &settings->node);
        free(settings);
    }
}

static const struct setting *find(const struct settings *settings, const char *name)
{
    for (uint32_t i = 0; i < settings->count; i++) {
        if (strcasecmp(settings->items[i].name, name) == 0) {
            return &settings->items[i];
        }
    }
    return NULL;
}

const char *settings_get(const struct settings *settings, const char *name)
{
    const struct setting *item = find(settings, name);
    return item == NULL ? NULL : item->value;
}

struct settings *settings_reset(struct settings_store *store, const struct settings *settings,
                                const struct settings *startup)
{
    struct setting left[SETTINGS_COUNT_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < settings->count; i++) {
        if (strchr(settings->items[i].name, '.') != NULL) {
            left[count++] = (struct setting){settings->items[i].name, ""};
        }
    }
    for (uint32_t i = 0; i < startup->count; i++) {
        count = insert_item(left, count, startup->items[i]);
    }
    return intern_ordered(store, left, count);
}

bool settings_strange(const struct settings *have, const struct settings *want)
{
    for (uint32_t i = 0; have->has_custom && i < have->count; i++) {
        const char *name = have->items[i].name;
        const struct setting *wanted = strchr(name, '.') == NULL ? NULL : find(want, name);
        if (strchr(name, '.') != NULL && (wanted == NULL || strcmp(wanted->name, name) != 0)) {
            return true;
        }
    }
    return false;
}

bool settings_name_ok(const char *name)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    static const char rest[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789$";
    if (strlen(name) >= LIMIT_NAME_BYTES) {
        return false;
    }
    for (;;) {
        if (strchr(first, *name) == NULL || *name == '\0') {
            return false;
        }
        name += strspn(name, rest);
        if (*name != '.') {
            return *name == '\0';
        }
        name++;
    }
}

bool settings_fixed(const char *name)
{
    static const char *const fixed[] = {
        "server_version",    "server_encoding", "is_superuser",      "session_authorization",
        "integer_datetimes", "in_hot_standby",  "server_version_num"};
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
        if (strcasecmp(fixed[i], name) == 0) {
            return true;
        }
    }
    return false;
}

bool settings_is_ascii(const char *value)
{
    while (*value > '\0') {
        value++;
    }
    return *value == '\0';
}

/* Values are in the server's encoding, and the link's client_encoding may be any. */
static void write_set(struct writer *writer, const struct setting *setting, bool local)
{
    static const char raw[] = "pg_catalog.convert_from($2, pg_catalog.getdatabaseencoding())";
    const char *values[2] = {setting->name, setting->value};
    bool plain = settings_is_ascii(setting->value);
    char sql[sizeof("SELECT pg_catalog.set_config($1, , false)") + sizeof(raw)];
    snprintf(sql, sizeof(sql), "SELECT pg_catalog.set_config($1, %s, %s)", plain ? "$2" : raw,
             local ? "true" : "false");
    frontend_parse(writer, "", sql);
    uint32_t mark = writer_begin(writer, FRONTEND_BIND);
    writer_cstr(writer, "");
    writer_cstr(writer, "");
    writer_u16(writer, plain ? 0 : 2); /* formats: text, and binary for a bytea */
    if (!plain) {
        writer_u16(writer, 0);
        writer_u16(writer, 1);
    }
    writer_u16(writer, 2);
    for (size_t i = 0; i < 2; i++) {
        writer_u32(writer, (uint32_t)strlen(values[i]));
        writer_bytes(writer, values[i], strlen(values[i]));
    }
    writer_u16(writer, 0);
    writer_end(writer, mark);
    frontend_execute(writer, "");
}

/* RESET takes no parameter; the name has passed settings_name_ok or came from the server. */
static void write_reset(struct writer *writer, const char *name)
{
    char sql[sizeof("RESET ") + LIMIT_NAME_BYTES];
    ASSERT(settings_name_ok(name));
    snprintf(sql, sizeof(sql), "RESET %s", name);
    frontend_parse(writer, "", sql);
    frontend_bind(writer, "", "");
    frontend_execute(writer, "");
}

/* Who the session acts as: set behind everything else, and taken back before it, since it decides
 * what may be set. A session's authorization resets its role (assign_session_authorization,
 * variable.c). */
static const char *const identity[] = {"session_authorization", "role"};

static bool is_identity(const char *name)
{
    return strcasecmp(name, identity[0]) == 0 || strcasecmp(name, identity[1]) == 0;
}

/* Of a DateStyle a client may name the style or the order alone; the other stays what it was. */
static bool is_partial(const struct setting *setting)
{
    return strcasecmp(setting->name, "DateStyle") == 0 && strchr(setting->value, ',') == NULL;
}

static uint32_t write_others(struct writer *writer, const struct settings *from,
                             const struct settings *to)
{
    uint32_t f = 0, t = 0, written = 0;
    while (f < from->count || t < to->count) {
        int order = f == from->count ? 1
                    : t == to->count ? -1
                                     : strcasecmp(from->items[f].name, to->items[t].name);
        const struct setting *item = order < 0 ? &from->items[f] : &to->items[t];
        bool differs = order != 0 || strcmp(from->items[f].value, item->value) != 0;
        if (differs && !is_identity(item->name)) {
            if (order < 0) {
                write_reset(writer, item->name);
            } else if (is_partial(item)) {
                write_reset(writer, item->name);
                write_set(writer, item, false);
                written++;
            } else {
                write_set(writer, item, false);
            }
            written++;
        }
        f += order <= 0;
        t += order >= 0;
    }
    return written;
}

static bool same_value(const struct settings *from, const struct settings *to, const char *name)
{
    const char *before = settings_get(from, name), *after = settings_get(to, name);
    return before == after || (before != NULL && after != NULL && strcmp(before, after) == 0);
}

static bool differs_otherwise(const struct settings *from, const struct settings *to)
{
    for (uint32_t i = 0; i < from->count; i++) {
        if (!is_identity(from->items[i].name) && !same_value(from, to, from->items[i].name)) {
            return true;
        }
    }
    for (uint32_t i = 0; i < to->count; i++) {
        if (!is_identity(to->items[i].name) && settings_get(from, to->items[i].name) == NULL) {
            return true;
        }
    }
    return false;
}

uint32_t settings_write_change(struct writer *writer, const struct settings *from,
                               const struct settings *to)
{
    uint32_t written = 0;
    bool same = same_value(from, to, identity[0]) && same_value(from, to, identity[1]);
    if (same && !differs_otherwise(from, to)) {
        return 0;
    }
    for (size_t i = 2; i > 0; i--) {
        if (settings_get(from, identity[i - 1]) != NULL) {
            write_reset(writer, identity[i - 1]);
            written++;
        }
    }
    written += write_others(writer, from, to);
    for (size_t i = 0; i < 2; i++) {
        const char *value = settings_get(to, identity[i]);
        if (value != NULL) {
            write_set(writer, &(struct setting){identity[i], value}, false);
            written++;
        }
    }
    return written;
}

static void write_literal(struct writer *writer, const char *text)
{
    if (strchr(text, '\\') != NULL) {
        writer_u8(writer, 'E');
    }
    writer_u8(writer, '\'');
    for (; *text != '\0'; text++) {
        if (*text == '\'' || *text == '\\') {
            writer_u8(writer, (uint8_t)*text);
        }
        writer_u8(writer, (uint8_t)*text);
    }
    writer_u8(writer, '\'');
}

/* As write_set: not as text in some encoding. */
static void write_value(struct writer *writer, const char *value)
{
    if (settings_is_ascii(value)) {
        write_literal(writer, value);
        return;
    }
    writer_format(writer, "%s", "pg_catalog.convert_from(E'\\\\x");
    for (; *value != '\0'; value++) {
        writer_format(writer, "%02x", (unsigned)(uint8_t)*value);
    }
    writer_format(writer, "%s", "'::pg_catalog.bytea, pg_catalog.getdatabaseencoding())");
}

/* Whether SET says the same as set_config(), which takes a snapshot: not of those whose value is a
 * list of names (GUC_LIST_QUOTE in guc.c, variable_is_guc_list_quote in pg_dump), since one literal
 * is one name there. */
static bool suits_set(const struct setting *setting)
{
    static const char *const lists[] = {"search_path", "temp_tablespaces",
                                        "local_preload_libraries", "session_preload_libraries"};
    bool suits = settings_is_ascii(setting->value);
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        suits &= strcasecmp(setting->name, lists[i]) != 0;
    }
    return suits;
}

/* The parts of a custom name may be key words. */
static void write_name(struct writer *writer, const char *name)
{
    const char *dot = strchr(name, '.');
    if (dot == NULL) {
        writer_format(writer, "%s", name);
    } else {
        writer_format(writer, "\"%.*s\".\"%s\"", (int)(dot - name), name, dot + 1);
    }
}

static void write_statement(struct writer *writer, const struct setting *setting, bool local)
{
    ASSERT(settings_name_ok(setting->name));
    writer_format(writer, "%s", local ? "SET LOCAL " : "SET ");
    write_name(writer, setting->name);
    writer_format(writer, "%s", " TO ");
    write_literal(writer, setting->value);
}

static void write_again(struct writer *writer, const struct setting *setting, bool local)
{
    if (!suits_set(setting)) {
        write_set(writer, setting, local);
        return;
    }
    uint32_t mark = writer_begin(writer, FRONTEND_PARSE);
    writer_u8(writer, '\0');
    write_statement(writer, setting, local);
    writer_bytes(writer, "\0\0", 3); /* the text's NUL, and no types */
    writer_end(writer, mark);
    frontend_bind(writer, "", "");
    frontend_execute(writer, "");
}

uint32_t settings_write_again(struct writer *writer, const struct settings *settings, bool local)
{
    uint32_t written = settings->count;
    for (uint32_t i = 0; i < settings->count; i++) {
        const struct setting *item = &settings->items[i];
        if (is_identity(item->name)) {
            continue;
        }
        if (!local && is_partial(item)) {
            write_reset(writer, item->name);
            written++;
        }
        write_again(writer, item, local);
    }
    for (size_t i = 0; i < 2; i++) {
        const char *value = settings_get(settings, identity[i]);
        if (value != NULL) {
            write_again(writer, &(struct setting){identity[i], value}, local);
        }
    }
    return written;
}

void settings_write_query(struct writer *writer, const struct settings *settings, bool local)
{
    uint32_t mark = writer_begin(writer, FRONTEND_QUERY);
    for (uint32_t i = 0; i < settings->count; i++) {
        const struct setting *item = &settings->items[i];
        if (suits_set(item)) {
            write_statement(writer, item, local);
            writer_u8(writer, ';');
            continue;
        }
        writer_format(writer, "%s", "SELECT pg_catalog.set_config(");
        write_literal(writer, item->name);
        writer_bytes(writer, ", ", 2);
        write_value(writer, item->value);
        writer_format(writer, "%s", local ? ", true);" : ", false);");
    }
    writer_u8(writer, '\0');
    writer_end(writer, mark);
}
