/* What is known of a transaction whose link is lost before its end was answered.
 *
 * The client gets one error, and it must not lie: what was rolled back may be run again, what may
 * have been committed must be looked at first. No question is put to the server for it, as it is
 * gone, and none ahead of time, which would cost every transaction something. What is known is
 *
 *    nothing is under way, or only what is proven to read      NOTHING      08006
 *    in a transaction, and no COMMIT was sent, or not a byte
 *    of all that is under way was handed to the socket, or the
 *    only statement has not been sent to its end (COPY data),
 *    or the transaction is a replica's                         ROLLED_BACK  08006, with a HINT
 *    else                                                      UNKNOWN      08007
 *
 * "COMMIT" is whatever may end a transaction by the statements' plans (PREPARE TRANSACTION, several
 * statements in one query, what is not understood), and outside of a transaction any statement but
 * a read. In session mode statements are not understood: outside of a transaction all are unknown.
 *
 * What a server says itself (FATAL) is passed on, and nothing is added: it dies of that before a
 * COMMIT, or has said that it was done.
 */
#ifndef POOL_OUTCOME_H
#define POOL_OUTCOME_H

#include <stdbool.h>
#include <stdint.h>

struct link;
struct plan;
struct report;
struct session;

enum outcome { OUTCOME_NOTHING, OUTCOME_ROLLED_BACK, OUTCOME_UNKNOWN };

/* What a session has sent since its transaction began: bits of session->ends. */
enum {
    ENDS_ROLLBACK = 1, /* a ROLLBACK and nothing else */
    ENDS_MAYBE = 2,    /* what may have committed it */
    ENDS_ITSELF = 4,   /* outside of one: what commits before its Sync */
};

/* A statement with this plan is sent. */
void outcome_note(struct session *session, const struct plan *plan);

/* In session mode, where a first look must do: a query, and a Parse (of which nothing is known
 * without a text). */
void outcome_note_text(struct session *session, const char *text, uint32_t len);
void outcome_note_parse(struct session *session, bool unnamed, const char *text, uint32_t len);

/* Of a link that is lost and has an owner. */
enum outcome outcome_of(const struct link *link);

/* Room for outcome_report's texts. */
enum { OUTCOME_TEXT_BYTES = 384 };

/* The error for the owner of a link that was lost for `code` and `detail` (may be NULL). Its texts
 * are static, or in `text`. */
struct report outcome_report(const struct link *link, int code, const char *detail,
                             char text[OUTCOME_TEXT_BYTES]);

#endif
