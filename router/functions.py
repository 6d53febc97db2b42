#!/usr/bin/env python3
"""Writes router/functions.def: what PostgreSQL's own functions may do to a database or session.

    router/functions.py POSTGRES.BKI... > router/functions.def

Each argument is the share/postgres.bki of one major version, which lists the functions of
pg_catalog (tests/clients/toolchains.py fetches those that Debian lacks). A name is known if every
version given has it: what only some have may be a user's own function on the others. Harmless is
what isn't volatile in any of them, and the volatile ones in HARMLESS; what is more is in TOUCHES.
A volatile function that this file doesn't name is taken for a write.
"""

import re
import sys

# Volatile for their result alone: they read a clock, a file, the server's state.
HARMLESS = set("""
    amvalidate clock_timestamp current_query currtid2 gen_random_uuid pg_collation_actual_version
    pg_control_checkpoint
    pg_control_init pg_control_recovery pg_control_system pg_current_logfile pg_current_wal_flush_lsn
    pg_current_wal_insert_lsn pg_current_wal_lsn pg_database_collation_actual_version
    pg_database_size pg_get_backend_memory_contexts pg_get_multixact_members
    pg_get_shmem_allocations pg_get_wal_replay_pause_state pg_get_wal_resource_managers
    pg_hba_file_rules pg_ident_file_mappings pg_indexes_size pg_is_in_recovery
    pg_is_wal_replay_paused pg_jit_available pg_last_committed_xact pg_last_wal_receive_lsn
    pg_last_wal_replay_lsn pg_last_xact_replay_timestamp pg_ls_archive_statusdir pg_ls_dir
    pg_ls_logdir pg_ls_logicalmapdir pg_ls_logicalsnapdir pg_ls_replslotdir pg_ls_tmpdir
    pg_ls_waldir pg_notification_queue_usage pg_partition_ancestors pg_partition_tree
    pg_prepared_xact pg_read_binary_file pg_read_file pg_read_file_old pg_relation_size
    pg_replication_origin_progress pg_sequence_last_value pg_show_all_file_settings
    pg_show_replication_origin_status pg_sleep pg_sleep_for pg_sleep_until pg_stat_file
    pg_stat_get_recovery_prefetch pg_stat_get_xact_blocks_fetched pg_stat_get_xact_blocks_hit
    pg_stat_get_xact_function_calls pg_stat_get_xact_function_self_time
    pg_stat_get_xact_function_total_time pg_stat_get_xact_numscans pg_stat_get_xact_tuples_deleted
    pg_stat_get_xact_tuples_fetched pg_stat_get_xact_tuples_hot_updated
    pg_stat_get_xact_tuples_inserted pg_stat_get_xact_tuples_returned
    pg_stat_get_xact_tuples_updated pg_stat_have_stats pg_table_size pg_tablespace_size
    pg_total_relation_size pg_xact_commit_timestamp pg_xact_commit_timestamp_origin pg_xact_status
    random timeofday timezone txid_status
""".split())

# Not harmless, whatever their volatility says.
TOUCHES = {
    "NEXTVAL": "nextval setval",
    "SEQUENCE": "currval lastval",
    "ADVISORY": """pg_advisory_lock pg_advisory_lock_shared pg_advisory_unlock pg_advisory_unlock_all
        pg_advisory_unlock_shared pg_try_advisory_lock pg_try_advisory_lock_shared""",
    "NOTIFY": "pg_notify",
    "SEED": "setseed",
    # With literals more is known (router/classify.c).
    "SETTINGS": "set_config",
    "CURSOR": "cursor_to_xml cursor_to_xmlschema",
    "PID": """pg_backend_pid pg_blocking_pids pg_cancel_backend pg_get_replication_slots
        pg_isolation_test_session_is_blocked pg_lock_status pg_log_backend_memory_contexts
        pg_safe_snapshot_blocking_pids pg_stat_get_activity pg_stat_get_backend_activity
        pg_stat_get_backend_activity_start pg_stat_get_backend_client_addr
        pg_stat_get_backend_client_port pg_stat_get_backend_dbid pg_stat_get_backend_idset
        pg_stat_get_backend_io pg_stat_get_backend_pid pg_stat_get_backend_start
        pg_stat_get_backend_subxact pg_stat_get_backend_userid pg_stat_get_backend_wait_event
        pg_stat_get_backend_wait_event_type pg_stat_get_backend_wal pg_stat_get_backend_xact_start
        pg_stat_get_progress_info pg_stat_get_subscription pg_stat_get_wal_receiver
        pg_stat_get_wal_senders pg_stat_reset_backend_stats pg_terminate_backend""",
    # These run SQL that they are given, or read relations, and so views, that they are told.
    "UNKNOWN": """query_to_xml query_to_xml_and_xmlschema query_to_xmlschema ts_rewrite ts_stat
        database_to_xml database_to_xml_and_xmlschema schema_to_xml schema_to_xml_and_xmlschema
        table_to_xml table_to_xml_and_xmlschema""",
    # They give the transaction an id, though they are not volatile.
    "": "pg_current_xact_id txid_current",
}

INTERNAL = "2281"  # a function with such an argument can't be called in SQL


def functions(path):
    """Names of pg_catalog's functions and whether one of that name is volatile."""
    found, columns, inside = {}, [], False
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.startswith("create pg_proc "):
                inside = True
            elif inside and line.startswith("close pg_proc"):
                break
            elif inside and (column := re.match(r" (\w+) = \S+", line)):
                columns.append(column[1])
            elif inside and line.startswith("insert ("):
                values = re.findall(r"'(?:[^']|'')*'|\S+", line[len("insert ("):])
                row = dict(zip(columns, values))
                arguments = row["proargtypes"].strip("'").split()
                if INTERNAL not in arguments and row["prorettype"] not in ("2279", "3838"):  # triggers
                    name = row["proname"].strip("'")
                    found[name] = found.get(name, False) or row["provolatile"] == "v"
    if len(found) < 2000:
        sys.exit(f"{path}: only {len(found)} functions")
    return found


def main():
    versions = [functions(path) for path in sys.argv[1:]]
    if not versions:
        sys.exit(__doc__)
    touched = {name: touch for touch, names in TOUCHES.items() for name in names.split()}
    every = set.intersection(*map(set, versions))
    some = set.union(*map(set, versions))
    unheard = (HARMLESS | set(touched)) - some
    if unheard:
        sys.exit(f"in no version: {sorted(unheard)}")
    print("/* PostgreSQL's own functions, sorted: FUNCTION(name, class, touches); see functions.h.")
    print(" * Made by router/functions.py; not to be edited. */")
    for name in sorted(every | (set(touched) & some)):
        volatile = any(version.get(name) for version in versions)
        touch = f"PLAN_TOUCH_{touched[name]}" if touched.get(name) else "0"
        is_write = name in touched or (volatile and name not in HARMLESS)
        print(f'FUNCTION("{name}", {"WRITE" if is_write else "READ"}, {touch})')


if __name__ == "__main__":
    main()
