#include "config/dsn.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define DSN_BYTES_MAX 8192
#define DSN_HOST_DEFAULT "/var/run/postgresql"
#define DSN_PORT_DEFAULT 5432

enum parameter_use {
    USED,
    NOTED,   /* no effect here; said in a note */
    REFUSED, /* with a reason */
};

struct parameter {
    const char *name;
    enum parameter_use use;
    const char *text; /* NOTED: the only value that is allowed, NULL: any; REFUSED: why */
};

/* Every parameter of libpq 18, section "Parameter Key Words". */
static const struct parameter parameters[] = {
    {"host", USED, NULL},
    {"hostaddr", USED, NULL},
    {"port", USED, NULL},
    {"dbname", USED, NULL},
    {"user", USED, NULL},
    {"password", USED, NULL},
    {"sslmode", USED, NULL},
    {"sslrootcert", USED, NULL},
    {"sslcert", USED, NULL},
    {"sslkey", USED, NULL},
    {"sslnegotiation", USED, NULL},
    {"channel_binding", USED, NULL},
    {"application_name", USED, NULL},
    {"fallback_application_name", USED, NULL},
    {"options", USED, NULL},
    {"connect_timeout", NOTED, NULL},
    {"client_encoding", NOTED, NULL},
    {"keepalives", NOTED, NULL},
    {"keepalives_idle", NOTED, NULL},
    {"keepalives_interval", NOTED, NULL},
    {"keepalives_count", NOTED, NULL},
    {"tcp_user_timeout", NOTED, NULL},
    {"sslcompression", NOTED, NULL},
    {"sslsni", NOTED, NULL},
    {"krbsrvname", NOTED, NULL},
    {"gsslib", NOTED, NULL},
    {"gssdelegation", NOTED, NULL},
    {"min_protocol_version", NOTED, NULL},
    {"max_protocol_version", NOTED, NULL},
    {"gssencmode", NOTED, "disable prefer"},
    {"target_session_attrs", NOTED, "any"},
    {"load_balance_hosts", NOTED, "disable"},
    {"ssl_min_protocol_version", NOTED, "TLSv1 TLSv1.1 TLSv1.2"},
    {"ssl_max_protocol_version", NOTED, "TLSv1.3"},
    {"passfile", REFUSED, "password files are not read; give the password here"},
    {"service", REFUSED, "service files are not read; give the parameters here"},
    {"servicefile", REFUSED, "service files are not read; give the parameters here"},
    {"replication", REFUSED, "a client asks for replication itself"},
    {"requirepeer", REFUSED, "not supported"},
    {"require_auth", REFUSED, "not supported"},
    {"sslpassword", REFUSED, "keys with a pass phrase are not supported"},
    {"sslcertmode", REFUSED, "not supported; leave sslcert out to send no certificate"},
    {"sslcrl", REFUSED, "revocation lists are not supported"},
    {"sslcrldir", REFUSED, "revocation lists are not supported"},
    {"sslkeylogfile", REFUSED, "not supported"},
    {"scram_client_key", REFUSED, "not supported"},
    {"scram_server_key", REFUSED, "not supported"},
    {"oauth_issuer", REFUSED, "OAuth is not supported"},
    {"oauth_client_id", REFUSED, "OAuth is not supported"},
    {"oauth_client_secret", REFUSED, "OAuth is not supported"},
    {"oauth_scope", REFUSED, "OAuth is not supported"},
};

#define PARAMETER_COUNT (sizeof(parameters) / sizeof(parameters[0]))

/* The values as given, by their parameter's row; NULL: not given. */
struct dsn {
    char *values[PARAMETER_COUNT];
    struct dsn_report *report;
};

__attribute__((format(printf, 2, 3))) static int refuse(struct dsn *dsn, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(dsn->report->error, sizeof(dsn->report->error), format, arguments);
    va_end(arguments);
    return ERR_CONFIG;
}

static void value_free(char *value)
{
    if (value != NULL) {
        explicit_bzero(value, strlen(value));
        free(value);
    }
}

static size_t parameter_index(const char *name)
{
    size_t i = 0;
    while (i < PARAMETER_COUNT && strcmp(parameters[i].name, name) != 0) {
        i++;
    }
    return i;
}

/* The value's place; NULL for a name that libpq does not have, which is a bug here. */
static char **value_of(struct dsn *dsn, const char *name)
{
    return &dsn->values[parameter_index(name)];
}

static int refuse_unknown(struct dsn *dsn, const char *name)
{
    char allowed[DSN_MESSAGE_BYTES];
    size_t used = 0;
    for (size_t i = 0; i < PARAMETER_COUNT; i++) {
        if (parameters[i].use == USED) {
            int written = snprintf(allowed + used, sizeof(allowed) - used, "%s%s",
                                   used == 0 ? "" : ", ", parameters[i].name);
            used += (size_t)written;
        }
    }
    return refuse(dsn, "unknown parameter \"%.60s\", allowed: %s", name, allowed);
}

/* Takes `value` over. As in libpq the last one counts, and an empty one is one not given. */
static int store(struct dsn *dsn, const char *name, char *value)
{
    size_t index = parameter_index(name);
    if (index == PARAMETER_COUNT) {
        value_free(value);
        return refuse_unknown(dsn, name);
    }
    value_free(dsn->values[index]);
    dsn->values[index] = NULL;
    if (value[0] == '\0') {
        free(value);
        return 0;
    }
    dsn->values[index] = value;
    return 0;
}

/* --- key=value ------------------------------------------------------------------------------- */

static bool is_space(char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static const char *skip_space(const char *at)
{
    while (is_space(*at)) {
        at++;
    }
    return at;
}

/* Unescapes a value into `out`, which has room for it. Returns what follows, or NULL when a quote
 * is not closed. */
static const char *take_value(const char *at, char *out)
{
    bool quoted = *at == '\'';
    at += quoted;
    while (quoted ? *at != '\'' : !is_space(*at)) {
        if (*at == '\\' && (at[1] != '\0' || !quoted)) {
            at++;
        }
        if (*at == '\0') {
            break;
        }
        *out++ = *at++;
    }
    *out = '\0';
    if (!quoted) {
        return at;
    }
    return *at == '\'' ? at + 1 : NULL;
}

static int parse_pairs(struct dsn *dsn, const char *at)
{
    for (at = skip_space(at); *at != '\0'; at = skip_space(at)) {
        char name[64];
        const char *start = at;
        while (*at != '=' && !is_space(*at) && *at != '\0') {
            at++;
        }
        size_t length = (size_t)(at - start);
        if (length >= sizeof(name)) {
            return refuse(dsn, "a parameter's name is too long, allowed: libpq's parameters");
        }
        memcpy(name, start, length);
        name[length] = '\0';
        at = skip_space(at);
        if (*at != '=') {
            return refuse(dsn, "no \"=\" after a word, allowed: a URI such as "
                               "\"postgres://host:5432/app\", or key=value pairs");
        }
        at = skip_space(at + 1);
        char *value = malloc(strlen(at) + 1);
        if (value == NULL) {
            return ERR_NO_MEMORY;
        }
        at = take_value(at, value);
        if (at == NULL) {
            value_free(value);
            return refuse(dsn, "the quoted value of \"%s\" has no end, allowed: '...'", name);
        }
        int error = store(dsn, name, value);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

/* --- URI ------------------------------------------------------------------------------------- */

static int hex_digit(char byte)
{
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    byte = (char)(byte | 0x20);
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* RFC 3986 section 2.1; %00 is refused, as by libpq. */
static int decode(struct dsn *dsn, const char *text, size_t bytes, char **ret_value)
{
    char *value = malloc(bytes + 1);
    if (value == NULL) {
        return ERR_NO_MEMORY;
    }
    size_t length = 0;
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] != '%') {
            value[length++] = text[i];
            continue;
        }
        int high = bytes - i > 2 ? hex_digit(text[i + 1]) : -1;
        int low = bytes - i > 2 ? hex_digit(text[i + 2]) : -1;
        if (high < 0 || low < 0 || high + low == 0) {
            explicit_bzero(value, length);
            free(value);
            (void)refuse(dsn, "a bad percent-encoding, allowed: %% and two hexadecimal digits, "
                              "not %%00");
            return ERR_CONFIG;
        }
        value[length++] = (char)(high * 16 + low);
        i += 2;
    }
    value[length] = '\0';
    *ret_value = value;
    return 0;
}

static int store_decoded(struct dsn *dsn, const char *name, const char *text, size_t bytes)
{
    char *value;
    int error = decode(dsn, text, bytes, &value);
    return error != 0 ? error : store(dsn, name, value);
}

/* "user:password@", when there is one. */
static int parse_credentials(struct dsn *dsn, const char **at)
{
    size_t length = strcspn(*at, "@/");
    if ((*at)[length] != '@') {
        return 0;
    }
    size_t user_bytes = strcspn(*at, ":@");
    int error = store_decoded(dsn, "user", *at, user_bytes);
    if (error == 0 && user_bytes < length) {
        error = store_decoded(dsn, "password", *at + user_bytes + 1, length - user_bytes - 1);
    }
    *at += length + 1;
    return error;
}

/* "host:port" or "[v6]:port", each part optional. */
static int parse_host(struct dsn *dsn, const char **at)
{
    int error;
    if (**at == '[') {
        size_t length = strcspn(*at + 1, "]");
        if ((*at)[1 + length] != ']' || length == 0) {
            return refuse(dsn, "an IPv6 address without its end, allowed: [address]");
        }
        error = store_decoded(dsn, "host", *at + 1, length);
        *at += length + 2;
        if (**at != '\0' && strchr(":/?,", **at) == NULL) {
            return refuse(dsn, "text after \"]\", allowed: \":port\", \"/\", \"?\" or the end");
        }
    } else {
        size_t length = strcspn(*at, ":/?,");
        error = store_decoded(dsn, "host", *at, length);
        *at += length;
    }
    if (error == 0 && **at == ':') {
        size_t length = strcspn(*at + 1, "/?,");
        error = store_decoded(dsn, "port", *at + 1, length);
        *at += length + 1;
    }
    return error;
}

static int parse_query(struct dsn *dsn, const char *at)
{
    while (*at != '\0') {
        size_t length = strcspn(at, "&");
        size_t name_bytes = strcspn(at, "=&");
        if (name_bytes == length ||
            memchr(at + name_bytes + 1, '=', length - name_bytes - 1) != NULL) {
            return refuse(dsn, "a bad URI parameter, allowed: name=value, with \"=\" in values "
                               "written %%3D");
        }
        char *name;
        int error = decode(dsn, at, name_bytes, &name);
        if (error != 0) {
            return error;
        }
        const char *value = at + name_bytes + 1;
        size_t value_bytes = length - name_bytes - 1;
        if (strcmp(name, "ssl") == 0 && value_bytes == 4 && strncmp(value, "true", 4) == 0) {
            error = store_decoded(dsn, "sslmode", "require", 7); /* as pgjdbc writes it */
        } else {
            error = store_decoded(dsn, name, value, value_bytes);
        }
        free(name);
        if (error != 0) {
            return error;
        }
        at += length;
        at += *at == '&';
    }
    return 0;
}

static int parse_uri(struct dsn *dsn, const char *at)
{
    int error = parse_credentials(dsn, &at);
    if (error == 0) {
        error = parse_host(dsn, &at);
    }
    if (error != 0) {
        return error;
    }
    if (*at == ',') {
        return refuse(dsn, "a list of hosts is not supported yet, allowed: one host");
    }
    if (*at == '/') {
        size_t length = strcspn(at + 1, "?");
        error = store_decoded(dsn, "dbname", at + 1, length);
        at += length + 1;
    }
    if (error == 0 && *at == '?') {
        error = parse_query(dsn, at + 1);
    }
    return error;
}

/* --- from values to a server ----------------------------------------------------------------- */

static bool word_in(const char *words, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = words; *at != '\0'; at += *at == ' ') {
        size_t word_bytes = strcspn(at, " ");
        if (word_bytes == length && strncmp(at, word, length) == 0) {
            return true;
        }
        at += word_bytes;
    }
    return false;
}

/* Goes over what is given and not used. */
static int check_unused(struct dsn *dsn)
{
    for (size_t i = 0; i < PARAMETER_COUNT; i++) {
        const struct parameter *parameter = &parameters[i];
        const char *value = dsn->values[i];
        if (value == NULL || parameter->use == USED) {
            continue;
        }
        if (parameter->use == REFUSED) {
            return refuse(dsn, "parameter \"%s\" cannot be used: %s", parameter->name,
                          parameter->text);
        }
        if (parameter->text != NULL && !word_in(parameter->text, value)) {
            return refuse(dsn, "%s=\"%.60s\" is not supported, allowed: %s", parameter->name, value,
                          parameter->text);
        }
        char *note = dsn->report->note;
        size_t used = strlen(note);
        snprintf(note + used, sizeof(dsn->report->note) - used, "%s%s",
                 used == 0 ? "without effect here: " : ", ", parameter->name);
    }
    return 0;
}

struct word {
    const char *word;
    unsigned value;
};

/* In the order of enum tls_mode and enum channel_binding. */
static const struct word sslmodes[] = {
    {"disable", TLS_DISABLE},
    {"allow", TLS_ALLOW},
    {"prefer", TLS_PREFER},
    {"require", TLS_REQUIRE},
    {"verify-ca", TLS_VERIFY_CA},
    {"verify-full", TLS_VERIFY_FULL},
    {NULL, 0},
};

static const struct word bindings[] = {
    {"disable", CHANNEL_BINDING_DISABLE},
    {"prefer", CHANNEL_BINDING_PREFER},
    {"require", CHANNEL_BINDING_REQUIRE},
    {NULL, 0},
};

const char *dsn_sslmode_word(enum tls_mode mode)
{
    return sslmodes[mode].word;
}

const char *dsn_channel_binding_word(enum channel_binding binding)
{
    return bindings[binding].word;
}

static const struct word negotiations[] = {{"postgres", 0}, {"direct", 1}, {NULL, 0}};

static int read_word(struct dsn *dsn, const char *name, const struct word *words, unsigned fallback,
                     unsigned *ret_value)
{
    const char *value = *value_of(dsn, name);
    if (value == NULL) {
        *ret_value = fallback;
        return 0;
    }
    char allowed[128] = "";
    for (const struct word *word = words; word->word != NULL; word++) {
        if (strcmp(word->word, value) == 0) {
            *ret_value = word->value;
            return 0;
        }
        size_t used = strlen(allowed);
        snprintf(allowed + used, sizeof(allowed) - used, "%s%s", used == 0 ? "" : ", ", word->word);
    }
    return refuse(dsn, "%s=\"%.60s\" is not possible, allowed: %s", name, value, allowed);
}

static int read_port(struct dsn *dsn, uint16_t *ret_port)
{
    const char *text = *value_of(dsn, "port");
    if (text == NULL) {
        *ret_port = DSN_PORT_DEFAULT;
        return 0;
    }
    size_t length = strspn(text, "0123456789");
    unsigned long port = length > 0 && length < 6 ? strtoul(text, NULL, 10) : 0;
    if (text[length] != '\0' || port < 1 || port > UINT16_MAX) {
        /* not quoted: a password with a stray "/" or "@" ends up here */
        return refuse(dsn, "an impossible port, allowed: 1 to 65535");
    }
    *ret_port = (uint16_t)port;
    return 0;
}

static int check_host(struct dsn *dsn)
{
    const char *const lists[] = {*value_of(dsn, "host"), *value_of(dsn, "hostaddr"),
                                 *value_of(dsn, "port")};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        if (lists[i] != NULL && strchr(lists[i], ',') != NULL) {
            return refuse(dsn, "a list of hosts is not supported yet, allowed: one host");
        }
    }
    const char *hostaddr = *value_of(dsn, "hostaddr");
    uint8_t address[16];
    if (hostaddr != NULL && inet_pton(AF_INET, hostaddr, address) != 1 &&
        inet_pton(AF_INET6, hostaddr, address) != 1) {
        return refuse(dsn, "hostaddr \"%.60s\" is not an address, allowed: IPv4 or IPv6 digits",
                      hostaddr);
    }
    return 0;
}

/* What only makes sense together. */
static int check_tls(struct dsn *dsn, const struct server_options *server)
{
    const char *root = *value_of(dsn, "sslrootcert");
    bool cert = *value_of(dsn, "sslcert") != NULL;
    if (cert != (*value_of(dsn, "sslkey") != NULL)) {
        return refuse(dsn, "%s is given alone, allowed: sslcert and sslkey together",
                      cert ? "sslcert" : "sslkey");
    }
    if (root != NULL && strcmp(root, "system") == 0 && server->sslmode != TLS_VERIFY_FULL) {
        return refuse(dsn, "a weak sslmode with sslrootcert=system, allowed: verify-full");
    }
    if (server->sslmode >= TLS_VERIFY_CA && root == NULL) {
        return refuse(dsn, "sslmode=verify-ca or verify-full without sslrootcert, allowed: a file "
                           "of authorities, or \"system\" for the system's");
    }
    if (server->ssl_direct && server->sslmode < TLS_REQUIRE) {
        return refuse(dsn, "sslnegotiation=direct with a weak sslmode, allowed: require, "
                           "verify-ca or verify-full");
    }
    return 0;
}

static char *take(struct dsn *dsn, const char *name)
{
    char **value = value_of(dsn, name);
    char *taken = *value;
    *value = NULL;
    return taken;
}

/* Moves the values into the server; nothing can fail but the default host's copy. */
static int move_values(struct dsn *dsn, struct server_options *server)
{
    server->host = take(dsn, "host");
    server->hostaddr = take(dsn, "hostaddr");
    server->user = take(dsn, "user");
    server->password = take(dsn, "password");
    server->dbname = take(dsn, "dbname");
    server->sslrootcert = take(dsn, "sslrootcert");
    server->sslcert = take(dsn, "sslcert");
    server->sslkey = take(dsn, "sslkey");
    server->options = take(dsn, "options");
    server->application_name = take(dsn, "application_name");
    if (server->application_name == NULL) {
        server->application_name = take(dsn, "fallback_application_name");
    }
    if (server->host == NULL) {
        server->host = strdup(server->hostaddr != NULL ? server->hostaddr : DSN_HOST_DEFAULT);
    }
    return server->host == NULL ? ERR_NO_MEMORY : 0;
}

static int build_server(struct dsn *dsn, struct server_options *server)
{
    const char *root = *value_of(dsn, "sslrootcert");
    bool system_roots = root != NULL && strcmp(root, "system") == 0;
    unsigned sslmode = 0;
    unsigned binding = 0;
    unsigned direct = 0;
    int error = check_unused(dsn);
    if (error == 0) {
        error = check_host(dsn);
    }
    if (error == 0) {
        error = read_port(dsn, &server->port);
    }
    if (error == 0) {
        error = read_word(dsn, "sslmode", sslmodes, system_roots ? TLS_VERIFY_FULL : TLS_PREFER,
                          &sslmode);
    }
    if (error == 0) {
        error = read_word(dsn, "channel_binding", bindings, CHANNEL_BINDING_PREFER, &binding);
    }
    if (error == 0) {
        error = read_word(dsn, "sslnegotiation", negotiations, 0, &direct);
    }
    server->sslmode = (enum tls_mode)sslmode;
    server->channel_binding = (enum channel_binding)binding;
    server->ssl_direct = direct != 0;
    server->weight = 1;
    if (error == 0) {
        error = check_tls(dsn, server);
    }
    return error != 0 ? error : move_values(dsn, server);
}

int dsn_parse(const char *text, struct server_options *ret_server, struct dsn_report *ret_report)
{
    struct dsn dsn = {.report = ret_report};
    *ret_report = (struct dsn_report){0};
    if (strlen(text) > DSN_BYTES_MAX) {
        return refuse(&dsn, "too long, allowed: %d bytes", DSN_BYTES_MAX);
    }
    int error;
    if (strncmp(text, "postgresql://", 13) == 0) {
        error = parse_uri(&dsn, text + 13);
    } else if (strncmp(text, "postgres://", 11) == 0) {
        error = parse_uri(&dsn, text + 11);
    } else {
        error = parse_pairs(&dsn, text);
    }
    struct server_options server = {0};
    if (error == 0) {
        error = build_server(&dsn, &server);
    }
    for (size_t i = 0; i < PARAMETER_COUNT; i++) {
        value_free(dsn.values[i]);
    }
    if (error != 0) {
        server_options_fini(&server);
        return error;
    }
    *ret_server = server;
    return 0;
}

/* --- writing --------------------------------------------------------------------------------- */

static void write_pair(FILE *out, const char *name, const char *value)
{
    if (value == NULL) {
        return;
    }
    fprintf(out, "%s%s=", ftell(out) > 0 ? " " : "", name);
    bool plain = strpbrk(value, " \t\n\r\v\f'\\") == NULL && value[0] != '\0';
    if (!plain) {
        fputc('\'', out);
    }
    for (const char *at = value; *at != '\0'; at++) {
        if (*at == '\'' || *at == '\\') {
            fputc('\\', out);
        }
        fputc(*at, out);
    }
    if (!plain) {
        fputc('\'', out);
    }
}

char *dsn_format(const struct server_options *server, bool show_password)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (out == NULL) {
        return NULL;
    }
    char port[8];
    snprintf(port, sizeof(port), "%u", server->port);
    write_pair(out, "host", server->host);
    write_pair(out, "hostaddr", server->hostaddr);
    write_pair(out, "port", port);
    write_pair(out, "dbname", server->dbname);
    write_pair(out, "user", server->user);
    if (server->password != NULL) {
        write_pair(out, "password", show_password ? server->password : "********");
    }
    write_pair(out, "sslmode", dsn_sslmode_word(server->sslmode));
    write_pair(out, "sslrootcert", server->sslrootcert);
    write_pair(out, "sslcert", server->sslcert);
    write_pair(out, "sslkey", server->sslkey);
    write_pair(out, "sslnegotiation", server->ssl_direct ? "direct" : NULL);
    if (server->channel_binding != CHANNEL_BINDING_PREFER) {
        write_pair(out, "channel_binding", dsn_channel_binding_word(server->channel_binding));
    }
    write_pair(out, "application_name", server->application_name);
    write_pair(out, "options", server->options);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
