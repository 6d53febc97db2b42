/* PgBouncer's ini files: sections of `key = value` lines, with %include.
 *
 * PgBouncer's manual, page "Config file format": lines that begin with ';' or '#' are comments,
 * keys with other characters than letters, digits and "_.-*" stand in double quotes with quotes
 * doubled, a value reaches to the end of its line.
 */
#ifndef CONFIG_INI_H
#define CONFIG_INI_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define INI_DEPTH_MAX 10 /* files including each other, as in PgBouncer */

struct ini_entry {
    char *section, *key, *value, *file;
    uint32_t line;
};

struct ini {
    struct ini_entry *entries; /* in the order of reading */
    size_t count;
};

/* Reads the file and what it includes. Returns 0, ERR_CONFIG with lines on `err`, or ERR_NO_MEMORY;
 * *ret_ini is to be given to ini_fini only after 0. */
int ini_read(const char *file, struct ini *ret_ini, FILE *err);

/* Wipes the values. */
void ini_fini(struct ini *ini);

/* The last entry of that key, which is the one that counts; NULL: not given. */
const struct ini_entry *ini_find(const struct ini *ini, const char *section, const char *key);

/* One `key=value` of a connection string, from *at on, which is moved behind it: values may stand
 * in single quotes, with a quote doubled. Both strings are allocated. Returns 0 with *ret_key
 * NULL at the end, ERR_CONFIG, or ERR_NO_MEMORY. */
int ini_next_pair(const char **at, char **ret_key, char **ret_value);

#endif
