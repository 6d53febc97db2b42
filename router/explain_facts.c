#include "router/explain_facts.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "router/catalog.h"
#include "router/explain.h"
#include "router/plan.h"

/* --- words ------------------------------------------------------------------------------------ */

/* A list that is being written, in a text of EXPLAIN_FACT_BYTES: what has no room is cut off. */
struct words {
    char *text;
    size_t len;
    const char *between;
};

static void say(struct words *words, const char *text)
{
    size_t left = EXPLAIN_FACT_BYTES - 1 - words->len, bytes = strlen(text);
    bytes = bytes < left ? bytes : left;
    memcpy(words->text + words->len, text, bytes);
    words->len += bytes;
    words->text[words->len] = '\0';
}

static void item(struct words *words, const char *text)
{
    say(words, words->between);
    say(words, text);
    words->between = ", ";
}

/* --- effects ---------------------------------------------------------------------------------- */

static void say_effect(struct words *words, const struct catalog_effect *effect)
{
    words->between = "";
    if (effect->touches == 0 && effect->flags == 0) {
        say(words, "changes nothing");
        return;
    }
    if ((effect->flags & CATALOG_WRITES) != 0) {
        item(words, "may write");
    }
    if ((effect->flags & CATALOG_VOLATILE) != 0) {
        item(words, "is volatile");
    }
    const char *before = NULL; /* several touches have one name */
    for (uint32_t bit = 0; bit < 32; bit++) {
        const char *touched = explain_touched(effect->touches & UINT32_C(1) << bit);
        if (touched != NULL && touched != before) {
            item(words, "may touch ");
            say(words, touched);
            before = touched;
        }
    }
}

void explain_function(const struct catalog *catalog, const char *name,
                      char text[static EXPLAIN_FACT_BYTES])
{
    struct words words = {.text = text};
    const struct catalog_function *function = catalog_find_function(catalog, name);
    if (function == NULL) {
        say(&words, "not in the catalog: taken for one that may change anything");
        return;
    }
    say(&words, "by the catalog: ");
    say_effect(&words, &function->effect);
}

/* What it is, and what hangs on it; a plain table is nothing of the kind. */
static void say_kind(struct words *words, const struct catalog_relation *relation, bool is_written)
{
    static const struct {
        uint32_t flag;
        bool when_written;
        const char *text;
    } kinds[] = {
        {CATALOG_VIEW, false, "view"},
        {CATALOG_MATERIALIZED_VIEW, false, "materialized view"},
        {CATALOG_PARTITIONED, false, "partitioned"},
        {CATALOG_FOREIGN, false, "foreign table"},
        {CATALOG_SEQUENCE, false, "sequence"},
        {CATALOG_SYSTEM, false, "PostgreSQL's own"},
        {CATALOG_CHILDREN, false, "partitions or children"},
        {CATALOG_ROW_SECURITY, false, "row security"},
        {CATALOG_RULES, false, "rules"},
        {CATALOG_TRIGGERS, true, "triggers"},
        {CATALOG_DEFAULTS, true, "defaults that call functions"},
        {CATALOG_CASCADES, true, "foreign keys that cascade"},
    };
    words->between = "";
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if ((relation->flags & kinds[i].flag) != 0 && (is_written || !kinds[i].when_written)) {
            item(words, kinds[i].text);
        }
    }
    if (words->between[0] != '\0') {
        say(words, "; ");
    }
}

void explain_relation(const struct catalog *catalog, const char *name, bool is_written,
                      char text[static EXPLAIN_FACT_BYTES])
{
    struct words words = {.text = text};
    const struct catalog_relation *relation = catalog_find_relation(catalog, name);
    if (relation == NULL) {
        say(&words, "not in the catalog: taken for one that may change anything");
        return;
    }
    say(&words, "by the catalog: ");
    say_kind(&words, relation, is_written);
    const struct catalog_effect *effect = is_written ? &relation->write : &relation->read;
    bool quiet = effect->touches == 0 && effect->flags == 0;
    say(&words, is_written ? "writing it " : "reading it ");
    if (is_written && quiet) {
        say(&words, "runs nothing else");
    } else {
        say_effect(&words, effect);
    }
}

/* --- what is not named ------------------------------------------------------------------------ */

static void add_effect(struct explanation *explanation, const char *what,
                       const struct catalog_effect *effect)
{
    char text[EXPLAIN_FACT_BYTES];
    struct words words = {.text = text};
    if (effect->touches == 0 && effect->flags == 0) {
        return;
    }
    say(&words, "by the catalog: one of them ");
    say_effect(&words, effect);
    explanation_add(explanation, "may run", what, text);
}

void explain_unnamed(const struct catalog *catalog, const struct plan *plan,
                     struct explanation *explanation)
{
    add_effect(explanation, "operators, casts and types", &catalog->everywhere);
    if (plan->class == PLAN_DDL) {
        add_effect(explanation, "event triggers", &catalog->ddl);
    }
}
