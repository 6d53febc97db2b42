#include "pool/admin_gate.h"

#include <stdlib.h>
#include <string.h>

#include "pool/pool.h"

void gates_init(struct gates *gates)
{
    *gates = (struct gates){0};
    list_init(&gates->named);
}

void gates_fini(struct gates *gates)
{
    LIST_EACH (&gates->named, node) {
        free(CONTAINER_OF(node, struct gate, node));
    }
}

struct gate *gate_find(const struct gates *gates, const char *database)
{
    LIST_EACH (&gates->named, node) {
        struct gate *gate = CONTAINER_OF(node, struct gate, node);
        if (strcmp(gate->name, database) == 0) {
            return gate;
        }
    }
    return NULL;
}

struct gate *gate_get(struct gates *gates, const char *database)
{
    size_t bytes = strlen(database) + 1;
    struct gate *gate = gate_find(gates, database);
    if (gate != NULL) {
        return gate;
    }
    gate = calloc(1, sizeof(*gate) + bytes);
    if (gate != NULL) {
        memcpy(gate->name, database, bytes);
        list_push_back(&gates->named, &gate->node);
    }
    return gate;
}

bool gate_paused(const struct gates *gates, const char *database)
{
    const struct gate *gate = gate_find(gates, database);
    return gates->paused || gates->suspended || (gate != NULL && gate->paused);
}

void gates_apply(const struct gates *gates, struct pool *pool, bool is_new)
{
    const struct gate *gate = gate_find(gates, pool->name);
    pool->paused = gate_paused(gates, pool->name);
    pool->disabled = pool->orphaned || (gate != NULL && gate->disabled);
    if (is_new) {
        pool->epoch = gates->epoch + (gate == NULL ? 0 : gate->epoch);
    }
}
