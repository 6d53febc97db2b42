/* What the fuzz targets share: the cap on CPU time, a world that is cheap to make, a fake server.
 *
 * No input may cost more than 10 ms and 2 us a byte: an endless loop must not be one message away.
 * An input that does is tried again, since the first run may have paid for a page or a table, and
 * then ends the process.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "tests/scenario/driver.h"

/* One input; what libFuzzer calls runs it under the cap. */
void fuzz_one(const uint8_t *bytes, size_t len);

/* A quiet world with these options; with FUZZ_TRACE in the environment it tells what happens. */
struct world *fuzz_world(const char *options);

/* Its end; a rule that the engine has broken ends the process. */
void fuzz_world_end(struct world *world);

/* Says what is wrong and ends the process. */
_Noreturn void fuzz_fail(const char *what);

/* A listener that answers what servers hear as a server would: rows carry the query's text, a text
 * with "error" fails, "copy in" and "copy out" copy, "begin" and "commit" are taken literally. */
void fuzz_server_listener(struct world *world, struct actor *actor, const uint8_t *message,
                          size_t bytes);

#endif
