/* DROP DATABASE and its kin: nobody may be connected to the database that they name.
 *
 * A client that is connected directly and does nothing would be in their way by its own doing; here
 * links idle in a pool for nobody. So before CREATE DATABASE (its template), DROP DATABASE, ALTER
 * DATABASE .. RENAME and .. SET TABLESPACE are sent, all workers close their idle links to that
 * database, and those at work once they are free. The server itself waits 5 s for backends to end
 * (CountOtherDBBackends, procarray.c), which is enough for what has been told to close; so nothing
 * is awaited here. What is pinned, or listens, is in the way as it would be directly.
 */
#ifndef POOL_VACATE_H
#define POOL_VACATE_H

struct engine;
struct letter;
struct plan;
struct session;

/* A statement with this plan is about to be sent. */
void vacate_before(struct engine *engine, const struct session *session, const struct plan *plan);

/* LETTER_VACATE: another worker has sent one. */
void vacate_letter(struct engine *engine, const struct letter *letter);

#endif
