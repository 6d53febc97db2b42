/* config: routing.rules. */
#include "config_file.h"

#include "config/fill_rules.h"
#include "pool/options.h"
#include "router/plan.h"
#include "router/rules.h"

TestSuite(config, .init = enter_folder, .fini = leave_folder);

#define APP(keys)                                                                              \
    "{\"databases\": {\"app\": {\"primary\": \"host=a\", " keys "}},\n\"auth\": {\"method\": " \
    "\"trust\"}}"
#define RULES(list) APP("\"routing\": {\"rules\":\n" list "}")

static const struct rules *rules_of(const struct options *options)
{
    return options_find_database(options, "app")->rules;
}

Test(config, rules_by_their_words)
{
    struct options *options = expect_options(RULES(
        "[ // first match wins\n"
        "  { \"match\": { \"tables\": [\"audit_log\", \"s.t\"] }, \"route\": \"primary\" },\n"
        "  { \"match\": { \"user\": \"reporting\", \"class\": [\"read\", \"copy\"] }, \"route\": "
        "\"replica\" },\n"
        "  { \"route\": \"replica\", \"match\": {} },\n"
        "]"));
    for (int round = 0; round < 2; round++) { /* as written, and as printed */
        const struct rules *rules = rules_of(options);
        cr_assert_eq(rules->count, 3);
        const struct rule *rule = &rules->items[0];
        cr_assert_eq(rule->action, RULE_PRIMARY);
        cr_assert_eq(rule->table_count, 2);
        cr_assert_null(rule->tables[0].schema);
        cr_assert_str_eq(rule->tables[0].name, "audit_log");
        cr_assert_str_eq(rule->tables[1].schema, "s");
        cr_assert_str_eq(rule->tables[1].name, "t");
        cr_assert_eq(rule->user_count, 0);
        cr_assert_eq(rule->classes, 0);
        rule = &rules->items[1];
        cr_assert_eq(rule->action, RULE_REPLICA);
        cr_assert_eq(rule->user_count, 1);
        cr_assert_str_eq(rule->users[0], "reporting");
        cr_assert_eq(rule->classes, 1 << PLAN_READ | 1 << PLAN_COPY);
        rule = &rules->items[2];
        cr_assert_eq(rule->action, RULE_REPLICA);
        cr_assert_eq(rule->table_count + rule->user_count + rule->classes, 0);
        uint64_t serial = rules->serial;
        char *text = NULL;
        size_t bytes = 0;
        FILE *out = open_memstream(&text, &bytes);
        config_print(options, out);
        fclose(out);
        options_unref(options);
        options = expect_options(text);
        cr_assert_eq(rules_of(options)->serial, serial);
        free(text);
    }
    options_unref(options);

    options = expect_options(RULES("[]"));
    cr_assert_null(rules_of(options));
    options_unref(options);
}

Test(config, rules_that_reject)
{
    static const char text[] = "[{\"match\": {\"tables\": [\"secrets\"], \"class\": [\"ddl\"]}, "
                               "\"reject\": \"ask \\\"the\\\" DBA\"}]";
    struct database_options database = {0};
    struct config_errors errors;
    struct json_node *node;
    config_errors_init(&errors);
    cr_assert_eq(json_node_parse(text, sizeof(text) - 1, "x", &node, &errors), 0);
    cr_assert_eq(fill_rules(node, &errors, &database), 0);
    cr_assert_eq(errors.count, 0);
    json_node_free(node);
    const struct rule *rule = &database.rules->items[0];
    cr_assert_eq(rule->action, RULE_REJECT);
    cr_assert_str_eq(rule->reject, "ask \"the\" DBA");
    cr_assert_eq(rule->classes, 1 << PLAN_DDL);
    char *written = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&written, &bytes);
    fill_rules_write(database.rules, out);
    fclose(out);
    cr_assert_str_eq(written, text);
    free(written);
    rules_free(database.rules);
    config_errors_fini(&errors);
}

/* A session that has a server for itself is refused the same, and so is one whose statements have
 * their own names. */
Test(config, rules_that_reject_in_every_pool)
{
    static const char *const texts[] = {
        RULES("[{\"route\": \"replica\"}, {\"reject\": \"no\"}]"),
        APP("\"routing\": {\"rules\": [{\"reject\": \"no\"}]}, \"pool\": {\"mode\": "
            "\"session\"}"),
        APP("\"routing\": {\"rules\": [{\"reject\": \"no\"}, {\"route\": \"primary\"}]}, "
            "\"pool\": {\"prepared_statements\": 0}"),
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct options *options = expect_options(texts[i]);
        cr_assert_not_null(rules_of(options));
        options_unref(options);
    }
}

Test(config, rules_by_a_flag)
{
    char *findings;
    write_file("x.json", APP("\"routing\": {\"rules\": [{\"reject\": \"no\"}]}"), 0644);
    struct config_override set = {CONFIG_SET,
                                  "databases.app.routing.rules=[{\"route\": \"primary\"}]"};
    struct config_sources sources = {.file = "x.json", .overrides = &set, .override_count = 1};
    struct options *options = load_sources(&sources, &findings);
    cr_assert_not_null(options, "%s", findings);
    cr_assert_eq(rules_of(options)->count, 1);
    cr_assert_eq(rules_of(options)->items[0].action, RULE_PRIMARY);
    options_unref(options);
    free(findings);
}

Test(config, rules_that_cannot_be)
{
#define IN "databases.app.routing.rules[0]"
    static const struct {
        const char *text, *finding;
    } cases[] = {
        {RULES("[5]"), "x.json:2:2: " IN ": the value is an integer, allowed: an object with"},
        {RULES("[{}]"), "x.json:2:2: " IN ": the rule has neither \"route\" nor \"reject\", "
                        "allowed: one of them"},
        {RULES("[{\"match\": {}}]"), "x.json:2:2: " IN ": the rule has neither"},
        {RULES("[{\"route\": \"primary\", \"reject\": \"no\"}]"),
         "x.json:2:2: " IN ": the rule has both \"route\" and \"reject\""},
        {RULES("[{\"rout\": \"primary\"}]"),
         "x.json:2:3: " IN ".rout: unknown key, did you mean \"route\"?"},
        {RULES("[{\"route\": \"primary\", \"mach\": {}}]"),
         "x.json:2:23: " IN ".mach: unknown key, did you mean \"match\"?"},
        {RULES("[{\"route\": \"primary\", \"cheese\": 1}]"),
         IN ".cheese: unknown key, allowed: match, route, reject"},
        {RULES("[{\"route\": \"primary\", \"match\": {\"table\": \"a\"}}]"),
         "x.json:2:33: " IN ".match.table: unknown key, did you mean \"tables\"?"},
        {RULES("[{\"route\": \"primary\", \"match\": {\"database\": \"a\"}}]"),
         IN ".match.database: unknown key, allowed: tables, user, class"},
        {RULES("[{\"route\": \"primary\", \"match\": []}]"),
         "x.json:2:32: " IN ".match: the value is a list, allowed: an object with \"tables\""},
        {RULES("[{\"route\": \"primry\"}]"), "x.json:2:12: " IN ".route: \"primry\" is not "
                                             "possible, allowed: \"primary\" or \"replica\""},
        {RULES("[{\"route\": 1}]"), IN ".route: the value is an integer"},
        {RULES("[{\"reject\": null}]"), IN ".reject: the value is null"},
        {RULES("[{\"reject\": \"\"}]"), IN ".reject: the string is empty"},
        {RULES("[{\"route\": \"primary\", \"match\": {\"class\": \"reed\"}}]"),
         IN ".match.class: \"reed\" is not possible, allowed: one of \"read\", \"session\""},
        {RULES("[{\"route\": \"primary\", \"match\": {\"class\": [\"read\", 1]}}]"),
         IN ".match.class[1]: the value is an integer, allowed: a string"},
        {RULES("[{\"route\": \"primary\", \"match\": {\"tables\": []}}]"),
         IN ".match.tables: the list has 0 elements, allowed: from 1"},
        {RULES("[{\"route\": \"primary\", \"match\": {\"tables\": {}}}]"),
         IN ".match.tables: the value is an object, allowed: a string or a list of strings"},
        {RULES("[{\"route\": \"primary\", \"match\": {\"tables\": \"a.b.c\"}}]"),
         "x.json:2:43: " IN ".match.tables: \"a.b.c\" is no table's name, allowed: \"name\" or "
         "\"schema.name\""},
        {RULES("[{\"route\": \"primary\", \"match\": {\"tables\": [\"a\", \".b\"]}}]"),
         IN ".match.tables[1]: \".b\" is no table's name"},
        {RULES("[{\"route\": \"primary\", \"match\": {\"user\": \"\"}}]"),
         IN ".match.user: the string is empty"},
        {RULES("[{\"route\": \"primary\", \"route\": \"replica\"}]"), "given twice"},
        {RULES("[{\"route\": \"primary\", \"match\": {\"user\": \"a\", \"user\": \"b\"}}]"),
         "given twice"},
        {APP("\"routing\": {\"rules\": [{\"route\": \"replica\"}]}, \"pool\": {\"mode\": "
             "\"session\"}"),
         "databases.app.routing.rules: no statement goes to a replica with pool.mode \"session\""},
        {APP("\"routing\": {\"rules\": [{\"route\": \"replica\"}]}, \"pool\": "
             "{\"prepared_statements\": 0}"),
         "databases.app.routing.rules: no statement goes to a replica"},
        {"{\"users\": {\"bob\": {\"pool\": {\"mode\": \"session\"}}}, "
         "\"databases\": {\"app\": {\"primary\": \"host=a\", \"routing\": {\"rules\": "
         "[{\"route\": \"replica\"}]}}}}",
         "databases.app.routing.rules: no statement of \"bob\" goes to a replica"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *findings;
        cr_assert_null(load_text(cases[i].text, &findings), "%s", cases[i].text);
        cr_assert_not_null(strstr(findings, cases[i].finding), "%s -> %s", cases[i].text, findings);
        free(findings);
    }
}

Test(config, so_many_rules_and_no_more)
{
    for (int count = 64; count <= 65; count++) {
        char *text = NULL, *findings;
        size_t bytes = 0;
        FILE *out = open_memstream(&text, &bytes);
        fputs("{\"databases\": {\"app\": {\"primary\": \"host=a\", \"routing\": {\"rules\": [",
              out);
        for (int i = 0; i < count; i++) {
            fputs("{\"route\": \"primary\"}, ", out);
        }
        fputs("]}}}, \"auth\": {\"method\": \"trust\"}}", out);
        fclose(out);
        struct options *options = load_text(text, &findings);
        cr_assert_eq(options != NULL, count == 64, "%s", findings);
        cr_assert(count == 64 || strstr(findings, "rules: the list has 65 elements, allowed: a "
                                                  "list of at most 64 objects") != NULL,
                  "%s", findings);
        options_unref(options);
        free(text);
        free(findings);
    }
}
