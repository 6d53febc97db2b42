#include "pool/refusal.h"

#include "base/limits.h"
#include "pool/columns.h"
#include "pool/due.h"
#include "pool/firewall.h"
#include "pool/own_answer.h"
#include "pool/pin_limit.h"
#include "pool/route_whole.h"
#include "pool/session.h"
#include "pool/statement_limit.h"
#include "protocol/report.h"

_Static_assert((int)FIREWALL_REFUSED + LIMIT_RULES <= (int)WHOLE_REFUSED, "one number each");

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
    return entry->refused >= FIREWALL_REFUSED
               ? firewall_report(session, entry, detail, REFUSAL_DETAIL_BYTES)
               : pin_limit_report(entry->refused);
}
