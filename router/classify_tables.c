#include "router/classify_tables.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "router/classify_names.h"

/* --- names ------------------------------------------------------------------------------------ */

static bool same_schema(const char *left, const char *right)
{
    return left == NULL || right == NULL ? left == right : strcmp(left, right) == 0;
}

/* Notes a name once; `schema` "" is none. */
static void note(struct classify_tables *tables, uint16_t classes, const char *schema,
                 const char *name)
{
    schema = schema[0] == '\0' ? NULL : schema;
    for (uint32_t i = 0; i < tables->count; i++) {
        struct plan_table *table = &tables->items[i];
        if (strcmp(table->name, name) == 0 && same_schema(table->schema, schema)) {
            table->classes |= classes;
            return;
        }
    }
    if (tables->count == PLAN_TABLES_MAX) {
        tables->hides |= PLAN_HIDES_TABLES;
        return;
    }
    struct plan_table table = {.name = strdup(name), .classes = classes};
    table.schema = schema == NULL ? NULL : strdup(schema);
    if (table.name == NULL || (schema != NULL && table.schema == NULL)) {
        free(table.name);
        free(table.schema);
        tables->failed = true;
        return;
    }
    tables->items[tables->count++] = table;
}

/* An alias of FOR UPDATE OF; the table itself stands in FROM. */
static bool is_alias(const struct parse_tree *tree, uint32_t relation)
{
    const char *list = tree->nodes[tree->nodes[relation].parent].name;
    return list != NULL && strcmp(list, "lockedRels") == 0;
}

static bool note_relations(const struct parse_tree *tree, uint32_t stmt, uint16_t classes,
                           struct classify_tables *tables)
{
    bool any = false;
    for (uint32_t i = stmt; i < tree->nodes[stmt].end; i++) {
        const struct parse_node *node = &tree->nodes[i];
        uint32_t relation = node->parent;
        if (node->kind == PARSE_TEXT && node->name != NULL && strcmp(node->name, "relname") == 0 &&
            !is_alias(tree, relation) &&
            (classify_is_written(tree, relation) || !classify_is_cte(tree, stmt, relation))) {
            note(tables, classes, parse_field_text(tree, relation, "schemaname"), node->value.text);
            any = true;
        }
    }
    return any;
}

/* What stands as a list of strings: schema, table, and so many parts behind it. */
static bool note_object(const struct parse_tree *tree, uint32_t object, uint32_t behind,
                        uint16_t classes, struct classify_tables *tables)
{
    uint32_t list = parse_field(tree, object, "items");
    uint32_t count = list == 0 ? 0 : parse_child_count(tree, list);
    const char *schema = "", *name = "";
    if (count <= behind) {
        return false;
    }
    for (uint32_t at = list + 1; count > behind; count--, at = tree->nodes[at].end) {
        schema = name;
        name = parse_field_text(tree, at, "sval");
    }
    note(tables, classes, schema, name);
    return true;
}

/* How many parts of an object's name stand behind its table's; -1: it is not of a table. */
static int parts_behind(const char *kind)
{
    static const struct {
        const char *kind;
        int behind;
    } kinds[] = {
        {"OBJECT_TABLE", 0},   {"OBJECT_VIEW", 0},          {"OBJECT_MATVIEW", 0},
        {"OBJECT_INDEX", 0},   {"OBJECT_FOREIGN_TABLE", 0}, {"OBJECT_SEQUENCE", 0},
        {"OBJECT_TRIGGER", 1}, {"OBJECT_RULE", 1},          {"OBJECT_POLICY", 1},
        {"OBJECT_COLUMN", 1},  {"OBJECT_TABCONSTRAINT", 1},
    };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(kinds[i].kind, kind) == 0) {
            return kinds[i].behind;
        }
    }
    return -1;
}

/* DROP, COMMENT, SECURITY LABEL, ALTER EXTENSION .. ADD */
static bool note_objects(const struct parse_tree *tree, uint32_t stmt, uint16_t classes,
                         struct classify_tables *tables)
{
    bool drops = tree->nodes[stmt].type == PARSE_DROP_STMT;
    int behind = parts_behind(parse_field_text(tree, stmt, drops ? "removeType" : "objtype"));
    uint32_t object = parse_field(tree, stmt, "object");
    uint32_t list = parse_field(tree, stmt, "objects");
    bool any = false;
    if (behind < 0) {
        return false;
    }
    if (object != 0) {
        any = note_object(tree, object, (uint32_t)behind, classes, tables);
    }
    for (uint32_t at = list + 1; list != 0 && at < tree->nodes[list].end;
         at = tree->nodes[at].end) {
        any = note_object(tree, at, (uint32_t)behind, classes, tables) || any;
    }
    return any;
}

/* --- what is hidden --------------------------------------------------------------------------- */

/* PostgreSQL's own functions that run a text, or read the table that an argument is the name of. */
static bool reads_by_name(const char *function)
{
    static const char *const begins[] = {
        "query_to_xml", "table_to_xml", "schema_to_xml", "database_to_xml", "ts_stat", "ts_rewrite",
    };
    for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++) {
        if (strncmp(function, begins[i], strlen(begins[i])) == 0) {
            return true;
        }
    }
    return false;
}

static bool calls_by_name(const struct parse_tree *tree, uint32_t stmt)
{
    for (uint32_t i = stmt; i < tree->nodes[stmt].end; i++) {
        const struct parse_node *node = &tree->nodes[i];
        const char *name = "";
        if (node->kind != PARSE_LIST || node->name == NULL || strcmp(node->name, "funcname") != 0) {
            continue;
        }
        for (uint32_t at = i + 1; at < node->end; at = tree->nodes[at].end) {
            name = parse_field_text(tree, at, "sval");
        }
        if (reads_by_name(name)) {
            return true;
        }
    }
    return false;
}

/* Whether a field below the statement has that text. */
static bool has_text(const struct parse_tree *tree, uint32_t stmt, const char *field,
                     const char *text)
{
    for (uint32_t i = stmt; i < tree->nodes[stmt].end; i++) {
        const struct parse_node *node = &tree->nodes[i];
        if (node->kind == PARSE_TEXT && node->name != NULL && strcmp(node->name, field) == 0 &&
            strncmp(node->value.text, text, strlen(text)) == 0) {
            return true;
        }
    }
    return false;
}

static uint8_t hides_by_kind(const struct parse_tree *tree, uint32_t stmt)
{
    bool hides = false;
    switch ((enum parse_type)tree->nodes[stmt].type) {
    case PARSE_DO_STMT:
        return PLAN_HIDES_TABLES | PLAN_HIDES_CLASS;
    case PARSE_DROP_OWNED_STMT:
    case PARSE_REASSIGN_OWNED_STMT:
    case PARSE_ALTER_TABLE_MOVE_ALL_STMT:
        return PLAN_HIDES_TABLES;
    case PARSE_DROP_STMT:
        hides = has_text(tree, stmt, "removeType", "OBJECT_SCHEMA") ||
                has_text(tree, stmt, "removeType", "OBJECT_EXTENSION");
        break;
    case PARSE_RENAME_STMT:
        hides = has_text(tree, stmt, "renameType", "OBJECT_SCHEMA");
        break;
    case PARSE_GRANT_STMT:
        hides = has_text(tree, stmt, "targtype", "ACL_TARGET_ALL_IN_SCHEMA");
        break;
    case PARSE_CREATE_PUBLICATION_STMT:
    case PARSE_ALTER_PUBLICATION_STMT:
        hides = parse_field_number(tree, stmt, "for_all_tables") != 0 ||
                has_text(tree, stmt, "pubobjtype", "PUBLICATIONOBJ_TABLES_IN");
        break;
    default:
        break;
    }
    return hides ? PLAN_HIDES_TABLES : 0;
}

/* --- all of it -------------------------------------------------------------------------------- */

void classify_tables(const struct parse_tree *tree, uint32_t stmt, uint16_t classes,
                     struct classify_tables *tables)
{
    bool any = note_relations(tree, stmt, classes, tables);
    any = note_objects(tree, stmt, classes, tables) || any;
    tables->classes |= classes;
    tables->bare_classes |= any ? 0 : classes;
    tables->hides |= hides_by_kind(tree, stmt);
    tables->hides |= calls_by_name(tree, stmt) ? PLAN_HIDES_TABLES : 0;
}

void classify_tables_opaque(struct classify_tables *tables)
{
    tables->classes |= 1 << PLAN_OPAQUE;
    tables->bare_classes |= 1 << PLAN_OPAQUE;
    tables->hides |= PLAN_HIDES_TABLES | PLAN_HIDES_CLASS;
}

int classify_tables_keep(struct classify_tables *tables, struct plan *plan)
{
    if (tables->failed) {
        return ERR_NO_MEMORY;
    }
    if (tables->count > 0) {
        plan->tables = malloc(tables->count * sizeof(*plan->tables));
        if (plan->tables == NULL) {
            return ERR_NO_MEMORY;
        }
        memcpy(plan->tables, tables->items, tables->count * sizeof(*plan->tables));
    }
    plan->classes = tables->classes;
    plan->bare_classes = tables->bare_classes;
    plan->hides = tables->hides;
    plan->table_count = tables->count;
    tables->count = 0;
    return 0;
}

void classify_tables_fini(struct classify_tables *tables)
{
    for (uint32_t i = 0; i < tables->count; i++) {
        free(tables->items[i].schema);
        free(tables->items[i].name);
    }
    tables->count = 0;
}

void classify_free_tables(struct plan *plan)
{
    for (uint32_t i = 0; i < plan->table_count; i++) {
        free(plan->tables[i].schema);
        free(plan->tables[i].name);
    }
    free(plan->tables);
    plan->tables = NULL;
    plan->table_count = 0;
}
