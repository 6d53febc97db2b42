#include "router/functions.h"

#include <stddef.h>
#include <string.h>

#include "router/plan.h"

static const struct function_fact facts[] = {
#define FUNCTION(name, class, touches) {name, PLAN_##class, touches},
#include "router/functions.def"
#undef FUNCTION
};

const struct function_fact *function_find(const char *name)
{
    size_t low = 0, high = sizeof(facts) / sizeof(facts[0]);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, facts[middle].name);
        if (order == 0) {
            return &facts[middle];
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}
