/* What engines write to each other. A letter owns what it carries. */
#ifndef POOL_LETTER_H
#define POOL_LETTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/handle.h"

struct account;
struct admin_task;
struct engine;
struct link;

enum letter_kind {
    LETTER_WANT,     /* to home: a ticket of `worker` */
    LETTER_FREED,    /* to home: a link became idle at `worker`, or a place is free */
    LETTER_DIAL,     /* from home: you may make a link; its place is taken already */
    LETTER_GIVE,     /* from home: lend an idle link to `worker` */
    LETTER_GAVE,     /* to home: done */
    LETTER_NONE,     /* to home: there was none; the ticket of `worker` goes to the front again */
    LETTER_LINK,     /* a link with its socket (ACTION_LEND_OUT) */
    LETTER_EVICT,    /* close an idle link of the pool: another needs its place */
    LETTER_CANCEL,   /* a CancelRequest for a client of yours */
    LETTER_CANCELED, /* it has been dealt with: the requester's connection may end */
    LETTER_VACATE,   /* close idle links to a database of a server (pool/vacate.h) */
    LETTER_PID_ASK,  /* which backend a client has (these three: pool/pid_hold.h) */
    LETTER_PID_ANSWER,
    LETTER_PID_END, /* the link is let go */
    LETTER_ADMIN,   /* a console command that visits every engine (pool/admin.h) */
};

/* About the pid of a client, which says at which worker it lives. */
struct pid_letter {
    uint32_t virtual_pid;
    uint32_t pid;  /* ANSWER: of its backend; 0 = it has none */
    uint32_t host; /* ASK: the number of the caller's host's account */
    uint32_t caller_worker;
    struct handle caller; /* the link that the statement is for */
    uint64_t serial;
    struct handle link; /* ANSWER, END: the client's, at its worker */
    bool terminates;    /* END: it may have been terminated */
    bool lost;          /* END: when the statement ends is not known */
};

struct letter {
    enum letter_kind kind;
    uint32_t worker;         /* whom it is about; LETTER_VACATE: the host's number */
    uint32_t sender;         /* set when it is posted */
    char *database, *user;   /* the pool, or NULL; LETTER_VACATE: the server's name */
    uint32_t pool_target;    /* its enum pool_target */
    struct link *link;       /* LETTER_LINK: detached from the engine that sent it */
    struct lent *lent;       /* LETTER_LINK: what of it belonged to that engine's stores */
    struct handle target;    /* LETTER_CANCEL: the slot of the session */
    struct handle requester; /* LETTER_CANCEL, LETTER_CANCELED: who asked, at the asker's worker */
    uint8_t key[32];
    uint32_t key_bytes;
    struct pid_letter pid;
    struct admin_task *task;
};

/* NULL when memory is out. Names are copied. */
struct letter *letter_new(enum letter_kind kind, uint32_t worker, const char *database,
                          const char *user);

/* The same about the pool of that account. */
struct letter *letter_about(enum letter_kind kind, uint32_t worker, const struct account *account);

/* Posts it to another worker; owns it, also on failure. */
void letter_post(struct engine *engine, uint32_t to, struct letter *letter);

#endif
