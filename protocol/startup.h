/* The packets that open a connection: StartupMessage, SSLRequest, GSSENCRequest, CancelRequest
 * (protocol chapter, "Start-up", "Message Formats"; src/backend/tcop/backend_startup.c).
 *
 * They have no type byte: a length word that counts itself, a code, a body.
 */
#ifndef PROTOCOL_STARTUP_H
#define PROTOCOL_STARTUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"

struct writer;

enum {
    STARTUP_PROTOCOL_3_0 = 3 << 16,
    STARTUP_PROTOCOL_3_2 = (3 << 16) | 2,
    STARTUP_CANCEL = (1234 << 16) | 5678,
    STARTUP_SSL = (1234 << 16) | 5679,
    STARTUP_GSSENC = (1234 << 16) | 5680,
};

struct startup_parameter {
    const char *name, *value; /* in the packet */
};

/* A parsed packet; the texts lie in the packet's bytes and live as long as they do. */
struct startup {
    uint32_t code; /* a protocol version or one of the STARTUP_ codes */
    uint32_t parameter_count;
    struct startup_parameter parameters[LIMIT_STARTUP_PARAMETERS];
    uint32_t unknown_option_count; /* parameters whose name begins with "_pq_." */
    uint32_t cancel_pid;
    const uint8_t *cancel_key;
    uint32_t cancel_key_bytes;
};

/* The whole packet's length from its first four bytes, itself included. ERR_PROTOCOL when no packet
 * can have that length (8 to LIMIT_STARTUP_BYTES). */
int startup_length(const uint8_t *bytes, uint32_t *ret_bytes);

/* Parses one whole packet. ERR_PROTOCOL for a malformed one, ERR_LIMIT for too many parameters.
 * Versions are not judged here: any other code than a request's is a version with parameters. */
int startup_parse(const uint8_t *bytes, uint32_t len, struct startup *ret_startup);

/* The parameter's value, the last one given as in PostgreSQL; NULL when absent. */
const char *startup_parameter(const struct startup *startup, const char *name);

/* NegotiateProtocolVersion: the newest minor version that we speak and the "_pq_." names of the
 * packet, none of which we know. */
void startup_write_negotiate(struct writer *writer, const struct startup *startup, uint32_t minor);

/* CancelRequest with the key as the server gave it. */
void startup_write_cancel(struct writer *writer, uint32_t pid, const uint8_t *key,
                          uint32_t key_bytes);

#endif
