/* Extended query where prepared statements are not kept (pool.prepared_statements is 0): messages
 * pass as they are, but what they may leave at the server is noted as always (pool/state.h). */
#include <string.h>

#include "base/limits.h"
#include "pool/core.h"
#include "pool/restore.h"
#include "pool/sequence.h"
#include "pool/session.h"
#include "pool/state.h"
#include "protocol/message.h"
#include "router/plan.h"

/* Only the unnamed statement's plan is remembered. */
static bool note_parse(struct engine *engine, struct session *session, struct reader *reader)
{
    const char *name = reader_cstr(reader);
    const char *text = reader_cstr(reader);
    if (!reader->failed && name[0] == '\0') {
        plan_unref(session->plain_plan);
        session->plain_plan = state_plan(engine, session, text, (uint32_t)strlen(text));
        /* Now, since what it sends may end what is unnamed. */
        return sequence_before(engine, session, session->plain_plan);
    }
    return true;
}

static bool note_bind(struct engine *engine, struct session *session, struct reader *reader)
{
    reader_cstr(reader);
    const char *name = reader_cstr(reader);
    struct plan *plan = session->plain_plan;
    if (reader->failed || name[0] != '\0' || plan == NULL) {
        state_touch_all(engine, session);
        return true;
    }
    state_touch(engine, session, plan);
    restore_note(engine, session, plan);
    return true;
}

bool session_note_plain(struct engine *engine, struct session *session, const uint8_t *message,
                        uint32_t total, uint32_t have, uint32_t *ret_whole)
{
    bool parses = message[0] == FRONTEND_PARSE;
    uint32_t names_bytes = 2 * LIMIT_STATEMENT_NAME_BYTES;
    uint32_t need = parses || total < names_bytes ? total : names_bytes;
    if (have < need) {
        *ret_whole = need;
        return false;
    }
    struct reader reader = reader_of(message + MESSAGE_HEADER_BYTES, need - MESSAGE_HEADER_BYTES);
    return parses ? note_parse(engine, session, &reader) : note_bind(engine, session, &reader);
}
