/* dsn: connection strings, compared with what libpq itself reads, and what is refused. */
#include <criterion/criterion.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "config/dsn.h"

/* As libpq-fe.h declares it; libpq is loaded at run time, so the test builds without it. */
struct pq_option {
    char *keyword, *envvar, *compiled, *val, *label, *dispchar;
    int dispsize;
};

struct pq {
    void *library;
    struct pq_option *(*parse)(const char *, char **);
    void (*free_options)(struct pq_option *);
};

static bool pq_open(struct pq *pq)
{
    pq->library = dlopen("libpq.so.5", RTLD_NOW);
    if (pq->library == NULL) {
        return false;
    }
    *(void **)&pq->parse = dlsym(pq->library, "PQconninfoParse");
    *(void **)&pq->free_options = dlsym(pq->library, "PQconninfoFree");
    return pq->parse != NULL && pq->free_options != NULL;
}

static const char *pq_value(const struct pq_option *options, const char *keyword)
{
    for (; options->keyword != NULL; options++) {
        if (strcmp(options->keyword, keyword) == 0) {
            return options->val != NULL && options->val[0] != '\0' ? options->val : NULL;
        }
    }
    return NULL;
}

static void check_same(const char *text, const char *name, const char *ours, const char *theirs)
{
    cr_assert((ours == NULL) == (theirs == NULL), "%s: %s: %s, libpq %s", text, name,
              ours ? ours : "NULL", theirs ? theirs : "NULL");
    if (ours != NULL) {
        cr_assert_str_eq(ours, theirs, "%s: %s", text, name);
    }
}

static const char *const accepted[] = {
    "",
    "   ",
    "host=db",
    "host = db port= 5433 dbname =app",
    "host='a b' user='o\\'brien' password='back\\\\slash'",
    "password=a\\ b user=x\\'y",
    "host=/var/run/postgresql dbname=app",
    "host='' user=''",
    "host=a host=b",
    "dbname=app options='-c search_path=a,b'",
    "hostaddr=127.0.0.1 host=name",
    "hostaddr=::1",
    "application_name=x channel_binding=require sslmode=require",
    "sslmode=verify-full sslrootcert=/ca.crt sslcert=/c.crt sslkey=/c.key",
    "user=trailing\\",
    "postgres://",
    "postgresql://",
    "postgres:///",
    "postgres:///app",
    "postgres:///app?host=/var/run/postgresql",
    "postgres://%2Fvar%2Flib/app",
    "postgres://db1:5432/app",
    "postgres://db1:/app",
    "postgres://:5433/app",
    "postgres://bob@db1",
    "postgres://bob:@db1",
    "postgres://:secret@db1",
    "postgres://bob:s%40x%3a%2F@db1/app",
    "postgres://bob:a:b@db1/app",
    "postgres://b%20b@db1/a%20p",
    "postgres://[::1]",
    "postgres://[::1]:5433/app",
    "postgres://[2001:db8::1]/app?sslmode=require",
    "postgres://db1/app?user=x&password=y&port=6000",
    "postgres://db1/app?ssl=true",
    "postgres://db1/app?application_name=a%20b&options=-c%20x%3Dy",
    "postgres://db1?dbname=app",
    "postgres://db1/?connect_timeout=3",
    "postgres://db1/app?",
    "postgres://db1/app?user=x&",
    "postgres://u:p?w@db1/app",
};

Test(dsn, reads_as_libpq_does)
{
    struct pq pq;
    if (!pq_open(&pq)) {
        cr_skip("libpq.so.5 is not installed");
    }
    for (size_t i = 0; i < sizeof(accepted) / sizeof(accepted[0]); i++) {
        const char *text = accepted[i];
        struct server_options server;
        struct dsn_report report;
        char *message = NULL;
        struct pq_option *options = pq.parse(text, &message);
        cr_assert_not_null(options, "libpq refuses %s: %s", text, message);
        int error = dsn_parse(text, &server, &report);
        cr_assert_eq(error, 0, "%s: %s", text, report.error);

        const char *host = pq_value(options, "host");
        const char *hostaddr = pq_value(options, "hostaddr");
        const char *port = pq_value(options, "port");
        host = host != NULL ? host : hostaddr != NULL ? hostaddr : "/var/run/postgresql";
        check_same(text, "host", server.host, host);
        check_same(text, "hostaddr", server.hostaddr, hostaddr);
        cr_assert_eq(server.port, port != NULL ? strtol(port, NULL, 10) : 5432, "%s", text);
        check_same(text, "user", server.user, pq_value(options, "user"));
        check_same(text, "password", server.password, pq_value(options, "password"));
        check_same(text, "dbname", server.dbname, pq_value(options, "dbname"));
        check_same(text, "options", server.options, pq_value(options, "options"));
        check_same(text, "sslcert", server.sslcert, pq_value(options, "sslcert"));
        check_same(text, "application_name", server.application_name,
                   pq_value(options, "application_name"));
        server_options_fini(&server);
        pq.free_options(options);
    }
    dlclose(pq.library);
}

/* Syntax that libpq refuses is refused; the message never repeats the password. */
static const struct {
    const char *text, *message;
} refused[] = {
    {"hunter2", "no \"=\""},
    {"host=a hunter2", "no \"=\""},
    {"password='hunter2", "no end"},
    {"password='hunter2\\", "no end"},
    {"hast=x", "unknown parameter \"hast\", allowed: host, hostaddr, port"},
    {"=x", "unknown parameter \"\""},
    {"http://x/y", "no \"=\""},
    {"postgres://u:hunter2@h:x/db", "impossible port"},
    {"postgres://u:hunter2/x@h/db", "impossible port"},
    {"postgres://h:0/db", "impossible port"},
    {"postgres://h:65536/db", "impossible port"},
    {"port=+5", "impossible port"},
    {"postgres://[::1/db", "without its end"},
    {"postgres://[]/db", "without its end"},
    {"postgres://[::1]x/db", "text after \"]\""},
    {"postgres://u:hunter%2@h/db", "percent-encoding"},
    {"postgres://u:hunter2%zz@h/db", "percent-encoding"},
    {"postgres://u:hunter2%00@h/db", "percent-encoding"},
    {"postgres://u:hunter2%@h/db", "percent-encoding"},
    {"postgres://h/db?user", "bad URI parameter"},
    {"postgres://h/db?user=a=b", "bad URI parameter"},
    {"postgres://h/db?&user=a", "bad URI parameter"},
    {"postgres://h/db?usr=a", "unknown parameter \"usr\""},
    {"postgres://a,b/db", "list of hosts is not supported yet"},
    {"postgres://a:1,b:2/db", "list of hosts is not supported yet"},
    {"host=a,b", "list of hosts is not supported yet"},
    {"host=a port=1,2", "list of hosts is not supported yet"},
    {"hostaddr=localhost", "is not an address"},
    {"sslmode=maybe", "allowed: disable, allow, prefer, require, verify-ca, verify-full"},
    {"channel_binding=yes", "allowed: disable, prefer, require"},
    {"sslmode=verify-full", "without sslrootcert"},
    {"sslmode=verify-ca", "without sslrootcert"},
    {"sslrootcert=system sslmode=require", "weak sslmode"},
    {"sslcert=/a", "sslcert is given alone"},
    {"sslkey=/a", "sslkey is given alone"},
    {"sslnegotiation=direct", "weak sslmode"},
    {"passfile=/x", "password files are not read"},
    {"service=x", "service files are not read"},
    {"sslcrl=/x", "revocation lists"},
    {"require_auth=none", "not supported"},
    {"replication=true", "a client asks for replication itself"},
    {"gssencmode=require", "allowed: disable prefer"},
    {"target_session_attrs=read-write", "allowed: any"},
    {"load_balance_hosts=random", "allowed: disable"},
    {"ssl_min_protocol_version=TLSv1.3", "allowed: TLSv1 TLSv1.1 TLSv1.2"},
};

Test(dsn, refuses)
{
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct server_options server;
        struct dsn_report report;
        int error = dsn_parse(refused[i].text, &server, &report);
        cr_assert_eq(error, ERR_CONFIG, "%s", refused[i].text);
        cr_assert_not_null(strstr(report.error, refused[i].message), "%s: %s", refused[i].text,
                           report.error);
        cr_assert_null(strstr(report.error, "hunter"), "%s: %s", refused[i].text, report.error);
    }
}

Test(dsn, defaults)
{
    struct server_options server;
    struct dsn_report report;
    cr_assert_eq(dsn_parse("", &server, &report), 0);
    cr_assert_str_eq(server.host, "/var/run/postgresql");
    cr_assert_eq(server.port, 5432);
    cr_assert_eq(server.sslmode, TLS_PREFER);
    cr_assert_eq(server.channel_binding, CHANNEL_BINDING_PREFER);
    cr_assert_not(server.ssl_direct);
    cr_assert_eq(server.weight, 1);
    cr_assert_null(server.user);
    cr_assert_str_empty(report.note);
    server_options_fini(&server);
    cr_assert_eq(dsn_parse("sslrootcert=system", &server, &report), 0);
    cr_assert_eq(server.sslmode, TLS_VERIFY_FULL);
    server_options_fini(&server);
    cr_assert_eq(dsn_parse("fallback_application_name=f", &server, &report), 0);
    cr_assert_str_eq(server.application_name, "f");
    server_options_fini(&server);
}

Test(dsn, notes_what_has_no_effect)
{
    struct server_options server;
    struct dsn_report report;
    cr_assert_eq(
        dsn_parse("connect_timeout=3 keepalives=1 gssencmode=prefer host=x", &server, &report), 0);
    cr_assert_str_eq(report.note, "without effect here: connect_timeout, keepalives, gssencmode");
    server_options_fini(&server);
}

Test(dsn, formats_what_it_reads_back)
{
    static const char text[] = "host='a b' port=77 user='o\\'b\\\\x' password='p w' dbname=d "
                               "sslmode=require sslnegotiation=direct channel_binding=disable "
                               "application_name='' options='-c a=b'";
    struct server_options server, again;
    struct dsn_report report;
    cr_assert_eq(dsn_parse(text, &server, &report), 0, "%s", report.error);
    char *shown = dsn_format(&server, true);
    char *masked = dsn_format(&server, false);
    cr_assert_eq(dsn_parse(shown, &again, &report), 0, "%s: %s", shown, report.error);
    cr_assert_str_eq(again.host, "a b");
    cr_assert_str_eq(again.user, "o'b\\x");
    cr_assert_str_eq(again.password, "p w");
    cr_assert_str_eq(again.options, "-c a=b");
    cr_assert(again.ssl_direct);
    cr_assert_eq(again.channel_binding, CHANNEL_BINDING_DISABLE);
    cr_assert_null(strstr(masked, "p w"));
    cr_assert_not_null(strstr(masked, "password=********"));
    server_options_fini(&server);
    server_options_fini(&again);
    free(shown);
    free(masked);
}
