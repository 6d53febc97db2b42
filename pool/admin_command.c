#include "pool/admin_command.h"

#include <string.h>

#include "base/assert.h"
#include "pool/admin_action.h"
#include "pool/show.h"

#define TEXT(name)                    \
    {                                 \
        name, ADMIN_TEXT, MERGE_FIRST \
    }
#define INT4(name)                    \
    {                                 \
        name, ADMIN_INT4, MERGE_FIRST \
    }
#define INT8(name)                    \
    {                                 \
        name, ADMIN_INT8, MERGE_FIRST \
    }
#define NUMERIC(name)                    \
    {                                    \
        name, ADMIN_NUMERIC, MERGE_FIRST \
    }
#define KEY(name)                   \
    {                               \
        name, ADMIN_TEXT, MERGE_KEY \
    }
#define SUM(name)                   \
    {                               \
        name, ADMIN_INT4, MERGE_SUM \
    }
#define SUM8(name)                  \
    {                               \
        name, ADMIN_INT8, MERGE_SUM \
    }
#define MAX(name)                   \
    {                               \
        name, ADMIN_INT4, MERGE_MAX \
    }

static const struct admin_column columns_none[] = {};

#define CLIENT_COLUMNS                                                                            \
    TEXT("type"), TEXT("user"), TEXT("database"), TEXT("replication"), TEXT("state"),             \
        TEXT("addr"), INT4("port"), TEXT("local_addr"), INT4("local_port"), TEXT("connect_time"), \
        TEXT("request_time"), INT4("wait"), INT4("wait_us"), INT4("close_needed"), TEXT("ptr"),   \
        TEXT("link"), INT4("remote_pid"), TEXT("tls"), TEXT("application_name"),                  \
        INT4("prepared_statements"), INT4("id")

static const struct admin_column columns_clients[] = {CLIENT_COLUMNS, INT4("worker")};

static const struct admin_column columns_sockets[] = {
    CLIENT_COLUMNS,     INT4("recv_pos"),   INT4("pkt_pos"),
    INT4("pkt_remain"), INT4("send_pos"),   INT4("send_remain"),
    INT4("pkt_avail"),  INT4("send_avail"), INT4("worker"),
};

static const struct admin_column columns_config[] = {
    TEXT("key"),
    TEXT("value"),
    TEXT("default"),
    TEXT("changeable"),
};

static const struct admin_column columns_databases[] = {
    KEY("name"),
    TEXT("host"),
    INT4("port"),
    TEXT("database"),
    TEXT("force_user"),
    INT4("pool_size"),
    INT4("min_pool_size"),
    INT4("reserve_pool_size"),
    INT4("server_lifetime"),
    TEXT("pool_mode"),
    TEXT("load_balance_hosts"),
    INT4("max_connections"),
    SUM("current_connections"),
    INT4("max_client_connections"),
    SUM("current_client_connections"),
    MAX("paused"),
    MAX("disabled"),
};

static const struct admin_column columns_dns_hosts[] = {
    TEXT("hostname"),
    INT8("ttl"),
    TEXT("addrs"),
};

static const struct admin_column columns_dns_zones[] = {
    TEXT("zonename"),
    INT8("serial"),
    INT4("count"),
};

static const struct admin_column columns_failovers[] = {
    TEXT("database"), TEXT("time"),       TEXT("from"),   TEXT("to"),
    INT4("timeline"), INT8("without_ms"), TEXT("reason"),
};

static const struct admin_column columns_help[] = {
    TEXT("command"),
    TEXT("role"),
    TEXT("description"),
};

static const struct admin_column columns_lists[] = {TEXT("list"), INT4("items")};

static const struct admin_column columns_lists_raw[] = {KEY("list"), KEY("item"), SUM("count")};

static const struct admin_column columns_mem[] = {
    KEY("name"), INT4("size"), SUM("used"), SUM("free"), SUM("memtotal"),
};

static const struct admin_column columns_peers[] = {
    INT4("peer_id"),
    TEXT("host"),
    INT4("port"),
    INT4("pool_size"),
};

static const struct admin_column columns_peer_pools[] = {
    INT4("peer_id"),
    INT4("cl_active_cancel_req"),
    INT4("cl_waiting_cancel_req"),
    INT4("sv_active_cancel"),
    INT4("sv_login"),
};

static const struct admin_column columns_pins[] = {
    INT4("id"),         TEXT("database"), TEXT("user"),
    TEXT("addr"),       INT4("port"),     TEXT("application_name"),
    INT4("server_pid"), TEXT("reason"),   TEXT("why"),
    TEXT("since"),      INT8("seconds"),  TEXT("avoid"),
    INT4("worker"),
};

static const struct admin_column columns_pools[] = {
    KEY("database"),
    KEY("user"),
    SUM("cl_active"),
    SUM("cl_waiting"),
    SUM("cl_active_cancel_req"),
    SUM("cl_waiting_cancel_req"),
    SUM("sv_active"),
    SUM("sv_active_cancel"),
    SUM("sv_being_canceled"),
    SUM("sv_idle"),
    SUM("sv_used"),
    SUM("sv_tested"),
    SUM("sv_login"),
    MAX("maxwait"),
    MAX("maxwait_us"),
    TEXT("pool_mode"),
    TEXT("load_balance_hosts"),
    MAX("pinned"), /* one count for all workers */
};

static const struct admin_column columns_prepared[] = {
    TEXT("name"),  INT4("references"), INT4("bytes"),
    TEXT("query"), INT4("parameters"), INT4("worker"),
};

static const struct admin_column columns_replicas[] = {
    KEY("database"),
    {"node", ADMIN_INT4, MERGE_KEY},
    TEXT("host"),
    INT4("port"),
    TEXT("address"),
    TEXT("role"),
    TEXT("state"),
    TEXT("reason"),
    TEXT("since"),
    TEXT("writes"),
    INT8("lag_ms"),
    INT8("lag_bytes"),
    TEXT("lsn"),
    INT4("timeline"),
    INT8("latency_us"),
    INT4("weight"),
    SUM8("reads"),
    INT4("reads_percent"),
    SUM8("reads_unknown_lsn"),
    SUM8("reads_behind"),
    SUM8("reads_no_replica"),
    SUM8("reads_again"),
    SUM8("reads_chosen"),
    SUM8("reads_transaction"),
    SUM8("reads_catalog"),
    SUM8("reads_waited"),
};

static const struct admin_column columns_state[] = {TEXT("key"), TEXT("value")};

#define COUNTER_COLUMNS(prefix)                                                                    \
    SUM8(prefix "server_assignment_count"), SUM8(prefix "xact_count"), SUM8(prefix "query_count"), \
        SUM8(prefix "bytes_received"), SUM8(prefix "bytes_sent"), SUM8(prefix "xact_time"),        \
        SUM8(prefix "query_time"), SUM8(prefix "wait_time"), SUM8(prefix "client_parse_count"),    \
        SUM8(prefix "server_parse_count"), SUM8(prefix "bind_count")

/* Totals, what of them is of the last period, and how long that was. */
static const struct admin_column columns_stats_raw[] = {
    KEY("database"),
    COUNTER_COLUMNS(""),
    COUNTER_COLUMNS("period_"),
    {"period_us", ADMIN_INT8, MERGE_MAX},
};

static const struct admin_column columns_stats[] = {
    TEXT("database"),
    NUMERIC("total_server_assignment_count"),
    NUMERIC("total_xact_count"),
    NUMERIC("total_query_count"),
    NUMERIC("total_received"),
    NUMERIC("total_sent"),
    NUMERIC("total_xact_time"),
    NUMERIC("total_query_time"),
    NUMERIC("total_wait_time"),
    NUMERIC("total_client_parse_count"),
    NUMERIC("total_server_parse_count"),
    NUMERIC("total_bind_count"),
    NUMERIC("avg_server_assignment_count"),
    NUMERIC("avg_xact_count"),
    NUMERIC("avg_query_count"),
    NUMERIC("avg_recv"),
    NUMERIC("avg_sent"),
    NUMERIC("avg_xact_time"),
    NUMERIC("avg_query_time"),
    NUMERIC("avg_wait_time"),
    NUMERIC("avg_client_parse_count"),
    NUMERIC("avg_server_parse_count"),
    NUMERIC("avg_bind_count"),
};

#define STATS_COLUMNS                                                             \
    TEXT("database"), NUMERIC("server_assignment_count"), NUMERIC("xact_count"),  \
        NUMERIC("query_count"), NUMERIC("bytes_received"), NUMERIC("bytes_sent"), \
        NUMERIC("xact_time"), NUMERIC("query_time"), NUMERIC("wait_time")

static const struct admin_column columns_stats_totals[] = {
    STATS_COLUMNS,
    NUMERIC("client_parse_count"),
    NUMERIC("server_parse_count"),
    NUMERIC("bind_count"),
};

static const struct admin_column columns_stats_averages[] = {
    STATS_COLUMNS,
    NUMERIC("avg_client_parse_count"),
    NUMERIC("avg_server_parse_count"),
    NUMERIC("avg_bind_count"),
};

static const struct admin_column columns_totals[] = {TEXT("name"), NUMERIC("value")};

static const struct admin_column columns_users[] = {
    KEY("name"),
    TEXT("pool_size"),
    TEXT("reserve_pool_size"),
    TEXT("pool_mode"),
    INT4("max_user_connections"),
    SUM("current_connections"),
    INT4("max_user_client_connections"),
    SUM("current_client_connections"),
};

static const struct admin_column columns_version[] = {TEXT("version")};

/* --- the rows --------------------------------------------------------------------------------- */

#define COUNT(list) ((uint32_t)(sizeof(list) / sizeof(struct admin_column)))

static const struct admin_command commands[] = {
#define COMMAND(words, shape, role, scope, visit, finish, columns, shown, help) \
    {words,                                                                     \
     SHAPE_##shape,                                                             \
     ROLE_##role,                                                               \
     SCOPE_##scope,                                                             \
     visit,                                                                     \
     finish,                                                                    \
     columns_##columns,                                                         \
     columns_##shown,                                                           \
     COUNT(columns_##columns),                                                  \
     COUNT(columns_##shown),                                                    \
     help},
#include "pool/commands.def"
#undef COMMAND
};

size_t admin_command_count(void)
{
    return sizeof(commands) / sizeof(commands[0]);
}

const struct admin_command *admin_command_at(size_t index)
{
    ASSERT(index < admin_command_count());
    return &commands[index];
}

bool admin_command_allowed(const struct admin_command *command, enum admin_role role)
{
    switch (command->role) {
    case ROLE_STATS:
        return role == ROLE_STATS || role == ROLE_ADMIN;
    case ROLE_ADMIN:
        return role == ROLE_ADMIN;
    case ROLE_NOBODY:
        break;
    }
    return false;
}

size_t admin_command_tag_bytes(const struct admin_command *command)
{
    return strcspn(command->words, " ");
}
