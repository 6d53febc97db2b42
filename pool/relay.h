/* Server to client: each message is judged by the ledger, and passed on, swallowed, or fatal.
 *
 * Bytes that pass on are gathered into runs: what lies together is sent together, by reference.
 * This header is what the three parts of it have in common: relay.c judges and passes on,
 * relay_note.c notes what a message changes here, relay_error.c says what becomes of an
 * ErrorResponse. The door for others, relay_bytes, is in pool/link.h.
 */
#ifndef POOL_RELAY_H
#define POOL_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pool/due.h"

struct block;
struct engine;
struct link;

/* Bytes of a link as they are gone through. */
struct relay {
    struct engine *engine;
    struct link *link;
    struct block *block;
    uint8_t *run;             /* what lies from here to the cursor passes on */
    uint32_t whole;           /* bytes needed to go on; 0 = any */
    const uint8_t *described; /* the last ParameterDescription; NULL = none */
    bool stop;
};

/* What lies before `at` passes on now. */
void relay_end_run(struct relay *relay, uint8_t *at);

/* Leaves `len` bytes at `at` out of what passes on. */
void relay_leave_out(struct relay *relay, uint8_t *at, uint32_t len);

/* The ledger does not allow the message at `at`: what came before it passes on, then link and
 * client end. */
void relay_violated(struct relay *relay, uint8_t *at, const char *what);

/* Whether what the server says aside (notices, parameters, notifications) is for the client. A
 * notification is also where it comes amid the answer to a question of ours. */
bool relay_aside_passes(const struct link *link, uint8_t type);

/* Whether the reply that the entry is of is for the client. */
static inline bool relay_is_forwarded(const struct due_entry *head)
{
    return head->kind == DUE_FORWARD || head->kind >= DUE_SIFT;
}

/* Whether the head is a Describe of what the client calls by a name (pool/columns.h). */
static inline bool relay_describes_named(const struct due_entry *head)
{
    return head != NULL && head->named != NULL &&
           (head->what == DUE_DESCRIBE_STATEMENT || head->what == DUE_DESCRIBE_PORTAL);
}

/* Whether it is a status that a ReadyForQuery can tell. */
static inline bool relay_is_status(uint8_t byte)
{
    return byte == 'I' || byte == 'T' || byte == 'E';
}

/* What every ReadyForQuery changes. */
void relay_note_ready(const struct engine *engine, struct link *link, uint8_t status);

/* What a message changes here, before it passes on. */
void relay_note_message(struct relay *relay, uint8_t *at, uint32_t total);

/* A whole CommandComplete. True: it is not the client's, but of what we have put around its LISTEN
 * or UNLISTEN. */
bool relay_take_completion(struct relay *relay, const struct due_entry *head, const uint8_t *body,
                           uint32_t body_bytes);

/* ErrorResponse. Returns whether it passes on. */
bool relay_take_error(struct relay *relay, uint8_t *at, uint32_t total, bool whole,
                      enum due_verdict verdict);

/* Whether the server refuses what went ahead of the client's messages with them: a BEGIN that it
 * was told of, or settings. Not so if it ends the connection with it. */
bool relay_refuses_ahead(struct relay *relay, const struct due_entry *head, uint8_t *at,
                         uint32_t total);

#endif
