/* What PostgreSQL's own functions do, by name; the table is router/functions.def. */
#ifndef ROUTER_FUNCTIONS_H
#define ROUTER_FUNCTIONS_H

#include <stdint.h>

struct function_fact {
    const char *name;
    uint8_t class;    /* PLAN_READ, or PLAN_WRITE: it may change data or the session */
    uint32_t touches; /* enum plan_touch */
};

/* NULL: not known as a function that pg_catalog has in every version. */
const struct function_fact *function_find(const char *name);

#endif
