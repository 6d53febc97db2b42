/* RESET goes back to what the client asked for at its startup.
 *
 * A direct connection's startup settings are the server's reset values; a link's are not the
 * client's. So behind a RESET, SET .. TO DEFAULT, RESET ALL or DISCARD ALL the client's startup
 * values are set again, in the same packet, with the replies swallowed; and what the server reports
 * of the short time in between is told as what it will be.
 */
#ifndef POOL_RESTORE_H
#define POOL_RESTORE_H

#include <stdbool.h>
#include <stdint.h>

struct engine;
struct link;
struct plan;
struct session;

/* A DISCARD ALL of the extended protocol, or behind messages without a Sync, is answered before the
 * startup's settings are set again: it may not be executed, or fail in a pipeline. Until then no
 * other message passes. */
enum restore_late {
    RESTORE_AT_ONCE,
    RESTORE_LATE,    /* DISCARD ALL was bound, or is a query */
    RESTORE_AWAITED, /* and a Sync was sent behind it, or it was a query */
    RESTORE_BEHIND,  /* it was done; in session mode the next message brings them along */
};

/* What the statement with this plan resets must be set again behind it. */
void restore_note(struct engine *engine, struct session *session, const struct plan *plan);

/* The same in session mode, where prepared statements are the server's own: of those that reset, a
 * Parse (here whole) is remembered for its Binds. */
void restore_parse(struct engine *engine, struct session *session, const uint8_t *message,
                   uint32_t total);
void restore_bind(struct engine *engine, struct session *session, const uint8_t *message,
                  uint32_t have);

/* A simple query was sent: sends what was noted. `in_batch`: messages without a Sync went before
 * it, so the server may be skipping to the client's Sync, and none of ours may end that. False when
 * the link has failed. */
bool restore_send(struct engine *engine, struct session *session, bool in_batch);

/* An Execute was sent: the same without a Sync. What comes before the next ReadyForQuery is one
 * change to the server: it reports nothing. */
bool restore_executed(struct engine *engine, struct session *session);

/* A Sync was sent. */
void restore_synced(struct engine *engine, struct session *session);

/* DISCARD ALL was done. Returns whether the startup's settings have not been sent since: they go to
 * the link as those of any session do (link_setup), but in session mode. */
bool restore_discarded(struct engine *engine, struct session *session);

/* Whether a message must wait for the end of a DISCARD ALL, or the session is closing. */
bool restore_waits(struct engine *engine, struct session *session);

/* The ReadyForQuery of the Sync behind a DISCARD ALL has come, and that was not done. */
void restore_ready(struct engine *engine, struct session *session);

/* What was noted is not to be sent: its statement was not executed, or nobody knows whether. */
void restore_forget(struct engine *engine, struct session *session);

/* Whether a parameter has this value only until the startup's is set again: the owner is not to be
 * told. */
bool restore_hides(const struct link *link, const char *name, const char *value);

/* Whether what is at the head of the ledger is the last in front of what sets session->restored, or
 * of all; its ReadyForQuery is about to pass: the owner is told of that where it was told
 * otherwise. */
bool restore_is_next(const struct link *link);
void restore_tell(struct engine *engine, struct link *link);

#endif
