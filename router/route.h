/* Why a statement goes where it goes: one list for SHOW REPLICAS, EXPLAIN (HOWDAH) and the code. */
#ifndef ROUTER_ROUTE_H
#define ROUTER_ROUTE_H

enum route {
#define ROUTE(name, text, why) ROUTE_##name,
#include "router/route.def"
#undef ROUTE
    ROUTE_COUNT
};

/* Short, and a sentence; static storage. */
const char *route_text(enum route route);
const char *route_why(enum route route);

#endif
