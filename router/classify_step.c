/* The statements of a text that are answered here, and those that undo or keep what is set. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "base/error.h"
#include "router/classify.h"
#include "router/control.h"

static const char *copy_text(const char *text, int *code)
{
    char *copy = strdup(text);
    *code = copy == NULL ? ERR_NO_MEMORY : *code;
    return copy;
}

static const char *copy_lower(const char *text, int *code)
{
    char *copy = (char *)copy_text(text, code);
    for (char *c = copy; c != NULL && *c != '\0'; c++) {
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
    }
    return copy;
}

/* --- SET, SHOW, RESET ------------------------------------------------------------------------- */

static bool take_set(const struct parse_tree *tree, uint32_t stmt, struct plan_step *step,
                     int *code)
{
    const char *kind = parse_field_text(tree, stmt, "kind");
    const char *name = parse_field_text(tree, stmt, "name");
    step->resets = strncmp(kind, "VAR_RESET", 9) == 0;
    if (strcmp(kind, "VAR_RESET_ALL") == 0) {
        step->kind = PLAN_STEP_RESET_ALL;
        return true;
    }
    if (!control_is_ours(name)) {
        step->kind = PLAN_STEP_RESET;
        return step->resets;
    }
    char *value = NULL;
    bool is_value = strcmp(kind, "VAR_SET_VALUE") == 0;
    int understood = is_value ? classify_set_value(tree, stmt, name, &value) : 0;
    step->kind = PLAN_STEP_SET;
    step->local = parse_field_number(tree, stmt, "is_local") != 0;
    step->strange = understood == ERR_UNSUPPORTED || strcmp(kind, "VAR_SET_CURRENT") == 0;
    step->name = copy_lower(name, code);
    step->value = value;
    *code = understood == ERR_NO_MEMORY ? understood : *code;
    return true;
}

static bool take_show(const struct parse_tree *tree, uint32_t stmt, struct plan_step *step,
                      int *code)
{
    const char *name = parse_field_text(tree, stmt, "name");
    if (!control_is_ours(name)) {
        return false;
    }
    step->kind = PLAN_STEP_SHOW;
    step->name = copy_lower(name, code);
    return true;
}

/* --- SELECT set_config(), SELECT current_setting() -------------------------------------------- */

/* The only target of a SELECT that has nothing else; 0: it has. */
static uint32_t only_target(const struct parse_tree *tree, uint32_t stmt)
{
    uint32_t targets = parse_field(tree, stmt, "targetList");
    bool only = targets != 0 && parse_child_count(tree, targets) == 1 &&
                parse_child_count(tree, stmt) == 3; /* and limitOption, op */
    return only ? targets + 1 : 0;
}

/* The literal of that field ("sval", "boolval") that a constant has; 0: it is none. */
static uint32_t literal(const struct parse_tree *tree, uint32_t node, const char *field)
{
    return tree->nodes[node].type == PARSE_A_CONST ? parse_field(tree, node, field) : 0;
}

static bool literal_bool(const struct parse_tree *tree, uint32_t node, bool *ret_value)
{
    uint32_t value = literal(tree, node, "boolval");
    *ret_value = value != 0 && parse_field_number(tree, value, "boolval") != 0;
    return value != 0;
}

/* Whether the call's arguments are those of the function, all of them literals. */
static bool take_arguments(const struct parse_tree *tree, uint32_t args, struct plan_step *step,
                           int *code)
{
    bool sets = step->kind == PLAN_STEP_SET_CONFIG;
    uint32_t count = parse_child_count(tree, args), first = args + 1;
    uint32_t second = tree->nodes[first].end;
    uint32_t name = literal(tree, first, "sval");
    if (name == 0 || !control_is_ours(parse_field_text(tree, name, "sval"))) {
        return false;
    }
    if (sets) {
        uint32_t value = count == 3 ? literal(tree, second, "sval") : 0;
        if (value == 0 || !literal_bool(tree, tree->nodes[second].end, &step->local)) {
            return false;
        }
        step->value = copy_text(parse_field_text(tree, value, "sval"), code);
    } else if (count > 2 || (count == 2 && !literal_bool(tree, second, &step->missing_ok))) {
        return false;
    }
    step->name = copy_lower(parse_field_text(tree, name, "sval"), code);
    return true;
}

static bool take_select(const struct parse_tree *tree, uint32_t stmt, struct plan_step *step,
                        int *code)
{
    uint32_t target = only_target(tree, stmt);
    uint32_t call = target == 0 ? 0 : parse_field(tree, target, "val");
    uint32_t names = call == 0 ? 0 : parse_field(tree, call, "funcname");
    uint32_t args = call == 0 ? 0 : parse_field(tree, call, "args");
    if (names == 0 || args == 0 || parse_child_count(tree, call) != 3) { /* and funcformat */
        return false;
    }
    const char *last = "";
    for (uint32_t i = names + 1; i < tree->nodes[names].end; i = tree->nodes[i].end) {
        last = parse_field_text(tree, i, "sval");
    }
    if (strcmp(last, "set_config") == 0) {
        step->kind = PLAN_STEP_SET_CONFIG;
    } else if (strcmp(last, "current_setting") == 0) {
        step->kind = PLAN_STEP_CURRENT_SETTING;
    } else {
        return false;
    }
    const char *label = parse_field_text(tree, target, "name");
    if (!take_arguments(tree, args, step, code)) {
        return false;
    }
    step->label = copy_text(label[0] == '\0' ? last : label, code);
    return true;
}

/* --- transactions ----------------------------------------------------------------------------- */

static bool take_transaction(const struct parse_tree *tree, uint32_t stmt, struct plan_step *step,
                             int *code)
{
    static const struct {
        const char *kind;
        enum plan_step_kind step;
    } kinds[] = {
        {"TRANS_STMT_COMMIT", PLAN_STEP_COMMIT},
        {"TRANS_STMT_PREPARE", PLAN_STEP_COMMIT},
        {"TRANS_STMT_ROLLBACK", PLAN_STEP_ROLLBACK},
        {"TRANS_STMT_SAVEPOINT", PLAN_STEP_SAVEPOINT},
        {"TRANS_STMT_RELEASE", PLAN_STEP_RELEASE},
        {"TRANS_STMT_ROLLBACK_TO", PLAN_STEP_ROLLBACK_TO},
    };
    const char *kind = parse_field_text(tree, stmt, "kind");
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(kind, kinds[i].kind) == 0) {
            step->kind = (uint8_t)kinds[i].step;
            step->name = copy_text(parse_field_text(tree, stmt, "savepoint_name"), code);
            return true;
        }
    }
    return false;
}

/* --- all of a text ---------------------------------------------------------------------------- */

/* Whether the statement is a step. */
static bool take_step(const struct parse_tree *tree, uint32_t stmt, bool alone,
                      struct plan_step *step, int *code)
{
    switch ((enum parse_type)tree->nodes[stmt].type) {
    case PARSE_VARIABLE_SET_STMT:
        return take_set(tree, stmt, step, code);
    case PARSE_VARIABLE_SHOW_STMT:
        return take_show(tree, stmt, step, code);
    case PARSE_TRANSACTION_STMT:
        return take_transaction(tree, stmt, step, code);
    case PARSE_SELECT_STMT:
        return alone && take_select(tree, stmt, step, code);
    case PARSE_EXPLAIN_STMT:
        step->kind = PLAN_STEP_EXPLAIN;
        return classify_has_option(tree, stmt, "options", "howdah");
    default:
        return false;
    }
}

static void free_step(struct plan_step *step)
{
    free((char *)step->name);
    free((char *)step->value);
    free((char *)step->label);
}

void classify_free_steps(struct plan *plan)
{
    for (uint32_t i = 0; i < plan->step_count; i++) {
        free_step(&plan->steps[i]);
    }
    free(plan->steps);
    plan->steps = NULL;
    plan->step_count = 0;
}

int classify_steps(const struct parse_tree *tree, struct plan *plan)
{
    uint32_t statements = parse_field(tree, 0, "stmts"), ours = 0;
    uint32_t count = statements == 0 ? 0 : parse_child_count(tree, statements);
    int code = 0;
    ASSERT(count > 0); /* one of them has something to be looked at for */
    plan->steps = calloc(count, sizeof(*plan->steps));
    if (plan->steps == NULL) {
        return ERR_NO_MEMORY;
    }
    for (uint32_t i = 0, at = statements + 1; i < count; i++, at = tree->nodes[at].end) {
        struct plan_step step = {.kind = PLAN_STEP_SET};
        uint32_t stmt = parse_field(tree, at, "stmt");
        if (take_step(tree, stmt, count == 1, &step, &code)) {
            ours += step.kind <= PLAN_STEP_EXPLAIN;
            plan->steps[plan->step_count++] = step;
        } else {
            free_step(&step);
        }
    }
    plan->is_ours = ours == count;
    if (code != 0) {
        classify_free_steps(plan);
    }
    return code;
}
