/* config: the servers of a database. */
#include "config_file.h"

TestSuite(config, .init = enter_folder, .fini = leave_folder);

#define APP(keys) "{\"databases\": {\"app\": {" keys "}}, \"auth\": {\"method\": \"trust\"}}"

Test(config, replicas_stand_behind_their_primary)
{
    struct options *options =
        expect_options(APP("\"replicas\": [\"host=b user=u\", {\"weight\": 7, \"dsn\": "
                           "\"postgres://u:secret@c:1234/x\"}], \"primary\": \"host=a user=u\", "
                           "\"routing\": {\"max_lag\": \"3s\"}"));
    const struct database_options *app = options_find_database(options, "app");
    cr_assert_eq(app->server_count, 3);
    cr_assert(app->has_primary);
    cr_assert_str_eq(app->servers[0].host, "a");
    cr_assert_str_eq(app->servers[1].host, "b");
    cr_assert_eq(app->servers[1].weight, 1);
    cr_assert_str_eq(app->servers[2].host, "c");
    cr_assert_eq(app->servers[2].weight, 7);
    cr_assert_eq(app->max_lag_ms, 3000);

    /* What is printed is read back as the same, but for the password. */
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    config_print(options, out);
    fclose(out);
    cr_assert_null(strstr(text, "secret"));
    struct options *again = expect_options(text);
    const struct database_options *same = options_find_database(again, "app");
    cr_assert_eq(same->server_count, 3);
    cr_assert_str_eq(same->servers[2].host, "c");
    cr_assert_eq(same->servers[2].port, 1234);
    cr_assert_eq(same->servers[2].weight, 7);
    free(text);
    options_unref(again);
    options_unref(options);

    /* One is a list of one; none is the default; null is no limit. */
    options = expect_options(APP("\"primary\": \"host=a user=u\", \"replicas\": \"host=b user=u\", "
                                 "\"routing\": {\"max_lag\": null}"));
    cr_assert_eq(options_find_database(options, "app")->server_count, 2);
    cr_assert_eq(options_find_database(options, "app")->max_lag_ms, 0);
    options_unref(options);
    options = expect_options(APP("\"primary\": \"host=a\""));
    cr_assert_eq(options_find_database(options, "app")->server_count, 1);
    cr_assert_eq(options_find_database(options, "app")->max_lag_ms, 10000);
    options_unref(options);
}

Test(config, replicas_that_cannot_be)
{
#define REPLICAS(list) APP("\"primary\": \"host=a user=u\", \"replicas\": " list)
    static const struct {
        const char *text, *finding;
    } cases[] = {
        {REPLICAS("[\"host=b\", 5]"),
         "databases.app.replicas[1]: 5 is an integer, allowed: a list"},
        {REPLICAS("[{\"weight\": 2}]"), "databases.app.replicas[0]: the object has no \"dsn\""},
        {REPLICAS("[{\"dsn\": \"host=b\", \"wait\": 2}]"),
         "replicas[0]: the object has other keys"},
        {REPLICAS("[{\"dsn\": \"host=b\", \"weight\": 0}]"),
         "replicas[0].weight: the weight is not"},
        {REPLICAS("[{\"dsn\": \"host=b\", \"weight\": 1001}]"), "replicas[0].weight: the weight"},
        {REPLICAS("[{\"dsn\": \"host=b\", \"weight\": \"2\"}]"), "replicas[0].weight: the weight"},
        {REPLICAS("[\"postgres://b:x\"]"), "databases.app.replicas[0]: "},
        {REPLICAS("[\"host=b\", \"host=a user=v\"]"), "replicas: server 2 is server 0 again"},
        {REPLICAS("[\"host=b sslrootcert=none.pem\"]"), "replicas: cannot read file \"none.pem\""},
        {APP("\"replicas\": [\"host=b\"]"), "databases.app.primary: missing"},
        {REPLICAS("[], \"routing\": {\"balance\": \"fastest\"}"),
         "databases.app.routing.balance: \"fastest\" is not possible, allowed: one of "
         "\"least_busy\", \"weighted\", \"round_robin\""},
        {REPLICAS("[], \"routing\": {\"transaction_reads\": \"until_write\"}, \"pool\": "
                  "{\"deferred_begin\": false}"),
         "x.json:1:101: databases.app.routing.transaction_reads: \"until_write\" without "
         "pool.deferred_begin"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *findings;
        cr_assert_null(load_text(cases[i].text, &findings), "%s", cases[i].text);
        cr_assert_not_null(strstr(findings, cases[i].finding), "%s -> %s", cases[i].text, findings);
        free(findings);
    }
}

Test(config, replicas_are_noted_for_what_they_lack)
{
    char *findings;
    struct options *options = load_text(REPLICAS("[\"host=b\"]"), &findings);
    cr_assert_not_null(options);
    cr_assert_not_null(strstr(findings, "service.user: not given"), "%s", findings);
    options_unref(options);
    free(findings);
}

Test(config, routing_by_its_names)
{
    struct options *options = expect_options(REPLICAS(
        "\"host=b user=u\", \"routing\": {\"reads\": \"any\", \"consistency\": \"strong\", "
        "\"transaction_reads\": \"until_write\", \"wait_for_replica\": \"50ms\", "
        "\"balance\": \"round_robin\"}"));
    for (int round = 0; round < 2; round++) { /* as written, and as printed */
        const struct database_options *app = options_find_database(options, "app");
        cr_assert_eq(app->routing_reads, READS_ANY);
        cr_assert_eq(app->consistency, CONSISTENCY_STRONG);
        cr_assert_eq(app->transaction_reads, TRANSACTION_READS_UNTIL_WRITE);
        cr_assert_eq(app->wait_for_replica_ms, 50);
        cr_assert_eq(app->balance, BALANCE_ROUND_ROBIN);
        char *text = NULL;
        size_t bytes = 0;
        FILE *out = open_memstream(&text, &bytes);
        config_print(options, out);
        fclose(out);
        options_unref(options);
        options = expect_options(text);
        free(text);
    }
    options_unref(options);

    options = expect_options(REPLICAS("[], \"routing\": {\"reads\": \"primary\", \"consistency\": "
                                      "\"eventual\", \"balance\": \"weighted\"}"));
    const struct database_options *app = options_find_database(options, "app");
    cr_assert_eq(app->routing_reads, READS_PRIMARY);
    cr_assert_eq(app->consistency, CONSISTENCY_EVENTUAL);
    cr_assert_eq(app->balance, BALANCE_WEIGHTED);
    options_unref(options);
}

Test(config, hosts_instead_of_a_primary)
{
    struct options *options = expect_options(
        APP("\"hosts\": [\"host=a user=u\", {\"dsn\": \"host=b user=u\", \"weight\": 3}], "
            "\"routing\": {\"failover_wait\": \"5s\"}"));
    const struct database_options *app = options_find_database(options, "app");
    cr_assert(app->discovers);
    cr_assert_not(app->has_primary);
    cr_assert_eq(app->server_count, 2);
    cr_assert_eq(app->servers[1].weight, 3);
    cr_assert_eq(app->failover_wait_ms, 5000);
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    config_print(options, out);
    fclose(out);
    struct options *again = expect_options(text);
    cr_assert(options_find_database(again, "app")->discovers);
    cr_assert_eq(options_find_database(again, "app")->server_count, 2);
    free(text);
    options_unref(again);
    options_unref(options);

    static const struct {
        const char *text, *finding;
    } cases[] = {
        {APP("\"hosts\": \"host=a user=u\", \"primary\": \"host=b user=u\""),
         "hosts: given beside primary or replicas"},
        {APP("\"hosts\": \"host=a user=u\", \"replicas\": [\"host=b user=u\"]"),
         "hosts: given beside primary or replicas"},
        {APP("\"hosts\": [\"host=a user=u\", \"host=b\"]"), "service.user: missing"},
        {APP("\"hosts\": [\"host=a user=u\", \"host=a user=u\"]"), "server 1 is server 0 again"},
        {APP("\"hosts\": []"), "databases.app.primary: missing"},
        {APP("\"primary\": null"), "databases.app.primary: missing"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *findings;
        cr_assert_null(load_text(cases[i].text, &findings), "%s", cases[i].text);
        cr_assert_not_null(strstr(findings, cases[i].finding), "%s -> %s", cases[i].text, findings);
        free(findings);
    }
}
