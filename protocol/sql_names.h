/* The names of prepared statements in SQL: what PREPARE, EXECUTE and DEALLOCATE call them.
 *
 * Only where a name stands and what it is; whether the text is SQL at all is for those to say who
 * parse it. The forms are those of PostgreSQL's grammar (src/backend/parser/gram.y): PREPARE name,
 * EXECUTE name also behind EXPLAIN and CREATE TABLE .. AS, DEALLOCATE [PREPARE] name or ALL.
 */
#ifndef PROTOCOL_SQL_NAMES_H
#define PROTOCOL_SQL_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sql_name_kind {
    SQL_NAME_PREPARE,
    SQL_NAME_EXECUTE,
    SQL_NAME_DEALLOCATE,
    SQL_NAME_ALL, /* DEALLOCATE ALL; the name is that word */
};

/* NAMEDATALEN: the server cuts off what is longer, and so it is not understood here. */
enum { SQL_NAME_BYTES = 64, SQL_NAMES_MAX = 64 };

/* Not understood: too many names, or one too long, empty or with escapes. */
#define SQL_NAMES_STRANGE UINT32_MAX

struct sql_name {
    enum sql_name_kind kind;
    uint32_t at, len; /* the token, as it is written */
    uint32_t end;     /* of its statement */
    char text[SQL_NAME_BYTES];
};

/* Finds the names in a text of any number of statements, in order. Returns how many; at most
 * SQL_NAMES_MAX are stored. */
uint32_t sql_names_find(const char *text, size_t len, struct sql_name *ret_names);

/* Of what stands behind the name of a PREPARE, "(types) AS query": where the query begins; `len`
 * when it is nothing of the kind. */
size_t sql_names_query_at(const char *tail, size_t len);

/* How many characters the bytes of a text in UTF-8 are: positions in errors count them. */
uint32_t sql_names_characters(const char *text, uint32_t len);

#endif
