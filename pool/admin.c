#include "pool/admin.h"

#include <string.h>

#include "base/error.h"
#include "pool/letter.h"
#include "pool/session.h"
#include "protocol/report.h"

bool admin_is_database(const char *name)
{
    return strcmp(name, "howdah") == 0 || strcmp(name, "pgbouncer") == 0;
}

void admin_open(struct engine *engine, struct session *session, const char *user)
{
    struct report report = {.code = ERR_UNSUPPORTED, .detail = user};
    session_fail(engine, session, &report);
}

uint32_t admin_take(struct engine *engine, struct session *session, uint8_t *at, uint32_t have,
                    uint32_t *ret_whole)
{
    (void)engine, (void)session, (void)at, (void)have, (void)ret_whole;
    return 0;
}

void admin_letter(struct engine *engine, struct letter *letter)
{
    (void)engine;
    letter_free(letter);
}

void admin_reload_done(struct engine *engine, struct session *session, const char *why_not)
{
    (void)engine, (void)session, (void)why_not;
}

void admin_free(struct engine *engine, struct session *session)
{
    (void)engine, (void)session;
}

void admin_task_free(struct admin_task *task)
{
    (void)task;
}
