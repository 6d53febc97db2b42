#include "router/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/limits.h"
#include "router/explain.h"

_Static_assert(LIMIT_RULES <= 64, "a bit each");

enum { CLASS_COUNT = PLAN_OPAQUE + 1, CLASS_ANY = CLASS_COUNT };

#define CLASS_BIT(class) ((uint16_t)(1u << (class)))

/* --- making them ------------------------------------------------------------------------------ */

struct rules *rules_new(uint32_t count)
{
    ASSERT(count <= LIMIT_RULES);
    struct rules *rules = calloc(1, sizeof(*rules) + count * sizeof(rules->items[0]));
    if (rules == NULL) {
        return NULL;
    }
    rules->count = count;
    for (uint32_t i = 0; i < count; i++) {
        rules->items[i].number = i;
    }
    return rules;
}

static void rule_fini(struct rule *rule)
{
    for (uint32_t i = 0; i < rule->user_count; i++) {
        free(rule->users[i]);
    }
    for (uint32_t i = 0; i < rule->table_count; i++) {
        free(rule->tables[i].schema);
        free(rule->tables[i].name);
    }
    free(rule->users);
    free(rule->tables);
    free(rule->reject);
}

void rules_free(struct rules *rules)
{
    for (uint32_t i = 0; rules != NULL && i < rules->count; i++) {
        rule_fini(&rules->items[i]);
    }
    free(rules);
}

static uint64_t hash_text(uint64_t key, const char *text)
{
    return text == NULL ? hash_word(key, 0) : hash_bytes(key, text, strlen(text) + 1);
}

void rules_seal(struct rules *rules)
{
    uint64_t hash = hash_word(1, rules->count);
    for (uint32_t i = 0; i < rules->count; i++) {
        const struct rule *rule = &rules->items[i];
        hash = hash_word(hash, rule->action);
        hash = hash_word(hash, rule->classes);
        hash = hash_word(hash, rule->user_count);
        hash = hash_word(hash, rule->table_count);
        for (uint32_t j = 0; j < rule->user_count; j++) {
            hash = hash_text(hash, rule->users[j]);
        }
        for (uint32_t j = 0; j < rule->table_count; j++) {
            hash = hash_text(hash, rule->tables[j].schema);
            hash = hash_text(hash, rule->tables[j].name);
        }
    }
    rules->serial = hash == 0 ? 1 : hash;
}

static bool is_name(const char *name, size_t bytes)
{
    return bytes > 0 && bytes < LIMIT_NAME_BYTES && memchr(name, '.', bytes) == NULL;
}

int rule_add_table(struct rule *rule, const char *text)
{
    const char *dot = strchr(text, '.');
    const char *name = dot == NULL ? text : dot + 1;
    if (!is_name(name, strlen(name)) || (dot != NULL && !is_name(text, (size_t)(dot - text)))) {
        return ERR_BAD_VALUE;
    }
    struct rule_table *grown =
        reallocarray(rule->tables, rule->table_count + 1, sizeof(*rule->tables));
    if (grown == NULL) {
        return ERR_NO_MEMORY;
    }
    rule->tables = grown;
    struct rule_table table = {.name = strdup(name)};
    table.schema = dot == NULL ? NULL : strndup(text, (size_t)(dot - text));
    if (table.name == NULL || (dot != NULL && table.schema == NULL)) {
        free(table.name);
        free(table.schema);
        return ERR_NO_MEMORY;
    }
    rule->tables[rule->table_count++] = table;
    return 0;
}

int rule_add_user(struct rule *rule, const char *user)
{
    char **grown = reallocarray(rule->users, rule->user_count + 1, sizeof(*rule->users));
    if (grown == NULL) {
        return ERR_NO_MEMORY;
    }
    rule->users = grown;
    rule->users[rule->user_count] = strdup(user);
    if (rule->users[rule->user_count] == NULL) {
        return ERR_NO_MEMORY;
    }
    rule->user_count++;
    return 0;
}

bool rule_add_class(struct rule *rule, const char *word)
{
    for (enum plan_class class = PLAN_READ; class <= PLAN_OPAQUE; class ++) {
        if (strcmp(explain_class_name(class), word) == 0) {
            rule->classes |= CLASS_BIT(class);
            return true;
        }
    }
    return false;
}

/* --- asking ----------------------------------------------------------------------------------- */

uint64_t rules_of_user(const struct rules *rules, const char *user)
{
    uint64_t found = 0;
    for (uint32_t i = 0; rules != NULL && i < rules->count; i++) {
        const struct rule *rule = &rules->items[i];
        bool holds = rule->user_count == 0;
        for (uint32_t j = 0; j < rule->user_count && !holds; j++) {
            holds = strcmp(rule->users[j], user) == 0;
        }
        found |= holds ? UINT64_C(1) << i : 0;
    }
    return found;
}

bool rules_have(const struct rules *rules, uint64_t of_user, enum rule_action action)
{
    bool has = false;
    for (uint32_t i = 0; rules != NULL && i < rules->count; i++) {
        has = has || ((of_user & UINT64_C(1) << i) != 0 && rules->items[i].action == action);
    }
    return has;
}

/* What is held against the rules at one time. */
struct part {
    uint32_t class;                 /* enum plan_class; CLASS_ANY: it may be of any */
    const struct plan_table *table; /* NULL: none, or any */
    bool any_table;                 /* it may be any */
};

static bool class_holds(const struct rule *rule, const struct part *part)
{
    bool rejects = rule->action == RULE_REJECT;
    if (rule->classes == 0) {
        return !rejects || part->class != PLAN_TRANSACTION;
    }
    return part->class == CLASS_ANY ? rejects : (rule->classes & CLASS_BIT(part->class)) != 0;
}

static bool table_holds(const struct rule *rule, const struct part *part)
{
    if (rule->table_count == 0) {
        return true;
    }
    if (part->table == NULL) {
        return part->any_table && rule->action == RULE_REJECT;
    }
    for (uint32_t i = 0; i < rule->table_count; i++) {
        const struct rule_table *table = &rule->tables[i];
        const char *schema = part->table->schema;
        /* without a schema it is search_path's: any */
        if (strcmp(table->name, part->table->name) == 0 &&
            (table->schema == NULL || schema == NULL || strcmp(table->schema, schema) == 0)) {
            return true;
        }
    }
    return false;
}

/* What the parts have come to: the first rule of each action; NULL: none. */
struct found {
    const struct rule *by_action[RULE_REJECT + 1];
};

static void consider(const struct rules *rules, uint64_t of_user, struct part part,
                     struct found *found)
{
    for (uint32_t i = 0; i < rules->count; i++) {
        const struct rule *rule = &rules->items[i];
        if ((of_user & UINT64_C(1) << i) != 0 && class_holds(rule, &part) &&
            table_holds(rule, &part)) {
            const struct rule **first = &found->by_action[rule->action];
            *first = *first == NULL || rule->number < (*first)->number ? rule : *first;
            return;
        }
    }
}

/* The classes that statements have by the facts: what is called may make a read a write. */
static uint16_t classes_now(const struct plan *plan, uint8_t class, uint16_t classes)
{
    const uint16_t read = CLASS_BIT(PLAN_READ), write = CLASS_BIT(PLAN_WRITE);
    if ((classes & read) == 0) {
        return classes;
    }
    if (plan->statement_count == 1 && classes == read) {
        return class == PLAN_WRITE ? write : read;
    }
    bool may_write = class == PLAN_WRITE || plan->class == PLAN_WRITE ||
                     (plan->touches & PLAN_TOUCH_UNKNOWN) != 0;
    return may_write ? classes | write : classes;
}

static void consider_classes(const struct rules *rules, uint64_t of_user, uint16_t classes,
                             struct part part, struct found *found)
{
    for (part.class = PLAN_READ; part.class < CLASS_COUNT; part.class ++) {
        if ((classes & CLASS_BIT(part.class)) != 0) {
            consider(rules, of_user, part, found);
        }
    }
}

void rules_find(const struct rules *rules, uint64_t of_user, struct plan *plan, uint8_t class)
{
    struct found found = {0};
    const struct rule *rule = NULL;
    ASSERT(rules->serial != 0);
    for (uint32_t i = 0; i < plan->table_count && !plan->is_ours; i++) {
        const struct plan_table *table = &plan->tables[i];
        consider_classes(rules, of_user, classes_now(plan, class, table->classes),
                         (struct part){.table = table}, &found);
    }
    if (!plan->is_ours) {
        uint16_t bare = classes_now(plan, class, plan->bare_classes);
        uint16_t all = classes_now(plan, class, plan->classes);
        consider_classes(rules, of_user, bare, (struct part){0}, &found);
        if ((plan->hides & PLAN_HIDES_TABLES) != 0) {
            consider_classes(rules, of_user, all, (struct part){.any_table = true}, &found);
        }
        if ((plan->hides & PLAN_HIDES_CLASS) != 0) {
            consider(rules, of_user, (struct part){.class = CLASS_ANY, .any_table = true}, &found);
        }
    }
    for (enum rule_action action = RULE_REJECT + 1; action-- > 0 && rule == NULL;) {
        rule = found.by_action[action];
    }
    plan->rules_serial = rules->serial;
    plan->rules_user = of_user;
    plan->rules_class = class;
    plan->rules_found = rule == NULL ? 0 : (uint8_t)(rule->number + 1);
}

/* --- in words --------------------------------------------------------------------------------- */

struct words {
    char *text;
    size_t len, bytes;
};

static void say(struct words *words, const char *text)
{
    size_t left = words->bytes - 1 - words->len, len = strlen(text);
    len = len < left ? len : left;
    memcpy(words->text + words->len, text, len);
    words->len += len;
    words->text[words->len] = '\0';
}

void rule_describe(const struct rule *rule, char *ret_text, size_t bytes)
{
    struct words words = {.text = ret_text, .bytes = bytes};
    char number[32];
    ASSERT(bytes > 0);
    snprintf(number, sizeof(number), "routing.rules[%u]", rule->number);
    say(&words, number);
    const char *before = ": tables ";
    for (uint32_t i = 0; i < rule->table_count; i++, before = " or ") {
        const struct rule_table *table = &rule->tables[i];
        say(&words, before);
        say(&words, table->schema == NULL ? "" : table->schema);
        say(&words, table->schema == NULL ? "" : ".");
        say(&words, table->name);
    }
    before = rule->table_count == 0 ? ": user " : ", user ";
    for (uint32_t i = 0; i < rule->user_count; i++, before = " or ") {
        say(&words, before);
        say(&words, rule->users[i]);
    }
    before = rule->table_count + rule->user_count == 0 ? ": class " : ", class ";
    for (enum plan_class class = PLAN_READ; class <= PLAN_OPAQUE; class ++) {
        if ((rule->classes & CLASS_BIT(class)) != 0) {
            say(&words, before);
            say(&words, explain_class_name(class));
            before = " or ";
        }
    }
}
