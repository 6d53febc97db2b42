#include "config/document.h"

#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "config/fill_rules.h"
#include "config/option.h"
#include "config/write.h"

#define DURATION_PATTERN "^(0|[0-9]+(ms|s|m|h))$"

/* --- the schema ------------------------------------------------------------------------------ */

static void write_words(const struct option *option, FILE *out)
{
    fputs("\"enum\": [", out);
    for (const struct option_word *word = option->words; word->word != NULL; word++) {
        fputs(word == option->words ? "" : ", ", out);
        write_json_string(word->word, out);
    }
    fputs(option_nullable(option) ? ", null]" : "]", out);
}

static const char *null_type(const struct option *option, const char *type, const char *or_null)
{
    return option_nullable(option) ? or_null : type;
}

static void write_text_type(const struct option *option, FILE *out)
{
    fprintf(out, "\"type\": %s", null_type(option, "\"string\"", "[\"string\", \"null\"]"));
}

static void write_integer_type(const struct option *option, FILE *out)
{
    if (option->words == NULL) {
        fprintf(out, "\"type\": %s, \"minimum\": %u, \"maximum\": %u",
                null_type(option, "\"integer\"", "[\"integer\", \"null\"]"), option->low,
                option->high);
        return;
    }
    fprintf(out, "\"anyOf\": [{\"type\": \"integer\", \"minimum\": %u, \"maximum\": %u}, {",
            option->low, option->high);
    write_words(option, out);
    fputs("}]", out);
}

/* A string, or a list of them; what one of them may be follows. */
static void write_one_or_many(const char *key, const char *item, FILE *out)
{
    fprintf(out,
            "\"%s\": {\"anyOf\": [%s, {\"type\": \"array\", \"minItems\": 1, \"maxItems\": %d, "
            "\"items\": %s}]}",
            key, item, LIMIT_RULE_NAMES, item);
}

static void write_rules_type(const struct option *option, FILE *out)
{
    fprintf(out,
            "\"type\": \"array\", \"maxItems\": %u, \"items\": {\"type\": \"object\", "
            "\"additionalProperties\": false, \"oneOf\": [{\"required\": [\"route\"]}, "
            "{\"required\": [\"reject\"]}], \"properties\": {\"match\": {\"type\": \"object\", "
            "\"additionalProperties\": false, \"properties\": {",
            option->high);
    write_one_or_many("tables", "{\"type\": \"string\", \"pattern\": \"^[^.]+([.][^.]+)?$\"}", out);
    fputs(", ", out);
    write_one_or_many("user", "{\"type\": \"string\", \"minLength\": 1}", out);
    fputs(", ", out);
    fputs("\"class\": {\"anyOf\": [{\"$ref\": \"#/$defs/class\"}, {\"type\": \"array\", "
          "\"minItems\": 1, \"items\": {\"$ref\": \"#/$defs/class\"}}]}",
          out);
    fputs("}}, \"route\": {\"enum\": [\"primary\", \"replica\"]}, "
          "\"reject\": {\"type\": \"string\", \"minLength\": 1, \"maxLength\": 1000}}}",
          out);
}

static void write_type(const struct option *option, FILE *out)
{
    switch (option->type) {
    case OPTION_INT:
        write_integer_type(option, out);
        break;
    case OPTION_DURATION:
        write_text_type(option, out);
        fputs(", \"pattern\": \"" DURATION_PATTERN "\"", out);
        break;
    case OPTION_RATE:
        write_text_type(option, out);
        fputs(", \"pattern\": \"^[0-9]+/[0-9]+(ms|s|m|h)$\"", out);
        break;
    case OPTION_WORD:
        write_words(option, out);
        break;
    case OPTION_BOOL:
        fputs("\"type\": \"boolean\"", out);
        break;
    case OPTION_STRING:
    case OPTION_DSN:
        write_text_type(option, out);
        fputs(", \"minLength\": 1", out);
        break;
    case OPTION_SECRET:
        fprintf(out,
                "\"anyOf\": [{\"type\": %s}, {\"type\": \"object\", \"properties\": {\"file\": "
                "{\"type\": \"string\"}, \"env\": {\"type\": \"string\"}}, "
                "\"additionalProperties\": false, \"minProperties\": 1, \"maxProperties\": 1}]",
                null_type(option, "\"string\"", "[\"string\", \"null\"]"));
        break;
    case OPTION_RULES:
        write_rules_type(option, out);
        break;
    case OPTION_REPLICAS:
    case OPTION_HOSTS:
        fprintf(out,
                "\"type\": [\"array\", \"string\"], \"maxItems\": %u, \"items\": {\"anyOf\": "
                "[{\"type\": \"string\", \"minLength\": 1}, {\"type\": \"object\", "
                "\"properties\": {\"dsn\": {\"type\": \"string\", \"minLength\": 1}, "
                "\"weight\": {\"type\": \"integer\", \"minimum\": %u, \"maximum\": %u}}, "
                "\"required\": [\"dsn\"], \"additionalProperties\": false}]}",
                option->high, LIMIT_WEIGHT_MIN, LIMIT_WEIGHT_MAX);
        break;
    case OPTION_STRINGS:
    case OPTION_LISTEN:
        fprintf(out,
                "\"type\": [\"array\", \"string\"], \"items\": {\"type\": \"string\", "
                "\"minLength\": 1}, \"minItems\": %u, \"maxItems\": %u",
                option->low, option->high);
        break;
    }
}

struct schema {
    FILE *out;
    size_t depth;                                /* objects open below the top */
    char open[WRITE_DEPTH_MAX][WRITE_KEY_BYTES]; /* their steps */
    bool empty;
};

static void schema_member(struct schema *schema, const char *key, size_t length)
{
    fprintf(schema->out, "%s\n%*s", schema->empty ? "" : ",", (int)(2 * (schema->depth + 1)), "");
    fprintf(schema->out, "\"%.*s\": ", (int)length, key);
    schema->empty = false;
}

/* Opens the step at `path`; that <name> follows it decides what kind of object it is. */
static void schema_open(struct schema *schema, const char *path, size_t length)
{
    ASSERT(schema->depth < WRITE_DEPTH_MAX);
    bool named = path[length + 1] == '<';
    if (path[0] != '<') {
        schema_member(schema, path, length);
        fprintf(schema->out, "{\"type\": [\"object\", \"null\"], %s",
                named ? "\"additionalProperties\": "
                      : "\"additionalProperties\": false, \"properties\": {");
    } else {
        bool database = strcmp(schema->open[schema->depth - 1], "databases") == 0;
        fprintf(schema->out,
                "{\"type\": \"object\", %s\"additionalProperties\": false, "
                "\"properties\": {",
                database ? "\"anyOf\": [{\"required\": [\"primary\"]}, {\"required\": "
                           "[\"hosts\"]}], "
                         : "");
    }
    snprintf(schema->open[schema->depth++], WRITE_KEY_BYTES, "%.*s", (int)length, path);
    schema->empty = true;
}

static void schema_close(struct schema *schema)
{
    const char *step = schema->open[--schema->depth];
    bool named = strcmp(step, "databases") == 0 || strcmp(step, "users") == 0;
    fputs(named && schema->depth == 0 ? "}" : "}}", schema->out);
    schema->empty = false;
}

static void schema_row(struct schema *schema, const struct option *option)
{
    const char *path = option->path;
    for (size_t level = 0;; level++) {
        size_t length = strcspn(path, ".");
        bool last = path[length] == '\0';
        bool same = !last && level < schema->depth && strlen(schema->open[level]) == length &&
                    strncmp(schema->open[level], path, length) == 0;
        while (!same && schema->depth > level) {
            schema_close(schema);
        }
        if (last) {
            schema_member(schema, path, length);
            break;
        }
        if (!same) {
            schema_open(schema, path, length);
        }
        path += length + 1;
    }
    fputc('{', schema->out);
    write_type(option, schema->out);
    if (option->fallback != NULL) {
        fprintf(schema->out, ", \"default\": %s", option->fallback);
    }
    fputs(", \"description\": ", schema->out);
    write_json_string(option->doc, schema->out);
    fputc('}', schema->out);
}

void document_write_schema(FILE *out)
{
    struct schema schema = {.out = out, .empty = true};
    fputs("{\n\"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n"
          "\"title\": \"Howdah's configuration\",\n"
          "\"$defs\": {\"class\": {\"enum\": [",
          out);
    fill_rules_write_classes(out);
    fputs("]}},\n"
          "\"type\": \"object\",\n\"additionalProperties\": false,\n\"properties\": {",
          out);
    for (size_t i = 0; i < option_count(); i++) {
        schema_row(&schema, option_at(i));
    }
    while (schema.depth > 0) {
        schema_close(&schema);
    }
    fputs("\n}\n}\n", out);
}

/* --- the reference --------------------------------------------------------------------------- */

static const char *reload_text(const struct option *option)
{
    return (option->flags & OPTION_FIXED) != 0 ? "at a restart" : "on reload";
}

static void write_entry(const struct option *option, FILE *out)
{
    fprintf(out, "### `%s`\n\n%s\n\n- Allowed: ", option->path, option->doc);
    option_write_allowed(option, out);
    if (option->fallback == NULL) {
        fputs("\n- Required", out);
    } else {
        fprintf(out, "\n- Default: `%s`", option->fallback);
    }
    fprintf(out, "\n- A change takes effect %s\n\n", reload_text(option));
}

/* The first step of a path names its chapter; keys of the top share one. */
static size_t chapter_of(const char *path)
{
    size_t length = strcspn(path, ".");
    return path[length] == '.' ? length : 0;
}

void document_write_reference(FILE *out)
{
    fputs(
        "# Configuration reference\n\n"
        "This page is written by `howdah-options reference` from `config/options.def`; edit that "
        "file, not this one.\n\n"
        "The file is JSON, where `//` and `/* */` comments and trailing commas are also allowed. "
        "Unknown keys are errors. Durations are strings with a unit: `\"250ms\"`, `\"30s\"`, "
        "`\"10m\"`, `\"1h\"`; where null is allowed for one, null and `\"0\"` mean off. A list of "
        "one may be written as a string. `<name>` stands for a name of your own; the database "
        "named `*` serves every name that has no entry. `howdah --check` tells what is wrong "
        "with a file, `howdah --print-config` shows what is in effect.\n\n",
        out);
    const char *before = NULL;
    for (size_t i = 0; i < option_count(); i++) {
        const struct option *option = option_at(i);
        size_t length = chapter_of(option->path);
        bool same = before != NULL && chapter_of(before) == length &&
                    strncmp(before, option->path, length) == 0;
        if (!same && length == 0) {
            fputs("## The top\n\n", out);
        } else if (!same) {
            fprintf(out, "## %.*s\n\n", (int)length, option->path);
        }
        write_entry(option, out);
        before = option->path;
    }
}
