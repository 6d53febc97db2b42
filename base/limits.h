/* Every fixed bound of Howdah, with its unit and where it comes from.
 *
 * What a user may change is an option (config/options.def), not a limit.
 */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

/* --- the wire protocol ------------------------------------------------------------------ */

/* MAX_STARTUP_PACKET_LENGTH, src/include/libpq/pqcomm.h */
#define LIMIT_STARTUP_BYTES 10000

/* PQ_LARGE_MESSAGE_LIMIT is MaxAllocSize - 1, src/include/libpq/pqformat.h: the length word of a
 * message, which counts itself, must not exceed it. */
#define LIMIT_MESSAGE_BYTES 0x3ffffffe

/* PG_MAX_AUTH_TOKEN_LENGTH, src/include/libpq/auth.h: password and SASL messages */
#define LIMIT_AUTH_MESSAGE_BYTES 65535

/* NAMEDATALEN, src/include/pg_config_manual.h; an identifier with its NUL */
#define LIMIT_NAME_BYTES 64

/* A cancel key of protocol 3.2: 4 to 256 bytes (protocol chapter, BackendKeyData) */
#define LIMIT_CANCEL_KEY_BYTES 256

/* A server's numeric address with its NUL: INET6_ADDRSTRLEN is 46, and a scope may follow */
#define LIMIT_ADDRESS_BYTES 64

/* A prepared statement or portal name that we look up; PostgreSQL sets no bound below the message's
 * own. Longer names are refused with 54000. */
#define LIMIT_STATEMENT_NAME_BYTES 4096

/* A Parse message up to this size is stored and shared; a larger one is passed on (design 3). */
#define LIMIT_PARSE_BYTES (1024 * 1024)

/* A Query up to this size is held until it is whole, to be understood; a larger one passes as it
 * comes, and counts as one that does anything. */
#define LIMIT_PLAN_BYTES (64 * 1024)

/* Plans that a worker keeps */
#define LIMIT_PLANS 4096

/* What a server may say in a message that we must hold whole (ParameterStatus, login messages) */
#define LIMIT_SERVER_WHOLE_BYTES 65536

/* What one client may keep prepared: names and texts (pool/statement_limit.h). Drivers keep some
 * hundred statements of some KiB. */
#define LIMIT_SESSION_STATEMENTS_BYTES (64 * 1024 * 1024)

/* Texts of statements prepared on one server connection: beyond it the least recently used are
 * closed. PostgreSQL's plans of them take several times as much of its memory. */
#define LIMIT_LINK_STATEMENTS_BYTES (16 * 1024 * 1024)

/* Parameters in a startup message: 10,000 bytes hold at most 2,500 pairs; a client sends ten. */
#define LIMIT_STARTUP_PARAMETERS 128

/* --- SCRAM (RFC 5802, RFC 7677) ----------------------------------------------------------- */

/* Iterations that we are ready to compute for a server: pgjdbc's default cap */
#define LIMIT_SCRAM_ITERATIONS 100000
#define LIMIT_SCRAM_SALT_BYTES 256
#define LIMIT_SCRAM_NONCE_BYTES 256

/* --- memory ------------------------------------------------------------------------------- */

/* One shared receive block: as much as one recv takes while a result streams */
#define LIMIT_BLOCK_BYTES 65536

/* A receive is never offered less room than this */
#define LIMIT_READ_BYTES_MIN 8192

/* What a client may have sent since the last ReadyForQuery to be sent once more when a prepared
 * statement turns out to be out of date; so much is kept beside each server connection that has
 * prepared statements, several times what drivers send at once */
#define LIMIT_HEAL_BYTES 4096

/* A batch up to this size may be read from a replica; so much is kept beside the connection there
 * until it is answered, so that it can be run at the primary. */
#define LIMIT_DETOUR_BYTES LIMIT_PLAN_BYTES

/* What a client may send ahead while it waits for a server connection, before we stop reading */
#define LIMIT_HELD_BYTES 16384

/* Unsent bytes towards one peer at which we stop reading the other, and start again */
#define LIMIT_TX_HIGH_BYTES (256 * 1024)
#define LIMIT_TX_LOW_BYTES (64 * 1024)

/* What waits for a Sync or Flush to be sent: PQ_SEND_BUFFER_SIZE (src/backend/libpq/pqcomm.c) */
#define LIMIT_ALONG_BYTES 8192

/* Replies due on one link. A backend's output buffer is 8 KiB and the shortest reply 5 bytes, so
 * 1,639 replies can be waiting there unflushed; at this many we send a Flush and wait. */
#define LIMIT_DUE 4096

/* --- time ------------------------------------------------------------------------------------ */

/* From accept to ReadyForQuery's promise: what a client has for startup, TLS and authentication. A
 * tenth of PostgreSQL's default authentication_timeout, since nobody types a password within it. */
#define LIMIT_LOGIN_US (10 * 1000 * 1000)

/* How long a read goes on for a client that has gone, before it is cancelled (design 3) */
#define LIMIT_GONE_READ_US (1000 * 1000)

/* How long a session leaves out a replica that has refused its settings: what they name is made at
 * the primary, and comes there with what is replayed */
#define LIMIT_REFUSER_US (10 * 1000 * 1000)

/* How long a closing client may take for what was said to it and is not sent yet; and what a socket
 * that is not full takes at once, so that nobody has to wait */
#define LIMIT_LINGER_US (5 * 1000 * 1000)
#define LIMIT_LAST_WORDS_BYTES 4096

/* What a server has between two clients for ROLLBACK, DISCARD ALL, or the rest of a notice */
#define LIMIT_RESET_US (30 * 1000 * 1000)

/* How long a statement may keep other clients' links from being lent on, since it signals them */
#define LIMIT_PID_HOLD_US (30 * 1000 * 1000)

/* How long a CancelRequest's connection may take */
#define LIMIT_CANCEL_US (10 * 1000 * 1000)

/* Between dials of a host that refused: doubled from the first to the second (design 3, pools) */
#define LIMIT_BACKOFF_MIN_US (50 * 1000)
#define LIMIT_BACKOFF_MAX_US (10 * 1000 * 1000)

/* --- statements (router/skeleton.h) -------------------------------------------------------- */

/* Text that is looked at to its end: at a nanosecond or two a byte this stays under 10 ms. */
#define LIMIT_SKELETON_TEXT_BYTES (1024 * 1024)

/* What is given to the parser at most. A token costs it up to 2.3 us, however short it is, so 10 ms
 * buy 4,000 of them; words of a usual length reach the bytes first. */
#define LIMIT_SKELETON_BYTES 16384
#define LIMIT_SKELETON_TOKENS 3500

/* Room that any skeleton fits in: words are written eight bytes at a time */
#define LIMIT_SKELETON_ROOM_BYTES (LIMIT_SKELETON_BYTES + 32)

/* Literals of which the position is kept: 100 rows of 40 columns */
#define LIMIT_SKELETON_LITERALS 4096

/* Brackets, CASEs, operators and joins that may stand over one another in the parser's tree. It
 * recurses on it, with up to 1.5 KiB of stack for each, and its time grows with the square. */
#define LIMIT_SKELETON_DEPTH 500

/* The stack of each thread that plans. libpg_query recurses on its tree and knows no end: the worst
 * 16 KiB of SQL that were found (1+1+1..) take 1.1 MiB. */
#define LIMIT_STACK_BYTES (4 * 1024 * 1024)

/* --- catalog facts (router/catalog_build.h) ------------------------------------------------- */

/* Functions and relations of a database, what they use of each other, and the bytes of their names
 * and sources; of a larger one nothing is known. 4,000 functions and 4,000 views load in about a
 * second (tests/integration/run-catalog.py, on 2 busy cores). */
#define LIMIT_CATALOG_OBJECTS 200000
#define LIMIT_CATALOG_USES 2000000
#define LIMIT_CATALOG_BYTES (64 * 1024 * 1024)

/* A function's source that is read; a longer one is suspected */
#define LIMIT_CATALOG_SOURCE_BYTES (64 * 1024)

/* Custom settings that functions of a database name */
#define LIMIT_CATALOG_CUSTOMS 64

/* --- rules (router/rules.h) ------------------------------------------------------------------ */

/* Rules of one database: a bit each in what a plan keeps of them */
#define LIMIT_RULES 64

/* Names in one condition of a rule */
#define LIMIT_RULE_NAMES 1000

/* --- nodes (router/nodes.h) ---------------------------------------------------------------- */

/* Servers of one database: the primary and its replicas */
#define LIMIT_NODES 32

/* The weight of a replica, 1 where none is given */
#define LIMIT_WEIGHT_MIN 1
#define LIMIT_WEIGHT_MAX 1000

/* --- sessions (pool/) ----------------------------------------------------------------------- */

/* What a server may tell of a session when it is asked: its settings, its channels. Nobody carries
 * more than that from one server connection to another: its session keeps the one it has. */
#define LIMIT_STATE_BYTES (256 * 1024)

/* Channels of one session that the pool's listening link hears for it; that server looks through a
 * list of all of them for each notification (IsListeningOn, async.c). */
#define LIMIT_CHANNELS 1024

/* --- the house ------------------------------------------------------------------------------ */

/* Worker threads: the virtual pid has 6 bits for them (pool/pid.h) */
#define LIMIT_WORKERS 64

/* Connections of one worker, clients and servers: the virtual pid has 20 bits for them */
#define LIMIT_CONNECTIONS (1 << 20)

#endif
