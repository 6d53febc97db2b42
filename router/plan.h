/* A plan: what a statement does.
 *
 * Made once for a skeleton (router/skeleton.h) by libpg_query (router/parse.h) and kept in a cache
 * of the least recently used. Whoever needs to know something of a statement asks its plan; nobody
 * else looks at SQL. What is not understood is *opaque*: taken for a write that may have done
 * anything to the session.
 *
 * A text of several statements (a simple Query) has one plan: the union of what they do.
 */
#ifndef ROUTER_PLAN_H
#define ROUTER_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"

/* In order of power: of several statements the highest counts. */
enum plan_class {
    PLAN_EMPTY,       /* no statement at all */
    PLAN_READ,        /* proven to write nothing and to take no row lock */
    PLAN_SESSION,     /* SET, RESET, SHOW, DISCARD, PREPARE, LISTEN, DECLARE, FETCH ... */
    PLAN_TRANSACTION, /* BEGIN, COMMIT, SAVEPOINT ... */
    PLAN_WRITE,
    PLAN_COPY, /* COPY in either direction; PLAN_TOUCH_COPY_FROM tells which */
    PLAN_DDL,
    PLAN_UTILITY, /* VACUUM, CALL, DO, LOCK and whatever else */
    PLAN_OPAQUE,
};

/* What a statement may do to its session, or needs to know of it. */
enum plan_touch {
    PLAN_TOUCH_SETTINGS = 1 << 0, /* SET, RESET, set_config, DISCARD ALL, SET ROLE ... */
    PLAN_TOUCH_LOCAL = 1 << 1,    /* SET LOCAL, set_config(.., true): until the transaction ends */
    PLAN_TOUCH_RESET = 1 << 2,    /* RESET, SET TO DEFAULT, DISCARD ALL: back to the startup's */
    PLAN_TOUCH_TEMP = 1 << 3,     /* may make temporary objects, or names pg_temp */
    PLAN_TOUCH_ADVISORY = 1 << 4, /* advisory locks of the session, taken or given back */
    PLAN_TOUCH_HOLD = 1 << 5,     /* DECLARE .. WITH HOLD */
    PLAN_TOUCH_CURSOR = 1 << 6,   /* DECLARE, FETCH, MOVE, CLOSE */
    PLAN_TOUCH_LISTEN = 1 << 7,   /* LISTEN, UNLISTEN */
    PLAN_TOUCH_NOTIFY = 1 << 8,   /* NOTIFY, pg_notify */
    PLAN_TOUCH_PREPARE = 1 << 9,  /* SQL PREPARE */
    PLAN_TOUCH_EXECUTE = 1 << 10, /* SQL EXECUTE, also inside EXPLAIN and CREATE TABLE AS */
    PLAN_TOUCH_DEALLOCATE = 1 << 11,
    PLAN_TOUCH_NAMES = PLAN_TOUCH_PREPARE | PLAN_TOUCH_EXECUTE | PLAN_TOUCH_DEALLOCATE,
    PLAN_TOUCH_DISCARD = 1 << 12,   /* DISCARD ALL */
    PLAN_TOUCH_SEQUENCE = 1 << 13,  /* currval, lastval: what an earlier nextval has left */
    PLAN_TOUCH_NEXTVAL = 1 << 14,   /* nextval or setval by name */
    PLAN_TOUCH_LOAD = 1 << 15,      /* LOAD */
    PLAN_TOUCH_SEED = 1 << 16,      /* setseed */
    PLAN_TOUCH_PID = 1 << 17,       /* functions that take or give a backend's pid */
    PLAN_TOUCH_UNKNOWN = 1 << 18,   /* calls functions that are not PostgreSQL's own, DO, CALL */
    PLAN_TOUCH_BEGIN = 1 << 19,     /* BEGIN, START TRANSACTION */
    PLAN_TOUCH_END = 1 << 20,       /* COMMIT, ROLLBACK, PREPARE TRANSACTION (not TO SAVEPOINT) */
    PLAN_TOUCH_SAVEPOINT = 1 << 21, /* SAVEPOINT, RELEASE, ROLLBACK TO */
    PLAN_TOUCH_ALONE = 1 << 22, /* can't run inside a transaction block or pipeline: VACUUM ... */
    PLAN_TOUCH_COPY_FROM = 1 << 23, /* COPY .. FROM STDIN or a file */
    PLAN_TOUCH_OPAQUE = 1 << 24,    /* not understood: may be any of these */
    PLAN_TOUCH_EXPLAIN = 1 << 25,   /* EXPLAIN (HOWDAH) ..: answered here */
    PLAN_TOUCH_HOWDAH = 1 << 26,    /* names a howdah.* setting: SET, SHOW, RESET, set_config ... */
    PLAN_TOUCH_BAD_HINT = 1 << 27,  /* its hint is malformed: it is not to be run */
    PLAN_TOUCH_NAMELESS = 1 << 28,  /* set_config() of a name that it computes */
    PLAN_TOUCH_MODES = 1 << 29,     /* SET TRANSACTION: refused behind whatever takes a snapshot */
    PLAN_TOUCH_FORGETS = 1 << 30,   /* DISCARD SEQUENCES */
};

/* What no server is to see; or, of a text that does other things as well, what it can't be told. */
enum { PLAN_TOUCHES_OURS = PLAN_TOUCH_EXPLAIN | PLAN_TOUCH_HOWDAH | PLAN_TOUCH_BAD_HINT };

/* A setting that a statement sets: the whole of a SET or of a set_config() with literals. */
struct plan_setting {
    /* Lower case, "role" and "session_authorization" among them; a custom one as written. */
    const char *name;
    const char *value; /* as set_config() takes it; NULL: RESET or DEFAULT */
    bool local;
};

/* One statement of those that are answered here, or that undo and keep settings. */
enum plan_step_kind {
    PLAN_STEP_SET,             /* SET, SET LOCAL, RESET of a howdah.* setting */
    PLAN_STEP_SHOW,            /* SHOW of one */
    PLAN_STEP_SET_CONFIG,      /* a SELECT of set_config() and nothing else; of one statement */
    PLAN_STEP_CURRENT_SETTING, /* likewise */
    PLAN_STEP_EXPLAIN,         /* EXPLAIN (HOWDAH) */
    PLAN_STEP_COMMIT,          /* and PREPARE TRANSACTION */
    PLAN_STEP_ROLLBACK,
    PLAN_STEP_SAVEPOINT,
    PLAN_STEP_RELEASE,
    PLAN_STEP_ROLLBACK_TO,
    PLAN_STEP_RESET, /* of a setting that is not ours */
    PLAN_STEP_RESET_ALL,
};

struct plan_step {
    uint8_t kind;      /* enum plan_step_kind */
    bool local;        /* SET LOCAL */
    bool resets;       /* RESET, not SET .. TO DEFAULT */
    bool missing_ok;   /* current_setting(.., true) */
    const char *name;  /* of the setting in lower case, or the savepoint; NULL: it has none */
    const char *value; /* of a SET; NULL: back to the startup's */
    const char *label; /* of the column; NULL: it is not said */
    bool strange;      /* a SET that is understood by no means: of several values, FROM CURRENT */
};

/* What a text does that is one statement of transaction control and nothing else. SAVEPOINT and the
 * like, COMMIT PREPARED and ROLLBACK PREPARED are not among them. */
enum plan_control {
    PLAN_CONTROL_NONE,
    PLAN_CONTROL_BEGIN,
    PLAN_CONTROL_START, /* START TRANSACTION: another tag */
    PLAN_CONTROL_COMMIT,
    PLAN_CONTROL_ROLLBACK,
    PLAN_CONTROL_PREPARE, /* PREPARE TRANSACTION */
};

enum plan_isolation {
    PLAN_ISOLATION_DEFAULT,
    PLAN_READ_UNCOMMITTED,
    PLAN_READ_COMMITTED,
    PLAN_REPEATABLE_READ,
    PLAN_SERIALIZABLE,
};

/* A yes or no that need not be said. */
enum plan_choice { PLAN_CHOICE_DEFAULT, PLAN_CHOICE_NO, PLAN_CHOICE_YES };

/* The modes that a BEGIN names. */
struct plan_modes {
    uint8_t isolation;  /* enum plan_isolation */
    uint8_t read_only;  /* enum plan_choice */
    uint8_t deferrable; /* enum plan_choice */
};
/* What a read says that another server, or another transaction, would say otherwise. */
enum plan_local {
    PLAN_LOCAL_SERVER = 1,      /* pg_stat_activity, pg_current_wal_lsn(), txid_current() ... */
    PLAN_LOCAL_TRANSACTION = 2, /* now(), CURRENT_DATE ... */
};

enum plan_name_kind { PLAN_NAME_FUNCTION, PLAN_NAME_READ, PLAN_NAME_WRITE };

/* What a statement names and runs, for the catalog's facts: functions that are not known as
 * PostgreSQL's own, and relations that it reads or writes. Without schemas: the facts of a name are
 * those of every schema. */
struct plan_name {
    char *name;
    uint8_t kind; /* enum plan_name_kind */
};

/* Names that one text may have; of more, nothing is known. */
enum { PLAN_NAMES_MAX = 64 };

/* A relation that a statement names in whatever way, for rules (router/rules.h). */
struct plan_table {
    char *schema; /* NULL: not named */
    char *name;
    uint16_t classes; /* bits of enum plan_class: of the statements that name it */
};

/* Tables that are kept of one text. */
enum { PLAN_TABLES_MAX = 64 };

/* What a text may do that it doesn't show, for rules (router/classify_tables.h). */
enum plan_hides {
    PLAN_HIDES_TABLES = 1 << 0, /* it may concern tables that it doesn't name */
    PLAN_HIDES_CLASS = 1 << 1,  /* and do to them whatever there is */
};

struct plan {
    struct map_node node; /* in the cache, by its skeleton's hash */
    struct list recent;
    uint32_t references;
    uint32_t touches;        /* enum plan_touch */
    uint32_t leaves;         /* those of them by which it may leave what pins its session */
    uint8_t class;           /* enum plan_class */
    uint8_t statement_count; /* 255: as many or more */
    char *database;  /* to which nobody may be connected meanwhile: DROP DATABASE .. ; or NULL */
    uint8_t local;   /* enum plan_local, as far as the text shows it */
    bool locks_rows; /* FOR UPDATE and its kin */
    bool inserts;    /* INSERT or MERGE without RETURNING: lastval() may be asked next */
    bool is_ours;    /* all of it is answered here: no server is asked */
    uint8_t control; /* enum plan_control */
    bool chain;      /* with PLAN_CONTROL_COMMIT and ROLLBACK: AND CHAIN */
    struct plan_modes modes; /* with PLAN_CONTROL_BEGIN and START; the last word counts */

    /* The same without what the functions in `names` do: class and touches take those for ones that
     * do anything. router/facts.h puts together what they do by the catalog. */
    uint32_t own_touches;
    uint8_t own_class;
    bool changes_facts; /* DDL after which the catalog's facts may be others */
    bool many_names;    /* more than PLAN_NAMES_MAX: `names` has not all */
    uint32_t names_count;
    struct plan_name *names;
    char *columns; /* what may be a function f, as t.f: each with its NUL, "" at last; or NULL */

    /* What router/facts.h found last, and in which catalog; 0: nothing yet. */
    uint64_t facts_serial;
    uint32_t facts_touches;
    uint8_t facts_class;
    uint8_t facts_flags;
    uint8_t facts_local;

    /* Of a text that is one SET, RESET or SELECT set_config('name', 'value', literal) and nothing
     * else: it, with settings_count 1. Of others: the names alone (value NULL) of custom settings
     * ("a.b") that the text sets anywhere. The texts live as long as the plan. */
    bool is_plain_setting;
    uint32_t settings_count;
    struct plan_setting *settings;

    /* In their order; other statements have none. */
    uint32_t step_count;
    struct plan_step *steps;

    /* For rules. A query inside of PREPARE, DECLARE or COPY counts as a statement of its own. */
    uint16_t classes;      /* bits of enum plan_class: of all statements */
    uint16_t bare_classes; /* of those that name no table */
    uint8_t hides;         /* enum plan_hides */
    uint8_t table_count;
    struct plan_table *tables;

    /* What rules_find found last: of which rules, for which users and class. */
    uint64_t rules_serial; /* 0: nothing yet */
    uint64_t rules_user;
    uint8_t rules_class;
    uint8_t rules_found; /* the rule's number and 1; 0: none */

    struct hint *hint; /* of any of its statements; NULL: none */

    /* Its key: the skeletons of the text, a semicolon between them, and its hint as a comment
     * behind them; of a SELECT set_config(), the text. */
    uint32_t skeleton_bytes;
    uint8_t *skeleton;
};

struct hint;
struct plan_memo;

/* Plans of one worker. */
struct plan_cache {
    struct map plans;
    struct list recent; /* the most recently used first */
    uint64_t hash_key;
    uint32_t count_max;
    uint64_t hits, misses;
    struct plan_memo *memo; /* the quick way to plans of short texts (router/plan_memo.h) */
    struct plan *opaque;    /* of texts that are not looked at */
    struct plan *empty;
    struct plan *explain;  /* EXPLAIN (HOWDAH) of what is not understood */
    struct plan *bad_hint; /* of texts with a malformed hint */
    uint8_t *room;         /* for skeletons */
};

/* 0, or ERR_NO_MEMORY. At most count_max plans are kept. */
int plan_cache_init(struct plan_cache *cache, uint64_t hash_key, uint32_t count_max);

/* Plans that are still referred to live on until their last reference is given back. */
void plan_cache_fini(struct plan_cache *cache);

/* How a server will read the text. */
struct plan_context {
    bool standard_strings; /* standard_conforming_strings is on */
    bool safe_encoding;    /* no byte below 128 is part of a longer character (not SJIS ...) */
};

/* A reference to the plan of a text (without its NUL). Never NULL: what can't be planned (too long,
 * too deep, memory out, not understood) has the cache's opaque plan or one of its own. */
struct plan *plan_of(struct plan_cache *cache, const struct plan_context *context, const char *text,
                     uint32_t len);

/* The same where it takes but a look (router/plan_memo.h): borrowed until the next plan_of; else
 * NULL. *slot, 0 at first, is where the caller's last text was found. */
struct plan *plan_known(struct plan_cache *cache, const struct plan_context *context,
                        const char *text, uint32_t len, uint16_t *slot);

/* The last reference given back frees a plan that the cache no longer has. unref: NULL is
 * allowed. */
void plan_ref(struct plan *plan);
void plan_unref(struct plan *plan);

#endif
