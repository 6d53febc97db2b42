#include "router/classify_local.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "router/plan.h"

/* Each entry is a beginning: "pg_stat_" has all that begin so. */
static const char *const server_functions[] = {
    "inet_client_",
    "inet_server_",
    "pg_backend_",
    "pg_blocking_pids",
    "pg_conf_load_time",
    "pg_control_",
    "pg_current_",
    "pg_cursor",
    "pg_file_settings",
    "pg_get_backend_",
    "pg_get_publication",
    "pg_get_replication_",
    "pg_get_shmem_",
    "pg_get_wal_",
    "pg_hba_file_",
    "pg_ident_file_",
    "pg_is_in_",
    "pg_is_wal_",
    "pg_last_",
    "pg_listening_",
    "pg_lock_status",
    "pg_logical_",
    "pg_ls_",
    "pg_my_temp_schema",
    "pg_notification_",
    "pg_postmaster_",
    "pg_prepared_",
    "pg_read_",
    "pg_replication_",
    "pg_safe_snapshot_",
    "pg_sequence_last_",
    "pg_show_",
    "pg_snapshot_",
    "pg_stat_",
    "pg_trigger_depth",
    "pg_visible_in_",
    "pg_wal_",
    "pg_walfile_",
    "pg_xact_",
    "txid_",
};

static const char *const server_relations[] = {
    "pg_available_", "pg_backend_", "pg_config", "pg_cursors",   "pg_file_settings",
    "pg_hba_",       "pg_ident_",   "pg_locks",  "pg_prepared_", "pg_replication_",
    "pg_sequences",  "pg_settings", "pg_shmem_", "pg_stat_",     "pg_statio_",
};

/* What is the same in all statements of one transaction. */
static const char *const moment_functions[] = {
    "age",
    "now",
    "statement_timestamp",
    "transaction_timestamp",
};

static const char *const moment_keywords[] = {
    "current_date", "current_time", "current_timestamp", "localtime", "localtimestamp",
};

static bool begins(const char *const *starts, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strncmp(name, starts[i], strlen(starts[i])) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_in(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

uint8_t classify_local_keyword(const char *word)
{
    size_t count = sizeof(moment_keywords) / sizeof(moment_keywords[0]);
    return is_in(moment_keywords, count, word) ? PLAN_LOCAL_TRANSACTION : 0;
}

uint8_t classify_local_function(const char *name)
{
    if (is_in(moment_functions, sizeof(moment_functions) / sizeof(moment_functions[0]), name)) {
        return PLAN_LOCAL_TRANSACTION;
    }
    size_t count = sizeof(server_functions) / sizeof(server_functions[0]);
    return begins(server_functions, count, name) ? PLAN_LOCAL_SERVER : 0;
}

uint8_t classify_local_relation(const char *name)
{
    size_t count = sizeof(server_relations) / sizeof(server_relations[0]);
    return begins(server_relations, count, name) ? PLAN_LOCAL_SERVER : 0;
}

/* Of a replica they are "on", whoever asks. */
uint8_t classify_local_setting(const char *name)
{
    bool differs =
        strcasecmp(name, "transaction_read_only") == 0 || strcasecmp(name, "in_hot_standby") == 0;
    return differs ? PLAN_LOCAL_SERVER : 0;
}
