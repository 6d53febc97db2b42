/* The users file: names and their secrets, in the format of PgBouncer's userlist.txt.
 *
 * One pair a line, `"name" "secret"`, each in double quotes with a quote inside doubled; lines
 * that begin with ';' are comments; what follows the secret on its line is ignored, as PgBouncer
 * ignores it (old PostgreSQL flat files have more columns). A secret is plain text, "md5" and 32
 * hex digits, or a SCRAM-SHA-256$ verifier; telling them apart is the login's matter. Immutable
 * after parsing.
 */
#ifndef PROTOCOL_USERLIST_H
#define PROTOCOL_USERLIST_H

#include <stddef.h>
#include <stdint.h>

struct userlist;

/* Where and why a text was refused; line counts from 1. */
struct userlist_error {
    uint32_t line;
    char message[160];
};

/* Parses `bytes` of text, which may be wiped afterwards. Returns 0, ERR_CONFIG with *ret_error
 * filled, or ERR_NO_MEMORY. A name given twice is an error: which secret counts would be a
 * guess. */
int userlist_parse(const char *text, size_t bytes, struct userlist **ret_list,
                   struct userlist_error *ret_error);

/* Wipes the secrets. NULL is allowed. */
void userlist_free(struct userlist *list);

/* The user's secret, owned by the list; NULL for an unknown user. */
const char *userlist_find(const struct userlist *list, const char *name);

/* How many users there are. */
size_t userlist_count(const struct userlist *list);

#endif
