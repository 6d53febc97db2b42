/* What a statement of transaction control says. */
#include <string.h>

#include "router/classify.h"

static uint8_t control_of(const char *kind)
{
    static const struct {
        const char *kind;
        enum plan_control control;
    } known[] = {
        {"TRANS_STMT_BEGIN", PLAN_CONTROL_BEGIN},
        {"TRANS_STMT_START", PLAN_CONTROL_START},
        {"TRANS_STMT_COMMIT", PLAN_CONTROL_COMMIT},
        {"TRANS_STMT_ROLLBACK", PLAN_CONTROL_ROLLBACK},
        {"TRANS_STMT_PREPARE", PLAN_CONTROL_PREPARE},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(kind, known[i].kind) == 0) {
            return (uint8_t)known[i].control;
        }
    }
    return PLAN_CONTROL_NONE;
}

static uint8_t isolation_of(const char *text)
{
    return strcmp(text, "serializable") == 0       ? PLAN_SERIALIZABLE
           : strcmp(text, "repeatable read") == 0  ? PLAN_REPEATABLE_READ
           : strcmp(text, "read committed") == 0   ? PLAN_READ_COMMITTED
           : strcmp(text, "read uncommitted") == 0 ? PLAN_READ_UNCOMMITTED
                                                   : PLAN_ISOLATION_DEFAULT;
}

/* One of the grammar's transaction_mode_item. False: it is not known. */
static bool note_mode(const struct parse_tree *tree, uint32_t option, struct plan_modes *modes)
{
    const char *name = parse_field_text(tree, option, "defname");
    uint32_t value = parse_field(tree, option, "arg");
    uint32_t number = value == 0 ? 0 : parse_field(tree, value, "ival");
    uint32_t text = value == 0 ? 0 : parse_field(tree, value, "sval");
    uint8_t choice = number != 0 && parse_field_number(tree, number, "ival") != 0 ? PLAN_CHOICE_YES
                                                                                  : PLAN_CHOICE_NO;
    if (strcmp(name, "transaction_isolation") == 0 && text != 0) {
        modes->isolation = isolation_of(parse_field_text(tree, text, "sval"));
        return modes->isolation != PLAN_ISOLATION_DEFAULT;
    }
    if (strcmp(name, "transaction_read_only") == 0 && number != 0) {
        modes->read_only = choice;
        return true;
    }
    if (strcmp(name, "transaction_deferrable") == 0 && number != 0) {
        modes->deferrable = choice;
        return true;
    }
    return false;
}

void classify_control(const struct parse_tree *tree, uint32_t stmt, struct plan *plan)
{
    uint32_t list = parse_field(tree, stmt, "options");
    struct plan_modes modes = {0};
    bool known = true;
    for (uint32_t i = list + 1; list != 0 && i < tree->nodes[list].end; i = tree->nodes[i].end) {
        known = known && note_mode(tree, i, &modes);
    }
    if (known) {
        plan->control = control_of(parse_field_text(tree, stmt, "kind"));
        plan->chain = parse_field_number(tree, stmt, "chain") != 0;
        plan->modes = modes;
    }
}
