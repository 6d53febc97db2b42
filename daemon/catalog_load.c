#include "daemon/catalog_load.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "router/catalog_build.h"

/* prokind and hashtext are what is needed; 11 is the oldest version that Debian's packages of
 * PostgreSQL still have. */
enum { VERSION_MIN = 110000, VERSION_SQL_BODIES = 140000 };

/* Numbers below are those of what initdb makes (FirstNormalObjectId, src/include/access/transam.h):
 * its views read, and no more. */
#define USERS_OWN " >= 16384"

static const char begin[] =
    "SELECT set_config('statement_timeout', '30000', false), set_config('jit', 'off', false)";
static const char begin_transaction[] = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/* clang-format off */
#define XMINS(table) "(SELECT concat(count(*), ':', sum(xmin::text::bigint)) FROM " table "), "

static const char fingerprint_query[] =
    "SELECT concat_ws(' ', "
    XMINS("pg_proc")
    XMINS("pg_trigger")
    XMINS("pg_rewrite")
    XMINS("pg_attrdef")
    XMINS("pg_constraint")
    XMINS("pg_policy")
    XMINS("pg_index WHERE indexprs IS NOT NULL OR indpred IS NOT NULL")
    XMINS("pg_operator")
    XMINS("pg_cast")
    XMINS("pg_aggregate")
    XMINS("pg_amproc")
    XMINS("pg_event_trigger")
    XMINS("pg_inherits")
    XMINS("pg_extension")
    XMINS("pg_type WHERE typtype <> 'c' AND typcategory <> 'A'")
    "(SELECT concat(count(*), ':', sum(oid::bigint), ':', sum(hashtext(concat(relname, relkind,"
    " relnamespace, relrowsecurity, relpersistence)))) FROM pg_class WHERE relpersistence <> 't'))";
/* clang-format on */

static const char size_query[] = "SELECT sum(least(octet_length(prosrc), 65536)) FROM pg_proc";

/* A function's body in SQL's standard form is a tree: whether it writes is all that it says here,
 * what it runs is told by uses. Two texts for two versions of pg_proc. */
#define FUNCTIONS(body)                                                                 \
    "SELECT p.oid, p.proname, l.lanname, p.provolatile, n.nspname = 'pg_catalog',"      \
    " n.nspname <> 'pg_catalog' AND EXISTS (SELECT FROM pg_depend d"                    \
    "  WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')," \
    " p.prokind = 'a',"                                                                 \
    " CASE WHEN n.nspname = 'pg_catalog' OR l.lanname NOT IN"                           \
    "  ('sql', 'plpgsql', 'internal') THEN NULL" body                                   \
    "  WHEN octet_length(p.prosrc) <= 65536 THEN p.prosrc END,"                         \
    " (SELECT string_agg(split_part(c, '=', 1), ' ') FROM unnest(p.proconfig) AS c"     \
    "  WHERE split_part(c, '=', 1) LIKE '%.%'),"                                        \
    " p.prokind <> 'p' AND p.pronargs > 0 AND p.pronargs - p.pronargdefaults <= 1"      \
    " FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"                     \
    " JOIN pg_language l ON l.oid = p.prolang LIMIT 200001"

static const char functions_query[] =
    FUNCTIONS(" WHEN p.prosqlbody IS NOT NULL THEN"
              " CASE WHEN p.prosqlbody::text ~ ':commandType [2-7]' THEN 'insert' ELSE '' END");
static const char functions_query_old[] = FUNCTIONS("");

static const char relations_query[] =
    "SELECT c.oid, c.relname, c.relkind, c.relrowsecurity,"
    " n.nspname IN ('pg_catalog', 'information_schema'), c.relpersistence = 'u'"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f', 'S') AND c.relpersistence <> 't'"
    " AND n.nspname <> 'pg_toast' LIMIT 200001";

/* What stands in expressions: how, whose, f or r, which. The first letter is a row of `hows`.
 * CURRENT_DATE to LOCALTIMESTAMP (SQLValueFunctionOp, src/include/nodes/primnodes.h) are told as
 * calls of now(). */
#define TREES(bodies)                                                                            \
    "SELECT DISTINCT t.how, t.whose, CASE m[1] WHEN 'relid' THEN 'r' ELSE 'f' END,"              \
    " coalesce(m[2], 'now()'::regprocedure::oid::text) FROM ("                                   \
    "SELECT CASE WHEN r.ev_type <> '1' THEN 'r' WHEN c.relkind = 'm' THEN 'm' ELSE 'v' END how," \
    "  r.ev_class AS whose, concat(r.ev_action, ' ', r.ev_qual) AS tree"                         \
    "  FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class WHERE r.oid" USERS_OWN            \
    " UNION ALL SELECT 'd', adrelid, adbin::text FROM pg_attrdef"                                \
    " UNION ALL SELECT 'w', conrelid, conbin::text FROM pg_constraint"                           \
    "  WHERE conbin IS NOT NULL AND conrelid <> 0"                                               \
    " UNION ALL SELECT 'e', 0, conbin::text FROM pg_constraint"                                  \
    "  WHERE conbin IS NOT NULL AND contypid" USERS_OWN                                          \
    " UNION ALL SELECT 'e', 0, typdefaultbin::text FROM pg_type WHERE typdefaultbin IS NOT NULL" \
    " UNION ALL SELECT 'p', polrelid, concat(polqual, ' ', polwithcheck) FROM pg_policy"         \
    " UNION ALL SELECT 'w', indrelid, concat(indexprs, ' ', indpred) FROM pg_index"              \
    "  WHERE indexprs IS NOT NULL OR indpred IS NOT NULL"                                        \
    " UNION ALL SELECT 'w', partrelid, partexprs::text FROM pg_partitioned_table"                \
    "  WHERE partexprs IS NOT NULL"                                                              \
    " UNION ALL SELECT 'w', tgrelid, tgqual::text FROM pg_trigger WHERE tgqual IS NOT NULL"      \
    " UNION ALL SELECT 'b', oid, proargdefaults::text FROM pg_proc"                              \
    "  WHERE proargdefaults IS NOT NULL AND oid" USERS_OWN bodies                                \
    ") AS t, LATERAL regexp_matches(t.tree,"                                                     \
    " ':(funcid|opfuncid|aggfnoid|winfnoid|relid) (\\d+)|SQLVALUEFUNCTION :op [0-8] ', 'g')"     \
    " AS m LIMIT 2000001"

static const char trees_query[] =
    TREES(" UNION ALL SELECT 'b', oid, prosqlbody::text FROM pg_proc WHERE prosqlbody IS NOT NULL"
          "  AND oid" USERS_OWN);
static const char trees_query_old[] = TREES("");

/* What one catalog row says of two objects. */
static const char links_query[] =
    "SELECT 't', t.tgrelid, 'f', t.tgfoid FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid"
    "  WHERE p.oid" USERS_OWN " OR p.proname NOT LIKE 'RI\\_FKey\\_%'"
    " UNION ALL SELECT 'b', a.aggfnoid::oid, 'f', f::oid FROM pg_aggregate a, unnest(ARRAY["
    "  a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn, a.aggmtransfn,"
    "  a.aggminvtransfn, a.aggmfinalfn]) AS f WHERE a.aggfnoid::oid" USERS_OWN " AND f::oid <> 0"
    " UNION ALL SELECT 'e', 0, 'f', f::oid FROM pg_operator o,"
    "  unnest(ARRAY[o.oprcode, o.oprrest, o.oprjoin]) AS f WHERE o.oid" USERS_OWN " AND f::oid <> 0"
    " UNION ALL SELECT 'e', 0, 'f', castfunc FROM pg_cast WHERE oid" USERS_OWN " AND castfunc <> 0"
    " UNION ALL SELECT 'e', 0, 'f', amproc::oid FROM pg_amproc WHERE oid" USERS_OWN
    " UNION ALL SELECT 'e', 0, 'f', f::oid FROM pg_type t, unnest(ARRAY[t.typinput, t.typoutput,"
    "  t.typreceive, t.typsend, t.typmodin, t.typmodout, t.typanalyze]) AS f WHERE f::oid" USERS_OWN
    " UNION ALL SELECT 'x', 0, 'f', evtfoid FROM pg_event_trigger"
    " UNION ALL SELECT 'i', inhparent, 'r', inhrelid FROM pg_inherits"
    " UNION ALL SELECT 'c', confrelid, 'r', conrelid FROM pg_constraint WHERE contype = 'f'"
    "  AND (confdeltype IN ('c', 'n', 'd') OR confupdtype IN ('c', 'n', 'd')) LIMIT 2000001";

/* What a use of each kind means: for functions, for relations (two uses where a view may be written
 * through), and which flag its object gets. NONE: nothing. */
enum { NONE = 255 };

static const struct {
    char how;
    uint8_t function, relation, more;
    uint32_t flags;
} hows[] = {
    {'v', USE_READ_CALLS, USE_READS, USE_WRITES, 0}, /* views */
    {'m', USE_WRITE_CALLS, USE_WRITES, NONE, 0},     /* materialized views: REFRESH */
    {'r', USE_WRITE_CALLS, USE_WRITES, NONE, CATALOG_RULES},
    {'d', USE_WRITE_CALLS, USE_WRITES, NONE, CATALOG_DEFAULTS},
    {'w', USE_WRITE_CALLS, USE_WRITES, NONE, 0},
    {'t', USE_WRITE_CALLS, NONE, NONE, CATALOG_TRIGGERS},
    {'p', USE_READ_CALLS, USE_READS, NONE, 0}, /* policies */
    {'i', NONE, USE_READS, USE_WRITES, CATALOG_CHILDREN},
    {'c', NONE, USE_WRITES, NONE, CATALOG_CASCADES},
    {'b', USE_CALLS, USE_FOLLOWS, NONE, 0}, /* functions' own parts */
    {'e', USE_EVERYWHERE, NONE, NONE, 0},
    {'x', USE_DDL, NONE, NONE, 0},
};

/* --- asking ---------------------------------------------------------------------------------- */

struct session {
    PGconn *connection;
    struct catalog_load *load;
};

static int fail(struct catalog_load *load, int code, const char *text)
{
    snprintf(load->detail, sizeof(load->detail), "%.*s", (int)strcspn(text, "\n"), text);
    return code;
}

/* The result of a query that has worked. */
static int ask(struct session *session, const char *query, PGresult **ret_result)
{
    PGresult *result = NULL;
    int code =
        pq_run_until(session->connection, query, &session->load->stop, CATALOG_QUERY_US, &result);
    if (code != 0) {
        return fail(session->load, code,
                    code == ERR_QUERY_TIMEOUT ? "a query took too long"
                    : code == ERR_CANCELED    ? "nobody may be connected to the database"
                                              : PQerrorMessage(session->connection));
    }
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
        code = fail(session->load, ERR_SERVER_LOST, PQresultErrorMessage(result));
        PQclear(result);
        return code;
    }
    *ret_result = result;
    return 0;
}

/* The only value of a query's answer. */
static int ask_text(struct session *session, const char *query, char *ret_text, size_t bytes)
{
    PGresult *result;
    int code = ask(session, query, &result);
    if (code != 0) {
        return code;
    }
    if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1 &&
        (size_t)PQgetlength(result, 0, 0) < bytes) {
        snprintf(ret_text, bytes, "%s", PQgetvalue(result, 0, 0));
    } else if (PQresultStatus(result) == PGRES_TUPLES_OK) {
        code = fail(session->load, ERR_SERVER_LOST, "an answer that was not expected");
    }
    PQclear(result);
    return code;
}

/* --- rows ------------------------------------------------------------------------------------ */

static uint32_t number(const PGresult *rows, int row, int column)
{
    return (uint32_t)strtoul(PQgetvalue(rows, row, column), NULL, 10);
}

static bool truth(const PGresult *rows, int row, int column)
{
    return PQgetvalue(rows, row, column)[0] == 't';
}

static const char *text_or_null(const PGresult *rows, int row, int column)
{
    return PQgetisnull(rows, row, column) ? NULL : PQgetvalue(rows, row, column);
}

static int take_function(struct catalog_builder *builder, const PGresult *rows, int row)
{
    const struct catalog_function_row function = {
        .oid = number(rows, row, 0),
        .name = PQgetvalue(rows, row, 1),
        .language = PQgetvalue(rows, row, 2),
        .volatility = PQgetvalue(rows, row, 3)[0],
        .is_system = truth(rows, row, 4),
        .of_extension = truth(rows, row, 5),
        .is_aggregate = truth(rows, row, 6),
        .source = text_or_null(rows, row, 7),
        .customs = text_or_null(rows, row, 8),
        .takes_one = truth(rows, row, 9),
    };
    return catalog_add_function(builder, &function);
}

static int take_relation(struct catalog_builder *builder, const PGresult *rows, int row)
{
    static const struct {
        char kind;
        uint32_t flag;
    } kinds[] = {
        {'r', CATALOG_TABLE},       {'v', CATALOG_VIEW},    {'m', CATALOG_MATERIALIZED_VIEW},
        {'p', CATALOG_PARTITIONED}, {'f', CATALOG_FOREIGN}, {'S', CATALOG_SEQUENCE},
    };
    uint32_t flags = (truth(rows, row, 3) ? CATALOG_ROW_SECURITY : 0) |
                     (truth(rows, row, 4) ? CATALOG_SYSTEM : 0) |
                     (truth(rows, row, 5) ? CATALOG_UNLOGGED : 0);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        flags |= kinds[i].kind == PQgetvalue(rows, row, 2)[0] ? kinds[i].flag : 0;
    }
    return catalog_add_relation(builder, number(rows, row, 0), PQgetvalue(rows, row, 1), flags);
}

static int add(struct catalog_builder *builder, uint8_t use, uint32_t from, uint32_t to)
{
    return use == NONE ? 0 : catalog_add_use(builder, (enum catalog_use)use, from, to);
}

static int take_use(struct catalog_builder *builder, const PGresult *rows, int row)
{
    char how = PQgetvalue(rows, row, 0)[0];
    uint32_t from = number(rows, row, 1), to = number(rows, row, 3);
    bool is_function = PQgetvalue(rows, row, 2)[0] == 'f';
    int code = 0;
    for (size_t i = 0; i < sizeof(hows) / sizeof(hows[0]); i++) {
        if (hows[i].how != how) {
            continue;
        }
        code = add(builder, is_function ? hows[i].function : hows[i].relation, from, to);
        if (code == 0 && !is_function) {
            code = add(builder, hows[i].more, from, to);
        }
        if (code == 0 && hows[i].flags != 0) {
            code = catalog_add_flags(builder, from, hows[i].flags);
        }
    }
    return code;
}

/* --- all of it ------------------------------------------------------------------------------- */

typedef int take_row_fn(struct catalog_builder *builder, const PGresult *rows, int row);

static int take_all(struct session *session, const char *query, struct catalog_builder *builder,
                    take_row_fn *take)
{
    PGresult *rows;
    int code = ask(session, query, &rows);
    if (code != 0) {
        return code;
    }
    for (int row = 0; row < PQntuples(rows) && code == 0; row++) {
        code = take(builder, rows, row);
    }
    PQclear(rows);
    return code;
}

static int load_facts(struct session *session, struct catalog_builder *builder)
{
    bool has_bodies = PQserverVersion(session->connection) >= VERSION_SQL_BODIES;
    const struct {
        const char *query;
        take_row_fn *take;
    } steps[] = {
        {has_bodies ? functions_query : functions_query_old, take_function},
        {relations_query, take_relation},
        {has_bodies ? trees_query : trees_query_old, take_use},
        {links_query, take_use},
    };
    char size[32] = "0";
    int code = ask_text(session, size_query, size, sizeof(size));
    if (code == 0 && strtoull(size, NULL, 10) > LIMIT_CATALOG_BYTES) {
        return ERR_LIMIT;
    }
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && code == 0; i++) {
        code = take_all(session, steps[i].query, builder, steps[i].take);
    }
    return code == 0 ? catalog_build(builder, session->load->serial, &session->load->catalog)
                     : code;
}

static int load_session(struct session *session)
{
    struct catalog_load *load = session->load;
    char ignored[64];
    if (PQserverVersion(session->connection) < VERSION_MIN) {
        return fail(load, ERR_UNSUPPORTED, "the server is older than version 11");
    }
    PGresult *result = NULL;
    int code = ask(session, begin, &result);
    PQclear(result);
    if (code == 0) {
        code = ask_text(session, begin_transaction, ignored, sizeof(ignored));
    }
    if (code == 0) {
        code = ask_text(session, fingerprint_query, load->fingerprint, sizeof(load->fingerprint));
    }
    if (code != 0 || strcmp(load->fingerprint, load->known) == 0) {
        return code;
    }
    struct catalog_builder *builder = catalog_builder_new();
    if (builder == NULL) {
        return ERR_NO_MEMORY;
    }
    code = load_facts(session, builder);
    catalog_builder_free(builder);
    return code;
}

/* By COMMIT: what reads have logged (they prune pages) is not flushed behind a ROLLBACK, and has
 * replicas seem to be behind (router/tail.h). */
static void end_transaction(struct session *session)
{
    PGresult *result;
    if (ask(session, "COMMIT", &result) == 0) {
        PQclear(result);
    }
}

void catalog_load_run(struct catalog_load *load)
{
    struct session session = {.load = load};
    load->catalog = NULL;
    load->fingerprint[0] = load->detail[0] = '\0';
    load->code = pq_open(&load->login, "howdah catalog", &session.connection, load->detail);
    if (load->code != 0) {
        return;
    }
    load->code = load_session(&session);
    if (load->code == 0) {
        end_transaction(&session);
    }
    if (load->code != 0 && load->detail[0] == '\0') {
        (void)fail(load, load->code, error_message(load->code));
    }
    PQfinish(session.connection);
}
