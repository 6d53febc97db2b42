/* routing.rules, from a JSON tree to the rules of a database (router/rules.h).
 *
 *    { "match": { "tables": ["secrets"], "user": "bob", "class": "ddl" }, "reject": "ask the DBA" }
 *
 * Each condition is a string or a list of them; without "match" a rule holds for every statement.
 */
#ifndef CONFIG_FILL_RULES_H
#define CONFIG_FILL_RULES_H

#include <stdio.h>

#include "config/errors.h"
#include "config/json.h"

struct database_options;
struct rules;

/* Makes the list `node` of at most LIMIT_RULES elements the database's rules, in place of what it
 * has; findings are added to `errors`. 0 or ERR_NO_MEMORY. */
int fill_rules(const struct json_node *node, struct config_errors *errors,
               struct database_options *database);

/* Writes them as JSON; NULL is an empty list. */
void fill_rules_write(const struct rules *rules, FILE *out);

/* Writes the words for classes: "read", "session" ... */
void fill_rules_write_classes(FILE *out);

#endif
