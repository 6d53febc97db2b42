/* The witness: no byte that one client asked for may reach another. Every row, error, notice and
 * parameter value that a client asks for carries "w" and its id in 16 hex digits. */
#include "tests/sim/check.h"

#include <inttypes.h>

#include "tests/sim/sim.h"

enum { ID_DIGITS = 16 };

static int digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9'   ? byte - '0'
           : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10
                                        : -1;
}

void check_witness(struct sim *sim, uint64_t client_id, const uint8_t *body, size_t len)
{
    for (size_t i = 0; i + 1 + ID_DIGITS <= len; i++) {
        uint64_t id = 0;
        size_t k = 0;
        if (body[i] != 'w') {
            continue;
        }
        while (k < ID_DIGITS && digit(body[i + 1 + k]) >= 0) {
            id = id << 4 | (uint64_t)digit(body[i + 1 + k]);
            k++;
        }
        if (k == ID_DIGITS && id != client_id) {
            sim_fail(sim, "WITNESS: client %" PRIx64 " has got bytes of client %" PRIx64, client_id,
                     id);
            return;
        }
    }
}
