#include "router/classify_names.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "router/classify_local.h"

void classify_name(struct classify_names *names, enum plan_name_kind kind, const char *name)
{
    for (uint32_t i = 0; i < names->count; i++) {
        if (names->items[i].kind == kind && strcmp(names->items[i].name, name) == 0) {
            return;
        }
    }
    if (names->count == PLAN_NAMES_MAX) {
        names->many = true;
        return;
    }
    char *copy = strdup(name);
    if (copy == NULL) {
        names->failed = true;
        return;
    }
    names->items[names->count++] = (struct plan_name){.name = copy, .kind = (uint8_t)kind};
}

const char *classify_column(const struct parse_tree *tree, uint32_t node)
{
    uint32_t string = tree->nodes[node].parent, list = tree->nodes[string].parent;
    const char *field = tree->nodes[node].name, *name = tree->nodes[list].name;
    if (tree->nodes[list].kind != PARSE_LIST || name == NULL || field == NULL ||
        strcmp(field, "sval") != 0) {
        return NULL;
    }
    bool is_last = string > list + 1 && tree->nodes[string].end == tree->nodes[list].end;
    bool is_behind = strcmp(name, "indirection") == 0 || (strcmp(name, "fields") == 0 && is_last);
    return is_behind ? tree->nodes[node].value.text : NULL;
}

void classify_add_column(struct classify_names *names, const char *name)
{
    uint32_t bytes = (uint32_t)strlen(name) + 1;
    if (names->columns_bytes + bytes + 1 > names->columns_room) {
        uint32_t room = 2 * (names->columns_bytes + bytes + 1);
        char *columns = realloc(names->columns, room);
        if (columns == NULL) {
            names->failed = true;
            return;
        }
        names->columns = columns;
        names->columns_room = room;
    }
    memcpy(names->columns + names->columns_bytes, name, bytes);
    names->columns_bytes += bytes;
    names->columns[names->columns_bytes] = '\0';
}

/* Whether the common table expression `cte` is what a name at `at` means. */
static bool reaches(const struct parse_tree *tree, uint32_t cte, uint32_t at)
{
    uint32_t with = tree->nodes[tree->nodes[cte].parent].parent;
    uint32_t owner = tree->nodes[with].parent;
    if (at <= owner || at >= tree->nodes[owner].end) {
        return false;
    }
    bool inside = at > with && at < tree->nodes[with].end;
    return !inside || at >= tree->nodes[cte].end || parse_field_number(tree, with, "recursive");
}

bool classify_is_cte(const struct parse_tree *tree, uint32_t stmt, uint32_t relation)
{
    const char *name = parse_field_text(tree, relation, "relname");
    if (parse_field(tree, relation, "schemaname") != 0) {
        return false;
    }
    for (uint32_t i = stmt; i < tree->nodes[stmt].end; i++) {
        const struct parse_node *node = &tree->nodes[i];
        if (node->kind == PARSE_TEXT && node->name != NULL && strcmp(node->name, "ctename") == 0 &&
            strcmp(node->value.text, name) == 0 && reaches(tree, node->parent, relation)) {
            return true;
        }
    }
    return false;
}

bool classify_is_written(const struct parse_tree *tree, uint32_t relation)
{
    const struct parse_node *node = &tree->nodes[relation];
    const struct parse_node *parent = &tree->nodes[node->parent];
    enum parse_type type = (enum parse_type)parent->type;
    if (type == PARSE_COPY_STMT) {
        return parse_field_number(tree, node->parent, "is_from") != 0;
    }
    if (parent->kind == PARSE_LIST) { /* of TRUNCATE */
        return parent->name != NULL && strcmp(parent->name, "relations") == 0;
    }
    return node->name != NULL && strcmp(node->name, "relation") == 0 &&
           (type == PARSE_INSERT_STMT || type == PARSE_UPDATE_STMT || type == PARSE_DELETE_STMT ||
            type == PARSE_MERGE_STMT);
}

/* An alias of FOR UPDATE OF, or what SELECT INTO makes. */
static bool is_no_table(const struct parse_tree *tree, uint32_t relation)
{
    const struct parse_node *node = &tree->nodes[relation];
    const char *list = tree->nodes[node->parent].name;
    return (node->name != NULL && strcmp(node->name, "rel") == 0) ||
           (list != NULL && strcmp(list, "lockedRels") == 0);
}

void classify_relations(const struct parse_tree *tree, uint32_t stmt, bool writes,
                        struct classify_names *names)
{
    for (uint32_t i = stmt; i < tree->nodes[stmt].end; i++) {
        const struct parse_node *node = &tree->nodes[i];
        if (node->kind != PARSE_TEXT || node->name == NULL || strcmp(node->name, "relname") != 0 ||
            is_no_table(tree, node->parent)) {
            continue;
        }
        bool is_target = writes || classify_is_written(tree, node->parent);
        if (is_target || !classify_is_cte(tree, stmt, node->parent)) {
            classify_name(names, is_target ? PLAN_NAME_WRITE : PLAN_NAME_READ, node->value.text);
        }
    }
}

int classify_names_keep(struct classify_names *names, struct plan *plan)
{
    plan->many_names = names->many;
    if (names->failed) {
        return ERR_NO_MEMORY;
    }
    plan->columns = names->columns;
    names->columns = NULL;
    if (names->count == 0) {
        return 0;
    }
    plan->names = malloc(names->count * sizeof(*plan->names));
    if (plan->names == NULL) {
        return ERR_NO_MEMORY;
    }
    memcpy(plan->names, names->items, names->count * sizeof(*plan->names));
    plan->names_count = names->count;
    for (uint32_t i = 0; i < plan->names_count; i++) {
        plan->local |= classify_local_relation(plan->names[i].name);
    }
    names->count = 0;
    return 0;
}

void classify_names_fini(struct classify_names *names)
{
    for (uint32_t i = 0; i < names->count; i++) {
        free(names->items[i].name);
    }
    names->count = 0;
    free(names->columns);
    names->columns = NULL;
}

void classify_free_names(struct plan *plan)
{
    for (uint32_t i = 0; i < plan->names_count; i++) {
        free(plan->names[i].name);
    }
    free(plan->names);
    plan->names = NULL;
    plan->names_count = 0;
    free(plan->columns);
    plan->columns = NULL;
}
