/* hba: lines of pg_hba.conf, what matches them, and what is refused at which line. */
#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "protocol/hba.h"

#define ERRORS_MAX 8

static struct hba *parse(const char *text)
{
    struct hba *hba = NULL;
    struct hba_error errors[ERRORS_MAX] = {0};
    size_t count = 0;
    int code = hba_parse(text, strlen(text), &hba, errors, ERRORS_MAX, &count);
    cr_assert_eq(code, 0, "line %u: %s", errors[0].line, errors[0].message);
    cr_assert_eq(count, 0);
    return hba;
}

/* `from` is "local" or an address, with "+tls" behind it for TLS. */
static struct hba_client client(const char *from, const char *database, const char *user)
{
    struct hba_client it = {.database = database, .user = user};
    char address[64];
    size_t length = strcspn(from, "+");
    snprintf(address, sizeof(address), "%.*s", (int)length, from);
    it.tls = from[length] == '+';
    it.local = strcmp(address, "local") == 0;
    if (!it.local && inet_pton(AF_INET, address, it.address) != 1) {
        it.ipv6 = true;
        cr_assert_eq(inet_pton(AF_INET6, address, it.address), 1);
    }
    return it;
}

/* The line that decides, 0 for none. */
static uint32_t line_for(const struct hba *hba, const char *from, const char *database,
                         const char *user)
{
    struct hba_client it = client(from, database, user);
    struct hba_result result;
    return hba_match(hba, &it, &result) ? result.line : 0;
}

Test(hba, first_match_decides)
{
    struct hba *hba = parse("# TYPE DATABASE USER ADDRESS METHOD\n"
                            "local all postgres peer\n"
                            "host app bob,\"All\" 10.0.0.0/8 md5\n"
                            "host app all 10.1.0.0/16 reject\n"
                            "host all all 127.0.0.1/32 trust # comment\n"
                            "host all all ::1/128 scram-sha-256\n"
                            "host all all 192.168.7.0 255.255.255.0 password\n");
    cr_assert_eq(hba_rule_count(hba), 6);
    cr_assert_eq(line_for(hba, "local", "app", "postgres"), 2);
    cr_assert_eq(line_for(hba, "local", "app", "bob"), 0);
    cr_assert_eq(line_for(hba, "10.1.2.3", "app", "bob"), 3);
    cr_assert_eq(line_for(hba, "10.1.2.3", "app", "All"), 3);
    cr_assert_eq(line_for(hba, "10.1.2.3", "app", "all"), 4);
    cr_assert_eq(line_for(hba, "10.2.2.3", "app", "eve"), 0);
    cr_assert_eq(line_for(hba, "127.0.0.1", "x", "y"), 5);
    cr_assert_eq(line_for(hba, "127.0.0.2", "x", "y"), 0);
    cr_assert_eq(line_for(hba, "::ffff:127.0.0.1", "x", "y"), 5);
    cr_assert_eq(line_for(hba, "::1", "x", "y"), 6);
    cr_assert_eq(line_for(hba, "::2", "x", "y"), 0);
    cr_assert_eq(line_for(hba, "192.168.7.255", "x", "y"), 7);
    cr_assert_eq(line_for(hba, "192.168.8.0", "x", "y"), 0);
    hba_free(hba);
}

Test(hba, methods)
{
    struct hba *hba = parse("local a all trust\nlocal b all reject\nlocal c all md5\n"
                            "local d all password\nlocal e all scram-sha-256\nlocal f all peer\n"
                            "hostssl all all all cert\nlocal g all ident\n");
    static const enum auth_method methods[] = {
        AUTH_TRUST, AUTH_REJECT, AUTH_MD5, AUTH_PASSWORD, AUTH_SCRAM_SHA_256, AUTH_PEER, AUTH_PEER};
    for (size_t i = 0; i < 7; i++) {
        char database[2] = {(char)('a' + i), '\0'};
        struct hba_client it = client("local", database, "u");
        struct hba_result result;
        cr_assert(hba_match(hba, &it, &result));
        cr_assert_eq(result.method, methods[i]);
        cr_assert_eq(result.clientcert, HBA_CLIENTCERT_NONE);
    }
    struct hba_client it = client("1.2.3.4+tls", "x", "u");
    struct hba_result result;
    cr_assert(hba_match(hba, &it, &result));
    cr_assert_eq(result.method, AUTH_CERT);
    cr_assert_eq(result.clientcert, HBA_CLIENTCERT_VERIFY_FULL);
    cr_assert(hba_wants_certificates(hba));
    hba_free(hba);
}

Test(hba, kinds_of_connection)
{
    struct hba *hba = parse("hostssl a all all md5\nhostnossl b all all md5\n"
                            "hostgssenc c all all md5\nhostnogssenc d all all md5\n"
                            "local e all md5\nhost f all all md5\n"
                            "hostssl g all all md5 clientcert=verify-ca\n");
    static const struct {
        const char *database;
        uint32_t plain, tls, local;
    } cases[] = {{"a", 0, 1, 0}, {"b", 2, 0, 0}, {"c", 0, 0, 0}, {"d", 4, 4, 0},
                 {"e", 0, 0, 5}, {"f", 6, 6, 0}, {"g", 0, 7, 0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_assert_eq(line_for(hba, "1.2.3.4", cases[i].database, "u"), cases[i].plain);
        cr_assert_eq(line_for(hba, "1.2.3.4+tls", cases[i].database, "u"), cases[i].tls);
        cr_assert_eq(line_for(hba, "local", cases[i].database, "u"), cases[i].local);
    }
    hba_free(hba);
}

Test(hba, names_and_keywords)
{
    struct hba *hba = parse("local sameuser all md5\n"
                            "local \"all\", two words md5\n"
                            "local replication rep md5\n"
                            "local \"replication\" all md5\n"
                            "local /^db[0-9]+$ /^u,x md5\n"
                            "local \"/^q,r\" all md5\n"
                            "local a,b,c \\\n  all \\\n md5\n");
    cr_assert_eq(line_for(hba, "local", "bob", "bob"), 1);
    cr_assert_eq(line_for(hba, "local", "all", "words"), 2);
    cr_assert_eq(line_for(hba, "local", "two", "words"), 2);
    cr_assert_eq(line_for(hba, "local", "other", "words"), 0);
    cr_assert_eq(line_for(hba, "local", "replication", "rep"), 4);
    cr_assert_eq(line_for(hba, "local", "db12", "user"), 5);
    cr_assert_eq(line_for(hba, "local", "db12", "x"), 5);
    cr_assert_eq(line_for(hba, "local", "db12z", "user"), 0);
    cr_assert_eq(line_for(hba, "local", "q,r", "any"), 6);
    cr_assert_eq(line_for(hba, "local", "c", "any"), 7);
    struct hba_client it = client("local", "", "rep");
    struct hba_result result;
    it.physical_replication = true;
    cr_assert(hba_match(hba, &it, &result));
    cr_assert_eq(result.line, 3);
    it.user = "other";
    cr_assert_not(hba_match(hba, &it, &result), "\"all\" must not let replication in");
    hba_free(hba);
}

Test(hba, prefix_lengths)
{
    struct hba *hba = parse("host a all 0.0.0.0/0 md5\nhost b all 128.0.0.0/1 md5\n"
                            "host c all 10.0.0.8/29 md5\nhost d all 2001:db8::/33 md5\n");
    cr_assert_eq(line_for(hba, "255.1.1.1", "a", "u"), 1);
    cr_assert_eq(line_for(hba, "::1", "a", "u"), 0);
    cr_assert_eq(line_for(hba, "128.0.0.1", "b", "u"), 2);
    cr_assert_eq(line_for(hba, "127.255.255.255", "b", "u"), 0);
    cr_assert_eq(line_for(hba, "10.0.0.15", "c", "u"), 3);
    cr_assert_eq(line_for(hba, "10.0.0.16", "c", "u"), 0);
    cr_assert_eq(line_for(hba, "2001:db8:7fff::", "d", "u"), 4);
    cr_assert_eq(line_for(hba, "2001:db8:8000::", "d", "u"), 0);
    hba_free(hba);
}

Test(hba, refusals)
{
    static const struct {
        const char *line, *message;
    } cases[] = {
        {"hosts all all all md5", "connection type \"hosts\" is unknown"},
        {"include other.conf", "\"include\" is not supported"},
        {"include_dir d", "not supported"},
        {"local", "ends before the database"},
        {"local all", "ends before the user"},
        {"local all all", "ends before the method"},
        {"host all all", "ends before the address"},
        {"host all all 10.0.0.1 md5", "is no mask"},
        {"host all all 10.0.0.1", "ends before the mask"},
        {"host all all 10.0.0.0/33 md5", "mask length \"33\" is impossible"},
        {"host all all ::/129 md5", "mask length"},
        {"host all all 10.0.0.0/ md5", "mask length"},
        {"host all all 10.0.0.0/8x md5", "mask length"},
        {"host all all 10.0.0.0 ffff:: md5", "is no mask"},
        {"host all all 10.0.0.0 255.0.255.0 md5", "has holes"},
        {"host all all example.com md5", "host name \"example.com\" is not supported"},
        {"host all all .example.com md5", "host name"},
        {"host all all samehost md5", "\"samehost\" is not supported"},
        {"host all all samenet md5", "\"samenet\" is not supported"},
        {"host samerole all all md5", "\"samerole\" is not supported"},
        {"host all +staff all md5", "members of a role"},
        {"host @dbs all all md5", "a list in a file"},
        {"host all all all ldap", "method \"ldap\" is not supported"},
        {"host all all all ident", "method peer or ident on a \"host\" line"},
        {"host all all all peer", "only on \"local\" lines"},
        {"host all all all cert", "only on \"hostssl\" lines"},
        {"hostssl all all all cert map=m", "option \"map=m\" is not supported"},
        {"hostssl all all all md5 clientcert=1", "clientcert=1 is impossible"},
        {"hostssl all all all cert clientcert=verify-ca", "is impossible"},
        {"host all all all md5 clientcert=verify-ca", "clientcert without TLS"},
        {"host all all all md5,trust", "a list where the method stands"},
        {"host \"open all all md5", "closing quote"},
        {"host /([ all all md5", "regular expression"},
        {"host /\\d+ all all md5", "is not supported, allowed: POSIX"},
        {"host /(?i)x all all md5", "is not supported, allowed: POSIX"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[256];
        struct hba *hba = NULL;
        struct hba_error errors[ERRORS_MAX];
        size_t count = 0;
        snprintf(text, sizeof(text), "# first\nlocal all all md5\n%s\nlocal x y trust\n",
                 cases[i].line);
        int code = hba_parse(text, strlen(text), &hba, errors, ERRORS_MAX, &count);
        cr_assert_eq(code, ERR_CONFIG, "%s", cases[i].line);
        cr_assert_null(hba);
        cr_assert_eq(count, 1, "%s", cases[i].line);
        cr_assert_eq(errors[0].line, 3, "%s: line %u", cases[i].line, errors[0].line);
        cr_assert_not_null(strstr(errors[0].message, cases[i].message), "%s: %s", cases[i].line,
                           errors[0].message);
    }
}

Test(hba, collects_errors_up_to_the_bound)
{
    struct hba *hba = NULL;
    struct hba_error errors[2];
    size_t count = 0;
    static const char text[] = "x\nlocal all all md5\ny\nz\n";
    cr_assert_eq(hba_parse(text, strlen(text), &hba, errors, 2, &count), ERR_CONFIG);
    cr_assert_eq(count, 2);
    cr_assert_eq(errors[0].line, 1);
    cr_assert_eq(errors[1].line, 3);
}

Test(hba, every_prefix)
{
    static const char text[] = "local \"a\"\"b\",c /^x$ \\\r\n md5\nhostssl all all 10.0.0.0 "
                               "255.0.0.0 cert clientcert=verify-full # x \\\n y\nhost\0all";
    for (size_t bytes = 0; bytes < sizeof(text); bytes++) {
        char *copy = malloc(bytes + 1);
        memcpy(copy, text, bytes);
        struct hba *hba = NULL;
        struct hba_error errors[ERRORS_MAX];
        size_t count;
        int code = hba_parse(copy, bytes, &hba, errors, ERRORS_MAX, &count);
        cr_assert(code == 0 || code == ERR_CONFIG);
        hba_free(hba);
        free(copy);
    }
}
