/* How much a client may keep prepared: LIMIT_SESSION_STATEMENTS_BYTES. What would be more is
 * refused with 54000, and the session lives on; a DEALLOCATE or Close makes room.
 *
 * A server backend bounds nothing of the kind, but dies alone when its memory is out. A statement
 * is refused before it runs, as pool/pin_limit.h does it: the server is made to fail in its place,
 * and its error is put right. What other sessions have prepared, too, is counted for each.
 */
#ifndef POOL_STATEMENT_LIMIT_H
#define POOL_STATEMENT_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pool/columns.h"

struct report;
struct session;

/* In struct due_entry's `refused`. */
enum { STATEMENTS_REFUSED = COLUMNS_REFUSED - 1 };

/* Whether there is no room for a statement of that name and body. */
bool statement_limit_is_reached(const struct session *session, size_t name_bytes,
                                uint32_t body_bytes);

/* What the client is told; static texts. */
struct report statement_limit_report(void);

#endif
