/* DROP DATABASE and its kin: nobody may be connected to the database that they name.
 *
 * A client that is connected directly and does nothing would be in their way by its own doing; here
 * links idle in a pool for nobody. So CREATE DATABASE (its template), DROP DATABASE, ALTER DATABASE
 * .. RENAME and .. SET TABLESPACE have all workers close their idle links to that database, and
 * those at work once they are free, and a look at its catalog (daemon/catalogs.h) ends. What is
 * pinned, or listens, is in the way as it would be directly.
 *
 * Not everybody may have links closed: so that is done only when the server has taken to the
 * statement. Who may not drop the database is told at once; who may is kept waiting for 5 s, until
 * nobody is connected any more (CountOtherDBBackends, procarray.c). A statement that still runs
 * after VACATE_FIRST_US, alone in its batch and outside of a transaction, is one that waits. It is
 * looked at again every VACATE_AGAIN_US, and no pool gives way more often.
 */
#ifndef POOL_VACATE_H
#define POOL_VACATE_H

#include <stdint.h>

struct engine;
struct letter;
struct plan;
struct session;

/* A statement with this plan is about to be sent. */
void vacate_before(struct engine *engine, struct session *session, const struct plan *plan);

/* When to look at it again; TIMER_NEVER when there is nothing to look at. */
uint64_t vacate_timer(struct engine *engine, struct session *session);

/* LETTER_VACATE: another worker has one that waits. */
void vacate_letter(struct engine *engine, const struct letter *letter);

#endif
