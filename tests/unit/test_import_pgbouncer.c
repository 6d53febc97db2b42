/* import_pgbouncer: a pgbouncer.ini in, a howdah.json out that Howdah itself accepts. */
#include "config_file.h"

#include "config/import_pgbouncer.h"

TestSuite(import_pgbouncer, .init = enter_folder, .fini = leave_folder);

static int import(const char *file, char **ret_out, char **ret_err)
{
    size_t bytes;
    FILE *out = open_memstream(ret_out, &bytes);
    FILE *err = open_memstream(ret_err, &bytes);
    int code = import_pgbouncer(file, out, err);
    fclose(out);
    fclose(err);
    return code;
}

static const char sample[] =
    ";; a comment\n"
    "# another\n"
    "[databases]\n"
    "app = host=db1 port=5433 dbname=real pool_size=7 pool_mode=transaction connect_query='x'\n"
    "\"odd \"\"name\" = host=::1 user=forced password='it''s me' server_lifetime=0\n"
    "two = host=a,b max_db_connections=50 min_pool_size=99\n"
    "pgbouncer = host=x\n"
    "* =\n"
    "[users]\n"
    "bob = pool_mode=statement max_user_connections=9 max_user_client_connections=3\n"
    "%include more.ini\n"
    "auth_type = md5\n"
    "auth_type = plain\n"
    "nonsense = 1\n"
    "[peers]\n"
    "1 = host=/tmp\n";

static const char more[] = "[pgbouncer]\n"
                           "listen_addr = 127.0.0.1, ::1\n"
                           "listen_port = 7000\n"
                           "unix_socket_dir = /run/x\n"
                           "logfile = /var/log/x.log\n"
                           "auth_file = users.txt\n"
                           "auth_user = looker\n"
                           "admin_users = a, b,c\n"
                           "query_wait_timeout = 0.5\n"
                           "query_timeout = 90\n"
                           "max_client_conn = 9999999\n"
                           "server_tls_sslmode = require\n"
                           "server_reset_query = DISCARD ALL\n"
                           "verbose = 2\n";

static const char golden[] =
    "{\n"
    "  \"listen\": [\n"
    "    \"127.0.0.1:7000\",  // more.ini:2: listen_addr\n"
    "    \"[::1]:7000\",  // more.ini:2: listen_addr\n"
    "    \"unix:/run/x/.s.PGSQL.7000\",  // more.ini:4: unix_socket_dir\n"
    "  ],\n"
    "  \"max_clients\": 1048576,  // more.ini:11: max_client_conn\n"
    "  \"tls\": {\n"
    "    \"mode\": \"disable\",  // PgBouncer's default client_tls_sslmode\n"
    "  },\n"
    "  \"auth\": {\n"
    "    \"method\": \"password\",  // p.ini:13: auth_type\n"
    "    \"users_file\": \"users.txt\",  // more.ini:6: auth_file\n"
    "    \"query\": \"SELECT rolname, CASE WHEN rolvaliduntil < now() THEN NULL ELSE rolpassword "
    "END FROM pg_authid WHERE rolname=$1 AND rolcanlogin\",  // PgBouncer's default auth_query\n"
    "    \"query_user\": \"looker\",  // more.ini:7: auth_user\n"
    "  },\n"
    "  \"admin\": {\n"
    "    \"users\": [\"a\", \"b\", \"c\"],  // more.ini:8: admin_users\n"
    "    \"stats_users\": [],  // PgBouncer's default stats_users\n"
    "  },\n"
    "  \"log\": {\n"
    "    \"level\": \"debug\",  // more.ini:14: verbose\n"
    "  },\n"
    "  \"users\": {\n"
    "    \"bob\": {\n"
    "      \"pool\": {\n"
    "        \"mode\": \"statement\",  // p.ini:10: pool_mode\n"
    "      },\n"
    "      \"max_clients\": 3,  // p.ini:10: max_user_client_connections\n"
    "      \"max_server_connections\": 9,  // p.ini:10: max_user_connections\n"
    "    },\n"
    "  },\n";

static const char golden_err[] =
    "more.ini:11: max_client_conn: no equivalent: 9999999 is out of range, 1 to 1048576 are "
    "possible\n"
    "more.ini:5: logfile: no equivalent: Howdah logs to stderr\n"
    "more.ini:13: server_reset_query: no equivalent: Howdah cleans a server connection by itself\n"
    "p.ini:14: nonsense: no equivalent: PgBouncer 1.24 has no such setting\n"
    "p.ini:4: connect_query: no equivalent: Howdah has no such option\n"
    "p.ini:6: host: no equivalent: the first host is used; \"hosts\" finds out who is the primary, "
    "and needs service.user\n"
    "p.ini:6: min_pool_size: no equivalent: 99 is out of range, 0 to 20 are possible\n"
    "p.ini:7: pgbouncer: no equivalent: the name belongs to the admin database\n"
    "p.ini:16: peers: no equivalent: the section's settings are left out\n";

Test(import_pgbouncer, sample_gives_the_golden_text)
{
    char *out, *err;
    write_file("p.ini", sample, 0600);
    write_file("more.ini", more, 0600);
    write_file("users.txt", "\"bob\" \"secret\"\n", 0600);
    cr_assert_eq(import("p.ini", &out, &err), 0, "%s", err);
    cr_assert_eq(strncmp(out, golden, strlen(golden)), 0, "%s", out);
    cr_assert_str_eq(err, golden_err, "%s", err);

    struct options *options = expect_options(out);
    const struct database_options *app = options_find_database(options, "app");
    cr_assert_str_eq(app->servers->host, "db1");
    cr_assert_eq(app->servers->port, 5433);
    cr_assert_str_eq(app->servers->dbname, "real");
    cr_assert_eq(app->servers->sslmode, TLS_REQUIRE);
    cr_assert_eq(app->pool.mode, POOL_TRANSACTION);
    cr_assert_eq(app->pool.size, 7);
    cr_assert_eq(app->pool.wait_timeout_ms, 500);
    cr_assert_eq(app->pool.query_timeout_ms, 90000);
    cr_assert_eq(app->pool.connect_timeout_ms, 15000);
    cr_assert_eq(app->pool.prepared_statements, 200);
    const struct database_options *odd = options_find_database(options, "odd \"name");
    cr_assert_str_eq(odd->servers->user, "forced");
    cr_assert_str_eq(odd->servers->password, "it's me");
    cr_assert_str_eq(odd->servers->dbname, "odd \"name");
    cr_assert_eq(odd->pool.mode, POOL_SESSION);
    cr_assert_eq(odd->pool.max_lifetime_ms, 1);
    const struct database_options *two = options_find_database(options, "two");
    cr_assert_str_eq(two->servers->host, "a");
    cr_assert_eq(two->max_server_connections, 50);
    cr_assert_eq(two->pool.min_idle, 20);
    const struct database_options *any = options_find_database(options, "anything");
    cr_assert_str_eq(any->servers->host, "/run/x");
    cr_assert_null(any->servers->dbname);
    options_unref(options);
    free(out);
    free(err);
}

Test(import_pgbouncer, says_which_lines_of_hba_and_users_do_not_work)
{
    char *out, *err;
    write_file("p.ini",
               "[databases]\na=\n[pgbouncer]\nauth_type=hba\nauth_hba_file=x.hba\n"
               "auth_file=x.users\n",
               0600);
    write_file("x.hba", "local all all md5\nhost all all example.com md5\n", 0600);
    write_file("x.users", "bob secret\n", 0600);
    cr_assert_eq(import("p.ini", &out, &err), 0);
    cr_assert_not_null(strstr(out, "\"hba\": \"x.hba\""));
    cr_assert_not_null(strstr(err, "x.hba:2: host name \"example.com\" is not supported"));
    cr_assert_not_null(strstr(err, "x.users:1: no double quote"));
    free(out);
    free(err);
}

Test(import_pgbouncer, refuses_what_is_no_ini)
{
    static const char *const cases[][2] = {
        {"a = b\n", "p.ini:1: a setting before the first [section]"},
        {"[x\n", "p.ini:1: a section is written [name]"},
        {"[x]\n\n  ???\n", "p.ini:3: neither a comment"},
        {"[x]\na b\n", "p.ini:2: no \"=\" after the key"},
        {"[x]\n\"a = b\n", "p.ini:2: neither a comment"},
        {"%include none.ini\n", "none.ini: cannot read the file: No such file"},
        {"%include p.ini\n", "files include each other too deeply"},
        {"[databases]\na = host\n[pgbouncer]\n", "p.ini:2: a: not a list of key=value"},
        {"[databases]\na = password='x\n[pgbouncer]\n", "p.ini:2: a: not a list of key=value"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *out, *err;
        write_file("p.ini", cases[i][0], 0600);
        cr_assert_eq(import("p.ini", &out, &err), ERR_CONFIG, "%s", cases[i][0]);
        cr_assert_str_empty(out);
        cr_assert_not_null(strstr(err, cases[i][1]), "%s -> %s", cases[i][0], err);
        free(out);
        free(err);
    }
}

Test(import_pgbouncer, unknown_auth_never_becomes_trust)
{
    static const char *const types[] = {"any", "pam", "ldap"};
    for (size_t i = 0; i < 3; i++) {
        char text[128];
        char *out, *err;
        snprintf(text, sizeof(text), "[databases]\na=\n[pgbouncer]\nauth_type=%s\n", types[i]);
        write_file("p.ini", text, 0600);
        cr_assert_eq(import("p.ini", &out, &err), 0);
        cr_assert_not_null(strstr(err, "p.ini:4: auth_type: no equivalent"));
        struct options *options = expect_options(out);
        cr_assert_eq(options->auth.method, AUTH_SCRAM_SHA_256);
        options_unref(options);
        free(out);
        free(err);
    }
}
