/* The check mode (pool.check_state): what a link is thought to hold is proven, not assumed.
 *
 * What a session leaves on its link is asked only where its statements may have left something
 * (pool/state.h); where that is misjudged the next session would see it. With the option on, the
 * server is asked after every other transaction too. It must show nothing of a session that is not
 * remembered in link->settings, and have everything that is. If not, link and session are closed
 * with XX000, which the tests, where the option is on, can't miss. A link that is lost before it
 * has answered is lost as an idle one is, without the client (state_spares in pool/state.h).
 */
#ifndef POOL_STATE_CHECK_H
#define POOL_STATE_CHECK_H

#include <stdbool.h>
#include <stdint.h>

struct link;
struct settings;
struct writer;

/* A SELECT as in the question: a row of kind 'c' for each setting whose name is in $3 and that is
 * not what a SET to the value in $4 makes it; so the server itself says that 64MB is 65536kB. It
 * must be the last part, since it sets (until its transaction's end). */
extern const char state_check_part[];

/* Appends $3 and $4 as Bind has them: the names and values that the link is thought to have. */
void state_check_write_values(struct writer *writer, const struct link *link);

/* What the answer shows and the link isn't thought to have: `now` are the settings that were made
 * in its session, `pins` PIN_*. False when there is nothing; else ret_detail says what. */
bool state_check_strange(const struct link *link, const struct settings *now, uint32_t pins,
                         uint32_t channels, char *ret_detail, uint32_t detail_bytes);

#endif
