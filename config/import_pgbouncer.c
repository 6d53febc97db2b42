#include "config/import_pgbouncer.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "config/dsn.h"
#include "config/file.h"
#include "config/ini.h"
#include "config/units.h"
#include "config/write.h"
#include "protocol/hba.h"
#include "protocol/userlist.h"

#define MAIN_SECTION "pgbouncer"
#define PAIRS_MAX 40
#define POOL_SIZE_MAX 100000

/* What PgBouncer 1.24 does when a setting is not given (its manual, page "Config"). */
struct setting {
    const char *name;
    const char *fallback; /* NULL: nothing */
    const char *reason;   /* NULL: there is an equivalent; else why there is none */
};

#define STDERR_LOG "Howdah logs to stderr"
#define OWN_LIMIT "Howdah has a limit of its own"
#define NOT_NEEDED "not needed by Howdah"
#define NO_SUCH "Howdah has no such option"
#define TLS_OWN "OpenSSL's own defaults are used"
#define SYSTEM_OWN "the system's own value is used"

static const struct setting settings[] = {
    {"listen_addr", NULL, NULL},
    {"listen_port", "6432", NULL},
    {"unix_socket_dir", "/tmp", NULL},
    {"max_client_conn", "100", NULL},
    {"pool_mode", "session", NULL},
    {"default_pool_size", "20", NULL},
    {"min_pool_size", "0", NULL},
    {"reserve_pool_size", "0", NULL},
    {"reserve_pool_timeout", "5", NULL},
    {"max_db_connections", "0", NULL},
    {"max_prepared_statements", "200", NULL},
    {"auth_type", "md5", NULL},
    {"auth_hba_file", NULL, NULL},
    {"auth_file", NULL, NULL},
    {"auth_user", NULL, NULL},
    {"auth_query",
     "SELECT rolname, CASE WHEN rolvaliduntil < now() THEN NULL ELSE rolpassword END "
     "FROM pg_authid WHERE rolname=$1 AND rolcanlogin",
     NULL},
    {"admin_users", "", NULL},
    {"stats_users", "", NULL},
    {"verbose", "0", NULL},
    {"server_lifetime", "3600", NULL},
    {"server_idle_timeout", "600", NULL},
    {"server_connect_timeout", "15", NULL},
    {"query_timeout", "0", NULL},
    {"query_wait_timeout", "120", NULL},
    {"client_idle_timeout", "0", NULL},
    {"idle_transaction_timeout", "0", NULL},
    {"client_tls_sslmode", "disable", NULL},
    {"client_tls_key_file", NULL, NULL},
    {"client_tls_cert_file", NULL, NULL},
    {"client_tls_ca_file", NULL, NULL},
    {"client_tls_protocols", "secure", NULL},
    {"server_tls_sslmode", "prefer", NULL},
    {"server_tls_ca_file", NULL, NULL},
    {"server_tls_key_file", NULL, NULL},
    {"server_tls_cert_file", NULL, NULL},
    {"logfile", NULL, STDERR_LOG},
    {"syslog", NULL, STDERR_LOG},
    {"syslog_ident", NULL, STDERR_LOG},
    {"syslog_facility", NULL, STDERR_LOG},
    {"pidfile", NULL, "Howdah runs under systemd and writes no pid file"},
    {"user", NULL, "set User= in the systemd unit"},
    {"unix_socket_mode", NULL, NO_SUCH},
    {"unix_socket_group", NULL, NO_SUCH},
    {"max_user_connections", NULL, "set users.NAME.max_server_connections for each user"},
    {"max_user_client_connections", NULL, "set users.NAME.max_clients for each user"},
    {"max_db_client_connections", NULL, NO_SUCH},
    {"server_round_robin", NULL, "Howdah uses the connection that was used last first"},
    {"track_extra_parameters", NULL, "Howdah keeps every parameter that the server reports"},
    {"ignore_startup_parameters", NULL, NOT_NEEDED},
    {"peer_id", NULL, "cancel requests between siblings come with a later version"},
    {"disable_pqexec", NULL, NO_SUCH},
    {"application_name_add_host", NULL, NO_SUCH},
    {"conffile", NULL, NOT_NEEDED},
    {"service_name", NULL, NOT_NEEDED},
    {"job_name", NULL, NOT_NEEDED},
    {"stats_period", NULL, NO_SUCH},
    {"log_stats", NULL, NO_SUCH},
    {"log_connections", NULL, "set log.level instead"},
    {"log_disconnections", NULL, "set log.level instead"},
    {"log_pooler_errors", NULL, "set log.level instead"},
    {"auth_ident_file", NULL, "ident maps are not supported"},
    {"auth_dbname", NULL, "auth.query runs in the database that the client asked for"},
    {"auth_ldap_options", NULL, "LDAP is not supported"},
    {"server_reset_query", NULL, "Howdah cleans a server connection by itself"},
    {"server_reset_query_always", NULL, "Howdah cleans a server connection by itself"},
    {"server_check_delay", NULL, "a broken connection is found without a query"},
    {"server_check_query", NULL, "a broken connection is found without a query"},
    {"server_fast_close", NULL, NO_SUCH},
    {"server_login_retry", NULL, "Howdah has a back-off of its own"},
    {"client_login_timeout", NULL, OWN_LIMIT},
    {"autodb_idle_timeout", NULL, NOT_NEEDED},
    {"dns_max_ttl", NULL, NO_SUCH},
    {"dns_nxdomain_ttl", NULL, NO_SUCH},
    {"dns_zone_check_period", NULL, NO_SUCH},
    {"resolv_conf", NULL, NO_SUCH},
    {"client_tls_ciphers", NULL, TLS_OWN},
    {"client_tls13_ciphers", NULL, TLS_OWN},
    {"client_tls_ecdhcurve", NULL, TLS_OWN},
    {"client_tls_dheparams", NULL, TLS_OWN},
    {"server_tls_protocols", NULL, "TLS 1.2 and newer are used"},
    {"server_tls_ciphers", NULL, TLS_OWN},
    {"server_tls13_ciphers", NULL, TLS_OWN},
    {"cancel_wait_timeout", NULL, OWN_LIMIT},
    {"suspend_timeout", NULL, OWN_LIMIT},
    {"transaction_timeout", NULL, NO_SUCH},
    {"query_wait_notify", NULL, NO_SUCH},
    {"pkt_buf", NULL, NOT_NEEDED},
    {"max_packet_size", NULL, OWN_LIMIT},
    {"listen_backlog", NULL, OWN_LIMIT},
    {"sbuf_loopcnt", NULL, NOT_NEEDED},
    {"so_reuseport", NULL, "set workers instead"},
    {"tcp_defer_accept", NULL, SYSTEM_OWN},
    {"tcp_socket_buffer", NULL, SYSTEM_OWN},
    {"tcp_keepalive", NULL, OWN_LIMIT},
    {"tcp_keepcnt", NULL, OWN_LIMIT},
    {"tcp_keepidle", NULL, OWN_LIMIT},
    {"tcp_keepintvl", NULL, OWN_LIMIT},
    {"tcp_user_timeout", NULL, SYSTEM_OWN},
};

struct pair {
    char *key, *value;
};

struct import {
    struct ini ini;
    FILE *out, *err;
    /* the database or user that is being written */
    const struct ini_entry *entry;
    struct pair pairs[PAIRS_MAX];
    size_t pair_count;
};

/* A setting's value and where it comes from. */
struct given {
    const char *value;             /* NULL: nothing */
    const struct ini_entry *entry; /* NULL: PgBouncer's default */
    const char *name;
};

static void report(struct import *import, const struct ini_entry *entry, const char *name,
                   const char *reason)
{
    if (entry == NULL) { /* a default of PgBouncer */
        fprintf(import->err, "%s: no equivalent: %s\n", name, reason);
        return;
    }
    fprintf(import->err, "%s:%u: %s: no equivalent: %s\n", entry->file, entry->line, name, reason);
}

static const struct setting *setting_find(const char *name)
{
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        if (strcmp(settings[i].name, name) == 0) {
            return &settings[i];
        }
    }
    return NULL;
}

static struct given given_main(const struct import *import, const char *name)
{
    const struct ini_entry *entry = ini_find(&import->ini, MAIN_SECTION, name);
    struct given given = {.entry = entry, .name = name};
    given.value = entry != NULL ? entry->value : setting_find(name)->fallback;
    return given;
}

/* The database's own value, else the main section's `fallback_name`. */
static struct given given_pair(const struct import *import, const char *name,
                               const char *fallback_name)
{
    for (size_t i = import->pair_count; i > 0; i--) {
        if (strcmp(import->pairs[i - 1].key, name) == 0) {
            return (struct given){
                .value = import->pairs[i - 1].value, .entry = import->entry, .name = name};
        }
    }
    if (fallback_name == NULL) {
        return (struct given){.name = name};
    }
    return given_main(import, fallback_name);
}

static bool is_set(struct given given)
{
    return given.value != NULL && given.value[0] != '\0';
}

/* --- writing --------------------------------------------------------------------------------- */

static void write_comment(struct import *import, struct given given)
{
    if (given.entry == NULL) {
        fprintf(import->out, ",  // PgBouncer's default %s\n", given.name);
    } else {
        fprintf(import->out, ",  // %s:%u: %s\n", given.entry->file, given.entry->line, given.name);
    }
}

static void write_key(struct import *import, int depth, const char *key)
{
    fprintf(import->out, "%*s", depth * 2, "");
    write_json_string(key, import->out);
    fputs(": ", import->out);
}

static void write_string(struct import *import, int depth, const char *key, const char *value,
                         struct given given)
{
    write_key(import, depth, key);
    write_json_string(value, import->out);
    write_comment(import, given);
}

static void write_given(struct import *import, int depth, const char *key, const char *name)
{
    struct given given = given_main(import, name);
    if (is_set(given)) {
        write_string(import, depth, key, given.value, given);
    }
}

/* A whole number from low to high; what lies outside is cut, with a line about it. */
static void write_integer(struct import *import, int depth, const char *key, struct given given,
                          long low, long high)
{
    char *end;
    long value = strtol(given.value, &end, 10);
    if (end == given.value || *end != '\0') {
        report(import, given.entry, given.name, "not a number");
        return;
    }
    if (value < low || value > high) {
        char reason[80];
        snprintf(reason, sizeof(reason), "%ld is out of range, %ld to %ld are possible", value, low,
                 high);
        report(import, given.entry, given.name, reason);
        value = value < low ? low : high;
    }
    write_key(import, depth, key);
    fprintf(import->out, "%ld", value);
    write_comment(import, given);
}

/* Likewise, but 0 is "no limit": null. */
static void write_limit(struct import *import, int depth, const char *key, struct given given)
{
    if (strcmp(given.value, "0") != 0) {
        write_integer(import, depth, key, given, 1, POOL_SIZE_MAX);
    }
}

/* Seconds, maybe with a fraction; `zero_ms` is what PgBouncer means by 0, 0 for off. */
static void write_seconds(struct import *import, int depth, const char *key, struct given given,
                          uint32_t zero_ms)
{
    char *end;
    char text[UNITS_BYTES];
    double seconds = strtod(given.value, &end);
    if (end == given.value || *end != '\0' || !(seconds >= 0)) {
        report(import, given.entry, given.name, "not a number of seconds");
        return;
    }
    double duration_ms = seconds * 1000 + 0.999; /* up, so that nothing becomes "off" */
    uint32_t rounded_ms = duration_ms > INT32_MAX ? INT32_MAX : (uint32_t)duration_ms;
    units_format_duration(rounded_ms == 0 ? zero_ms : rounded_ms, text);
    write_string(import, depth, key, text, given);
}

/* "a, b" as a list of strings. */
static void write_names(struct import *import, int depth, const char *key, const char *name)
{
    struct given given = given_main(import, name);
    const char *separator = "";
    write_key(import, depth, key);
    fputc('[', import->out);
    for (const char *at = given.value; *at != '\0';) {
        at += strspn(at, ", \t");
        size_t length = strcspn(at, ", \t");
        char text[LIMIT_NAME_BYTES * 4];
        if (length > 0) {
            snprintf(text, sizeof(text), "%.*s", (int)length, at);
            fputs(separator, import->out);
            write_json_string(text, import->out);
            separator = ", ";
        }
        at += length;
    }
    fputc(']', import->out);
    write_comment(import, given);
}

/* --- the main section ------------------------------------------------------------------------ */

static void write_listen(struct import *import)
{
    struct given addresses = given_main(import, "listen_addr");
    struct given directory = given_main(import, "unix_socket_dir");
    struct given port = given_main(import, "listen_port");
    fputs("  \"listen\": [\n", import->out);
    for (const char *at = is_set(addresses) ? addresses.value : ""; *at != '\0';) {
        at += strspn(at, ", \t");
        size_t length = strcspn(at, ", \t");
        char text[320];
        if (length > 0) {
            bool ipv6 = memchr(at, ':', length) != NULL;
            snprintf(text, sizeof(text), "%s%.*s%s:%s", ipv6 ? "[" : "", (int)length, at,
                     ipv6 ? "]" : "", port.value);
            fputs("    ", import->out);
            write_json_string(text, import->out);
            write_comment(import, addresses);
        }
        at += length;
    }
    if (is_set(directory)) {
        char text[320];
        snprintf(text, sizeof(text), "unix:%s/.s.PGSQL.%s", directory.value, port.value);
        fputs("    ", import->out);
        write_json_string(text, import->out);
        write_comment(import, directory);
    }
    fputs("  ],\n", import->out);
}

static void write_tls(struct import *import)
{
    struct given mode = given_main(import, "client_tls_sslmode");
    struct given protocols = given_main(import, "client_tls_protocols");
    fputs("  \"tls\": {\n", import->out);
    write_string(import, 2, "mode", strcmp(mode.value, "allow") == 0 ? "prefer" : mode.value, mode);
    write_given(import, 2, "cert", "client_tls_cert_file");
    write_given(import, 2, "key", "client_tls_key_file");
    write_given(import, 2, "ca", "client_tls_ca_file");
    if (strcmp(protocols.value, "tlsv1.3") == 0) {
        write_string(import, 2, "min_version", "1.3", protocols);
    }
    fputs("  },\n", import->out);
}

static void write_method(struct import *import)
{
    static const char *const same[] = {"trust", "md5", "scram-sha-256", "cert", "hba"};
    struct given type = given_main(import, "auth_type");
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        if (strcmp(type.value, same[i]) == 0) {
            write_string(import, 2, "method", type.value, type);
            return;
        }
    }
    if (strcmp(type.value, "plain") == 0) {
        write_string(import, 2, "method", "password", type);
        return;
    }
    report(import, type.entry, type.name,
           "trust, password, md5, scram-sha-256, cert and hba are possible; scram-sha-256 is used");
}

/* Says which lines of the users and hba files Howdah would refuse. */
static void try_files(struct import *import)
{
    struct given users = given_main(import, "auth_file");
    struct given rules = given_main(import, "auth_hba_file");
    char *text;
    size_t bytes;
    const char *reason;
    if (is_set(users) && file_read(users.value, false, &text, &bytes, &reason) == 0) {
        struct userlist *list = NULL;
        struct userlist_error error;
        if (userlist_parse(text, bytes, &list, &error) == ERR_CONFIG) {
            fprintf(import->err, "%s:%u: %s\n", users.value, error.line, error.message);
        }
        userlist_free(list);
        explicit_bzero(text, bytes);
        free(text);
    }
    if (is_set(rules) && file_read(rules.value, false, &text, &bytes, &reason) == 0) {
        struct hba *hba = NULL;
        struct hba_error errors[20];
        size_t count = 0;
        if (hba_parse(text, bytes, &hba, errors, 20, &count) == 0) {
            hba_free(hba);
        }
        for (size_t i = 0; i < count; i++) {
            fprintf(import->err, "%s:%u: %s\n", rules.value, errors[i].line, errors[i].message);
        }
        free(text);
    }
}

static void write_auth(struct import *import)
{
    struct given type = given_main(import, "auth_type");
    struct given rules = given_main(import, "auth_hba_file");
    struct given user = given_main(import, "auth_user");
    fputs("  \"auth\": {\n", import->out);
    write_method(import);
    if (is_set(rules) && strcmp(type.value, "hba") == 0) {
        write_string(import, 2, "hba", rules.value, rules);
    } else if (is_set(rules)) {
        report(import, rules.entry, rules.name, "used only with auth_type = hba");
    }
    write_given(import, 2, "users_file", "auth_file");
    if (is_set(user)) {
        write_given(import, 2, "query", "auth_query");
        write_string(import, 2, "query_user", user.value, user);
    } else if (given_main(import, "auth_query").entry != NULL) {
        report(import, given_main(import, "auth_query").entry, "auth_query",
               "used only with auth_user");
    }
    fputs("  },\n", import->out);
    try_files(import);
}

static void write_main(struct import *import)
{
    write_listen(import);
    write_integer(import, 1, "max_clients", given_main(import, "max_client_conn"), 1,
                  LIMIT_CONNECTIONS);
    write_tls(import);
    write_auth(import);
    fputs("  \"admin\": {\n", import->out);
    write_names(import, 2, "users", "admin_users");
    write_names(import, 2, "stats_users", "stats_users");
    fputs("  },\n", import->out);
    struct given verbose = given_main(import, "verbose");
    if (strcmp(verbose.value, "0") != 0) {
        fputs("  \"log\": {\n", import->out);
        write_string(import, 2, "level", "debug", verbose);
        fputs("  },\n", import->out);
    }
    for (size_t i = 0; i < import->ini.count; i++) {
        const struct ini_entry *entry = &import->ini.entries[i];
        if (strcmp(entry->section, MAIN_SECTION) != 0) {
            continue;
        }
        const struct setting *setting = setting_find(entry->key);
        if (setting == NULL || setting->reason != NULL) {
            report(import, entry, entry->key,
                   setting == NULL ? "PgBouncer 1.24 has no such setting" : setting->reason);
        }
    }
}

/* --- databases and users --------------------------------------------------------------------- */

static void drop_pairs(struct import *import)
{
    for (size_t i = 0; i < import->pair_count; i++) {
        explicit_bzero(import->pairs[i].value, strlen(import->pairs[i].value));
        free(import->pairs[i].key);
        free(import->pairs[i].value);
    }
    import->pair_count = 0;
}

/* Cuts the entry's value into pairs; names that are not in `known` are reported. */
static int take_pairs(struct import *import, const struct ini_entry *entry, const char *known)
{
    const char *at = entry->value;
    drop_pairs(import);
    import->entry = entry;
    for (;;) {
        struct pair pair;
        char framed[64];
        int error = import->pair_count == PAIRS_MAX ? ERR_CONFIG
                                                    : ini_next_pair(&at, &pair.key, &pair.value);
        if (error == ERR_CONFIG) {
            fprintf(import->err, "%s:%u: %s: not a list of key=value\n", entry->file, entry->line,
                    entry->key);
        }
        if (error != 0 || pair.key == NULL) {
            return error;
        }
        import->pairs[import->pair_count++] = pair;
        snprintf(framed, sizeof(framed), " %s ", pair.key);
        if (strstr(known, framed) == NULL) {
            report(import, entry, pair.key, NO_SUCH);
        }
    }
}

static enum tls_mode server_tls_mode(const char *word)
{
    static const char *const words[] = {"disable", "allow",     "prefer",
                                        "require", "verify-ca", "verify-full"};
    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(word, words[i]) == 0) {
            return (enum tls_mode)i;
        }
    }
    return TLS_PREFER;
}

/* The first of a list of hosts: who is the primary among them PgBouncer does not ask. */
static void first_host(struct import *import, char *host)
{
    char *comma = strchr(host, ',');
    if (comma != NULL) {
        *comma = '\0';
        report(import, import->entry, "host",
               "the first host is used; \"hosts\" finds out who is the primary, and "
               "needs service.user");
    }
}

static int write_primary(struct import *import)
{
    struct given host = given_pair(import, "host", "unix_socket_dir");
    struct given port = given_pair(import, "port", NULL);
    struct given dbname = given_pair(import, "dbname", NULL);
    bool any = strcmp(import->entry->key, "*") == 0;
    struct server_options server = {0}; /* borrows all but the host */
    long number = is_set(port) ? strtol(port.value, NULL, 10) : 5432;
    server.host = strdup(is_set(host) ? host.value : "/var/run/postgresql");
    if (server.host == NULL) {
        return ERR_NO_MEMORY;
    }
    if (number < 1 || number > UINT16_MAX) {
        report(import, import->entry, "port", "1 to 65535 are possible; 5432 is used");
        number = 5432;
    }
    first_host(import, server.host);
    server.port = (uint16_t)number;
    server.dbname = is_set(dbname) ? (char *)dbname.value : any ? NULL : import->entry->key;
    server.user = (char *)given_pair(import, "user", NULL).value;
    server.password = (char *)given_pair(import, "password", NULL).value;
    server.application_name = (char *)given_pair(import, "application_name", NULL).value;
    server.sslmode = server_tls_mode(given_main(import, "server_tls_sslmode").value);
    server.sslrootcert = (char *)given_main(import, "server_tls_ca_file").value;
    server.sslcert = (char *)given_main(import, "server_tls_cert_file").value;
    server.sslkey = (char *)given_main(import, "server_tls_key_file").value;
    server.channel_binding = CHANNEL_BINDING_PREFER;
    char *dsn = dsn_format(&server, true);
    free(server.host);
    if (dsn == NULL) {
        return ERR_NO_MEMORY;
    }
    write_string(import, 3, "primary", dsn,
                 (struct given){.entry = import->entry, .name = import->entry->key});
    explicit_bzero(dsn, strlen(dsn));
    free(dsn);
    return 0;
}

static void write_pool(struct import *import)
{
    struct given size = given_pair(import, "pool_size", "default_pool_size");
    struct given idle = given_pair(import, "min_pool_size", "min_pool_size");
    fputs("      \"pool\": {\n", import->out);
    struct given mode = given_pair(import, "pool_mode", "pool_mode");
    write_string(import, 4, "mode", mode.value, mode);
    write_integer(import, 4, "size", size, 1, POOL_SIZE_MAX);
    long most = strtol(size.value, NULL, 10);
    write_integer(import, 4, "min_idle", idle, 0, most < 1 ? 1 : most);
    write_integer(import, 4, "reserve",
                  given_pair(import, "reserve_pool_size", "reserve_pool_size"), 0, POOL_SIZE_MAX);
    write_seconds(import, 4, "reserve_after", given_main(import, "reserve_pool_timeout"), 0);
    write_seconds(import, 4, "wait_timeout", given_main(import, "query_wait_timeout"), 0);
    write_seconds(import, 4, "idle_timeout", given_main(import, "server_idle_timeout"), 0);
    /* 0 closes a connection after one use, which the shortest lifetime does, too */
    write_seconds(import, 4, "max_lifetime",
                  given_pair(import, "server_lifetime", "server_lifetime"), 1);
    write_seconds(import, 4, "query_timeout", given_main(import, "query_timeout"), 0);
    write_seconds(import, 4, "idle_transaction_timeout",
                  given_main(import, "idle_transaction_timeout"), 0);
    write_seconds(import, 4, "client_idle_timeout", given_main(import, "client_idle_timeout"), 0);
    /* 0 waits for ever; the longest time that there is comes near */
    write_seconds(import, 4, "connect_timeout", given_main(import, "server_connect_timeout"),
                  3600000);
    write_integer(import, 4, "prepared_statements", given_main(import, "max_prepared_statements"),
                  0, 100000);
    fputs("      },\n", import->out);
}

static bool is_last(const struct import *import, const struct ini_entry *entry)
{
    return ini_find(&import->ini, entry->section, entry->key) == entry;
}

static int write_database(struct import *import, const struct ini_entry *entry)
{
    if (strcmp(entry->key, "pgbouncer") == 0 || strcmp(entry->key, "howdah") == 0) {
        report(import, entry, entry->key, "the name belongs to the admin database");
        return 0;
    }
    int error = take_pairs(import, entry,
                           " host port dbname user password application_name pool_size "
                           "min_pool_size reserve_pool_size pool_mode max_db_connections "
                           "server_lifetime ");
    if (error != 0) {
        return error;
    }
    write_key(import, 2, entry->key);
    fputs("{\n", import->out);
    error = write_primary(import);
    write_limit(import, 3, "max_server_connections",
                given_pair(import, "max_db_connections", "max_db_connections"));
    write_pool(import);
    fputs("    },\n", import->out);
    return error;
}

static int write_user(struct import *import, const struct ini_entry *entry)
{
    int error = take_pairs(import, entry,
                           " pool_mode pool_size max_user_connections "
                           "max_user_client_connections ");
    if (error != 0) {
        return error;
    }
    struct given mode = given_pair(import, "pool_mode", NULL);
    struct given size = given_pair(import, "pool_size", NULL);
    struct given servers = given_pair(import, "max_user_connections", NULL);
    struct given clients = given_pair(import, "max_user_client_connections", NULL);
    write_key(import, 2, entry->key);
    fputs("{\n      \"pool\": {\n", import->out);
    if (is_set(mode)) {
        write_string(import, 4, "mode", mode.value, mode);
    }
    if (is_set(size)) {
        write_integer(import, 4, "size", size, 1, POOL_SIZE_MAX);
    }
    fputs("      },\n", import->out);
    if (is_set(clients)) {
        write_limit(import, 3, "max_clients", clients);
    }
    if (is_set(servers)) {
        write_limit(import, 3, "max_server_connections", servers);
    }
    fputs("    },\n", import->out);
    return 0;
}

static int write_section(struct import *import, const char *section,
                         int (*write)(struct import *, const struct ini_entry *))
{
    int error = 0;
    fprintf(import->out, "  \"%s\": {\n", section);
    for (size_t i = 0; i < import->ini.count && error == 0; i++) {
        const struct ini_entry *entry = &import->ini.entries[i];
        if (strcmp(entry->section, section) == 0 && is_last(import, entry)) {
            error = write(import, entry);
        }
    }
    fputs("  },\n", import->out);
    return error;
}

static void report_sections(struct import *import)
{
    for (size_t i = 0; i < import->ini.count; i++) {
        const struct ini_entry *entry = &import->ini.entries[i];
        if (strcmp(entry->section, MAIN_SECTION) != 0 && strcmp(entry->section, "users") != 0 &&
            strcmp(entry->section, "databases") != 0) {
            report(import, entry, entry->section, "the section's settings are left out");
        }
    }
}

/* Into a buffer first: after a failure nothing is on `out`. */
static int write_all(struct import *import)
{
    fputs("{\n", import->out);
    write_main(import);
    int error = write_section(import, "users", write_user);
    if (error == 0) {
        error = write_section(import, "databases", write_database);
    }
    fputs("}\n", import->out);
    report_sections(import);
    drop_pairs(import);
    return error;
}

int import_pgbouncer(const char *file, FILE *out, FILE *err)
{
    struct import import = {.err = err};
    char *text = NULL;
    size_t bytes = 0;
    int error = ini_read(file, &import.ini, err);
    if (error != 0) {
        return error;
    }
    import.out = open_memstream(&text, &bytes);
    error = import.out == NULL ? ERR_NO_MEMORY : write_all(&import);
    if (import.out != NULL && fclose(import.out) != 0 && error == 0) {
        error = ERR_NO_MEMORY;
    }
    if (error == 0) {
        fwrite(text, 1, bytes, out);
    }
    if (text != NULL) {
        explicit_bzero(text, bytes);
    }
    free(text);
    ini_fini(&import.ini);
    return error;
}
