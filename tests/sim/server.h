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
uint32_t server_backend_count(const struct server *server);

#endif
