/* Says what the plan of each statement on standard input is by the catalog of a server:
 *
 *     facts-of PORT USER DATABASE
 *
 * A NUL stands behind each statement, and a line is written for each, as plan-of writes it. The
 * facts are loaded at the first statement, and again for each that is empty. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/catalog_load.h"
#include "pool/options.h"
#include "router/facts.h"
#include "tests/sql/plan_text.h"

static struct catalog *load(char **argv, uint64_t serial)
{
    char host[] = "127.0.0.1";
    struct server_options server = {.host = host, .port = (uint16_t)strtoul(argv[1], NULL, 10)};
    struct catalog_load load = {.login = {.server = &server, .user = argv[2], .database = argv[3]},
                                .serial = serial};
    catalog_load_run(&load);
    if (load.code != 0) {
        fprintf(stderr, "facts-of: %s\n", load.detail);
        exit(1);
    }
    return load.catalog;
}

int main(int argc, char **argv)
{
    struct plan_cache cache;
    const struct plan_context context = {.standard_strings = true, .safe_encoding = true};
    struct catalog *catalog = NULL;
    char *text = NULL, line[4096];
    size_t capacity = 0;
    uint64_t serial = 0;
    ssize_t len;
    if (argc != 4 || plan_cache_init(&cache, 1, 64) != 0) {
        return 1;
    }
    while ((len = getdelim(&text, &capacity, '\0', stdin)) > 0) {
        uint32_t bytes = (uint32_t)len - (text[len - 1] == '\0');
        if (catalog == NULL || bytes == 0) {
            catalog_unref(catalog);
            catalog = load(argv, ++serial);
        }
        struct plan *plan = plan_of(&cache, &context, text, bytes);
        struct facts facts = facts_of(catalog, plan);
        struct plan by_facts = *plan;
        by_facts.touches = facts.touches;
        by_facts.class = facts.class;
        plan_text(&by_facts, line, sizeof(line));
        for (char *c = line; *c != '\0'; c++) {
            *c = *c == '\n' ? ' ' : *c;
        }
        puts(line);
        fflush(stdout);
        plan_unref(plan);
    }
    for (uint32_t i = 0; catalog != NULL && i < catalog->custom_count; i++) {
        fprintf(stderr, "custom %s\n", catalog->customs[i]);
    }
    free(text);
    catalog_unref(catalog);
    plan_cache_fini(&cache);
    return 0;
}
