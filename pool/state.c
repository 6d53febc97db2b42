#include "pool/state.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/writer.h"
#include "pool/core.h"
#include "pool/custom.h"
#include "pool/link.h"
#include "pool/listen.h"
#include "pool/outcome.h"
#include "pool/pin_limit.h"
#include "pool/pool.h"
#include "pool/pool_facts.h"
#include "pool/prepare.h"
#include "pool/restore.h"
#include "pool/sequence.h"
#include "pool/session.h"
#include "pool/state_check.h"
#include "pool/vacate.h"
#include "protocol/frontend.h"
#include "protocol/message.h"
#include "protocol/sql_verb.h"
#include "router/plan.h"

/* What may be asked. */
enum {
    ASK_SETTINGS = 1 << 0,
    ASK_TEMP = 1 << 1,
    ASK_ADVISORY = 1 << 2,
    ASK_HOLD = 1 << 3,
    ASK_LISTEN = 1 << 4,
    ASK_PREPARED = 1 << 5,
    ASK_ALL = (1 << 6) - 1,
    ASK_CHECK = 1 << 6, /* pool/state_check.h */
};

/* What is asked for which touches, and while which pin lasts. */
static const struct {
    uint32_t touches, pin, ask;
} rules[] = {
    {PLAN_TOUCH_SETTINGS | PLAN_TOUCH_LOCAL | PLAN_TOUCH_RESET, 0, ASK_SETTINGS},
    {PLAN_TOUCH_TEMP, PIN_TEMP, ASK_TEMP},
    {PLAN_TOUCH_ADVISORY, PIN_ADVISORY, ASK_ADVISORY},
    {PLAN_TOUCH_HOLD, PIN_HOLD, ASK_HOLD},
    {PLAN_TOUCH_LISTEN, PIN_LISTEN, ASK_LISTEN},
    {PLAN_TOUCH_PREPARE, PIN_PREPARE, ASK_PREPARED},
    {PLAN_TOUCH_UNKNOWN | PLAN_TOUCH_OPAQUE, PIN_UNKNOWN, ASK_ALL},
};

enum { RULE_COUNT = sizeof(rules) / sizeof(rules[0]) };

/* Touches that end with their transaction, or are dealt with elsewhere, are of no concern here. */
enum {
    STATE_TOUCHES = PLAN_TOUCH_SETTINGS | PLAN_TOUCH_LOCAL | PLAN_TOUCH_RESET | PLAN_TOUCH_TEMP |
                    PLAN_TOUCH_ADVISORY | PLAN_TOUCH_HOLD | PLAN_TOUCH_LISTEN | PLAN_TOUCH_PREPARE |
                    PLAN_TOUCH_UNKNOWN | PLAN_TOUCH_OPAQUE | PLAN_TOUCH_DISCARD | PLAN_TOUCH_LOAD |
                    PLAN_TOUCH_SEED | PLAN_TOUCH_NAMELESS,
};

/* Where functions may have set what no plan names. */
enum { CUSTOM_TOUCHES = PLAN_TOUCH_SETTINGS | PLAN_TOUCH_LOCAL | PLAN_TOUCH_UNKNOWN };

/* More settings than this in one answer are not carried about; a set has room for those that the
 * server reports beside them. */
enum { SETTINGS_MAX = SETTINGS_COUNT_MAX - SETTINGS_SPARE };

/* A question under way on a link. */
struct question {
    uint32_t asked; /* ASK_* */
    uint32_t pins;
    uint32_t setting_count, channel_count;
    bool failed, canceled;  /* it has no answer; since it was canceled */
    bool strange;           /* a row of state_check_part has come */
    bool resets;            /* a RESET was among the statements */
    struct writer texts;    /* name, NUL, value, NUL of each setting */
    struct writer channels; /* that the link listens to, each with its NUL */
};

static void free_question(struct question *question)
{
    writer_fini(&question->texts);
    writer_fini(&question->channels);
    free(question);
}

void state_pins_changed(const struct engine *engine, struct session *session)
{
    bool pinned = session->pins != 0 || session->keeps_named || session->keeps_unnamed;
    if (!pinned) {
        session->pinned_us = 0;
    } else if (session->pinned_us == 0) {
        session->pinned_us = engine->now_us;
    }
}

/* --- what is asked ---------------------------------------------------------------------------- */

static uint32_t asks_of(uint32_t touched, uint32_t pins)
{
    uint32_t asks = 0;
    for (uint32_t i = 0; i < RULE_COUNT; i++) {
        if ((touched & rules[i].touches) != 0 || (pins & rules[i].pin) != 0) {
            asks |= rules[i].ask;
        }
    }
    return asks;
}

/* The pins that an answer to these questions decides. */
static uint32_t pins_asked(uint32_t asks)
{
    uint32_t pins = 0;
    for (uint32_t i = 0; i < RULE_COUNT; i++) {
        pins |= (asks & rules[i].ask) == rules[i].ask ? rules[i].pin : 0;
    }
    return pins;
}

static bool has_dot(const char *name)
{
    return strchr(name, '.') != NULL;
}

/* SET LOCAL of what PostgreSQL itself defines leaves nothing behind. A custom setting does: where
 * it was NULL it is '' afterwards. So may pg_temp in a search path, by what is made then. */
static bool leaves_nothing(const struct plan *plan)
{
    return plan->is_plain_setting && plan->settings[0].local && !has_dot(plan->settings[0].name) &&
           (plan->touches & PLAN_TOUCH_TEMP) == 0;
}

const struct plan *state_by_facts(struct engine *engine, const struct session *session,
                                  struct plan *plan, struct plan *room)
{
    struct facts facts = pool_facts_of(engine, session, plan);
    if (facts.touches == plan->touches && facts.class == plan->class) {
        return plan;
    }
    *room = *plan;
    room->touches = facts.touches;
    room->class = facts.class;
    return room;
}

/* Whether what the statement makes is temporary without saying so, as the search path has pg_temp
 * in it; or may be, as its transaction has changed settings. */
static bool makes_temp(const struct session *session, const struct plan *plan)
{
    if (plan->class != PLAN_DDL && (plan->class < PLAN_DDL || plan->statement_count == 1)) {
        return false;
    }
    const char *path = settings_get(session->settings, "search_path");
    return (path != NULL && strstr(path, "pg_temp") != NULL) ||
           ((session->touched | plan->touches) & CUSTOM_TOUCHES) != 0;
}

void state_touch(struct engine *engine, struct session *session, const struct plan *plan)
{
    uint32_t touches = plan->touches & STATE_TOUCHES;
    touches |= makes_temp(session, plan) ? PLAN_TOUCH_TEMP : 0;
    outcome_note(session, plan);
    listen_touch(session, plan);
    if (plan->changes_facts) {
        pool_facts_change(session);
    }
    bool discards = plan->statement_count == 1 && (touches & PLAN_TOUCH_DISCARD) != 0;
    session->discards |= discards;
    if (discards && session->set_alone != NULL) { /* what holds then is not the SET's any more */
        session->touched |= PLAN_TOUCH_SETTINGS;
        plan_unref(session->set_alone);
        session->set_alone = NULL;
    }
    if (touches == 0 || session->owns_link || leaves_nothing(plan) || discards) {
        return; /* what DISCARD ALL does needs no question: state_discarded */
    }
    session->touched |= touches;
    session->resets_custom |= (touches & PLAN_TOUCH_RESET) != 0 && plan->statement_count != 1;
    session->link->spoilt |= (touches & STATE_SPOILS) != 0;
    if (session->lender == session->pool) { /* at a replica only where it is refused with 25P02 */
        session->pins |= pin_limit_pins((touches & (PLAN_TOUCH_LOAD | PLAN_TOUCH_SEED)) |
                                        (plan->leaves & PLAN_TOUCH_NAMELESS));
    }
    state_pins_changed(engine, session);
    custom_note_plan(engine, session, plan);
    if ((touches & CUSTOM_TOUCHES) != 0) {
        pool_facts_customs(engine, session);
    }
}

void state_touch_all(struct engine *engine, struct session *session)
{
    session->touched |= session->owns_link ? 0 : PLAN_TOUCH_OPAQUE;
    session->ends |= ENDS_MAYBE;
    sequence_touch(engine, session);
    listen_touch_all(session);
}

static inline struct plan_context context_of(const struct session *session)
{
    const struct settings *own = session->settings, *usual = session->pool->baseline;
    return (struct plan_context){
        .standard_strings = !own->other_strings && (usual == NULL || !usual->other_strings),
        .safe_encoding = !own->unsafe_encoding && (usual == NULL || !usual->unsafe_encoding)};
}

struct plan_context state_plan_context(const struct session *session)
{
    return context_of(session);
}

bool state_is_no_sql(const struct session *session, const char *text, uint32_t len,
                     struct syntax_error *ret_error)
{
    const struct plan_context context = context_of(session);
    uint32_t major = pool_server_major(session->pool);
    return major > 0 && syntax_check(&context, text, len, major, ret_error) == ERR_SYNTAX;
}

struct plan *state_plan(struct engine *engine, const struct session *session, const char *text,
                        uint32_t len)
{
    const struct plan_context context = state_plan_context(session);
    return plan_of(&engine->plans, &context, text, len);
}

struct plan *state_known_plan(struct engine *engine, struct session *session, const char *text,
                              uint32_t len)
{
    const struct plan_context context = context_of(session);
    return plan_known(&engine->plans, &context, text, len, &session->plan_slot);
}

bool state_is_raw(const struct link *link)
{
    const char *server = settings_get(link->baseline, "server_encoding");
    const char *client = settings_get(link->settings, "client_encoding");
    client = client == NULL ? settings_get(link->baseline, "client_encoding") : client;
    return server != NULL && client != NULL && strcmp(server, client) == 0;
}

/* A setting whose outcome is known without asking when the statement, all alone and outside a
 * transaction, succeeds: not one that ends with its transaction or changes others. */
static bool is_certain(const struct link *link, const struct plan *plan)
{
    const struct plan_setting *set = plan->settings;
    return plan->is_plain_setting &&
           (set->value == NULL || settings_is_ascii(set->value) || state_is_raw(link)) &&
           !set->local && settings_name_ok(set->name) &&
           strncmp(set->name, "transaction_", 12) != 0 && strcmp(set->name, "seed") != 0 &&
           strcmp(set->name, "role") != 0 && strcmp(set->name, "session_authorization") != 0 &&
           (set->value != NULL || strchr(set->name, '.') == NULL);
}

bool state_is_plain_read(struct engine *engine, const struct session *session, struct plan *plan)
{
    if (plan->class != PLAN_READ || plan->touches != 0 || session->pins != 0) {
        return false;
    }
    return pool_facts_of(engine, session, plan).class == PLAN_READ;
}

/* Of a text that is not understood: what is prepared may be gone behind it. */
static void note_unread(struct session *session, const char *text, size_t len)
{
    session->discards |= sql_verb_read(text, len) == SQL_VERB_DISCARD;
}

bool state_query(struct engine *engine, struct session *session, const char *text, uint32_t len,
                 struct plan **ret_named)
{
    const struct link *link = session->link;
    struct plan *plan = state_plan(engine, session, text, message_text_bytes(text, len));
    if (state_is_plain_read(engine, session, plan)) {
        plan_unref(plan);
        return true;
    }
    if ((plan->touches & PLAN_TOUCHES_OURS) != 0) {
        *ret_named = plan;
        return false;
    }
    session->refused_pin = pin_limit_refuses(session, pin_limit_leaves(session, plan));
    if (session->refused_pin != 0) {
        plan_unref(plan);
        return false;
    }
    if (!session->owns_link) {
        custom_note_text(engine, session, plan, text, message_text_bytes(text, len));
    }
    if ((plan->touches & PLAN_TOUCH_OPAQUE) != 0) {
        note_unread(session, text, message_text_bytes(text, len));
    }
    restore_note(engine, session, plan);
    vacate_before(engine, session, plan);
    if (session_virtual_statements(session) && (plan->touches & PLAN_TOUCH_NAMES) != 0) {
        *ret_named = plan;
        return false;
    }
    prepare_alters(session, plan);
    struct plan room;
    const struct plan *seen = state_by_facts(engine, session, plan, &room);
    if (session->owns_link) {
        outcome_note(session, plan);
        session->link->spoilt |= ((plan->touches | seen->touches) & STATE_SPOILS) != 0;
        custom_spoils(session, plan, text, message_text_bytes(text, len));
        if (plan->changes_facts) {
            pool_facts_change(session);
        }
    } else if (is_certain(link, plan) && link->status == 'I' && due_empty(&link->due) &&
               session->touched == 0 && settings_has_room(session->settings, plan->settings)) {
        custom_note_plan(engine, session, plan);
        session->link->erred = false;
        session->set_alone = plan;
        return false;
    } else {
        state_touch(engine, session, seen);
        sequence_before_query(engine, session, seen->class > plan->class ? seen : plan);
    }
    bool reads = seen->class <= PLAN_READ;
    plan_unref(plan);
    return reads;
}

/* What the server reports is known already, in its own spelling. If more was sent behind the SET
 * that has failed, or has begun a transaction, the server is asked. */
static void settle_alone(struct engine *engine, struct session *session)
{
    struct link *link = session->link;
    const struct plan_setting *set = session->set_alone->settings;
    if (settings_get(link->baseline, set->name) != NULL) {
        session->touched |= set->value == NULL ? PLAN_TOUCH_RESET : 0;
    } else if (link->erred || link->status != 'I') {
        session->touched |= PLAN_TOUCH_SETTINGS;
    } else {
        const char *value = set->value == NULL ? settings_get(session->startup, set->name)
                                               : set->value; /* pool/restore.h */
        settings_set(&engine->settings, &link->settings, set->name, value);
        settings_set(&engine->settings, &session->settings, set->name, value);
    }
    plan_unref(session->set_alone);
    session->set_alone = NULL;
}

struct plan *state_statement_plan(struct engine *engine, const struct session *session,
                                  struct statement *statement)
{
    const struct settings *own = session->settings, *usual = session->pool->baseline;
    bool strange = own->other_strings | own->unsafe_encoding;
    if (strange || (usual != NULL && (usual->other_strings | usual->unsafe_encoding))) {
        return NULL; /* the statement's plan is for sessions that read it as usual */
    }
    if (statement->plan == NULL) {
        const char *text = statement_query(statement);
        statement->plan = state_plan(engine, session, text, (uint32_t)strlen(text));
    }
    return statement->plan;
}

bool state_statement(struct engine *engine, struct session *session, struct statement *statement)
{
    struct plan *plan = state_statement_plan(engine, session, statement);
    if (plan == NULL) {
        const char *text = statement_query(statement);
        note_unread(session, text, strlen(text));
        state_touch_all(engine, session);
        return false;
    }
    if (state_is_plain_read(engine, session, plan)) {
        return true;
    }
    struct plan room;
    const struct plan *seen = state_by_facts(engine, session, plan, &room);
    state_touch(engine, session, seen);
    restore_note(engine, session, plan);
    prepare_alters(session, plan);
    vacate_before(engine, session, plan);
    return seen->class <= PLAN_READ;
}

/* What the server reports is what the client was told last: pool/restore.h has it be told. */
static struct settings *keep_told(struct engine *engine, const struct session *session,
                                  struct settings *left)
{
    const struct settings *usual = session->link->baseline, *startup = session->startup;
    for (uint32_t i = 0; i < startup->count; i++) {
        const char *name = startup->items[i].name;
        if (settings_get(usual, name) != NULL) {
            settings_set(&engine->settings, &left, name, settings_get(session->settings, name));
        }
    }
    return left;
}

void state_discarded(struct engine *engine, struct session *session, bool late)
{
    session->pins = 0;
    state_pins_changed(engine, session);
    listen_discarded(engine, session);
    custom_discarded(session);
    session->touched |= session->startup->count > 0 && !late ? PLAN_TOUCH_RESET : 0;
    struct settings *left = settings_reset(&engine->settings, session->settings, session->startup);
    if (left == NULL) {
        session->pins |= PIN_UNKNOWN; /* memory is out: it keeps what its link has */
        return;
    }
    left = keep_told(engine, session, left);
    settings_replace(&engine->settings, &session->settings, left);
    settings_unref(&engine->settings, left);
}

/* --- the question ----------------------------------------------------------------------------- */

/* One part a bit of ASK_*, each a SELECT of kind, name and value. Every name is qualified: the
 * session's search_path may hold anything. Kinds: s a setting, p a pin, l a channel. */
static const char *const parts[] = {
    "SELECT 's', name, setting FROM pg_catalog.pg_settings"
    " WHERE source OPERATOR(pg_catalog.=) 'session' AND name OPERATOR(pg_catalog.<>)"
    " ALL (ARRAY['transaction_isolation', 'transaction_read_only', 'transaction_deferrable'])"
    " UNION ALL SELECT 's', n, pg_catalog.current_setting(n, true)"
    " FROM pg_catalog.unnest($1::pg_catalog.text[]) AS n"
    " WHERE pg_catalog.current_setting(n, true) IS NOT NULL"
    " UNION ALL SELECT 's', 'role', r FROM pg_catalog.current_setting('role') AS r"
    " WHERE r OPERATOR(pg_catalog.<>) 'none'"
    " UNION ALL SELECT 's', 'session_authorization', session_user"
    " WHERE session_user OPERATOR(pg_catalog.<>) $2::pg_catalog.text",

    "SELECT 'p', 'TEMP', '' WHERE EXISTS (SELECT FROM pg_catalog.pg_depend"
    " WHERE refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass"
    " AND refobjid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()"
    " AND refobjid OPERATOR(pg_catalog.<>) 0::pg_catalog.oid)",

    "SELECT 'p', 'ADVISORY', '' WHERE EXISTS (SELECT FROM pg_catalog.pg_locks"
    " WHERE locktype OPERATOR(pg_catalog.=) 'advisory'"
    " AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid())",

    "SELECT 'p', 'HOLD', '' WHERE EXISTS (SELECT FROM pg_catalog.pg_cursors WHERE is_holdable)",

    "SELECT 'l', c, '' FROM pg_catalog.pg_listening_channels() AS c",

    "SELECT 'p', 'PREPARE', '' WHERE EXISTS"
    " (SELECT FROM pg_catalog.pg_prepared_statements WHERE from_sql"
    " AND pg_catalog.left(name, 7) OPERATOR(pg_catalog.<>) 'howdah_')",

    state_check_part,
};

static void write_question(struct writer *writer, uint32_t asks)
{
    uint32_t mark = writer_begin(writer, FRONTEND_PARSE);
    const char *between = "";
    writer_cstr(writer, "");
    for (uint32_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if ((asks >> i & 1) != 0) {
            writer_format(writer, "%s%s", between, parts[i]);
            between = " UNION ALL ";
        }
    }
    writer_u8(writer, '\0');
    writer_u16(writer, 0);
    writer_end(writer, mark);
}

/* The names as an array's text: they are identifiers, so nothing in them needs a quote. */
static void write_names(struct writer *writer, const struct settings *names)
{
    uint32_t bytes = 2;
    for (uint32_t i = 0; i < names->count; i++) {
        bytes += (uint32_t)strlen(names->items[i].name) + (i > 0);
    }
    writer_u32(writer, bytes);
    for (uint32_t i = 0; i < names->count; i++) {
        writer_format(writer, "%c%s", i == 0 ? '{' : ',', names->items[i].name);
    }
    writer_format(writer, names->count == 0 ? "{}" : "}");
}

/* `names`: NULL when settings are not asked for. */
static void write_bind_execute(struct writer *writer, const struct session *session,
                               const struct settings *names, bool checks)
{
    const char *user = session->pool->server_user;
    uint32_t mark = writer_begin(writer, FRONTEND_BIND);
    writer_cstr(writer, "");
    writer_cstr(writer, "");
    writer_u16(writer, 0);
    writer_u16(writer, checks ? 4 : names != NULL ? 2 : 0);
    if (names != NULL) {
        write_names(writer, names);
        writer_u32(writer, (uint32_t)strlen(user));
        writer_bytes(writer, user, strlen(user));
    }
    if (checks) {
        state_check_write_values(writer, session->link);
    }
    writer_u16(writer, 0);
    writer_end(writer, mark);
    frontend_execute(writer, "");
}

bool state_ask(struct engine *engine, struct session *session)
{
    struct link *link = session->link;
    if (session->set_alone != NULL) {
        settle_alone(engine, session);
    }
    if (link->status != 'I') {
        return false;
    }
    uint32_t asks = asks_of(session->touched, session->pins);
    bool resets = session->resets_custom;
    session->resets_custom = false;
    session->touched = 0;
    session->ran = false;
    if (asks == 0 && session->checks_state && !link->spoilt) {
        asks = ASK_ALL | ASK_CHECK;
    }
    if (asks == 0) {
        return false;
    }
    struct settings *names = (asks & ASK_SETTINGS) == 0 ? NULL : custom_asked(engine, session);
    struct question *question = calloc(1, sizeof(*question));
    if (question == NULL || (names == NULL && (asks & ASK_SETTINGS) != 0)) {
        settings_unref(&engine->settings, names);
        free(question);
        link_fail(engine, link, ERR_NO_MEMORY, NULL);
        return true;
    }
    ASSERT(link->question == NULL);
    question->asked = asks;
    question->resets = resets;
    writer_init(&question->texts);
    writer_init(&question->channels);
    link->question = question;
    /* What comes meanwhile finds what a RESET means. */
    link->lacks_settings = resets || link->settings != session->settings;
    write_question(&engine->scratch, asks);
    write_bind_execute(&engine->scratch, session, names, (asks & ASK_CHECK) != 0);
    settings_unref(&engine->settings, names);
    frontend_sync(&engine->scratch);
    link_unnamed_unknown(engine, link);
    engine_flush_scratch(engine, &link->conn);
    if (link_due_executed(engine, link, 1, (struct due_entry){.flags = DUE_FLAG_ASK})) {
        link_due(engine, link, DUE_SYNC, DUE_SWALLOW, DUE_FLAG_ASK);
    } /* else the link has failed, and its session with it */
    return true;
}

/* --- the answer ------------------------------------------------------------------------------- */

/* The next column of a row; its bytes are not ended by a NUL. */
static bool take_column(struct reader *reader, const uint8_t **ret_bytes, uint32_t *ret_len)
{
    *ret_len = reader_u32(reader);
    *ret_bytes = *ret_len == UINT32_MAX ? NULL : reader_bytes(reader, *ret_len);
    return *ret_bytes != NULL && !reader->failed;
}

static uint32_t pin_of(const uint8_t *name, uint32_t len)
{
    static const char *const names[] = {
#define PIN(name, text, avoid) #name,
#include "pool/pins.def"
#undef PIN
    };
    for (uint32_t i = 0; i < PIN_COUNT; i++) {
        if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0) {
            return UINT32_C(1) << i;
        }
    }
    return 0;
}

void state_row(struct link *link, const uint8_t *body, uint32_t body_bytes)
{
    struct question *question = link->question;
    struct reader reader = reader_of(body, body_bytes);
    const uint8_t *kind, *name, *value;
    uint32_t kind_len, name_len, value_len;
    if (question->texts.len + question->channels.len + body_bytes > LIMIT_STATE_BYTES) {
        question->failed = true; /* too much to be carried about */
    } else if (reader_u16(&reader) != 3 || !take_column(&reader, &kind, &kind_len) ||
               !take_column(&reader, &name, &name_len) ||
               !take_column(&reader, &value, &value_len) || kind_len != 1 ||
               memchr(value, '\0', value_len) != NULL) {
        question->failed = true;
    } else if (kind[0] == 'c') {
        question->strange = true;
    } else if (kind[0] == 'p') {
        question->pins |= pin_of(name, name_len);
    } else if (kind[0] == 'l') {
        question->channel_count++;
        writer_bytes(&question->channels, name, name_len);
        writer_u8(&question->channels, '\0');
    } else if (question->setting_count == SETTINGS_MAX) {
        question->failed = true;
    } else {
        question->setting_count++;
        writer_bytes(&question->texts, name, name_len);
        writer_u8(&question->texts, '\0');
        writer_bytes(&question->texts, value, value_len);
        writer_u8(&question->texts, '\0');
    }
}

void state_error(struct link *link, const char *sqlstate)
{
    link->question->failed = true;
    link->question->canceled = strcmp(sqlstate, "57014") == 0; /* also statement_timeout */
}

static struct settings *answered_settings(struct engine *engine, const struct question *question)
{
    struct setting items[SETTINGS_MAX];
    const char *text = (const char *)question->texts.bytes;
    for (uint32_t i = 0; i < question->setting_count; i++) {
        items[i].name = text;
        items[i].value = text + strlen(text) + 1;
        text = items[i].value + strlen(items[i].value) + 1;
    }
    return settings_intern(&engine->settings, items, question->setting_count);
}

/* RESET means what the client asked for at its startup, not what the link began with. Behind one
 * alone that is set again at once (pool/restore.h). Behind one amid a query a custom setting is '';
 * that somebody has set it to that beside the RESET can't be told from it. */
static struct settings *with_startup(struct engine *engine, struct link *link, struct settings *now,
                                     bool resets)
{
    const struct settings *startup = link->owner->startup;
    settings_ref(now);
    for (uint32_t i = 0; now != NULL && i < startup->count; i++) {
        const struct setting *item = &startup->items[i];
        const char *value = settings_get(now, item->name);
        bool was_reset =
            value == NULL || (resets && *value == '\0' && strchr(item->name, '.') != NULL);
        /* Of what the server reports, every change has been told, also one to what is usual. */
        if (!was_reset || settings_get(link->baseline, item->name) != NULL) {
            continue;
        }
        struct settings *with = settings_with(&engine->settings, now, item->name, item->value);
        settings_unref(&engine->settings, now);
        now = with;
    }
    return now;
}

static void take_settings(struct engine *engine, struct link *link, const struct question *question)
{
    struct settings *now = answered_settings(engine, question);
    if (now == NULL) {
        link_fail(engine, link, ERR_NO_MEMORY, NULL);
        return;
    }
    settings_replace(&engine->settings, &link->settings, now);
    if (link->owner != NULL) {
        struct settings *wanted = with_startup(engine, link, now, question->resets);
        if (wanted == NULL) {
            link_fail(engine, link, ERR_NO_MEMORY, NULL);
        } else {
            settings_replace(&engine->settings, &link->owner->settings, wanted);
            settings_unref(&engine->settings, wanted);
            link->lacks_settings = link->settings != link->owner->settings;
            custom_answered(engine, link->owner);
        }
    }
    settings_unref(&engine->settings, now);
}

/* Whether values in the answer have been converted: they can't be remembered. */
static bool is_converted(const struct link *link, const struct question *question)
{
    bool ascii = true;
    for (uint32_t i = 0; i < question->texts.len; i++) {
        ascii = ascii && question->texts.bytes[i] < 0x80;
    }
    return !ascii && !state_is_raw(link);
}

/* Nothing was to be asked: the answer must be what is known. */
static void check(struct engine *engine, struct link *link, const struct question *question)
{
    char detail[256] = "A setting has another value than was known.";
    if (is_converted(link, question)) {
        return;
    }
    if (question->failed) {
        if (!question->canceled) {
            link_fail(engine, link, ERR_INTERNAL, "The server could not be asked for its state.");
        }
        return;
    }
    struct settings *now = answered_settings(engine, question);
    if (question->strange ||
        (now != NULL && state_check_strange(link, now, question->pins, question->channel_count,
                                            detail, sizeof(detail)))) {
        link_fail(engine, link, ERR_INTERNAL, detail);
    }
    settings_unref(&engine->settings, now);
}

static void take_answer(struct engine *engine, struct link *link, const struct question *question)
{
    struct session *owner = link->owner;
    bool shares = (question->asked & ASK_LISTEN) == 0 ||
                  listen_answered(engine, owner, (const char *)question->channels.bytes,
                                  question->channel_count);
    owner->pins =
        (owner->pins & ~pins_asked(question->asked)) | question->pins | (shares ? 0 : PIN_LISTEN);
    if ((question->asked & ASK_SETTINGS) != 0) {
        take_settings(engine, link, question);
    }
}

void state_answered(struct engine *engine, struct link *link)
{
    struct question *question = link->question;
    struct session *owner = link->owner;
    bool checks = (question->asked & ASK_CHECK) != 0;
    question->failed |= question->texts.failed || question->channels.failed;
    link->question = NULL;
    if (owner == NULL) {
        link->session_used = true; /* nobody knows what is there: DISCARD ALL */
    } else if (checks) {
        check(engine, link, question);
    } else {
        bool converted = is_converted(link, question);
        link->spoilt |= converted;
        if (question->failed || converted) {
            owner->pins |= PIN_UNKNOWN;
        } else {
            take_answer(engine, link, question);
        }
        state_pins_changed(engine, owner);
    }
    free_question(question);
}

bool state_spares(const struct link *link)
{
    const struct session *owner = link->owner;
    bool proves = link->question != NULL && (link->question->asked & ASK_CHECK) != 0;
    /* Who has held the link for a statement that ends its client means that client. */
    if (!proves || link->cancels > 0 || link->unsynced || owner->state != SESSION_READY ||
        owner->owns_link || owner->keeps_named || owner->keeps_unnamed || owner->pins != 0 ||
        owner->touched != 0 || owner->body_left > 0 || owner->ready_held || owner->ahead ||
        listen_waits(owner)) {
        return false;
    }
    for (uint32_t i = 0; i < link->due.count; i++) {
        if ((due_at(&link->due, i)->flags & DUE_FLAG_ASK) == 0) {
            return false;
        }
    }
    return true;
}

void state_free(struct link *link)
{
    if (link->question != NULL) {
        free_question(link->question);
        link->question = NULL;
    }
}
