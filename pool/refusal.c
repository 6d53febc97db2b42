#include "pool/refusal.h"

#include "base/limits.h"
#include "pool/columns.h"
#include "pool/core.h"
#include "pool/due.h"
#include "pool/firewall.h"
#include "pool/link.h"
#include "pool/own_answer.h"
#include "pool/pin_limit.h"
#include "pool/route_whole.h"
#include "pool/session.h"
#include "pool/statement_limit.h"
#include "protocol/frontend.h"
#include "protocol/report.h"

_Static_assert((int)FIREWALL_REFUSED + LIMIT_RULES <= (int)WHOLE_REFUSED, "one number each");

const char *refusal_text(uint8_t refused)
{
    if (refused == WHOLE_REFUSED) {
        return "refused by Howdah: not at a replica";
    }
    if (refused == STATEMENTS_REFUSED) {
        return "refused by Howdah: the session's prepared statements";
    }
    return refused >= FIREWALL_REFUSED ? "refused by Howdah: routing.rules"
                                       : "refused by Howdah: pool.max_pinned";
}

void refusal_send_query(struct engine *engine, struct link *link, uint8_t refused)
{
    frontend_query(&engine->scratch, refusal_text(refused));
    engine_flush_scratch(engine, &link->conn);
}

bool refusal_send_parse(struct engine *engine, struct link *link, uint8_t refused)
{
    struct due_entry due = {.what = DUE_PARSE, .kind = DUE_FORWARD, .refused = refused};
    if (!link_due_entry(engine, link, &due)) {
        return false;
    }
    frontend_parse(&engine->scratch, "", refusal_text(refused));
    engine_flush_scratch(engine, &link->conn);
    link->unsynced = true;
    return true;
}

struct report refusal_report(const struct session *session, const struct due_entry *entry,
                             char *detail)
{
    switch (entry->refused) {
    case OWN_REFUSED:
        return own_refusal(session);
    case STATEMENTS_REFUSED:
        return statement_limit_report();
    case WHOLE_REFUSED:
        return route_whole_report(session->link);
    case COLUMNS_REFUSED:
    case 0: /* columns_misfit */
        return columns_report();
    }
    return entry->refused >= FIREWALL_REFUSED ? firewall_report(session, entry, detail)
                                              : pin_limit_report(entry->refused);
}
