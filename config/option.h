/* The table of options (options.def), as data.
 *
 * A pattern is a path in which <name> stands for a key that the user chose: the pattern of
 * databases.app.pool.size is databases.<name>.pool.size.
 */
#ifndef CONFIG_OPTION_H
#define CONFIG_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define OPTION_PATH_BYTES 512
#define OPTION_NONE SIZE_MAX

enum option_type {
    OPTION_INT,
    OPTION_DURATION, /* uint32_t milliseconds */
    OPTION_RATE,     /* count and window */
    OPTION_WORD,     /* one of `words` */
    OPTION_BOOL,
    OPTION_STRING,
    OPTION_SECRET, /* a string, {"file": path} or {"env": name} */
    OPTION_STRINGS,
    OPTION_LISTEN,   /* a list of listening addresses */
    OPTION_DSN,      /* one libpq connection string: the primary's */
    OPTION_RULES,    /* a list of objects: config/fill_rules.h */
    OPTION_REPLICAS, /* a list of connection strings, or objects with "dsn" and "weight" */
    OPTION_HOSTS,    /* likewise, of which one is the primary */
};

enum option_home { HOME_ROOT, HOME_DATABASE, HOME_USER };

enum option_flags { OPTION_FIXED = 1, OPTION_REQUIRED = 2 };

struct option_word {
    const char *word;
    uint32_t value;
};

struct option {
    const char *path;
    enum option_type type;
    enum option_home home;
    size_t offset, size;               /* of the field in its home, in bytes */
    size_t second_offset, second_size; /* OPTION_NONE: there is none */
    const char *fallback;              /* JSON text; NULL: no default */
    uint32_t low, high;
    const struct option_word *words; /* NULL, or ended by a NULL word */
    unsigned flags;
    const char *doc;
};

/* What a pattern names. */
enum option_kind {
    OPTION_UNKNOWN,
    OPTION_VALUE,
    OPTION_OBJECT,
    OPTION_NAMED, /* an object whose keys the user chooses */
    OPTION_LATER, /* of the contract, but not of this version */
};

/* How many rows the table has. */
size_t option_count(void);

/* A row by its place in the table, below option_count. */
const struct option *option_at(size_t index);

/* The option of that pattern, or NULL. */
const struct option *option_find(const char *pattern);

/* What stands at that pattern; OPTION_UNKNOWN is no error here. */
enum option_kind option_kind(const char *pattern);

/* The nearest key below `pattern` ("" for the top) to a mistyped one: false when none is near. */
bool option_suggest(const char *pattern, const char *key, char *ret_key, size_t key_bytes);

/* The nearest of `words` (ended by NULL) to a mistyped one; NULL: none is near. */
const char *option_nearest(const char *const *words, const char *word);

/* The keys that are allowed below `pattern`, as "a, b, c". */
void option_write_keys(const char *pattern, FILE *out);

/* Whether null is allowed, meaning off, none or the default. */
bool option_nullable(const struct option *option);

/* What is allowed, in words: "an integer from 1 to 64 or "auto"". */
void option_write_allowed(const struct option *option, FILE *out);

/* The word for a value, or NULL. */
const char *option_word(const struct option *option, uint32_t value);

#endif
