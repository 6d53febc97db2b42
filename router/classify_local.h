/* What reads, and yet does not read the same everywhere: what only one server, or only one
 * transaction, can say. */
#ifndef ROUTER_CLASSIFY_LOCAL_H
#define ROUTER_CLASSIFY_LOCAL_H

#include <stdint.h>

/* Of one of PostgreSQL's own functions, of a word that is called without parentheses, of a
 * relation, and of a setting that is asked for, by name: enum plan_local. */
uint8_t classify_local_function(const char *name);
uint8_t classify_local_keyword(const char *word);
uint8_t classify_local_relation(const char *name);
uint8_t classify_local_setting(const char *name);

#endif
