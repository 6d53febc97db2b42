/* Says what the plan of each statement on standard input is: a NUL stands behind each, and a line
 * is written for each, as in tests/sql/plans.txt:
 *
 *     class TOUCH.. locks_rows statements=N | set name=value
 *
 * Settings are "set" or "local" with a value, "reset" or "reset local", or "name" alone. */
#include "tests/sql/plan_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
    struct plan_cache cache;
    const struct plan_context context = {.standard_strings = true, .safe_encoding = true};
    char *text = NULL, line[4096];
    size_t capacity = 0;
    ssize_t len;
    if (plan_cache_init(&cache, 1, 64) != 0) {
        return 1;
    }
    while ((len = getdelim(&text, &capacity, '\0', stdin)) > 0) {
        uint32_t bytes = (uint32_t)len - (text[len - 1] == '\0');
        struct plan *plan = plan_of(&cache, &context, text, bytes);
        plan_text(plan, line, sizeof(line));
        for (char *c = line; *c != '\0'; c++) {
            *c = *c == '\n' ? ' ' : *c;
        }
        puts(line);
        plan_unref(plan);
    }
    free(text);
    plan_cache_fini(&cache);
    return 0;
}
