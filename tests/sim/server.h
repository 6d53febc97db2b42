/* The server's side of wires: backends (pg.h) with time, faults and cancel requests. */
#ifndef TESTS_SIM_SERVER_H
#define TESTS_SIM_SERVER_H

#include <stdint.h>

struct server;
struct sim;
struct wire;

struct server *server_new(struct sim *sim);
void server_free(struct server *server);

/* A connection has come. */
void server_connect(struct server *server, struct wire *wire);

/* Backends that serve a login now. */
struct pg;

/* The backend of that pid if it lives and nothing is under way to it, in it or from it; or NULL. */
const struct pg *server_quiet_backend(const struct server *server, uint32_t pid);

uint32_t server_backend_count(const struct server *server);

#endif
