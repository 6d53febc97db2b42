/* For the tests of config/: a folder of their own, files in it, and what loading them says. */
#ifndef TESTS_UNIT_CONFIG_FILE_H
#define TESTS_UNIT_CONFIG_FILE_H

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "config/config.h"

static char folder[] = "/tmp/howdah-config-XXXXXX";

/* Findings then name files as "x.json", without the folder. */
static inline void enter_folder(void)
{
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
}

static inline void leave_folder(void)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    cr_assert_eq(chdir("/"), 0);
    cr_assert_eq(system(command), 0);
}

static inline void write_file(const char *name, const char *text, mode_t mode)
{
    FILE *out = fopen(name, "w");
    cr_assert_not_null(out);
    fputs(text, out);
    cr_assert_eq(fclose(out), 0);
    cr_assert_eq(chmod(name, mode), 0);
}

/* Loads; findings as text in *ret_findings, to be freed. */
static inline struct options *load_sources(const struct config_sources *sources,
                                           char **ret_findings)
{
    struct config_errors errors;
    struct options *options = NULL;
    size_t bytes = 0;
    config_errors_init(&errors);
    int code = config_load(sources, &options, &errors);
    FILE *out = open_memstream(ret_findings, &bytes);
    config_errors_write(&errors, out);
    fclose(out);
    cr_assert_eq(code == 0, options != NULL);
    cr_assert(code == 0 || code == ERR_CONFIG);
    cr_assert_eq(code == ERR_CONFIG, errors.error_count > 0);
    config_errors_fini(&errors);
    return options;
}

static inline struct options *load_text(const char *text, char **ret_findings)
{
    struct config_sources sources = {.file = "x.json"};
    write_file("x.json", text, 0644);
    return load_sources(&sources, ret_findings);
}

/* A text that must be refused with exactly these findings. */
static inline void expect_findings(const char *text, const char *expected)
{
    char *findings;
    struct options *options = load_text(text, &findings);
    cr_assert_null(options, "accepted: %s", text);
    cr_assert_str_eq(findings, expected, "%s\n-> %s", text, findings);
    free(findings);
}

/* A text that must be accepted; the caller unrefs. */
static inline struct options *expect_options(const char *text)
{
    char *findings;
    struct options *options = load_text(text, &findings);
    cr_assert_not_null(options, "%s\n-> %s", text, findings);
    free(findings);
    return options;
}

#endif
