/* SASLprep (RFC 4013): what of a password goes into SCRAM, so that the same password typed on
 * another keyboard, with other code points, is the same.
 *
 * Done by GNU libidn's stringprep (RFC 3454), as its tables are larger than all of protocol/; this
 * is the only file that includes it. Like PostgreSQL (saslprep.c), text that is all ASCII, not
 * valid UTF-8, holds a prohibited or unassigned character, breaks the rules for writing from right
 * to left, or of which nothing would be left is taken as it is.
 */
#ifndef PROTOCOL_SASLPREP_H
#define PROTOCOL_SASLPREP_H

#include <stddef.h>

/* The longest text that is prepared, and the longest that comes of it. NFKC makes of one character
 * up to eighteen. */
#define SASLPREP_BYTES_MAX 4096

/* Prepares `count` bytes, at most SASLPREP_BYTES_MAX, into `out`. ERR_LIMIT: what comes of it is
 * longer; ERR_NO_MEMORY. The caller wipes `out`. */
int saslprep(const char *text, size_t count, char out[static SASLPREP_BYTES_MAX],
             size_t *ret_count);

#endif
