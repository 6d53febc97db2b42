#include "config/fill_rules.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "config/option.h"
#include "config/write.h"
#include "pool/options.h"
#include "router/explain.h"
#include "router/rules.h"

enum { REJECT_BYTES_MAX = 1000 };

static const char *const rule_keys[] = {"match", "route", "reject", NULL};
static const char *const match_keys[] = {"tables", "user", "class", NULL};

static const char rule_allowed[] = "an object with \"route\" or \"reject\", and \"match\"";
static const char match_allowed[] = "an object with \"tables\", \"user\" and \"class\"";

/* --- findings -------------------------------------------------------------------------------- */

static void refuse(struct config_errors *errors, const struct json_node *node, const char *wrong,
                   const char *allowed)
{
    char path[OPTION_PATH_BYTES];
    json_node_path(node, path, sizeof(path));
    config_errors_add(errors, node->place, path, "%s, allowed: %s", wrong, allowed);
}

static void refuse_kind(struct config_errors *errors, const struct json_node *node,
                        const char *allowed)
{
    char wrong[64];
    snprintf(wrong, sizeof(wrong), "the value is %s", json_node_kind(node));
    refuse(errors, node, wrong, allowed);
}

static void refuse_text(struct config_errors *errors, const struct json_node *node,
                        const char *what, const char *allowed)
{
    char wrong[160];
    snprintf(wrong, sizeof(wrong), "\"%.100s\" is %s", node->string, what);
    refuse(errors, node, wrong, allowed);
}

static void refuse_key(struct config_errors *errors, const struct json_node *node,
                       const char *const *keys)
{
    char path[OPTION_PATH_BYTES];
    const char *near = option_nearest(keys, node->key);
    json_node_path(node, path, sizeof(path));
    if (near != NULL) {
        config_errors_add(errors, node->key_place, path, "unknown key, did you mean \"%s\"?", near);
    } else {
        config_errors_add(errors, node->key_place, path, "unknown key, allowed: %s, %s, %s",
                          keys[0], keys[1], keys[2]);
    }
}

/* ERR_NO_MEMORY. */
static int refuse_class(struct config_errors *errors, const struct json_node *node)
{
    char *allowed = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&allowed, &bytes);
    if (out == NULL) {
        return ERR_NO_MEMORY;
    }
    fputs("one of ", out);
    fill_rules_write_classes(out);
    if (fclose(out) != 0) {
        free(allowed);
        return ERR_NO_MEMORY;
    }
    refuse_text(errors, node, "not possible", allowed);
    free(allowed);
    return 0;
}

/* --- conditions ------------------------------------------------------------------------------ */

/* One string of a condition; `key` is one of match_keys. */
static int fill_item(const struct json_node *node, const char *key, struct config_errors *errors,
                     struct rule *rule)
{
    if (node->kind != JSON_NODE_STRING) {
        refuse_kind(errors, node, "a string");
        return 0;
    }
    if (strcmp(key, "class") == 0) {
        return rule_add_class(rule, node->string) ? 0 : refuse_class(errors, node);
    }
    if (strcmp(key, "user") == 0) {
        if (node->string[0] == '\0') {
            refuse(errors, node, "the string is empty", "the name of a user");
            return 0;
        }
        return rule_add_user(rule, node->string);
    }
    int error = rule_add_table(rule, node->string);
    if (error == ERR_BAD_VALUE) {
        refuse_text(errors, node, "no table's name",
                    "\"name\" or \"schema.name\", each of 1 to 63 bytes and without dots");
        error = 0;
    }
    return error;
}

static int fill_condition(const struct json_node *node, struct config_errors *errors,
                          struct rule *rule)
{
    if (node->kind == JSON_NODE_STRING) {
        return fill_item(node, node->key, errors, rule);
    }
    if (node->kind != JSON_NODE_ARRAY) {
        refuse_kind(errors, node, "a string or a list of strings");
        return 0;
    }
    if (node->child_count == 0 || node->child_count > LIMIT_RULE_NAMES) {
        char wrong[64];
        snprintf(wrong, sizeof(wrong), "the list has %u elements", node->child_count);
        refuse(errors, node, wrong, "from 1 to 1000; or leave the condition out");
        return 0;
    }
    int error = 0;
    for (const struct json_node *at = node->first; at != NULL && error == 0; at = at->next) {
        error = fill_item(at, node->key, errors, rule);
    }
    return error;
}

static bool is_key(const char *const *keys, const char *key)
{
    while (*keys != NULL && strcmp(*keys, key) != 0) {
        keys++;
    }
    return *keys != NULL;
}

static int fill_match(const struct json_node *node, struct config_errors *errors, struct rule *rule)
{
    int error = 0;
    if (node->kind != JSON_NODE_OBJECT) {
        refuse_kind(errors, node, match_allowed);
        return 0;
    }
    for (const struct json_node *at = node->first; at != NULL && error == 0; at = at->next) {
        if (json_node_get(node, at->key) != at) {
            continue; /* a key given twice is a finding already */
        }
        if (is_key(match_keys, at->key)) {
            error = fill_condition(at, errors, rule);
        } else {
            refuse_key(errors, at, match_keys);
        }
    }
    return error;
}

/* --- a rule ---------------------------------------------------------------------------------- */

static void fill_route(const struct json_node *node, struct config_errors *errors,
                       struct rule *rule)
{
    static const char allowed[] = "\"primary\" or \"replica\"";
    if (node->kind != JSON_NODE_STRING) {
        refuse_kind(errors, node, allowed);
        return;
    }
    bool replica = strcmp(node->string, "replica") == 0;
    if (!replica && strcmp(node->string, "primary") != 0) {
        refuse_text(errors, node, "not possible", allowed);
    }
    rule->action = replica ? RULE_REPLICA : RULE_PRIMARY;
}

static int fill_reject(const struct json_node *node, struct config_errors *errors,
                       struct rule *rule)
{
    static const char allowed[] = "what the user is told, of 1 to 1000 bytes";
    if (node->kind != JSON_NODE_STRING) {
        refuse_kind(errors, node, allowed);
        return 0;
    }
    size_t bytes = strlen(node->string);
    if (bytes == 0 || bytes > REJECT_BYTES_MAX) {
        refuse(errors, node, bytes == 0 ? "the string is empty" : "the string is too long",
               allowed);
        return 0;
    }
    rule->action = RULE_REJECT;
    rule->reject = strdup(node->string);
    return rule->reject == NULL ? ERR_NO_MEMORY : 0;
}

static int fill_rule(const struct json_node *node, struct config_errors *errors, struct rule *rule)
{
    if (node->kind != JSON_NODE_OBJECT) {
        refuse_kind(errors, node, rule_allowed);
        return 0;
    }
    const struct json_node *match = json_node_get(node, "match");
    const struct json_node *route = json_node_get(node, "route");
    const struct json_node *reject = json_node_get(node, "reject");
    for (const struct json_node *at = node->first; at != NULL; at = at->next) {
        if (!is_key(rule_keys, at->key)) {
            refuse_key(errors, at, rule_keys);
        }
    }
    if (route == NULL && reject == NULL) {
        refuse(errors, node, "the rule has neither \"route\" nor \"reject\"", "one of them");
    }
    if (route != NULL && reject != NULL) {
        refuse(errors, node, "the rule has both \"route\" and \"reject\"", "one of them");
    }
    int error = match != NULL ? fill_match(match, errors, rule) : 0;
    if (route != NULL) {
        fill_route(route, errors, rule);
    }
    if (reject != NULL && error == 0) {
        error = fill_reject(reject, errors, rule);
    }
    return error;
}

int fill_rules(const struct json_node *node, struct config_errors *errors,
               struct database_options *database)
{
    rules_free(database->rules);
    database->rules = NULL;
    if (node->child_count == 0) {
        return 0;
    }
    struct rules *rules = rules_new(node->child_count);
    if (rules == NULL) {
        return ERR_NO_MEMORY;
    }
    int error = 0;
    for (const struct json_node *at = node->first; at != NULL && error == 0; at = at->next) {
        error = fill_rule(at, errors, &rules->items[at->index]);
    }
    if (error != 0) {
        rules_free(rules);
        return error;
    }
    rules_seal(rules);
    database->rules = rules;
    return 0;
}

/* --- back to text ---------------------------------------------------------------------------- */

void fill_rules_write_classes(FILE *out)
{
    for (enum plan_class class = PLAN_READ; class <= PLAN_OPAQUE; class ++) {
        fprintf(out, "%s\"%s\"", class == PLAN_READ ? "" : ", ", explain_class_name(class));
    }
}

/* Begins one of the conditions of a rule: `*between` is what stands before it. */
static void write_key(const char **between, const char *key, FILE *out)
{
    fprintf(out, "%s\"%s\": [", *between, key);
    *between = ", ";
}

static void write_match(const struct rule *rule, FILE *out)
{
    const char *between = "";
    fputs("\"match\": {", out);
    if (rule->table_count > 0) {
        write_key(&between, "tables", out);
        for (uint32_t i = 0; i < rule->table_count; i++) {
            char text[2 * LIMIT_NAME_BYTES];
            const struct rule_table *table = &rule->tables[i];
            snprintf(text, sizeof(text), "%s%s%s", table->schema == NULL ? "" : table->schema,
                     table->schema == NULL ? "" : ".", table->name);
            fputs(i > 0 ? ", " : "", out);
            write_json_string(text, out);
        }
        fputc(']', out);
    }
    if (rule->user_count > 0) {
        write_key(&between, "user", out);
        for (uint32_t i = 0; i < rule->user_count; i++) {
            fputs(i > 0 ? ", " : "", out);
            write_json_string(rule->users[i], out);
        }
        fputc(']', out);
    }
    if (rule->classes != 0) {
        const char *comma = "";
        write_key(&between, "class", out);
        for (enum plan_class class = PLAN_READ; class <= PLAN_OPAQUE; class ++) {
            if ((rule->classes & 1u << class) != 0) {
                fprintf(out, "%s\"%s\"", comma, explain_class_name(class));
                comma = ", ";
            }
        }
        fputc(']', out);
    }
    fputs("}, ", out);
}

void fill_rules_write(const struct rules *rules, FILE *out)
{
    fputc('[', out);
    for (uint32_t i = 0; rules != NULL && i < rules->count; i++) {
        const struct rule *rule = &rules->items[i];
        fputs(i > 0 ? ", {" : "{", out);
        write_match(rule, out);
        if (rule->action == RULE_REJECT) {
            fputs("\"reject\": ", out);
            write_json_string(rule->reject, out);
        } else {
            fprintf(out, "\"route\": \"%s\"", rule->action == RULE_REPLICA ? "replica" : "primary");
        }
        fputc('}', out);
    }
    fputc(']', out);
}
