/* Loads catalog facts (router/catalog.h) from a server, over a session of daemon/pq.h, in a thread
 * of the pool.
 *
 * One read-only transaction with one snapshot: first a *fingerprint* of the catalogs that facts are
 * made of, and only if that is not the known one, the facts. A fingerprint counts rows and sums up
 * what changes with each of them: the transaction that wrote it (xmin), or of relations, which
 * ANALYZE and TRUNCATE write to, as well, their names and kinds.
 *
 * Nothing is locked or executed: expressions are taken as the trees that the catalogs hold, in
 * which functions and relations stand by their numbers.
 */
#ifndef DAEMON_CATALOG_LOAD_H
#define DAEMON_CATALOG_LOAD_H

#include <stdint.h>

#include "daemon/pq.h"

struct catalog;

enum { CATALOG_FINGERPRINT_BYTES = 512 };

#define CATALOG_QUERY_US (30 * 1000000ULL)

struct catalog_load {
    struct pq_login login;
    struct pq_stop stop;
    uint64_t serial;                       /* of the catalog that is made */
    char known[CATALOG_FINGERPRINT_BYTES]; /* the fingerprint of the facts that are known; or "" */

    /* The outcome. */
    int code; /* 0; ERR_CONNECT, ERR_QUERY_TIMEOUT, ERR_SERVER_LOST, ERR_LIMIT, ERR_NO_MEMORY;
               ERR_CANCELED: it was to stop */
    struct catalog *catalog; /* a reference; NULL with code 0: what is known still holds */
    char fingerprint[CATALOG_FINGERPRINT_BYTES];
    char detail[PQ_DETAIL_BYTES]; /* of a failure */
};

/* Blocks. */
void catalog_load_run(struct catalog_load *load);

#endif
