#include "pool/own_explain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "pool/core.h"
#include "pool/firewall.h"
#include "pool/own.h"
#include "pool/pin_limit.h"
#include "pool/pool.h"
#include "pool/pool_facts.h"
#include "pool/route.h"
#include "pool/session.h"
#include "pool/state.h"
#include "router/explain.h"
#include "router/facts.h"
#include "router/hint.h"
#include "router/plan.h"
#include "router/rules.h"

/* What holds for the statement, and who says so. */
static const char *value_of(const struct own_explain *facts, const struct plan *plan,
                            enum control control, const char **ret_source)
{
    if (plan->hint != NULL && plan->hint->said[control]) {
        *ret_source = "the statement's hint";
        return plan->hint->values[control];
    }
    *ret_source = facts->sources[control];
    return facts->values[control];
}

static void add_settings(const struct own_explain *facts, const struct plan *plan,
                         struct explanation *explanation)
{
    char name[CONTROL_NAME_BYTES];
    for (enum control control = 0; control < CONTROL_COUNT; control++) {
        const char *source, *value = value_of(facts, plan, control, &source);
        snprintf(name, sizeof(name), "howdah.%s", control_label(control));
        explanation_add(explanation, name, value, source);
    }
}

/* Where there are replicas. */
static void add_route(const struct own_explain *facts, struct plan *plan,
                      struct explanation *explanation)
{
    if (facts->session == NULL) {
        explanation_add(explanation, "node", plan->class == PLAN_READ ? "any" : "primary",
                        "which one shows when a session sends it");
        return;
    }
    char node[32];
    uint32_t at;
    enum route route = route_explain(facts->engine, facts->session, plan, &at);
    snprintf(node, sizeof(node), "replica, node %u", at);
    explanation_add(explanation, "node", route == ROUTE_REPLICA ? node : "primary",
                    route_why(route));
}

/* `rule`: the one that refuses it, or NULL. */
static void add_node(const struct own_explain *facts, struct plan *plan, const struct rule *rule,
                     struct explanation *explanation)
{
    const char *source, *route = value_of(facts, plan, CONTROL_ROUTE, &source);
    if ((plan->touches & PLAN_TOUCH_BAD_HINT) != 0) {
        explanation_add(explanation, "node", "none", "its hint is malformed: it is refused");
    } else if (plan->is_ours) {
        explanation_add(explanation, "node", "none", "Howdah answers it itself");
    } else if (rule != NULL) {
        char which[RULE_TEXT_BYTES];
        rule_describe(rule, which, sizeof(which));
        explanation_add(explanation, "node", "none", "a rule refuses it");
        explanation_add(explanation, "refused", rule->reject, which);
    } else if ((plan->touches & PLAN_TOUCHES_OURS) != 0) {
        explanation_add(explanation, "node", "none",
                        "refused: what Howdah answers cannot be mixed with what a server runs");
    } else if (facts->has_replicas) {
        add_route(facts, plan, explanation);
    } else if (strcmp(route, "replica") == 0) {
        explanation_add(explanation, "node", "primary",
                        "the database has no replica that howdah.route could mean");
    } else {
        explanation_add(explanation, "node", "primary", "the database has one node");
    }
    explanation_add(explanation, "shards", "none", "the database is not sharded");
    explanation_add(explanation, "cache", "no", "there is no result cache");
}

static void add_pins(const struct own_explain *facts, const struct plan *plan,
                     struct explanation *explanation)
{
    static const struct {
        const char *text, *avoid;
    } pins[] = {
#define PIN(name, text, avoid) {text, "to do without: " avoid},
#include "pool/pins.def"
#undef PIN
    };
    uint32_t leaves =
        plan->leaves & (facts->virtual_names ? ~(uint32_t)PLAN_TOUCH_PREPARE : UINT32_MAX);
    uint32_t left = facts->owns_link ? 0 : pin_limit_pins(leaves);
    uint32_t may_leave =
        facts->owns_link ? 0 : pin_limit_pins(plan->touches & ~plan->own_touches) & ~left;
    for (uint32_t i = 0; i < PIN_COUNT; i++) {
        if (((left | may_leave) >> i & 1) != 0) {
            explanation_add(explanation,
                            (left >> i & 1) != 0 ? "pins the session" : "may pin the session",
                            pins[i].text, pins[i].avoid);
        }
    }
    if (!facts->owns_link && (plan->touches & (PLAN_TOUCH_UNKNOWN | PLAN_TOUCH_OPAQUE)) != 0) {
        explanation_add(explanation, "may pin the session", "whatever it leaves",
                        "the server is asked when the transaction has ended");
    }
}

static void add_mode(const struct own_explain *facts, struct explanation *explanation)
{
    static const struct {
        const char *name, *why;
    } modes[] = {
        [POOL_TRANSACTION] = {"transaction", "a connection is lent until the transaction ends"},
        [POOL_SESSION] = {"session", "the session has a connection of its own"},
        [POOL_STATEMENT] = {"statement", "a connection is lent for the statement"},
    };
    explanation_add(explanation, "pool mode", modes[facts->mode].name, modes[facts->mode].why);
}

/* The plan as it is by the facts. */
static struct plan seen_plan(const struct own_explain *facts, struct plan *plan)
{
    struct facts found = facts->is_stale ? facts_unknown(plan) : facts_of(facts->catalog, plan);
    struct plan seen = *plan;
    seen.touches = found.touches;
    seen.class = found.class;
    return seen;
}

static void add_catalog(const struct own_explain *facts, struct explanation *explanation)
{
    explanation_add(explanation, "catalog", facts->catalog == NULL ? "not known" : "known",
                    facts->catalog_why);
}

int own_explain(struct plan_cache *plans, const struct plan_context *context,
                const struct own_explain *facts, const char *text, uint32_t len,
                struct explanation *explanation)
{
    struct plan *plan = len > LIMIT_PLAN_BYTES ? plans->opaque : plan_of(plans, context, text, len);
    struct hint_error error;
    int code;
    if (len > LIMIT_PLAN_BYTES) {
        plan_ref(plan);
    }
    if ((plan->touches & PLAN_TOUCH_BAD_HINT) != 0 && hint_find_error(text, len, &error)) {
        snprintf(explanation->error, sizeof(explanation->error), "%s", error.message);
        explanation->error_at = error.at + 1;
        plan_unref(plan);
        return ERR_SYNTAX;
    }
    struct plan seen = seen_plan(facts, plan);
    const struct rule *rule = facts->session == NULL
                                  ? NULL
                                  : firewall_rule(facts->engine, facts->session, plan, text, len);
    code =
        explain_text(context, &seen, facts->catalog, text, len, facts->server_major, explanation);
    if (code == 0) {
        add_catalog(facts, explanation);
        add_node(facts, &seen, rule, explanation);
        add_mode(facts, explanation);
        add_pins(facts, &seen, explanation);
        add_settings(facts, &seen, explanation);
        explain_key(plan, explanation);
        code = explanation->texts.failed ? ERR_NO_MEMORY : 0;
    }
    plan_unref(plan);
    return code;
}

static const char *const catalog_whys[] = {
    [POOL_FACTS_NO_LOGIN] = "it can't be read: no service.user is set, nor a user in the DSN",
    [POOL_FACTS_FAILED] = "reading it has failed: see the log",
    [POOL_FACTS_ASKED] = "it is being read: what is named may do anything until then",
    [POOL_FACTS_CHANGING] =
        "DDL is under way: what is named may do anything until it is read again",
    [POOL_FACTS_KNOWN] = "what functions and relations do is taken from it",
};

int own_explain_session(struct engine *engine, struct session *session, const char *text,
                        uint32_t len, struct explanation *explanation)
{
    struct plan_context context = state_plan_context(session);
    enum pool_facts_state state = pool_facts_state(engine, session);
    struct own_explain facts = {
        .mode = session->pool->limits.mode,
        .catalog = state == POOL_FACTS_KNOWN ? session->pool->facts.catalog : NULL,
        .is_stale = state == POOL_FACTS_ASKED || state == POOL_FACTS_CHANGING,
        .catalog_why = catalog_whys[state],
        .has_replicas = session->routing != NULL,
        .engine = engine,
        .session = session,
        .owns_link = session->owns_link,
        .virtual_names = session_virtual_statements(session),
        .server_major = pool_server_major(session->pool)};
    for (enum control control = 0; control < CONTROL_COUNT; control++) {
        facts.values[control] = own_get(session, control);
        facts.sources[control] = own_source(session, control);
    }
    return own_explain(&engine->plans, &context, &facts, text, len, explanation);
}
