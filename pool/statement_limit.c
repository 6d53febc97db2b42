#include "pool/statement_limit.h"

#include "base/error.h"
#include "base/limits.h"
#include "pool/session.h"
#include "protocol/report.h"

bool statement_limit_is_reached(const struct session *session, size_t name_bytes,
                                uint32_t body_bytes)
{
    size_t more = session_statement_bytes(name_bytes, body_bytes);
    return session->statements.bytes + more > LIMIT_SESSION_STATEMENTS_BYTES;
}

struct report statement_limit_report(void)
{
    return (struct report){
        .code = ERR_LIMIT,
        .detail = "The prepared statements of this client would take more than 64 MiB.",
        .hint =
            "DEALLOCATE or close those that are no longer needed, and pass long lists of values "
            "as parameters.",
    };
}
