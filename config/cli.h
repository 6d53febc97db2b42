/* The command line of howdah, as the contract names it. */
#ifndef CONFIG_CLI_H
#define CONFIG_CLI_H

#include <stdio.h>

#include "config/config.h"

enum cli_action {
    CLI_RUN,
    CLI_CHECK,
    CLI_PRINT_CONFIG,
    CLI_IMPORT_PGBOUNCER,
    CLI_EXPLAIN,
    CLI_VERSION,
    CLI_HELP,
};

struct cli {
    enum cli_action action;
    struct config_sources sources;
    const char *import_file;           /* of CLI_IMPORT_PGBOUNCER */
    const char *explain_database;      /* of CLI_EXPLAIN */
    const char *explain_text;          /* its statement */
    struct config_override *overrides; /* owned; `sources` shows it */
};

/* Reads the flags; `env_file` and `env_database_url` are $HOWDAH_CONFIG and $HOWDAH_DATABASE_URL,
 * or NULL; empty ones count as not set. Strings are borrowed from all of them. Returns 0,
 * ERR_BAD_VALUE with a line for the user in `ret_message`, or ERR_NO_MEMORY. */
int cli_parse(int argc, char *const *argv, const char *env_file, const char *env_database_url,
              struct cli *ret_cli, char *ret_message, size_t message_bytes);

void cli_fini(struct cli *cli);

/* The text of --help. */
void cli_write_help(FILE *out);

/* Does what --check, --print-config, --import-pgbouncer, --explain, --version or --help ask for,
 * and returns the exit code: 0, or 2 for a bad configuration, 1 when it could not be written or
 * the statement is none. */
int cli_act(const struct cli *cli, FILE *out, FILE *err);

#endif
