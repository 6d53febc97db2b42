#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/writer.h"
#include "router/classify.h"

/* Settings whose value is a list of identifiers (GUC_LIST_INPUT and GUC_LIST_QUOTE in guc.c;
 * pg_dump knows them as variable_is_guc_list_quote). */
static const char *const quoted_lists[] = {
    "local_preload_libraries",  "search_path",      "session_preload_libraries",
    "shared_preload_libraries", "temp_tablespaces", "unix_socket_directories",
};

/* Other lists that a session may set (GUC_LIST_INPUT alone). */
static const char *const plain_lists[] = {
    "createrole_self_grant",
    "datestyle",
    "plpgsql.extra_errors",
    "plpgsql.extra_warnings",
    "restrict_nonsystem_relation_kind",
    "wal_consistency_checking",
};

static const char *const keywords[] = {
#define KEYWORD(word) word,
#include "router/keywords.def"
#undef KEYWORD
};

static int compare(const void *key, const void *row)
{
    return strcmp(key, *(const char *const *)row);
}

static bool is_in(const char *name, const char *const *rows, size_t count)
{
    return bsearch(name, rows, count, sizeof(*rows), compare) != NULL;
}

/* As PostgreSQL's quote_identifier. */
static void write_identifier(struct writer *writer, const char *name)
{
    bool safe = (name[0] >= 'a' && name[0] <= 'z') || name[0] == '_';
    for (const char *c = name; *c != '\0' && safe; c++) {
        safe = (*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '_';
    }
    if (safe && !is_in(name, keywords, sizeof(keywords) / sizeof(keywords[0]))) {
        writer_bytes(writer, name, strlen(name));
        return;
    }
    writer_u8(writer, '"');
    for (const char *c = name; *c != '\0'; c++) {
        if (*c == '"') {
            writer_u8(writer, '"');
        }
        writer_u8(writer, (uint8_t)*c);
    }
    writer_u8(writer, '"');
}

/* libpg_query leaves out of its JSON what is 0, and what is negative, too: so the text is asked. */
static bool read_negative(const char *text, int64_t *ret_number)
{
    int64_t number = 0;
    bool is_negative = *text == '-';
    text += is_negative || *text == '+';
    text += strspn(text, " ");
    if (*text < '0' || *text > '9') {
        return false;
    }
    for (; *text >= '0' && *text <= '9' && number <= INT32_MAX; text++) {
        number = number * 10 + (*text - '0');
    }
    *ret_number = is_negative ? -number : number;
    return true;
}

static bool write_argument(const struct parse_tree *tree, uint32_t node, bool is_quoted,
                           struct writer *writer)
{
    if (tree->nodes[node].type != PARSE_A_CONST) {
        return false;
    }
    uint32_t value;
    if ((value = parse_field(tree, node, "sval")) != 0) {
        const char *text = parse_field_text(tree, value, "sval");
        if (is_quoted) {
            write_identifier(writer, text);
        } else {
            writer_bytes(writer, text, strlen(text));
        }
        return true;
    }
    if ((value = parse_field(tree, node, "ival")) != 0) {
        int64_t number = parse_field_number(tree, value, "ival");
        if (number == 0 && !read_negative(tree->text + tree->nodes[node].location, &number)) {
            return false;
        }
        writer_format(writer, "%lld", (long long)number);
        return true;
    }
    if ((value = parse_field(tree, node, "fval")) != 0) {
        const char *text = parse_field_text(tree, value, "fval");
        writer_bytes(writer, text, strlen(text));
        return true;
    }
    return false;
}

int classify_set_value(const struct parse_tree *tree, uint32_t stmt, const char *name,
                       char **ret_value)
{
    struct writer writer;
    uint32_t args = parse_field(tree, stmt, "args");
    bool is_quoted = is_in(name, quoted_lists, sizeof(quoted_lists) / sizeof(quoted_lists[0]));
    bool is_list =
        is_quoted || is_in(name, plain_lists, sizeof(plain_lists) / sizeof(plain_lists[0]));
    if (args == 0 || (!is_list && parse_child_count(tree, args) != 1)) {
        return ERR_UNSUPPORTED;
    }
    writer_init(&writer);
    bool understood = true;
    for (uint32_t i = args + 1; i < tree->nodes[args].end && understood; i = tree->nodes[i].end) {
        if (i > args + 1) {
            writer_bytes(&writer, ", ", 2);
        }
        understood = write_argument(tree, i, is_quoted, &writer);
    }
    writer_u8(&writer, 0);
    int code = writer.failed ? ERR_NO_MEMORY : (understood ? 0 : ERR_UNSUPPORTED);
    if (code == 0) {
        *ret_value = (char *)writer.bytes; /* the caller's now */
    } else {
        writer_fini(&writer);
    }
    return code;
}

/* Whether all that the text reads is pg_settings, once: the server is asked for those anyway. */
static bool reads_settings_alone(const struct parse_tree *tree)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < tree->count; i++) {
        const struct parse_node *node = &tree->nodes[i];
        if (node->kind == PARSE_LIST && node->name != NULL &&
            strcmp(node->name, "fromClause") == 0) {
            bool alone = parse_child_count(tree, i) == 1 &&
                         strcmp(parse_field_text(tree, i + 1, "relname"), "pg_settings") == 0;
            count += alone ? 1 : 2;
        }
    }
    return count == 1;
}

bool classify_name_shows(const struct parse_tree *tree, uint32_t node)
{
    while (node != 0 && tree->nodes[node].type == PARSE_TYPE_CAST) {
        node = parse_field(tree, node, "arg");
    }
    bool is_column = node != 0 && parse_field(tree, node, "fields") != 0;
    return node != 0 &&
           (tree->nodes[node].type == PARSE_A_CONST || tree->nodes[node].type == PARSE_PARAM_REF ||
            (is_column && reads_settings_alone(tree)));
}
