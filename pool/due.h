/* The ledger of replies due on one link.
 *
 * Every message that makes the server answer is entered before it is sent, with what is to become
 * of the answer: forwarded to the client, swallowed, or made up here without asking the server at
 * all. Each message from the server must be one that the entry at the head allows; anything else
 * kills the link and its client, and never reaches another client. The order of what the client
 * sees is thereby that of the entries, by construction.
 *
 * Rules from the protocol chapter ("Message Flow") and src/backend/tcop/postgres.c: after an error
 * in an extended-query message the server skips everything up to the next Sync, and so does the
 * ledger; while the server takes COPY data it ignores Sync and Flush.
 */
#ifndef POOL_DUE_H
#define POOL_DUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"

struct link_statement;
struct session_statement;
struct statement;

enum due_what {
    DUE_QUERY,
    DUE_PARSE,
    DUE_BIND,
    DUE_DESCRIBE_STATEMENT,
    DUE_DESCRIBE_PORTAL,
    DUE_EXECUTE,
    DUE_CLOSE,
    DUE_SYNC,
    DUE_FUNCTION_CALL,
    DUE_COPY_END, /* a CopyDone or CopyFail sent ahead: no reply of its own */
    DUE_NAME,     /* a name of ours in the text of the entry before: no reply (pool/names.h) */
    DUE_WHAT_COUNT,
};

enum due_kind {
    DUE_FORWARD,
    DUE_SWALLOW,
    DUE_SYNTHESISE,
    DUE_SIFT, /* forwarded, but for the CommandCompletes of what we have put into it */
    DUE_NOTE, /* forwarded, its CommandCompletes being noted (pool/own.h, route.h) */
};

enum {
    DUE_FLAG_SETUP = 1,     /* belongs to the setup of the link for its session */
    DUE_FLAG_DUPLICATE = 2, /* a Parse that must fail with 42P05: the name in the text is ours */
    DUE_FLAG_UNNAMED = 4,   /* a client's Parse of the unnamed statement */
    DUE_FLAG_REFERS = 8,    /* set by due_push: one of the entry's pointers is not NULL */
    DUE_FLAG_ASK = 16,      /* a question of ours: pool/state.h takes the answer */
    DUE_FLAG_RESTORE = 32,  /* the startup's settings behind a RESET: pool/restore.h */
    DUE_FLAG_QUIET = 64,    /* ours: the client hears nothing of its failure, either */
    DUE_FLAG_HUB = 128,     /* of a hub: pool/listen.h is to know that it was answered */

    /* Of a DUE_NAME alone: */
    DUE_FLAG_ALL = 16,          /* DEALLOCATE ALL */
    DUE_FLAG_PREPARES = 32,     /* a PREPARE that is not answered yet */
    DUE_FLAG_DEALLOCATES = 128, /* a DEALLOCATE that is not answered yet */
};

/* Entries that the handling of one message may add. */
enum { DUE_SLACK = 8 };

struct due_entry {
    uint8_t what; /* enum due_what */
    uint8_t kind; /* enum due_kind */
    uint8_t flags;
    int8_t shift;      /* DUE_NAME: how many characters it is longer than the client's */
    uint32_t shift_at; /* the position of its first, from 1 */
    uint8_t refused;   /* what stands in its place must fail: pool/refusal.h */
    bool sequences;    /* Execute: others' values are gone then (pool/sequence.h) */
    bool begins;       /* of a BEGIN that the client was told of: pool/deferred_begin.h */
    uint32_t catalog;  /* Describe: shared_catalog when it was sent; refused by a rule: of which */
    bool applies;      /* of settings that travel with a statement: pool/apply.h */
    uint32_t number;   /* Bind of a name: its session_statement.number */
    struct link_statement *prepared; /* Parse: what the link will have; may be NULL */
    /* Parse, Close, Describe: what the client has; NULL = none, or gone. */
    struct session_statement *named;
    struct statement *unnamed_before; /* Parse of the unnamed: what to go back to; owned */
};

struct due {
    struct due_entry *entries; /* a ring */
    uint32_t capacity;         /* a power of two */
    uint32_t first, count;
    bool flushed;   /* a Flush of ours stands behind the last entry */
    bool skipping;  /* an error came and no Sync has been sent since */
    bool copy_in;   /* the server reads COPY data */
    bool copy_both; /* START_REPLICATION: both sides send until both have ended */
};

void due_init(struct due *due);
void due_fini(struct due *due);

static inline bool due_empty(const struct due *due)
{
    return due->count == 0;
}

static inline struct due_entry *due_at(const struct due *due, uint32_t index)
{
    return &due->entries[(due->first + index) & (due->capacity - 1)];
}

static inline struct due_entry *due_head(const struct due *due)
{
    return due->count == 0 ? 0 : due_at(due, 0);
}

/* Appends an entry. 0; ERR_LIMIT when LIMIT_DUE are due already; ERR_NO_MEMORY. */
int due_push(struct due *due, const struct due_entry *entry);

/* The same for an entry that refers to nothing. */
static inline int due_push_plain(struct due *due, uint8_t what, uint8_t kind, uint8_t flags)
{
    const struct due_entry entry = {.what = what, .kind = kind, .flags = flags};
    if (due->count == due->capacity) {
        return due_push(due, &entry);
    }
    *due_at(due, due->count++) = entry;
    due->flushed = false;
    return 0;
}

/* Removes the head, which must be there. */
static inline void due_pop(struct due *due)
{
    ASSERT(due->count > 0);
    due->first = (due->first + 1) & (due->capacity - 1);
    due->count--;
}

/* The entry behind the head; NULL when there is none. */
static inline struct due_entry *due_next(const struct due *due)
{
    return due->count < 2 ? 0 : due_at(due, 1);
}

/* Whether nothing follows from the end of the head's reply but due_pop: the head changes nothing by
 * it, and the next entry (NULL: none) awaits a reply. */
static inline bool due_pops_plainly(const struct due_entry *head, const struct due_entry *next)
{
    return head->flags == 0 &&
           (next == 0 || (next->kind != DUE_SYNTHESISE && next->what < DUE_COPY_END));
}

enum due_verdict {
    DUE_VERDICT_VIOLATION,  /* the head allows no such message */
    DUE_VERDICT_PART,       /* part of the head's reply */
    DUE_VERDICT_PLAIN,      /* the same, and nothing else follows from it */
    DUE_VERDICT_LAST,       /* the head's reply ends with it: pop */
    DUE_VERDICT_PLAIN_LAST, /* the same, and nothing else follows from it */
    DUE_VERDICT_ERROR,      /* ErrorResponse that makes the server skip to Sync */
    DUE_VERDICT_ASIDE,      /* Notice, ParameterStatus, Notification: may come at any time */
};

extern const uint8_t due_rules[DUE_WHAT_COUNT][256]; /* enum due_verdict by message */

/* What a backend message means for the head of the ledger (NULL: nothing is due). */
enum due_verdict due_judge(const struct due_entry *head, uint8_t type);

/* The server has begun to read COPY data: drops the Syncs that it will ignore. */
void due_copy_in_begins(struct due *due);

#endif
