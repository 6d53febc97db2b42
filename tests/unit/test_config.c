/* config: files, flags and environment to a snapshot; findings with their places. */
#include "config_file.h"

#include "config/cli.h"
#include "config/option.h"
#include "config/units.h"
#include "protocol/hba.h"
#include "protocol/userlist.h"

TestSuite(config, .init = enter_folder, .fini = leave_folder);

#define DB "\"databases\": {\"a\": {\"primary\": \"password=x\"}}"

static struct options *load_flags(const struct config_override *overrides, size_t count,
                                  const char *url, char **ret_findings)
{
    write_file("empty.json", "{}", 0644);
    struct config_sources sources = {
        .file = "empty.json", .database_url = url, .overrides = overrides, .override_count = count};
    return load_sources(&sources, ret_findings);
}

Test(config, defaults_are_those_of_the_contract)
{
    struct options *options = expect_options("{" DB "}");
    cr_assert_eq(options->listen_count, 1);
    cr_assert_str_eq(options->listen[0], "127.0.0.1:6432");
    cr_assert_eq(options->workers, 0);
    cr_assert_eq(options->max_clients, 100000);
    cr_assert_eq(options->shutdown_timeout_ms, 60000);
    cr_assert_eq(options->tls.mode, TLS_PREFER);
    cr_assert_null(options->tls.cert);
    cr_assert_not(options->tls.min_version_13);
    cr_assert_eq(options->auth.method, AUTH_SCRAM_SHA_256);
    cr_assert_eq(options->auth.fail_limit_count, 10);
    cr_assert_eq(options->auth.fail_limit_window_ms, 60000);
    cr_assert_eq(options->auth.fail_delay_ms, 1000);
    cr_assert_eq(options->admin_user_count, 1);
    cr_assert_str_eq(options->admin_users[0], "admin");
    cr_assert_eq(options->stats_user_count, 0);
    cr_assert_not(options->log_json);
    const struct database_options *database = options_find_database(options, "a");
    cr_assert_eq(database->server_count, 1);
    cr_assert_eq(database->pool.mode, POOL_TRANSACTION);
    cr_assert_eq(database->pool.size, 20);
    cr_assert_eq(database->pool.min_idle, 0);
    cr_assert_eq(database->pool.reserve, 0);
    cr_assert_eq(database->pool.reserve_after_ms, 5000);
    cr_assert_eq(database->pool.wait_timeout_ms, 30000);
    cr_assert_eq(database->pool.idle_timeout_ms, 600000);
    cr_assert_eq(database->pool.max_lifetime_ms, 3600000);
    cr_assert_eq(database->pool.query_timeout_ms, 0);
    cr_assert_eq(database->pool.idle_transaction_timeout_ms, 0);
    cr_assert_eq(database->pool.client_idle_timeout_ms, 0);
    cr_assert_eq(database->pool.connect_timeout_ms, 5000);
    cr_assert_eq(database->pool.prepared_statements, 500);
    cr_assert_not(database->pool.has_max_pinned);
    cr_assert_eq(database->max_server_connections, 0);
    cr_assert_eq(database->routing_reads, READS_REPLICAS);
    cr_assert_eq(database->consistency, CONSISTENCY_SESSION);
    cr_assert_eq(database->transaction_reads, TRANSACTION_READS_PRIMARY);
    cr_assert_eq(database->wait_for_replica_ms, 0);
    cr_assert_eq(database->balance, BALANCE_LEAST_BUSY);
    options_unref(options);
}

Test(config, comments_and_trailing_commas)
{
    struct options *options = expect_options("\xef\xbb\xbf// one\n{ /* two\n * , } */ "
                                             "\"listen\": [\"*:1\", /* x */ \"*:2\", ],\n"
                                             "\"databases\": {\"a//b\": {\"primary\": "
                                             "\"host='/*' password='x // \\\" ,]'\",},},\n}//");
    cr_assert_eq(options->listen_count, 2);
    const struct server_options *server = options_find_database(options, "a//b")->servers;
    cr_assert_str_eq(server->host, "/*");
    cr_assert_str_eq(server->password, "x // \" ,]");
    options_unref(options);
}

Test(config, syntax_errors_have_places)
{
    static const struct {
        const char *text, *place;
    } cases[] = {
        {"", "x.json:1:1: "},
        {"{\n  \"workers\": 1\n  \"listen\": []\n}", "x.json:3:3: "},
        {"{\"a\": tru}", "x.json:1:7: "},
        {"{\"a\": 1} x", "x.json:1:10: "},
        {"{\"a\": 1 /* x", "x.json:1:9: "},
        {"{,}", "x.json:1:2: "},
        {"{\"a\": [1,,]}", "x.json:1:10: "},
        {"// \xc3\xa9\n/* \xc3\xa9 */ {\"a\": }", "x.json:2:15: "},
        {"[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]", "x.json:1:17: nested too deeply"},
        {"{\"a\": 99999999999999999999}", "x.json:1:7: "},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *findings;
        cr_assert_null(load_text(cases[i].text, &findings));
        cr_assert_eq(strncmp(findings, cases[i].place, strlen(cases[i].place)), 0, "%s -> %s",
                     cases[i].text, findings);
        free(findings);
    }
}

Test(config, every_prefix_of_a_file)
{
    static const char text[] = "// c\n{\"listen\": [\"*:1\", ], /* x */ \"workers\": 2,\n"
                               "\"databases\": {\"a\\u00e9\": {\"primary\": \"host=x\"}}}";
    for (size_t length = 0; length + 1 < sizeof(text); length++) {
        char part[sizeof(text)];
        char *findings;
        snprintf(part, sizeof(part), "%.*s", (int)length, text);
        cr_assert_null(load_text(part, &findings), "%s", part);
        free(findings);
    }
}

Test(config, all_findings_at_their_places)
{
    expect_findings(
        "{\n  \"workers\": 65, /* \xc3\xa9 */ \"max_clint\": 3,\n"
        "  \"tls\": {\"mode\": \"requir\"},\n"
        "  \"admin\": {\"http\": null}, \"auth\": {\"method\": \"trust\"},\n"
        "  \"databases\": {\n"
        "    \"howdah\": {\"primary\": \"\"},\n"
        "    \"a.b\": {\"pool\": {\"size\": 5, \"min_idle\": 6, \"modes\": 1}, \"cache\": []},\n"
        "    \"c\": 5,\n  },\n  \"zzz\": 1,\n  \"workers\": 1\n}",
        "x.json:2:14: workers: 65 is out of range, allowed: an integer from 1 to 64, or \"auto\"\n"
        "x.json:2:26: max_clint: unknown key, did you mean \"max_clients\"?\n"
        "x.json:3:19: tls.mode: \"requir\" is not possible, allowed: one of \"disable\", "
        "\"prefer\", \"require\", \"verify-ca\", \"verify-full\"\n"
        "x.json:4:13: admin.http: this version does not support this key yet, allowed: leave it "
        "out\n"
        "x.json:6:5: databases.howdah: the name belongs to the admin database, allowed: any other "
        "name\n"
        "x.json:7:5: databases.\"a.b\".primary: missing, allowed: a libpq connection string, such "
        "as \"postgres://host:5432/app\"; or hosts\n"
        "x.json:7:45: databases.\"a.b\".pool.min_idle: 6 is more than pool.size, allowed: 0 to 5\n"
        "x.json:7:48: databases.\"a.b\".pool.modes: unknown key, did you mean \"mode\"?\n"
        "x.json:7:61: databases.\"a.b\".cache: this version does not support this key yet, "
        "allowed: leave it out\n"
        "x.json:8:10: databases.c: the value is an integer, allowed: an object\n"
        "x.json:10:3: zzz: unknown key, allowed: listen, workers, max_clients, shutdown_timeout, "
        "tls, auth, admin, log, users, databases\n"
        "x.json:11:3: workers: given twice, first at line 2, allowed: once\n");
}

/* --- every key of the table ------------------------------------------------------------------ */

/* A file in which the option has this JSON value, or stands twice. */
static void key_text(const struct option *option, const char *value, bool twice, char *ret_text,
                     size_t bytes)
{
    char path[128];
    char open[256] = "";
    char close[8] = "";
    size_t depth = 0;
    snprintf(path, sizeof(path), "%s", option->path);
    char *step = path;
    for (char *dot = strchr(step, '.'); dot != NULL; dot = strchr(step, '.')) {
        *dot = '\0';
        size_t used = strlen(open);
        snprintf(open + used, sizeof(open) - used, "\"%s\": {", step[0] == '<' ? "zz" : step);
        close[depth++] = '}';
        step = dot + 1;
    }
    const char *server = option->home == HOME_DATABASE ? "" : DB ", ";
    char again[256] = "";
    if (twice) {
        snprintf(again, sizeof(again), ", \"%s\": %s", step, value);
    }
    snprintf(ret_text, bytes, "{%s%s\"%s\": %s%s%s}", server, open, step, value, again, close);
}

static bool refuses_key(const struct option *option, const char *value, bool twice,
                        const char *message)
{
    char text[1024];
    char path[128];
    char expected[160];
    char *findings;
    key_text(option, value, twice, text, sizeof(text));
    struct options *options = load_text(text, &findings);
    const char *hole = strchr(option->path, '<');
    if (hole != NULL) {
        snprintf(path, sizeof(path), "%.*szz%s", (int)(hole - option->path), option->path,
                 strchr(hole, '>') + 1);
    } else {
        snprintf(path, sizeof(path), "%s", option->path);
    }
    snprintf(expected, sizeof(expected), ": %s: ", path);
    char *line = strstr(findings, expected);
    bool refused = options == NULL && line != NULL && strstr(line, message) != NULL;
    if (!refused) {
        fprintf(stderr, "%s\n-> %s\n", text, findings);
    }
    options_unref(options);
    free(findings);
    return refused;
}

static bool accepts_key(const struct option *option, const char *value)
{
    char text[1024];
    char file[1200];
    char *findings;
    key_text(option, value, false, text, sizeof(text));
    if (option->home == HOME_DATABASE) { /* it needs its primary, too */
        const char *after = strstr(text, "\"zz\": {") + strlen("\"zz\": {");
        snprintf(file, sizeof(file), "%.*s\"primary\": \"user=u password=x\", %s",
                 (int)(after - text), text, after);
    } else {
        snprintf(file, sizeof(file), "%s", text);
    }
    struct options *options = load_text(file, &findings);
    bool range = strstr(findings, "out of range") == NULL;
    bool accepted = options != NULL || (range && strstr(findings, "pool.") != NULL);
    if (!accepted) {
        fprintf(stderr, "%s\n-> %s\n", file, findings);
    }
    options_unref(options);
    free(findings);
    return accepted;
}

Test(config, every_key_refuses_wrong_types_and_duplicates)
{
    static const char *const wrong[] = {"true", "{\"a\": 1}", "1.5"};
    for (size_t i = 0; i < option_count(); i++) {
        const struct option *option = option_at(i);
        for (size_t j = 0; j < sizeof(wrong) / sizeof(wrong[0]); j++) {
            bool right = option->type == OPTION_BOOL && strcmp(wrong[j], "true") == 0;
            cr_assert(right ? accepts_key(option, wrong[j])
                            : refuses_key(option, wrong[j], false, ", allowed: "),
                      "%s", option->path);
        }
        if (option->type != OPTION_STRINGS && option->type != OPTION_LISTEN &&
            option->type != OPTION_REPLICAS && option->type != OPTION_HOSTS &&
            option->type != OPTION_RULES) {
            cr_assert(refuses_key(option, "[\"5\"]", false, "the value is a list"), "%s",
                      option->path);
        }
        cr_assert(refuses_key(option, "\"5s\"", true, "given twice, first at line 1"), "%s",
                  option->path);
        if (!option_nullable(option)) {
            cr_assert(refuses_key(option, "null", false, "the value is null, allowed: "), "%s",
                      option->path);
        }
        if (option->type != OPTION_INT && option->type != OPTION_DURATION) {
            cr_assert(refuses_key(option, "7", false, ", allowed: "), "%s", option->path);
        }
        if (option->type == OPTION_STRING || option->type == OPTION_SECRET) {
            cr_assert(refuses_key(option, "\"\"", false, "the string is empty"), "%s",
                      option->path);
        }
    }
}

Test(config, every_range_ends_where_it_says)
{
    for (size_t i = 0; i < option_count(); i++) {
        const struct option *option = option_at(i);
        char text[64];
        if (option->type == OPTION_INT) {
            snprintf(text, sizeof(text), "%u", option->low);
            cr_assert(accepts_key(option, text), "%s", option->path);
            snprintf(text, sizeof(text), "%u", option->high);
            cr_assert(accepts_key(option, text), "%s", option->path);
            snprintf(text, sizeof(text), "%lld", (long long)option->low - 1);
            cr_assert(refuses_key(option, text, false, "out of range"), "%s", option->path);
            snprintf(text, sizeof(text), "%lld", (long long)option->high + 1);
            cr_assert(refuses_key(option, text, false, "out of range"), "%s", option->path);
        }
        if (option->type == OPTION_DURATION) {
            snprintf(text, sizeof(text), "\"%ums\"", option->low);
            cr_assert(accepts_key(option, text), "%s", option->path);
            snprintf(text, sizeof(text), "\"%ums\"", option->high);
            cr_assert(accepts_key(option, text), "%s", option->path);
            snprintf(text, sizeof(text), "\"%ums\"", option->high + 1);
            cr_assert(refuses_key(option, text, false, ", allowed: a duration"), "%s",
                      option->path);
            cr_assert(refuses_key(option, "30", false, "30 has no unit"), "%s", option->path);
            if (option->low > 0) {
                cr_assert(refuses_key(option, "\"0\"", false, "out of range"), "%s", option->path);
            }
        }
        if (option->type == OPTION_WORD) {
            cr_assert(refuses_key(option, "\"nonsense\"", false, "one of "), "%s", option->path);
        }
    }
}

Test(config, every_key_suggests_itself)
{
    for (size_t i = 0; i < option_count(); i++) {
        const char *path = option_at(i)->path;
        const char *dot = strrchr(path, '.');
        char pattern[128] = "";
        char key[64];
        char near[64];
        if (dot != NULL) {
            snprintf(pattern, sizeof(pattern), "%.*s", (int)(dot - path), path);
        }
        snprintf(key, sizeof(key), "%s_", dot != NULL ? dot + 1 : path);
        cr_assert(option_suggest(pattern, key, near, sizeof(near)), "%s", path);
        cr_assert_str_eq(near, dot != NULL ? dot + 1 : path);
    }
    char near[64];
    cr_assert_not(option_suggest("", "zzzzzzzz", near, sizeof(near)));
    cr_assert_not(option_suggest("", "", near, sizeof(near)));
}

/* --- cross-checks ---------------------------------------------------------------------------- */

Test(config, checks_across_keys)
{
    static const struct {
        const char *text, *finding;
    } cases[] = {
        {"{\"tls\": {\"cert\": \"empty\"}, " DB "}", "x.json:1:18: tls.key: missing"},
        {"{\"tls\": {\"key\": \"empty\"}, " DB "}", "x.json:1:17: tls.cert: missing"},
        {"{\"tls\": {\"mode\": \"require\"}, " DB "}",
         "x.json:1:18: tls.mode: TLS is required but there is no certificate"},
        {"{\"tls\": {\"mode\": \"verify-ca\", \"cert\": \"empty\", \"key\": \"empty\"}, " DB "}",
         "x.json:1:18: tls.ca: missing"},
        {"{\"tls\": {\"ca\": \"none.pem\"}, " DB "}",
         "x.json:1:16: tls.ca: cannot read file \"none.pem\": No such file or directory"},
        {"{\"tls\": {\"ca\": \".\"}, " DB "}", "tls.ca: cannot read file \".\": not a regular"},
        {"{\"auth\": {\"method\": \"hba\"}, " DB "}", "x.json:1:21: auth.hba: missing"},
        {"{\"auth\": {\"hba\": \"empty\"}, " DB "}", "auth.hba: given but not used"},
        {"{\"auth\": {\"method\": \"hba\", \"hba\": \"none\"}, " DB "}",
         "auth.hba: cannot read file \"none\""},
        {"{\"auth\": {\"method\": \"hba\", \"hba\": \"bad.hba\"}, " DB "}",
         "bad.hba:2:1: auth.hba: connection type \"nonsense\" is unknown"},
        {"{\"auth\": {\"method\": \"hba\", \"hba\": \"cert.hba\"}, " DB "}",
         "auth.method: client certificates are asked for"},
        {"{\"auth\": {\"method\": \"cert\"}, " DB "}",
         "x.json:1:21: auth.method: client certificates are asked for"},
        {"{\"auth\": {\"users_file\": \"bad.users\"}, " DB "}",
         "bad.users:2:1: auth.users_file: no double quote"},
        {"{\"auth\": {\"query_user\": \"q\"}, " DB "}", "auth.query_user: given without"},
        {"{\"listen\": [\"*:1\", \"*:1\"], " DB "}", "listen: \"*:1\" is given twice"},
        {"{\"listen\": [], " DB "}", "listen: the list has 0 elements"},
        {"{\"listen\": [\"*:1\", \"::1:2\"], " DB "}",
         "x.json:1:20: listen[1]: \"::1:2\" is not an address"},
        {"{}", "x.json:1:1: databases: no database is configured"},
        {"{\"databases\": {}}", "x.json:1:15: databases: no database is configured"},
        {"{\"databases\": {\"a\": null}}", "x.json:1:21: databases.a: the value is null"},
        {"{\"databases\": {\"pgbouncer\": {\"primary\": \"\"}}}", "belongs to the admin database"},
        {"{\"databases\": {\"\": {\"primary\": \"\"}}}", "the name has 0 bytes"},
        {"{\"databases\": {\"a\": {\"primary\": \"host=h sslmode=verify-full "
         "sslrootcert=none.pem\"}}}",
         "x.json:1:33: databases.a.primary: cannot read file \"none.pem\""},
        {"{\"databases\": {\"a\": {\"primary\": \"\", \"service\": {\"password\": \"p\"}}}}",
         "databases.a.service.user: missing"},
        {"{\"databases\": {\"a\": {\"primary\": \"\", \"pool\": {\"reserve\": 1, "
         "\"reserve_after\": \"30s\"}}}}",
         "databases.a.pool.reserve_after: not before pool.wait_timeout"},
        {"{\"databases\": 5}", "x.json:1:15: databases: the value is an integer"},
        {"{\"tls.mode\": 1, \"<name>\": 2, " DB "}", "\"tls.mode\": unknown key"},
        {"{\"databases\": {\"b\": {\"primary\": \"\"}}, \"databases\": {\"x\": {\"primary\": 1}, "
         "\"y\": {\"primary\": 2}}}",
         "databases: given twice"},
        {"[]", "x.json:1:1: the top is a list, allowed: an object"},
    };
    write_file("empty", "", 0600);
    write_file("bad.hba", "local all all md5\nnonsense\n", 0600);
    write_file("cert.hba", "hostssl all all all cert\n", 0600);
    write_file("bad.users", "\"a\" \"b\"\nnonsense\n", 0600);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *findings;
        cr_assert_null(load_text(cases[i].text, &findings), "%s", cases[i].text);
        cr_assert_not_null(strstr(findings, cases[i].finding), "%s\n-> %s", cases[i].text,
                           findings);
        free(findings);
    }
}

Test(config, hba_and_users_hang_off_the_snapshot)
{
    write_file("ok.hba", "local all all md5\n", 0600);
    write_file("ok.users", "\"bob\" \"pw\"\n", 0600);
    struct options *options = expect_options(
        "{\"auth\": {\"method\": \"hba\", \"hba\": \"ok.hba\", \"users_file\": \"ok.users\"}, " DB
        "}");
    cr_assert_eq(hba_rule_count(options->hba), 1);
    cr_assert_str_eq(userlist_find(options->users_secrets, "bob"), "pw");
    options_ref(options);
    options_unref(options);
    cr_assert_eq(options->auth.method, AUTH_HBA);
    options_unref(options);
}

Test(config, never_falls_back_to_trust)
{
    char *findings;
    struct options *options = load_text("{\"databases\": {\"a\": {\"primary\": \"\"}}}", &findings);
    cr_assert_not_null(options);
    cr_assert_eq(options->auth.method, AUTH_SCRAM_SHA_256);
    cr_assert_not_null(strstr(findings, "note: auth: no source of passwords is configured"));
    options_unref(options);
    free(findings);
}

/* --- secrets --------------------------------------------------------------------------------- */

#define SERVICE(value) \
    "{\"databases\": {\"a\": {\"primary\": \"user=u\", \"service\": {\"password\": " value "}}}}"

Test(config, secrets_from_string_file_and_environment)
{
    write_file("pw", "from file\n", 0600);
    setenv("HOWDAH_TEST_PW", "from env", 1);
    static const char *const cases[][2] = {{SERVICE("\"plain\""), "plain"},
                                           {SERVICE("{\"file\": \"pw\"}"), "from file"},
                                           {SERVICE("{\"env\": \"HOWDAH_TEST_PW\"}"), "from env"}};
    for (size_t i = 0; i < 3; i++) {
        struct options *options = expect_options(cases[i][0]);
        cr_assert_str_eq(options->databases[0].service_password, cases[i][1]);
        options_unref(options);
    }
}

Test(config, secrets_refused)
{
    write_file("open", "secret\n", 0640);
    write_file("blank", "\n", 0600);
    write_file("two", "a\nb\n", 0600);
    static const char *const cases[][2] = {
        {SERVICE("{\"file\": \"open\"}"), "group or others may use it; chmod it to 0600"},
        {SERVICE("{\"file\": \"blank\"}"), "is not one line of text"},
        {SERVICE("{\"file\": \"two\"}"), "is not one line of text"},
        {SERVICE("{\"file\": \"none\"}"), "No such file or directory"},
        {SERVICE("{\"file\": 1}"), "databases.a.service.password.file: the value is an integer"},
        {SERVICE("{\"env\": \"HOWDAH_TEST_NOT_SET\"}"), "is not set"},
        {SERVICE("{\"file\": \"pw\", \"env\": \"x\"}"), "the object has other keys"},
        {SERVICE("{}"), "the object has other keys"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *findings;
        cr_assert_null(load_text(cases[i][0], &findings), "%s", cases[i][0]);
        cr_assert_not_null(strstr(findings, cases[i][1]), "%s", findings);
        cr_assert_null(strstr(findings, "secret"), "%s", findings);
        free(findings);
    }
}

/* --- flags ----------------------------------------------------------------------------------- */

Test(config, flags_and_environment_lie_over_the_file)
{
    static const struct config_override overrides[] = {
        {CONFIG_LISTEN, "*:1"},
        {CONFIG_LISTEN, "unix:/tmp/x"},
        {CONFIG_DATABASE, "b=host=one"},
        {CONFIG_DATABASE, "b=host=two dbname=x"},
        {CONFIG_SET, "databases.b.pool.size=40"},
        {CONFIG_SET, "databases.\"c.d\".primary=postgres://h/x?user=u"},
        {CONFIG_SET, "auth.query_user=12"},
        {CONFIG_SET, "auth.query=SELECT 1"},
        {CONFIG_SET, "databases.b.pool.query_timeout=5s"},
        {CONFIG_SET, "databases.b.pool.wait_timeout=null"},
        {CONFIG_SET, "users.bob={\"pool\": {\"mode\": \"session\"}}"},
        {CONFIG_SET, "admin.users=[\"x\", \"y\"]"},
        {CONFIG_SET, "admin.stats_users=z"},
    };
    char *findings;
    struct options *options = load_flags(overrides, sizeof(overrides) / sizeof(overrides[0]),
                                         "postgres://u:p@h/app", &findings);
    cr_assert_not_null(options, "%s", findings);
    cr_assert_eq(options->listen_count, 2);
    cr_assert_str_eq(options->listen[1], "unix:/tmp/x");
    cr_assert_str_eq(options_find_database(options, "app")->servers->password, "p");
    const struct database_options *b = options_find_database(options, "b");
    cr_assert_str_eq(b->servers->host, "two");
    cr_assert_eq(b->pool.size, 40);
    cr_assert_eq(b->pool.query_timeout_ms, 5000);
    cr_assert_eq(b->pool.wait_timeout_ms, 0);
    cr_assert_str_eq(options_find_database(options, "c.d")->servers->user, "u");
    cr_assert_str_eq(options->auth.query_user, "12");
    cr_assert(options_find_user(options, "bob")->has_mode);
    cr_assert_not(options_find_user(options, "bob")->has_size);
    cr_assert_null(options_find_user(options, "eve"));
    cr_assert_null(options_find_database(options, "eve"));
    cr_assert_eq(options->admin_user_count, 2);
    cr_assert_eq(options->stats_user_count, 1);
    options_unref(options);
    free(findings);
}

Test(config, bad_flags_are_findings)
{
    static const struct {
        struct config_override flag;
        const char *finding;
    } cases[] = {
        {{CONFIG_SET, "workers"}, "--set: not a path and a value"},
        {{CONFIG_SET, "=1"}, "--set: not a path and a value"},
        {{CONFIG_SET, "a..b=1"}, "--set: not a path and a value"},
        {{CONFIG_SET, "\"a=1"}, "--set: not a path and a value"},
        {{CONFIG_SET, "a.b.c.d.e.f.g.h.i=1"}, "--set: not a path and a value"},
        {{CONFIG_SET, "workers=0"}, "--set: workers: 0 is out of range"},
        {{CONFIG_SET, "worker=1"}, "--set: worker: unknown key, did you mean \"workers\"?"},
        {{CONFIG_SET, "admin.http=127.0.0.1:1"}, "--set: admin.http: this version does not"},
        {{CONFIG_DATABASE, "x"}, "--database: not a name and a DSN"},
        {{CONFIG_DATABASE, "=host=x"}, "--database: not a name and a DSN"},
        {{CONFIG_DATABASE, "x=hast=y"}, "--database: databases.x.primary: unknown parameter"},
        {{CONFIG_LISTEN, "x"}, "--listen: listen[0]: \"x\" is not an address"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *findings;
        cr_assert_null(load_flags(&cases[i].flag, 1, "postgres://h/app", &findings));
        cr_assert_not_null(strstr(findings, cases[i].finding), "%s", findings);
        free(findings);
    }
    char *findings;
    cr_assert_null(load_flags(NULL, 0, "postgres://h", &findings));
    cr_assert_not_null(strstr(findings, "$HOWDAH_DATABASE_URL: the URL names no database"));
    free(findings);
}

Test(config, star_serves_any_other_name)
{
    struct options *options = expect_options("{\"databases\": {\"*\": {\"primary\": \"host=any\"}, "
                                             "\"a\": {\"primary\": \"host=a password=x\"}}}");
    cr_assert_str_eq(options_find_database(options, "a")->servers->host, "a");
    cr_assert_str_eq(options_find_database(options, "z")->servers->host, "any");
    options_unref(options);
}

/* --- what is printed ------------------------------------------------------------------------- */

static char *printed(const struct options *options)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    config_print(options, out);
    fclose(out);
    return text;
}

Test(config, print_reads_back_the_same_and_hides_secrets)
{
    struct options *options = expect_options(
        "{\"databases\": {\"a\\\"b\": {\"primary\": \"postgres://u:hunter2@h/d\", \"service\": "
        "{\"user\": \"s\", \"password\": \"hunter3\"}, \"pool\": {\"wait_timeout\": \"90s\", "
        "\"idle_timeout\": null}}, \"*\": {\"primary\": \"\"}}, \"auth\": {\"fail_limit\": null},"
        "\"users\": {\"x\": {\"pool\": {\"size\": 3}}, \"y\": {}}}");
    char *first = printed(options);
    options_unref(options);
    cr_assert_null(strstr(first, "hunter"), "%s", first);
    cr_assert_not_null(strstr(first, "********"));
    options = expect_options(first);
    char *second = printed(options);
    cr_assert_str_eq(first, second);
    struct config_row *rows;
    size_t count;
    cr_assert_eq(config_rows(options, &rows, &count), 0);
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        cr_assert_null(strstr(rows[i].value, "hunter"));
        if (strcmp(rows[i].key, "databases.a\"b.pool.wait_timeout") == 0) {
            cr_assert_str_eq(rows[i].value, "\"90s\"");
            cr_assert_str_eq(rows[i].fallback, "\"30s\"");
            cr_assert(rows[i].changeable);
            found = true;
        }
    }
    cr_assert(found);
    config_rows_free(rows, count);
    options_unref(options);
    free(first);
    free(second);
}

Test(config, tells_what_needs_a_restart)
{
    struct options *one = expect_options("{\"workers\": 1, " DB "}");
    struct options *two = expect_options("{\"workers\": 2, " DB "}");
    struct options *three = expect_options("{\"workers\": 2, \"max_clients\": 5, " DB "}");
    cr_assert_str_eq(config_fixed_change(one, two), "workers");
    cr_assert_null(config_fixed_change(two, three));
    options_unref(one);
    options_unref(two);
    options_unref(three);
}

/* --- the command line ------------------------------------------------------------------------ */

#define ARGUMENTS(...)                                                            \
    (int)(sizeof((char *[]){"howdah", __VA_ARGS__}) / sizeof(char *)), (char *[]) \
    {                                                                             \
        "howdah", __VA_ARGS__                                                     \
    }

Test(config, command_line)
{
    struct cli cli;
    char message[200];
    cr_assert_eq(
        cli_parse(ARGUMENTS("-c", "f", "--listen=*:1", "--set", "a=b", "--database", "x=y"), "env",
                  "", &cli, message, sizeof(message)),
        0);
    cr_assert_eq(cli.action, CLI_RUN);
    cr_assert_str_eq(cli.sources.file, "f");
    cr_assert_null(cli.sources.database_url);
    cr_assert_eq(cli.sources.override_count, 3);
    cr_assert_str_eq(cli.sources.overrides[0].text, "*:1");
    cr_assert_eq(cli.sources.overrides[2].flag, CONFIG_DATABASE);
    cli_fini(&cli);
    cr_assert_eq(cli_parse(ARGUMENTS("--explain", "app", "select 1", "-c", "f"), NULL, NULL, &cli,
                           message, sizeof(message)),
                 0);
    cr_assert_eq(cli.action, CLI_EXPLAIN);
    cr_assert_str_eq(cli.explain_database, "app");
    cr_assert_str_eq(cli.explain_text, "select 1");
    cr_assert_str_eq(cli.sources.file, "f");
    cli_fini(&cli);
    cr_assert_eq(
        cli_parse(ARGUMENTS("--explain", "app"), NULL, NULL, &cli, message, sizeof(message)),
        ERR_BAD_VALUE);
    cr_assert_str_eq(message, "--explain needs a database and a statement");
    cr_assert_eq(cli_parse(ARGUMENTS("--check"), "env", "url", &cli, message, sizeof(message)), 0);
    cr_assert_eq(cli.action, CLI_CHECK);
    cr_assert_str_eq(cli.sources.file, "env");
    cr_assert_str_eq(cli.sources.database_url, "url");
    cli_fini(&cli);
    cr_assert_eq(cli_parse(ARGUMENTS("--chek"), NULL, NULL, &cli, message, sizeof(message)),
                 ERR_BAD_VALUE);
    cr_assert_str_eq(message, "unknown argument \"--chek\"");
    cr_assert_eq(cli_parse(ARGUMENTS("--set"), NULL, NULL, &cli, message, sizeof(message)),
                 ERR_BAD_VALUE);
    cr_assert_str_eq(message, "--set needs a value: --set KEY=VALUE");
    cr_assert_eq(cli_parse(ARGUMENTS("--check=1"), NULL, NULL, &cli, message, sizeof(message)),
                 ERR_BAD_VALUE);
    cr_assert_eq(
        cli_parse(ARGUMENTS("--check", "--version"), NULL, NULL, &cli, message, sizeof(message)),
        ERR_BAD_VALUE);
}

Test(config, check_exits_with_2)
{
    struct cli cli;
    char message[200];
    FILE *sink = fopen("/dev/null", "w");
    write_file("bad.json", "{", 0644);
    write_file("good.json", "{" DB "}", 0644);
    cli_parse(ARGUMENTS("--check", "-c", "bad.json"), NULL, NULL, &cli, message, sizeof(message));
    cr_assert_eq(cli_act(&cli, sink, sink), 2);
    cli_fini(&cli);
    cli_parse(ARGUMENTS("--check", "-c", "good.json"), NULL, NULL, &cli, message, sizeof(message));
    cr_assert_eq(cli_act(&cli, sink, sink), 0);
    cli_fini(&cli);
    cli_parse(ARGUMENTS("--check", "-c", "none.json"), NULL, NULL, &cli, message, sizeof(message));
    cr_assert_eq(cli_act(&cli, sink, sink), 2);
    cli_fini(&cli);
    fclose(sink);
}

/* --- units ----------------------------------------------------------------------------------- */

Test(config, durations)
{
    static const struct {
        const char *text;
        uint32_t duration_ms;
    } good[] = {
        {"0", 0},        {"0s", 0},       {"250ms", 250},        {"30s", 30000},
        {"10m", 600000}, {"1h", 3600000}, {"596h", 2145600000u}, {"2147483647ms", INT32_MAX}};
    static const char *const bad[] = {"",
                                      "5",
                                      "s",
                                      "-1s",
                                      "1.5s",
                                      "1 s",
                                      "1d",
                                      "1S",
                                      "597h",
                                      "2147483648ms",
                                      "99999999999999999999s",
                                      "1sx",
                                      " 1s"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        uint32_t duration_ms = 1;
        char text[UNITS_BYTES];
        cr_assert_eq(units_parse_duration(good[i].text, &duration_ms), 0, "%s", good[i].text);
        cr_assert_eq(duration_ms, good[i].duration_ms, "%s", good[i].text);
        units_format_duration(duration_ms, text);
        cr_assert_eq(units_parse_duration(text, &duration_ms), 0);
        cr_assert_eq(duration_ms, good[i].duration_ms, "%s", text);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint32_t duration_ms = 77;
        cr_assert_eq(units_parse_duration(bad[i], &duration_ms), ERR_BAD_VALUE, "%s", bad[i]);
        cr_assert_eq(duration_ms, 77);
    }
}

Test(config, listening_addresses)
{
    static const struct {
        const char *text, *host;
        uint16_t port;
        const char *path;
    } good[] = {{"127.0.0.1:6432", "127.0.0.1", 6432, ""},
                {"[::1]:6432", "::1", 6432, ""},
                {"*:0", "*", 0, ""},
                {"localhost:65535", "localhost", 65535, ""},
                {"unix:/run/h/.s.PGSQL.6432", "", 0, "/run/h/.s.PGSQL.6432"}};
    static const char *const bad[] = {"",      ":",    "x",     "x:",     ":1",
                                      "::1:5", "[]:5", "[::1]", "[::1:5", "x:65536",
                                      "x:-1",  "x:1 ", "unix:", "unix:x", "x:1x"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct listen_address address;
        cr_assert_eq(units_parse_listen(good[i].text, &address), 0, "%s", good[i].text);
        cr_assert_str_eq(address.host, good[i].host);
        cr_assert_eq(address.port, good[i].port);
        cr_assert_str_eq(address.path, good[i].path);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct listen_address address;
        cr_assert_eq(units_parse_listen(bad[i], &address), ERR_BAD_VALUE, "%s", bad[i]);
    }
}
