#include "config/explain.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "config/errors.h"
#include "pool/options.h"
#include "pool/own_explain.h"
#include "router/explain.h"
#include "router/plan.h"

enum { EXIT_BAD_CONFIG = 2, WIDTH_MAX = 60 };

/* --- printing --------------------------------------------------------------------------------- */

static void print_rows(const struct explanation *explanation, FILE *out)
{
    const char *texts[EXPLAIN_COLUMNS], *at = NULL;
    int widths[EXPLAIN_COLUMNS] = {0};
    while ((at = explanation_next(explanation, at, texts)) != NULL) {
        for (uint32_t i = 0; i < EXPLAIN_COLUMNS; i++) {
            size_t bytes = strlen(texts[i]);
            widths[i] = bytes <= WIDTH_MAX && (int)bytes > widths[i] ? (int)bytes : widths[i];
        }
    }
    while ((at = explanation_next(explanation, at, texts)) != NULL) {
        int width = texts[2][0] == '\0' ? 0 : widths[1];
        fprintf(out, "%-*s  %-*s%s%s\n", widths[0], texts[0], width, texts[1],
                width == 0 ? "" : "  ", texts[2]);
    }
}

/* --- explaining ------------------------------------------------------------------------------- */

static int explain(const struct cli *cli, const struct database_options *database, FILE *out,
                   FILE *err)
{
    const struct plan_context context = {.standard_strings = true, .safe_encoding = true};
    bool owns_link = database->pool.mode == POOL_SESSION;
    struct own_explain facts = {.mode = database->pool.mode,
                                .has_replicas = database->server_count > 1,
                                .catalog_why = "no server is asked",
                                .owns_link = owns_link,
                                .virtual_names =
                                    !owns_link && database->pool.prepared_statements > 0};
    struct plan_cache plans;
    struct explanation explanation;
    for (enum control control = 0; control < CONTROL_COUNT; control++) {
        facts.values[control] = control_usual(control);
        facts.sources[control] = "default";
    }
    explanation_init(&explanation);
    int code = plan_cache_init(&plans, 0, 1);
    if (code == 0) {
        code = own_explain(&plans, &context, &facts, cli->explain_text,
                           (uint32_t)strlen(cli->explain_text), &explanation);
        plan_cache_fini(&plans);
    }
    if (code == 0) {
        print_rows(&explanation, out);
    } else {
        fprintf(err, "howdah: %s", code == ERR_SYNTAX ? explanation.error : error_message(code));
        fprintf(err, explanation.error_at > 0 ? " (at character %u)\n" : "\n",
                explanation.error_at);
    }
    explanation_fini(&explanation);
    return code == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int cli_explain(const struct cli *cli, FILE *out, FILE *err)
{
    struct config_errors errors;
    struct options *options = NULL;
    int code = EXIT_BAD_CONFIG;
    config_errors_init(&errors);
    int error = config_load(&cli->sources, &options, &errors);
    if (error != 0) {
        config_errors_write(&errors, err);
    }
    config_errors_fini(&errors);
    const struct database_options *database =
        error == 0 ? options_find_database(options, cli->explain_database) : NULL;
    if (database != NULL) {
        code = explain(cli, database, out, err);
    } else if (error == 0) {
        fprintf(err, "howdah: there is no database \"%s\" in the configuration\n",
                cli->explain_database);
    }
    options_unref(options);
    return code;
}
