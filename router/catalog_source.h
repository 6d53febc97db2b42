/* What stands in the source of an SQL or PL/pgSQL function that may matter to its session.
 *
 * Words are read, not statements: each word that changes what a session holds (SET, EXECUTE of text
 * made at run time, TEMP, LISTEN ...) counts wherever it stands, and each other word may be the
 * name of a function or relation that is used. So what is found is never too little, but may be too
 * much. The one statement that is understood is UPDATE .. SET, since most functions have it.
 */
#ifndef ROUTER_CATALOG_SOURCE_H
#define ROUTER_CATALOG_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"

struct catalog_source {
    uint32_t touches; /* enum plan_touch; of the functions that are PostgreSQL's own, too */
    uint8_t local;    /* enum plan_local; likewise */
    bool writes;      /* has INSERT, UPDATE, CREATE ..., or calls such a function */
};

/* Told each word that may be a name, folded to lower case where it has no quotes; with its NUL.
 * False ends the reading. */
typedef bool catalog_word_fn(void *argument, const char *word);

/* Reads `source`; the outcome of a source that the lexer can't read is the worst. */
struct catalog_source catalog_source_read(const char *source, catalog_word_fn *tell,
                                          void *argument);

/* Tells each custom setting ("a.b", lower case) that the source may set by its name: in SET, or as
 * a string, also one that stands in a string. */
void catalog_source_customs(const char *source, catalog_word_fn *tell, void *argument);

#endif
