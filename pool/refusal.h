/* Refusing with a link: the server is made to fail in the message's place, and only its error is
 * put right. So a transaction fails and a batch is skipped exactly as behind any other error. Who
 * refuses is the number in struct due_entry's `refused`:
 *
 *    1 + a pin, PIN_COUNT + 1           pool/pin_limit.h
 *    FIREWALL_REFUSED + a rule          pool/firewall.h
 *    WHOLE_REFUSED                      pool/route_whole.h
 *    STATEMENTS_REFUSED                 pool/statement_limit.h
 *    OWN_REFUSED, COLUMNS_REFUSED       pool/own_answer.h, pool/columns.h: what was sent is told
 *                                       otherwise
 */
#ifndef POOL_REFUSAL_H
#define POOL_REFUSAL_H

#include <stdbool.h>
#include <stdint.h>

struct due_entry;
struct engine;
struct link;
struct report;
struct session;

/* What goes in a message's place: no state of a server makes sense of it; its log tells what it
 * stands for. */
const char *refusal_text(uint8_t refused);

/* Sends a Query that fails; its entry is in the ledger. */
void refusal_send_query(struct engine *engine, struct link *link, uint8_t refused);

/* Sends a Parse that fails, and enters it. False when the link has failed. */
bool refusal_send_parse(struct engine *engine, struct link *link, uint8_t refused);

/* What the client is told in place of the entry's error. `detail` is room of RULE_TEXT_BYTES, and
 * lives as long as the report. */
struct report refusal_report(const struct session *session, const struct due_entry *entry,
                             char *detail);

#endif
