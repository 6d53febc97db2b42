/* What a statement is, by its first words alone.
 *
 * It is the cheapest question one can ask of SQL text, and enough to see BEGIN, COMMIT, SET or
 * LISTEN go by. It proves nothing more: WITH may write, and SELECT may call what does.
 */
#ifndef PROTOCOL_SQL_VERB_H
#define PROTOCOL_SQL_VERB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sql_lexer;

enum sql_verb {
#define SQL_VERB(name, text) SQL_VERB_##name,
#include "protocol/sql_verb.def"
#undef SQL_VERB
    SQL_VERB_COUNT
};

/* The verb of the first statement in `text` that is not empty: leading comments, semicolons and
 * brackets are passed over. SQL_VERB_EMPTY if there is no statement, SQL_VERB_UNKNOWN if it begins
 * with anything that is not in the table. The words, not the whole statement, are looked at. */
enum sql_verb sql_verb_read(const char *text, size_t len);

/* The same from where a lexer stands, which is left behind the words that were looked at. */
enum sql_verb sql_verb_next(struct sql_lexer *lexer);

/* Its words in lower case; static storage. */
const char *sql_verb_text(enum sql_verb verb);

/* Whether literals of such a statement are typed out: it reads and writes rows, and none of them
 * stands for a name or a setting. */
static inline bool sql_verb_is_row(enum sql_verb verb)
{
    return verb >= SQL_VERB_SELECT && verb <= SQL_VERB_TABLE;
}

#endif
