#include "tests/sql/plan_text.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const class_names[] = {
    "empty", "read", "session", "transaction", "write", "copy", "ddl", "utility", "opaque",
};

static const char *const touch_names[] = {
    "SETTINGS",  "LOCAL",  "RESET",     "TEMP",    "ADVISORY",   "HOLD",    "CURSOR",
    "LISTEN",    "NOTIFY", "PREPARE",   "EXECUTE", "DEALLOCATE", "DISCARD", "SEQUENCE",
    "NEXTVAL",   "LOAD",   "SEED",      "PID",     "UNKNOWN",    "BEGIN",   "END",
    "SAVEPOINT", "ALONE",  "COPY_FROM", "OPAQUE",  "EXPLAIN",    "HOWDAH",  "BAD_HINT",
};

void plan_text(const struct plan *plan, char *text, size_t room)
{
    FILE *out = fmemopen(text, room, "w");
    if (out == NULL) {
        abort();
    }
    fprintf(out, "%s", class_names[plan->class]);
    for (uint32_t i = 0; i < 32; i++) {
        if ((plan->touches & (uint32_t)1 << i) != 0) {
            fprintf(out, " %s",
                    i < sizeof(touch_names) / sizeof(touch_names[0]) ? touch_names[i] : "?");
        }
    }
    if (plan->locks_rows) {
        fprintf(out, " locks_rows");
    }
    if (plan->statement_count != 1 && plan->class != PLAN_OPAQUE) {
        fprintf(out, " statements=%u", plan->statement_count);
    }
    if (plan->database != NULL) {
        fprintf(out, " | nobody in %s", plan->database);
    }
    for (uint32_t i = 0; i < plan->settings_count; i++) {
        const struct plan_setting *setting = &plan->settings[i];
        if (!plan->is_plain_setting) {
            fprintf(out, " | name %s", setting->name);
        } else if (setting->value == NULL) {
            fprintf(out, " | %s %s", setting->local ? "reset local" : "reset", setting->name);
        } else {
            fprintf(out, " | %s %s=%s", setting->local ? "local" : "set", setting->name,
                    setting->value);
        }
    }
    fclose(out);
}
