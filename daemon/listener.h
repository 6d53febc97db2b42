/* Where clients come in: one listening descriptor per address, TCP or Unix, ours or systemd's.
 *
 * Accepting happens on worker 0. When the process or the machine is out of descriptors
 * (EMFILE, ENFILE), a descriptor kept in reserve serves to turn one client away with an error
 * rather than leave it hanging, and accepting pauses for a tenth of a second: no spinning.
 */
#ifndef DAEMON_LISTENER_H
#define DAEMON_LISTENER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct listener;
struct log;
struct server;
struct worker;

enum { LISTENERS_ERROR_BYTES = 512 };

struct listeners {
    struct listener *all;
    uint32_t count, capacity;
    int reserve_fd;
    uint64_t told_ms; /* when it was last told that descriptors ran out; 0: never */
    bool open;
    uv_timer_t pause;
    struct worker *worker; /* NULL: not started */
    struct server *server;
    struct log *log;
};

/* Opens systemd's sockets ($LISTEN_FDS) and the configured addresses, without listening to anybody
 * yet. ERR_CONFIG or ERR_IO with the reason in `ret_error`; nothing stays open then. */
int listeners_open(struct listeners *listeners, char *const *addresses, uint32_t address_count,
                   char ret_error[LISTENERS_ERROR_BYTES]);

/* From now on clients are accepted on that worker and handed to the server. ERR_NO_MEMORY. */
int listeners_start(struct listeners *listeners, struct worker *worker, struct server *server,
                    struct log *log);

/* No client is accepted any more; our Unix sockets' files go. Harmless when nothing is open. */
void listeners_close(struct listeners *listeners);

/* "127.0.0.1:6432, unix:/run/…", for the log. */
void listeners_describe(const struct listeners *listeners, char *ret_text, uint32_t text_bytes);

#endif
