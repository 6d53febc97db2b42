/* Interned, immutable sets of configuration parameters ("settings", PostgreSQL's GUCs).
 *
 * A set is what a session wants, or what a link is known to have, beyond the server's defaults for
 * that login. Sets are interned per engine: two sessions that want the same share one, and "does
 * this link suit this session" is a comparison of two pointers. Names compare without case.
 */
#ifndef POOL_SETTINGS_H
#define POOL_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"

struct plan_setting;
struct writer;

/* Settings of one set: more than a startup packet can name. The spare ones are left by those who
 * could do otherwise to those who can't. */
enum { SETTINGS_COUNT_MAX = 512, SETTINGS_SPARE = 32 };

struct setting {
    const char *name, *value;
};

struct settings {
    struct map_node node;
    uint32_t references;
    bool other_strings;   /* standard_conforming_strings is off */
    bool has_custom;      /* one of the names has a dot */
    bool unsafe_encoding; /* of the client: a byte below 128 may be part of a character */
    uint64_t reading;     /* of those that statements are read by: equal where they are; 0 = none */
    uint32_t count;
    struct setting items[]; /* ordered by name; the texts lie behind */
};

struct settings_store {
    struct map sets;
    uint64_t hash_key;
    struct settings *none; /* the empty set; one reference is the store's */
};

/* 0, or ERR_NO_MEMORY. */
int settings_store_init(struct settings_store *store, uint64_t hash_key);
void settings_store_fini(struct settings_store *store);

/* A reference to the set of these items, which may be in any order; of items of one name the last
 * counts. NULL when memory is out. The texts are copied. */
struct settings *settings_intern(struct settings_store *store, const struct setting *items,
                                 uint32_t count);

/* A reference to `settings` with one name set to a value, or without it when value is NULL. */
struct settings *settings_with(struct settings_store *store, const struct settings *settings,
                               const char *name, const char *value);

/* Puts settings_with() in the place of `*at`, which keeps what it has when memory is out: false. */
bool settings_set(struct settings_store *store, struct settings **at, const char *name,
                  const char *value);

/* Whether a session with these settings may have another one that is carried from link to link. */
bool settings_has_room(const struct settings *settings, const struct plan_setting *more);

/* Puts a reference to `by` in the place of `*at`. */
void settings_replace(struct settings_store *store, struct settings **at, struct settings *by);

/* The last reference given back frees the set. unref: NULL is allowed. */
void settings_ref(struct settings *settings);
void settings_unref(struct settings_store *store, struct settings *settings);

/* NULL when the set does not have that name. */
const char *settings_get(const struct settings *settings, const char *name);

/* A reference to what is left of `settings` by RESET ALL of a session with these startup settings
 * (none: of a link): a custom setting ("a.b") that was ever set is '' and no longer NULL. */
struct settings *settings_reset(struct settings_store *store, const struct settings *settings,
                                const struct settings *startup);

/* Whether a link with the settings `have` would show a session that wants `want` a custom setting
 * which it never had, or as another has spelled it: that can't be taken away again. */
bool settings_strange(const struct settings *have, const struct settings *want);

/* Whether such a parameter can be a setting of a session at all: an identifier, or two with a dot,
 * of letters, digits, _ and $, at most LIMIT_NAME_BYTES - 1 long. */
bool settings_name_ok(const char *name);

/* Whether the text is ASCII alone, and so the same in every encoding. */
bool settings_is_ascii(const char *value);

/* Whether the server reports this parameter but no session can choose it (server_version …). */
bool settings_fixed(const char *name);

/* Appends extended-query messages that turn `from` into `to` at a server: for each difference a
 * Parse, Bind and Execute with set_config() or RESET; no Sync. Values travel as parameters, never
 * inside SQL text. Returns how many Parse/Bind/Execute triples were written. */
uint32_t settings_write_change(struct writer *writer, const struct settings *from,
                               const struct settings *to);

/* Appends such triples that set all of the set behind a RESET; `local`: until the transaction ends.
 * They are SET statements, which take no snapshot, so that a SET TRANSACTION may follow; not where
 * the value is a list of names, or not ASCII. Returns how many. */
uint32_t settings_write_again(struct writer *writer, const struct settings *settings, bool local);

/* The same as a simple query. In an encoding where a byte below 128 may be part of a character
 * (unsafe_encoding) its literals would not be safe. */
void settings_write_query(struct writer *writer, const struct settings *settings, bool local);

#endif
