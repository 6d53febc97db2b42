#include "config/cli.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "config/explain.h"
#include "config/import_pgbouncer.h"

#define EXIT_BAD_CONFIG 2

enum cli_flag {
    FLAG_CONFIG,
    FLAG_LISTEN,
    FLAG_DATABASE,
    FLAG_SET,
    FLAG_CHECK,
    FLAG_PRINT_CONFIG,
    FLAG_IMPORT,
    FLAG_EXPLAIN,
    FLAG_VERSION,
    FLAG_HELP,
};

struct flag_row {
    const char *name;
    const char *short_name; /* NULL: none */
    enum cli_flag flag;
    const char *value; /* its argument's name, or NULL */
    const char *doc;
};

static const struct flag_row flags[] = {
    {"--config", "-c", FLAG_CONFIG, "FILE",
     "the configuration file; else $HOWDAH_CONFIG, else " CONFIG_FILE_DEFAULT " if it exists"},
    {"--listen", NULL, FLAG_LISTEN, "ADDR",
     "accept clients on host:port or unix:/path; may be repeated"},
    {"--database", NULL, FLAG_DATABASE, "NAME=DSN",
     "serve the database NAME from the server of DSN; may be repeated"},
    {"--set", NULL, FLAG_SET, "KEY=VALUE",
     "set one option, such as databases.app.pool.size=40; may be repeated"},
    {"--check", NULL, FLAG_CHECK, NULL, "validate the configuration and exit: 0, or 2 with errors"},
    {"--print-config", NULL, FLAG_PRINT_CONFIG, NULL,
     "print the effective configuration, secrets masked"},
    {"--import-pgbouncer", NULL, FLAG_IMPORT, "FILE",
     "print a howdah.json equivalent to a pgbouncer.ini"},
    {"--explain", NULL, FLAG_EXPLAIN, "DB SQL",
     "say what a statement does and where it would go; nothing is run"},
    {"--version", "-V", FLAG_VERSION, NULL, "print the version"},
    {"--help", "-h", FLAG_HELP, NULL, "print this help"},
};

#define FLAG_COUNT (sizeof(flags) / sizeof(flags[0]))

/* Matches "--flag", "--flag=value" and "-f"; *ret_value is the part after "=", or NULL. */
static const struct flag_row *flag_find(const char *word, const char **ret_value)
{
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        size_t length = strlen(flags[i].name);
        *ret_value = NULL;
        if (strcmp(word, flags[i].name) == 0 ||
            (flags[i].short_name != NULL && strcmp(word, flags[i].short_name) == 0)) {
            return &flags[i];
        }
        if (strncmp(word, flags[i].name, length) == 0 && word[length] == '=') {
            *ret_value = word + length + 1;
            return &flags[i];
        }
    }
    return NULL;
}

static void add_override(struct cli *cli, enum config_flag flag, const char *text)
{
    cli->overrides[cli->sources.override_count++] =
        (struct config_override){.flag = flag, .text = text};
}

static void apply(struct cli *cli, enum cli_flag flag, const char *value)
{
    switch (flag) {
    case FLAG_CONFIG:
        cli->sources.file = value;
        break;
    case FLAG_LISTEN:
        add_override(cli, CONFIG_LISTEN, value);
        break;
    case FLAG_DATABASE:
        add_override(cli, CONFIG_DATABASE, value);
        break;
    case FLAG_SET:
        add_override(cli, CONFIG_SET, value);
        break;
    case FLAG_CHECK:
        cli->action = CLI_CHECK;
        break;
    case FLAG_PRINT_CONFIG:
        cli->action = CLI_PRINT_CONFIG;
        break;
    case FLAG_IMPORT:
        cli->action = CLI_IMPORT_PGBOUNCER;
        cli->import_file = value;
        break;
    case FLAG_EXPLAIN:
        cli->action = CLI_EXPLAIN;
        cli->explain_database = value;
        break;
    case FLAG_VERSION:
        cli->action = CLI_VERSION;
        break;
    case FLAG_HELP:
        cli->action = CLI_HELP;
        break;
    }
}

/* What --explain has behind the database. */
static bool take_statement(struct cli *cli, int argc, char *const *argv, int *at)
{
    if (*at + 1 == argc) {
        return false;
    }
    cli->explain_text = argv[++*at];
    return true;
}

static int parse_flags(int argc, char *const *argv, struct cli *cli, char *ret_message,
                       size_t message_bytes)
{
    for (int i = 1; i < argc; i++) {
        const char *value;
        const struct flag_row *row = flag_find(argv[i], &value);
        if (row == NULL) {
            snprintf(ret_message, message_bytes, "unknown argument \"%.60s\"", argv[i]);
            return ERR_BAD_VALUE;
        }
        if (row->value == NULL && value != NULL) {
            snprintf(ret_message, message_bytes, "%s takes no value", row->name);
            return ERR_BAD_VALUE;
        }
        if (row->value != NULL && value == NULL) {
            if (i + 1 == argc) {
                snprintf(ret_message, message_bytes, "%s needs a value: %s %s", row->name,
                         row->name, row->value);
                return ERR_BAD_VALUE;
            }
            value = argv[++i];
        }
        if (row->flag == FLAG_EXPLAIN && !take_statement(cli, argc, argv, &i)) {
            snprintf(ret_message, message_bytes, "%s needs a database and a statement", row->name);
            return ERR_BAD_VALUE;
        }
        enum cli_action before = cli->action;
        apply(cli, row->flag, value);
        if (before != CLI_RUN && cli->action != before) {
            snprintf(ret_message, message_bytes, "%s cannot be combined with what stands before it",
                     row->name);
            return ERR_BAD_VALUE;
        }
    }
    return 0;
}

static const char *non_empty(const char *text)
{
    return text != NULL && text[0] != '\0' ? text : NULL;
}

int cli_parse(int argc, char *const *argv, const char *env_file, const char *env_database_url,
              struct cli *ret_cli, char *ret_message, size_t message_bytes)
{
    struct cli cli = {.action = CLI_RUN};
    cli.overrides = calloc(argc > 0 ? (size_t)argc : 1, sizeof(*cli.overrides));
    if (cli.overrides == NULL) {
        return ERR_NO_MEMORY;
    }
    cli.sources.overrides = cli.overrides;
    cli.sources.database_url = non_empty(env_database_url);
    int error = parse_flags(argc, argv, &cli, ret_message, message_bytes);
    if (error != 0) {
        free(cli.overrides);
        return error;
    }
    if (cli.sources.file == NULL) {
        cli.sources.file = non_empty(env_file);
    }
    *ret_cli = cli;
    return 0;
}

void cli_fini(struct cli *cli)
{
    free(cli->overrides);
    *cli = (struct cli){0};
}

void cli_write_help(FILE *out)
{
    fputs("howdah: a PostgreSQL proxy that pools connections\n\n"
          "usage: howdah [-c FILE] [--listen ADDR]... [--database NAME=DSN]... "
          "[--set KEY=VALUE]...\n\n",
          out);
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        char names[64];
        snprintf(names, sizeof(names), "%s%s%s%s%s",
                 flags[i].short_name != NULL ? flags[i].short_name : "",
                 flags[i].short_name != NULL ? ", " : "", flags[i].name,
                 flags[i].value != NULL ? " " : "", flags[i].value != NULL ? flags[i].value : "");
        fprintf(out, "  %-26s %s\n", names, flags[i].doc);
    }
    fputs("\n$HOWDAH_DATABASE_URL=postgres://user:password@host:port/app is the same as\n"
          "--database app=...  Without any file, howdah listens on 127.0.0.1:6432.\n",
          out);
}

static int load_and_report(const struct cli *cli, FILE *out, FILE *err)
{
    struct config_errors errors;
    struct options *options = NULL;
    config_errors_init(&errors);
    int error = config_load(&cli->sources, &options, &errors);
    config_errors_write(&errors, err);
    config_errors_fini(&errors);
    if (error == 0 && cli->action == CLI_PRINT_CONFIG) {
        config_print(options, out);
    }
    options_unref(options);
    if (error == ERR_NO_MEMORY) {
        fputs("out of memory\n", err);
        return EXIT_FAILURE;
    }
    return error == 0 ? 0 : EXIT_BAD_CONFIG;
}

int cli_act(const struct cli *cli, FILE *out, FILE *err)
{
    int code = 0;
    switch (cli->action) {
    case CLI_RUN:
        UNREACHABLE();
    case CLI_CHECK:
    case CLI_PRINT_CONFIG:
        code = load_and_report(cli, out, err);
        break;
    case CLI_IMPORT_PGBOUNCER:
        code = import_pgbouncer(cli->import_file, out, err) == 0 ? 0 : EXIT_BAD_CONFIG;
        break;
    case CLI_EXPLAIN:
        code = cli_explain(cli, out, err);
        break;
    case CLI_VERSION:
        fprintf(out, "howdah %s\n", HOWDAH_VERSION);
        break;
    case CLI_HELP:
        cli_write_help(out);
        break;
    }
    if (fflush(out) != 0 && code == 0) {
        return EXIT_FAILURE;
    }
    return code;
}
