#include "tests/sql/plan_text.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const class_names[] = {
    "empty", "read", "session", "transaction", "write", "copy", "ddl", "utility", "opaque",
};

static const char *const touch_names[] = {
    "SETTINGS", "LOCAL",   "RESET",   "TEMP",       "ADVISORY", "HOLD",      "CURSOR",  "LISTEN",
    "NOTIFY",   "PREPARE", "EXECUTE", "DEALLOCATE", "DISCARD",  "SEQUENCE",  "NEXTVAL", "LOAD",
    "SEED",     "PID",     "UNKNOWN", "BEGIN",      "END",      "SAVEPOINT", "ALONE",   "COPY_FROM",
    "OPAQUE",   "EXPLAIN", "HOWDAH",  "BAD_HINT",   "NAMELESS", "MODES",     "FORGETS",
};

static const char *const control_names[] = {"", "begin", "start", "commit", "rollback", "prepare"};
static const char *const isolation_names[] = {
    "", " read_uncommitted", " read_committed", " repeatable_read", " serializable",
};
static const char *const read_only_names[] = {"", " read_write", " read_only"};
static const char *const deferrable_names[] = {"", " not_deferrable", " deferrable"};

static void write_control(FILE *out, const struct plan *plan)
{
    if (plan->control != PLAN_CONTROL_NONE) {
        fprintf(out, " | %s%s%s%s%s", control_names[plan->control], plan->chain ? " chain" : "",
                isolation_names[plan->modes.isolation], read_only_names[plan->modes.read_only],
                deferrable_names[plan->modes.deferrable]);
    }
}

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
    write_control(out, plan);
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
