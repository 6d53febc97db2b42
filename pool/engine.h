/* The engine's door: one engine per worker thread, events in, actions out.
 *
 * The way of a query through it:
 *
 *  CLIENT TO SERVER                                   SERVER TO CLIENT
 *  1 daemon  socket -> lent block                      8 daemon  socket -> lent block
 *  2 protocol/message  cut into messages               9 protocol/message  cut into messages
 *  3 pool/session      may it say this now?           10 pool/due      whose reply is first?
 *  4 router            what is it, where to? (plan)   11 cache/fill    keep a copy while it passes?
 *  5 cache             known? -> 12                   12 pool/relay    pass on; full: stop reading
 *  6 pool/lend         a link, or wait in line        13 daemon        write to the client
 *  7 pool/link -> daemon  note what is due, write        (ready and clean: the link goes to the
 *                                                         next in line)
 *  (4, 5 and 11 are doors that later issues open.)
 *
 * The engine has no socket, clock, file, thread or log. A *connection* is a client's socket (its
 * session), a server's socket (a link), or a socket that carries one CancelRequest; the shell knows
 * it by its handle. The shell
 *
 *   - gives events, each with its time, by engine_step();
 *   - then takes what is to be done: the to-do bits of each connection by engine_next_todo(), and
 *     the rarer actions by engine_next_action(), until both say there is nothing left;
 *   - calls engine_step(EVENT_TICK) when engine_deadline_us() has come.
 *
 * Bytes in: engine_rx() lends room, the shell receives into it and reports EVENT_BYTES at once (no
 * other call to this engine in between). Bytes out: engine_tx() shows what is to be written, and
 * the to-do itself if it is one piece; the shell reports EVENT_SENT. The engine never calls out, so
 * nothing re-enters.
 *
 * Closing has two phases: TODO_CLOSE asks the shell to close the socket (after one attempt to write
 * what engine_tx() still shows); EVENT_CLOSED answers that it is closed, and the handle dies.
 *
 * Engines of several workers work on one account per pool (pool/account.h) and send each other
 * letters (ACTION_MAIL -> EVENT_MAIL), which arrive whole, once and in order per pair.
 */
#ifndef POOL_ENGINE_H
#define POOL_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/handle.h"
#include "base/limits.h"

struct catalog;
struct engine;
struct iovec;
struct letter;
struct options;
struct server_options;
struct shared;
struct topology;

/* Where a client comes from. */
struct origin {
    bool is_unix;
    uint8_t family;      /* 4, 6, or 0 for a Unix socket */
    uint8_t address[16]; /* network order */
    uint16_t port;       /* host order */
    uint32_t unix_uid;   /* of the peer, when is_unix */
};

/* What a TLS handshake ended with. */
struct tls_facts {
    bool direct;                            /* the client began with TLS, without SSLRequest */
    bool alpn_postgresql;                   /* both sides agreed on ALPN "postgresql" */
    bool certificate_ok;                    /* the peer gave a certificate and it verified */
    char common_name[LIMIT_NAME_BYTES * 4]; /* of that certificate; "" when there is none */
    uint8_t end_point[64];                  /* tls-server-end-point channel binding (RFC 5929) */
    uint32_t end_point_bytes;               /* 0 = not available */
    char version[16], cipher[64];
};

/* The answer to ACTION_ASK_SECRET. */
struct secret_answer {
    int code;           /* 0, or why it failed: ERR_NO_SECRETS, ERR_CONNECT … */
    bool found;         /* with code 0: such a user exists and may log in */
    const char *secret; /* plain text, "md5…" or "SCRAM-SHA-256$…"; NULL when the user has none */
    const char *detail; /* of a failure, for the log; may be NULL */
};

enum event_kind {
    EVENT_BYTES,   /* bytes: that many lie in the room that engine_rx lent */
    EVENT_SENT,    /* bytes: that many of engine_tx were taken; 0 = the socket is full */
    EVENT_EOF,     /* the peer has closed its sending side, or the socket failed (code, text) */
    EVENT_DIALED,  /* the link's socket is connected (code 0; text: the address in figures, NULL =
                    * it has none), or why not (code, text) */
    EVENT_TLS,     /* the handshake is done (code 0, tls), or failed (code, text) */
    EVENT_CLOSED,  /* second phase: the shell has forgotten the handle */
    EVENT_SECRET,  /* secret: the answer to ACTION_ASK_SECRET for this session */
    EVENT_DERIVED, /* keys: the answer to ACTION_DERIVE for this connection */
    EVENT_OS_USER, /* text: the answer to ACTION_ASK_OS_USER; NULL = nobody has that number */
    EVENT_MAIL,    /* letter: from another engine; the engine owns it now */
    EVENT_CATALOG, /* text, catalog, generation: the answer to ACTION_ASK_CATALOG for the database
                    * `text`, or news; catalog is NULL where it can't be had. The engine takes its
                    * own reference */
    EVENT_NODES,   /* topology: what is known of a database's servers now; the engine takes its own
                    * reference. Forgotten with EVENT_OPTIONS: to be told anew behind it */
    EVENT_TICKS,   /* topology: there is news in its ticks, for which this engine has listened
                    * (router/ticks.h); the reference stays the shell's */
    EVENT_OPTIONS, /* options: a new snapshot; the engine takes its own reference */
    EVENT_DRAIN,   /* no new clients; sessions end after their transaction, or (code not 0) when
                    * their clients leave, then ACTION_DRAINED */
    EVENT_TICK,    /* nothing but the time */
};

struct event {
    enum event_kind kind;
    struct handle handle; /* of the connection, where one is concerned */
    uint64_t now_us;      /* the caller's monotonic clock */
    uint32_t bytes;
    int code;
    const char *text;
    union {
        const struct tls_facts *tls;
        const struct secret_answer *secret;
        const uint8_t *keys; /* 64 bytes: ClientKey, ServerKey (RFC 5802) */
        struct letter *letter;
        struct options *options;
        struct topology *topology;
        struct {
            struct catalog *catalog;
            uint64_t generation; /* pool/pool_facts.h */
        };
    };
};

/* To-do bits of one connection, in the order in which the shell does them. */
enum {
    TODO_DIAL = 1 << 0,        /* link or canceller: connect to engine_server(handle) */
    TODO_SEND = 1 << 1,        /* write what engine_tx shows */
    TODO_TLS_ACCEPT = 1 << 2,  /* client: all written, then the server's part of a handshake */
    TODO_TLS_CONNECT = 1 << 3, /* link: all written, then the client's part of a handshake */
    TODO_READING = 1 << 4,     /* engine_reading(handle) has changed */
    TODO_CLOSE = 1 << 5,
};

struct todo {
    struct handle handle;
    uint32_t bits;
    uint32_t piece_bytes;
    const uint8_t *piece; /* all that engine_tx shows, when it lies in one piece, as it mostly does;
                           * NULL when it doesn't, or there is nothing */
};

enum log_event_level { LOG_ERROR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG };

enum { ACTION_TEXT_BYTES = 512 };

enum action_kind {
    ACTION_ASK_SECRET,    /* the secret of `user` for `database` -> EVENT_SECRET */
    ACTION_FORGET_SECRET, /* what was said of `user` for `database` proved nobody: ask anew */
    ACTION_ASK_CATALOG,   /* see whether the facts of `database` still hold -> EVENT_CATALOG */
    ACTION_PROBE,         /* look at what is wanted of the ticks of `database` (router/ticks.h) */
    ACTION_DERIVE,        /* PBKDF2 off the loop -> EVENT_DERIVED; inputs: engine_derivation() */
    ACTION_ASK_OS_USER,   /* the name of the operating system's user `uid` -> EVENT_OS_USER */
    ACTION_MAIL,          /* letter -> EVENT_MAIL at worker `worker` */
    ACTION_LEND_OUT,      /* detach the socket of `handle`, answer EVENT_CLOSED for it, and give the
                        * socket with letter to worker `worker`: there engine_adopt() makes the
                        * new handle */
    ACTION_LOG,           /* text, level */
    ACTION_RELOAD,        /* an administrator asks for a reload; text: "", or "key=value" to be laid
                        * over the configuration until the next reload without one; EVENT_OPTIONS
                        * tells the outcome to every engine, engine_reload_done() to this one */
    ACTION_SHUTDOWN,      /* an administrator asks the process to end; worker: enum shutdown_kind of
                        * pool/admin.h */
    ACTION_DRAINED,       /* after EVENT_DRAIN: the last session is gone */
};

struct action {
    enum action_kind kind;
    struct handle handle;
    uint32_t worker;
    uint32_t uid;
    enum log_event_level level;
    struct letter *letter;
    const char *database, *user; /* valid until the next engine_next_action */
    char text[ACTION_TEXT_BYTES];
};

/* Inputs of an ACTION_DERIVE, copied for the thread that computes; wipe after use. */
struct derivation {
    char password[1024];
    uint8_t salt[LIMIT_SCRAM_SALT_BYTES];
    uint32_t salt_bytes, iterations;
};

struct engine_setup {
    uint32_t worker;         /* this engine's index */
    struct shared *shared;   /* pool/account.h: common to all engines of the process */
    struct options *options; /* the engine takes its own reference */
    uint64_t now_us;
    uint64_t wall_us;   /* microseconds since 1970 at now_us, for SHOW */
    uint64_t seed;      /* for jitter and hash keys */
    uint8_t secret[32]; /* the same in all engines: cancel keys, mock SCRAM salts */
    bool tls_available; /* SSLRequest may be answered 'S' */
};

/* NULL when memory is out. engine_free frees what is left of connections and pools. */
struct engine *engine_new(const struct engine_setup *setup);
void engine_free(struct engine *engine);

/* A client was accepted. 0 and its handle; ERR_TOO_MANY_CLIENTS, ERR_LIMIT, ERR_NO_MEMORY: the
 * socket is the caller's to close. `tls_first` says that its first byte was that of a TLS record
 * (protocol 3.2's direct TLS): the shell is then already doing the handshake. */
int engine_open(struct engine *engine, const struct origin *origin, bool tls_first, uint64_t now_us,
                struct handle *ret_handle);

/* A link that another engine gave away has arrived with its socket; its new handle here. On error
 * the letter is consumed and the caller closes the socket. */
int engine_adopt(struct engine *engine, struct letter *letter, uint64_t now_us,
                 struct handle *ret_handle);

/* A letter that cannot be delivered any more (shutdown). */
void letter_free(struct letter *letter);

/* Takes one event, which is the caller's, with what it points to; what becomes of it is told by the
 * to-do bits and actions that follow. An event for a handle that has died is ignored. */
void engine_step(struct engine *engine, const struct event *event);

/* The two that every query is made of, without an event: EVENT_BYTES for the connection that
 * engine_rx has just lent room to, and EVENT_SENT. */
void engine_received(struct engine *engine, uint32_t bytes, uint64_t now_us);
void engine_sent(struct engine *engine, struct handle handle, uint32_t bytes, uint64_t now_us);

/* EVENT_SENT for all of the piece of the to-do that was taken last. */
void engine_sent_piece(struct engine *engine, uint64_t now_us);

/* Room for the next bytes of that connection. False when the connection wants none (closing, or out
 * of memory): report nothing. */
bool engine_rx(struct engine *engine, struct handle handle, uint8_t **ret_room,
               uint32_t *ret_bytes);

/* What is to be written, at most `max` vectors; 0 = nothing. */
int engine_tx(struct engine *engine, struct handle handle, struct iovec *vectors, int max);

/* Whether the shell shall watch the socket for incoming bytes. */
bool engine_reading(const struct engine *engine, struct handle handle);

/* Where a link or canceller connects to (but see engine_address), and whether TLS comes first.
 * Owned by the snapshot that the link was made under, which lives as long as the link; NULL when
 * the connection is closing. */
const struct server_options *engine_server(const struct engine *engine, struct handle handle);

/* The address, in figures, to connect to instead of what the server's name means: that which a
 * probe has proven, or, for a canceller, its link's. "" = none: the name is to be looked up. Valid
 * until the next step. */
const char *engine_address(const struct engine *engine, struct handle handle);

/* The inputs of an ACTION_DERIVE for that connection; false when it is gone meanwhile. */
bool engine_derivation(const struct engine *engine, struct handle handle,
                       struct derivation *ret_derivation);

/* Takes the next connection with something to do; false when there is none. */
bool engine_next_todo(struct engine *engine, struct todo *ret_todo);

/* Takes the next action; false when there is none. */
bool engine_next_action(struct engine *engine, struct action *ret_action);

/* When EVENT_TICK is wanted next; UINT64_MAX = never. */
uint64_t engine_deadline_us(const struct engine *engine);

/* The end of an ACTION_RELOAD: NULL for success, else why nothing was changed. */
void engine_reload_done(struct engine *engine, struct handle handle, const char *why_not,
                        uint64_t now_us);

/* The shell has looked the name of a server up: to these addresses (commas between), or to "". For
 * SHOW DNS_HOSTS. */
void engine_host_resolved(struct engine *engine, const char *name, const char *addresses);

/* Clients of this engine; for the shell, which gives new ones to the worker with the fewest. */
uint32_t engine_client_count(const struct engine *engine);

#endif
