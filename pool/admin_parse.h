/* What a statement to the admin database asks for: one of its commands, or something that drivers
 * say on connecting (pool/admin_driver.c), which is answered here and now.
 */
#ifndef POOL_ADMIN_PARSE_H
#define POOL_ADMIN_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pool/admin_command.h"
#include "pool/admin_table.h"

struct admin_lexer;
struct admin_token;

/* What clients are told, so that drivers take the dialect and the catalogs for PostgreSQL's. */
#define ADMIN_SERVER_VERSION "15.0 (howdah " HOWDAH_VERSION ")"
#define ADMIN_SERVER_VERSION_NUM "150000"

/* Whom drivers ask about. */
struct admin_who {
    const char *user, *database, *application_name;
    uint32_t pid;
};

enum admin_effect {
    EFFECT_NONE,
    EFFECT_BEGIN,
    EFFECT_END,
    EFFECT_DEALLOCATE, /* the prepared statement that `argument` names */
    EFFECT_DISCARD,    /* all of them */
};

struct admin_statement {
    const struct admin_command *command; /* NULL: `tag`, with `table` if it has columns */
    char *argument;                      /* database, client, key, name; NULL: none was given */
    char *value;                         /* of a SETTING */
    bool empty;                          /* nothing but spaces: EmptyQueryResponse */
    const char *tag;
    enum admin_effect effect;
    struct admin_table table;
    uint32_t parameter_count; /* the highest $n */
};

enum { ADMIN_MESSAGE_BYTES = 512 };

struct admin_error {
    int code; /* enum error_code */
    char message[ADMIN_MESSAGE_BYTES];
    const char *hint; /* static, or NULL */
};

/* One statement, without ';'. 0 and a statement to be given to admin_statement_fini, or a code with
 * its reason in *ret_error. */
int admin_parse(const char *text, size_t bytes, const struct admin_who *who,
                struct admin_statement *ret_statement, struct admin_error *ret_error);

void admin_statement_fini(struct admin_statement *statement);

/* What is no command: the lexer stands behind `first`. False when no driver says such a thing. */
bool admin_driver_parse(const struct admin_token *first, struct admin_lexer *lexer,
                        const struct admin_who *who, struct admin_statement *statement);

/* Whether SET of that name is PostgreSQL's, which has no meaning here and is accepted. */
bool admin_driver_parameter(const char *name, size_t bytes);

#endif
