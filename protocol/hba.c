#include "protocol/hba.h"

#include <arpa/inet.h>
#include <regex.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "protocol/hba_regex.h"

enum connection_kind { KIND_LOCAL, KIND_HOST, KIND_HOSTSSL, KIND_HOSTNOSSL, KIND_HOSTGSSENC };

enum name_kind { NAME_ALL, NAME_SAMEUSER, NAME_REPLICATION, NAME_EXACT, NAME_REGEX };

struct name {
    enum name_kind kind;
    char *text; /* of an EXACT */
    regex_t regex;
};

struct names {
    struct name *items;
    size_t count;
};

struct hba_rule {
    enum connection_kind kind;
    struct names databases, users;
    bool any_address;
    size_t address_bytes; /* 4 or 16 */
    uint8_t address[16], mask[16];
    struct hba_result result;
};

struct hba {
    struct hba_rule *rules;
    size_t count;
};

struct token {
    char *text;
    size_t field; /* which field of the line it belongs to, from 0 */
    bool quoted;  /* began with a quote: no keyword */
};

struct parser {
    const char *at, *end;
    uint32_t line;       /* of `at` */
    uint32_t first_line; /* of the rule that is being read */
    struct token *tokens;
    size_t token_count;
    struct hba *hba;
    struct hba_error *errors;
    size_t errors_max, error_count;
};

__attribute__((format(printf, 2, 3))) static int refuse(struct parser *parser, const char *format,
                                                        ...)
{
    if (parser->error_count < parser->errors_max) {
        struct hba_error *error = &parser->errors[parser->error_count++];
        va_list arguments;
        error->line = parser->first_line;
        va_start(arguments, format);
        vsnprintf(error->message, sizeof(error->message), format, arguments);
        va_end(arguments);
    }
    return ERR_CONFIG;
}

/* --- tokens ---------------------------------------------------------------------------------- */

/* A backslash right before a line's end joins it to the next (PostgreSQL 14). */
static bool take_continuation(struct parser *parser)
{
    size_t left = (size_t)(parser->end - parser->at);
    size_t length = 0;
    if (left >= 2 && memcmp(parser->at, "\\\n", 2) == 0) {
        length = 2;
    } else if (left >= 3 && memcmp(parser->at, "\\\r\n", 3) == 0) {
        length = 3;
    }
    parser->at += length;
    parser->line += length > 0;
    return length > 0;
}

static bool line_ends(const struct parser *parser)
{
    return parser->at == parser->end || *parser->at == '\n';
}

static void skip_blanks(struct parser *parser)
{
    for (;;) {
        if (take_continuation(parser)) {
            continue;
        }
        if (line_ends(parser) ||
            (*parser->at != ' ' && *parser->at != '\t' && *parser->at != '\r')) {
            return;
        }
        parser->at++;
    }
}

/* The next token's text, to be freed by the caller; it stops at a blank, a comma, a comment or the
 * line's end. */
static int take_text(struct parser *parser, char **ret_text, bool *ret_quoted)
{
    size_t room = (size_t)(parser->end - parser->at);
    char *text = malloc(room + 1);
    size_t length = 0;
    bool inside = false;
    if (text == NULL) {
        return ERR_NO_MEMORY;
    }
    *ret_quoted = *parser->at == '"';
    while (!line_ends(parser)) {
        if (take_continuation(parser)) {
            continue;
        }
        char byte = *parser->at;
        if (!inside && strchr(" \t\r,#", byte) != NULL) {
            break; /* a NUL byte, too: it is refused below */
        }
        parser->at++;
        if (byte != '"') {
            text[length++] = byte;
        } else if (inside && !line_ends(parser) && *parser->at == '"') {
            text[length++] = byte;
            parser->at++;
        } else {
            inside = !inside;
        }
    }
    text[length] = '\0';
    bool nul = !line_ends(parser) && *parser->at == '\0';
    if (inside || nul) {
        free(text);
        return refuse(parser, nul ? "a NUL byte" : "a quoted name without its closing quote");
    }
    *ret_text = text;
    return 0;
}

static int add_token(struct parser *parser, struct token token)
{
    struct token *tokens =
        reallocarray(parser->tokens, parser->token_count + 1, sizeof(*parser->tokens));
    if (tokens == NULL) {
        return ERR_NO_MEMORY;
    }
    parser->tokens = tokens;
    tokens[parser->token_count++] = token;
    return 0;
}

static void clear_tokens(struct parser *parser)
{
    for (size_t i = 0; i < parser->token_count; i++) {
        free(parser->tokens[i].text);
    }
    parser->token_count = 0;
}

static void skip_line(struct parser *parser)
{
    while (!line_ends(parser)) {
        parser->at += take_continuation(parser) ? 0 : 1;
    }
}

/* Cuts one line into tokens; those that commas join share a field. */
static int take_line(struct parser *parser)
{
    size_t field = 0;
    bool comma = true; /* the first token opens field 0 */
    parser->first_line = parser->line;
    for (;;) {
        skip_blanks(parser);
        if (line_ends(parser) || *parser->at == '#') {
            return 0;
        }
        if (*parser->at == ',') {
            comma = true;
            parser->at++;
            continue;
        }
        struct token token = {.field = comma ? field : ++field};
        int error = take_text(parser, &token.text, &token.quoted);
        if (error == 0) {
            error = add_token(parser, token);
            if (error != 0) {
                free(token.text);
            }
        }
        if (error != 0) {
            return error;
        }
        comma = !line_ends(parser) && *parser->at == ',';
        parser->at += comma;
    }
}

/* The tokens of one field: the first one's index and how many. */
static size_t field_tokens(const struct parser *parser, size_t field, size_t *ret_count)
{
    size_t first = 0;
    while (first < parser->token_count && parser->tokens[first].field != field) {
        first++;
    }
    size_t count = 0;
    while (first + count < parser->token_count && parser->tokens[first + count].field == field) {
        count++;
    }
    *ret_count = count;
    return first;
}

/* The only token of a field; NULL with a finding when there is none or a list. */
static const struct token *single_token(struct parser *parser, size_t field, const char *what)
{
    size_t count;
    size_t first = field_tokens(parser, field, &count);
    if (count == 0) {
        refuse(parser, "the line ends before %s", what);
        return NULL;
    }
    if (count > 1) {
        refuse(parser, "a list where %s stands, allowed: one word", what);
        return NULL;
    }
    return &parser->tokens[first];
}

/* --- names ----------------------------------------------------------------------------------- */

static void names_fini(struct names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        free(names->items[i].text);
        if (names->items[i].kind == NAME_REGEX) {
            regfree(&names->items[i].regex);
        }
    }
    free(names->items);
}

static int make_regex(struct parser *parser, const char *pattern, struct name *ret_name)
{
    const char *why_not = hba_regex_refusal(pattern);
    if (why_not != NULL) {
        return refuse(parser, "regular expression \"%.80s\" %s", pattern, why_not);
    }
    int error = regcomp(&ret_name->regex, pattern, REG_EXTENDED | REG_NOSUB);
    if (error == REG_ESPACE) {
        return ERR_NO_MEMORY;
    }
    if (error != 0) {
        char reason[80];
        regerror(error, &ret_name->regex, reason, sizeof(reason));
        return refuse(parser, "regular expression \"%.80s\" is wrong: %s", pattern, reason);
    }
    ret_name->kind = NAME_REGEX;
    return 0;
}

static int make_name(struct parser *parser, const struct token *token, bool database,
                     struct name *ret_name)
{
    const char *text = token->text;
    *ret_name = (struct name){.kind = NAME_EXACT};
    if (text[0] == '/') {
        return make_regex(parser, text + 1, ret_name);
    }
    if (!token->quoted) {
        if (text[0] == '@') {
            return refuse(parser,
                          "a list in a file (\"%.60s\") is not supported, allowed: the "
                          "names themselves",
                          text);
        }
        if (text[0] == '+' && !database) {
            return refuse(parser,
                          "members of a role (\"%.60s\") are not supported, allowed: user "
                          "names",
                          text);
        }
        if (database && (strcmp(text, "samerole") == 0 || strcmp(text, "samegroup") == 0)) {
            return refuse(parser,
                          "\"%s\" is not supported, allowed: all, sameuser, replication "
                          "and names",
                          text);
        }
        if (strcmp(text, "all") == 0) {
            ret_name->kind = NAME_ALL;
            return 0;
        }
        if (database && strcmp(text, "sameuser") == 0) {
            ret_name->kind = NAME_SAMEUSER;
            return 0;
        }
        if (database && strcmp(text, "replication") == 0) {
            ret_name->kind = NAME_REPLICATION;
            return 0;
        }
    }
    ret_name->text = strdup(text);
    return ret_name->text == NULL ? ERR_NO_MEMORY : 0;
}

static int make_names(struct parser *parser, size_t field, bool database, struct names *ret_names)
{
    size_t count;
    size_t first = field_tokens(parser, field, &count);
    if (count == 0) {
        return refuse(parser, "the line ends before the %s", database ? "database" : "user");
    }
    ret_names->items = calloc(count, sizeof(*ret_names->items));
    if (ret_names->items == NULL) {
        return ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        struct name name;
        int error = make_name(parser, &parser->tokens[first + i], database, &name);
        if (error != 0) {
            return error;
        }
        ret_names->items[ret_names->count++] = name;
    }
    return 0;
}

/* --- addresses ------------------------------------------------------------------------------- */

static bool read_address(const char *text, uint8_t address[static 16], size_t *ret_bytes)
{
    if (inet_pton(AF_INET, text, address) == 1) {
        *ret_bytes = 4;
        return true;
    }
    if (inet_pton(AF_INET6, text, address) == 1) {
        *ret_bytes = 16;
        return true;
    }
    return false;
}

static int make_prefix(struct parser *parser, struct hba_rule *rule, const char *digits)
{
    size_t length = strspn(digits, "0123456789");
    unsigned long bits = length > 0 && length < 4 ? strtoul(digits, NULL, 10) : 1000;
    if (digits[length] != '\0' || bits > rule->address_bytes * 8) {
        return refuse(parser, "mask length \"%.20s\" is impossible, allowed: 0 to %zu", digits,
                      rule->address_bytes * 8);
    }
    for (size_t i = 0; i < rule->address_bytes; i++) {
        unsigned long here = bits > i * 8 ? bits - i * 8 : 0;
        here = here > 8 ? 8 : here;
        rule->mask[i] = (uint8_t)(0xff00u >> here);
    }
    return 0;
}

static int make_mask(struct parser *parser, struct hba_rule *rule, const char *text)
{
    size_t bytes;
    if (!read_address(text, rule->mask, &bytes) || bytes != rule->address_bytes) {
        return refuse(parser,
                      "\"%.60s\" is no mask for that address, allowed: a mask of the same "
                      "kind, or address/bits",
                      text);
    }
    bool ended = false;
    for (size_t i = 0; i < bytes * 8; i++) {
        bool bit = (rule->mask[i / 8] >> (7 - i % 8) & 1) != 0;
        if (bit && ended) {
            return refuse(parser, "mask \"%.60s\" has holes, allowed: ones, then zeros", text);
        }
        ended = ended || !bit;
    }
    return 0;
}

/* Fields from *field on; moves it behind the address. */
static int make_address(struct parser *parser, struct hba_rule *rule, size_t *field)
{
    const struct token *token = single_token(parser, *field, "the address");
    if (token == NULL) {
        return ERR_CONFIG;
    }
    (*field)++;
    if (!token->quoted && strcmp(token->text, "all") == 0) {
        rule->any_address = true;
        return 0;
    }
    if (!token->quoted &&
        (strcmp(token->text, "samehost") == 0 || strcmp(token->text, "samenet") == 0)) {
        return refuse(parser,
                      "\"%s\" is not supported, allowed: all, address/bits, or address and "
                      "mask",
                      token->text);
    }
    char *slash = strchr(token->text, '/');
    if (slash != NULL) {
        *slash = '\0';
    }
    if (!read_address(token->text, rule->address, &rule->address_bytes)) {
        return refuse(parser,
                      "host name \"%.60s\" is not supported, allowed: all, address/bits, "
                      "or address and mask",
                      token->text);
    }
    if (slash != NULL) {
        return make_prefix(parser, rule, slash + 1);
    }
    const struct token *mask = single_token(parser, *field, "the mask of the address");
    if (mask == NULL) {
        return ERR_CONFIG;
    }
    (*field)++;
    return make_mask(parser, rule, mask->text);
}

/* --- method and options ---------------------------------------------------------------------- */

static int make_kind(struct parser *parser, struct hba_rule *rule)
{
    static const struct {
        const char *word;
        enum connection_kind kind;
    } words[] = {
        {"local", KIND_LOCAL},           {"host", KIND_HOST},
        {"hostssl", KIND_HOSTSSL},       {"hostnossl", KIND_HOSTNOSSL},
        {"hostgssenc", KIND_HOSTGSSENC}, {"hostnogssenc", KIND_HOST}, /* GSS is never spoken here */
    };
    const struct token *token = single_token(parser, 0, "the connection type");
    if (token == NULL) {
        return ERR_CONFIG;
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(token->text, words[i].word) == 0) {
            rule->kind = words[i].kind;
            return 0;
        }
    }
    if (strncmp(token->text, "include", 7) == 0) {
        return refuse(parser, "\"%.40s\" is not supported, allowed: the lines themselves",
                      token->text);
    }
    return refuse(parser,
                  "connection type \"%.40s\" is unknown, allowed: local, host, hostssl, "
                  "hostnossl, hostgssenc, hostnogssenc",
                  token->text);
}

static int make_method(struct parser *parser, struct hba_rule *rule, size_t field)
{
    static const struct {
        const char *word;
        enum auth_method method;
    } words[] = {
        {"trust", AUTH_TRUST},       {"reject", AUTH_REJECT}, {"md5", AUTH_MD5},
        {"password", AUTH_PASSWORD}, {"cert", AUTH_CERT},     {"scram-sha-256", AUTH_SCRAM_SHA_256},
        {"peer", AUTH_PEER},         {"ident", AUTH_PEER},
    };
    /* On a local line ident means peer, as PostgreSQL has it. */
    const struct token *token = single_token(parser, field, "the method");
    if (token == NULL) {
        return ERR_CONFIG;
    }
    size_t i = 0;
    while (i < sizeof(words) / sizeof(words[0]) && strcmp(token->text, words[i].word) != 0) {
        i++;
    }
    if (i == sizeof(words) / sizeof(words[0])) {
        return refuse(parser,
                      "method \"%.40s\" is not supported, allowed: trust, reject, md5, "
                      "password, scram-sha-256, cert, peer, ident",
                      token->text);
    }
    rule->result.method = words[i].method;
    if (rule->result.method == AUTH_PEER && rule->kind != KIND_LOCAL) {
        return refuse(parser, "method peer or ident on a \"host\" line, allowed: only on "
                              "\"local\" lines");
    }
    if (rule->result.method == AUTH_CERT) {
        if (rule->kind != KIND_HOSTSSL) {
            return refuse(parser, "method cert without TLS, allowed: only on \"hostssl\" lines");
        }
        rule->result.clientcert = HBA_CLIENTCERT_VERIFY_FULL;
    }
    return 0;
}

static int make_clientcert(struct parser *parser, struct hba_rule *rule, const char *value)
{
    if (rule->kind != KIND_HOSTSSL) {
        return refuse(parser, "clientcert without TLS, allowed: only on \"hostssl\" lines");
    }
    if (strcmp(value, "verify-full") == 0) {
        rule->result.clientcert = HBA_CLIENTCERT_VERIFY_FULL;
        return 0;
    }
    if (strcmp(value, "verify-ca") != 0 || rule->result.method == AUTH_CERT) {
        return refuse(parser, "clientcert=%.40s is impossible, allowed: %sverify-full", value,
                      rule->result.method == AUTH_CERT ? "" : "verify-ca, ");
    }
    rule->result.clientcert = HBA_CLIENTCERT_VERIFY_CA;
    return 0;
}

static int make_options(struct parser *parser, struct hba_rule *rule, size_t field)
{
    size_t count;
    size_t first = field_tokens(parser, field, &count);
    for (size_t i = first; count > 0 && i < parser->token_count; i++) {
        const char *text = parser->tokens[i].text;
        if (strncmp(text, "clientcert=", 11) != 0) {
            return refuse(parser,
                          "option \"%.60s\" is not supported, allowed: "
                          "clientcert=verify-ca or clientcert=verify-full",
                          text);
        }
        int error = make_clientcert(parser, rule, text + 11);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

/* --- the whole text -------------------------------------------------------------------------- */

static void rule_fini(struct hba_rule *rule)
{
    names_fini(&rule->databases);
    names_fini(&rule->users);
}

static int make_rule(struct parser *parser, struct hba_rule *rule)
{
    size_t field = 3;
    rule->result.line = parser->first_line;
    int error = make_kind(parser, rule);
    if (error == 0) {
        error = make_names(parser, 1, true, &rule->databases);
    }
    if (error == 0) {
        error = make_names(parser, 2, false, &rule->users);
    }
    if (error == 0 && rule->kind == KIND_LOCAL) {
        rule->any_address = true;
    } else if (error == 0) {
        error = make_address(parser, rule, &field);
    }
    if (error == 0) {
        error = make_method(parser, rule, field);
    }
    return error != 0 ? error : make_options(parser, rule, field + 1);
}

static int add_rule(struct parser *parser)
{
    struct hba *hba = parser->hba;
    struct hba_rule rule = {0};
    int error = make_rule(parser, &rule);
    if (error == 0) {
        struct hba_rule *rules = reallocarray(hba->rules, hba->count + 1, sizeof(*rules));
        if (rules != NULL) {
            hba->rules = rules;
            rules[hba->count++] = rule;
            return 0;
        }
        error = ERR_NO_MEMORY;
    }
    rule_fini(&rule);
    return error;
}

/* Takes one line; findings are collected, only ERR_NO_MEMORY ends it. */
static int parse_line(struct parser *parser)
{
    int error = take_line(parser);
    skip_line(parser);
    if (error == 0 && parser->token_count > 0) {
        error = add_rule(parser);
    }
    clear_tokens(parser);
    if (parser->at < parser->end) {
        ASSERT(*parser->at == '\n');
        parser->at++;
        parser->line++;
    }
    return error == ERR_CONFIG ? 0 : error;
}

int hba_parse(const char *text, size_t bytes, struct hba **ret_hba, struct hba_error *errors,
              size_t errors_max, size_t *ret_error_count)
{
    ASSERT(errors_max > 0);
    struct parser parser = {
        .at = text, .end = text + bytes, .line = 1, .errors = errors, .errors_max = errors_max};
    parser.hba = calloc(1, sizeof(*parser.hba));
    int error = parser.hba == NULL ? ERR_NO_MEMORY : 0;
    while (error == 0 && parser.at < parser.end) {
        error = parse_line(&parser);
    }
    free(parser.tokens);
    if (error == 0 && parser.error_count > 0) {
        error = ERR_CONFIG;
    }
    *ret_error_count = parser.error_count;
    if (error != 0) {
        hba_free(parser.hba);
        return error;
    }
    *ret_hba = parser.hba;
    return 0;
}

void hba_free(struct hba *hba)
{
    if (hba == NULL) {
        return;
    }
    for (size_t i = 0; i < hba->count; i++) {
        rule_fini(&hba->rules[i]);
    }
    free(hba->rules);
    free(hba);
}

size_t hba_rule_count(const struct hba *hba)
{
    return hba->count;
}

bool hba_wants_certificates(const struct hba *hba)
{
    for (size_t i = 0; i < hba->count; i++) {
        if (hba->rules[i].result.clientcert != HBA_CLIENTCERT_NONE) {
            return true;
        }
    }
    return false;
}

/* --- matching -------------------------------------------------------------------------------- */

static bool name_matches(const struct name *name, const struct hba_client *client, bool database)
{
    const char *text = database ? client->database : client->user;
    if (database && client->physical_replication) {
        return name->kind == NAME_REPLICATION; /* it connects to no database, so no name is its */
    }
    switch (name->kind) {
    case NAME_ALL:
        return true;
    case NAME_SAMEUSER:
        return strcmp(client->database, client->user) == 0;
    case NAME_REPLICATION:
        return false;
    case NAME_EXACT:
        return strcmp(name->text, text) == 0;
    case NAME_REGEX:
        return regexec(&name->regex, text, 0, NULL, 0) == 0;
    }
    UNREACHABLE();
}

static bool names_match(const struct names *names, const struct hba_client *client, bool database)
{
    for (size_t i = 0; i < names->count; i++) {
        if (name_matches(&names->items[i], client, database)) {
            return true;
        }
    }
    return false;
}

static bool kind_matches(enum connection_kind kind, const struct hba_client *client)
{
    switch (kind) {
    case KIND_LOCAL:
        return client->local;
    case KIND_HOST:
        return !client->local;
    case KIND_HOSTSSL:
        return !client->local && client->tls;
    case KIND_HOSTNOSSL:
        return !client->local && !client->tls;
    case KIND_HOSTGSSENC:
        return false;
    }
    UNREACHABLE();
}

static bool address_matches(const struct hba_rule *rule, const struct hba_client *client)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (rule->any_address) {
        return true;
    }
    const uint8_t *address = client->address;
    size_t bytes = client->ipv6 ? 16 : 4;
    if (client->ipv6 && memcmp(address, mapped, sizeof(mapped)) == 0) {
        address += sizeof(mapped);
        bytes = 4;
    }
    if (bytes != rule->address_bytes) {
        return false;
    }
    for (size_t i = 0; i < bytes; i++) {
        if (((address[i] ^ rule->address[i]) & rule->mask[i]) != 0) {
            return false;
        }
    }
    return true;
}

bool hba_match(const struct hba *hba, const struct hba_client *client,
               struct hba_result *ret_result)
{
    for (size_t i = 0; i < hba->count; i++) {
        const struct hba_rule *rule = &hba->rules[i];
        if (kind_matches(rule->kind, client) && address_matches(rule, client) &&
            names_match(&rule->databases, client, true) &&
            names_match(&rule->users, client, false)) {
            *ret_result = rule->result;
            return true;
        }
    }
    return false;
}
