#include "router/route.h"

static const struct {
    const char *text, *why;
} routes[ROUTE_COUNT] = {
#define ROUTE(name, text, why) {text, why},
#include "router/route.def"
#undef ROUTE
};

const char *route_text(enum route route)
{
    return routes[route].text;
}

const char *route_why(enum route route)
{
    return routes[route].why;
}
