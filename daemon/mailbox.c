#include "daemon/mailbox.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/error.h"

enum { MAILBOX_CAPACITY_MIN = 64 };

void mailbox_init(struct mailbox *mailbox)
{
    *mailbox = (struct mailbox){.count = 0};
    pthread_mutex_init(&mailbox->lock, NULL);
}

void mailbox_fini(struct mailbox *mailbox)
{
    free(mailbox->messages);
    pthread_mutex_destroy(&mailbox->lock);
}

static int grow(struct mailbox *mailbox)
{
    uint32_t capacity = mailbox->capacity == 0 ? MAILBOX_CAPACITY_MIN : mailbox->capacity * 2;
    ASSERT(capacity > mailbox->capacity);
    struct message *messages = realloc(mailbox->messages, capacity * sizeof(*messages));
    if (messages == NULL) {
        return ERR_NO_MEMORY;
    }
    mailbox->messages = messages;
    mailbox->capacity = capacity;
    return 0;
}

int mailbox_put(struct mailbox *mailbox, const struct message *message, bool *ret_wake)
{
    int code = 0;
    *ret_wake = false;
    pthread_mutex_lock(&mailbox->lock);
    if (mailbox->count == mailbox->capacity) {
        code = grow(mailbox);
    }
    if (code == 0) {
        mailbox->messages[mailbox->count++] = *message;
        atomic_store(&mailbox->has_mail, true);
    }
    pthread_mutex_unlock(&mailbox->lock);
    if (code == 0) {
        *ret_wake = atomic_exchange(&mailbox->asleep, false);
    }
    return code;
}

/* A sender writes `has_mail` and then reads `asleep`, the receiver does it the other way round: one
 * of them sees the other. */
bool mailbox_sleep(struct mailbox *mailbox)
{
    atomic_store(&mailbox->asleep, true);
    if (!atomic_load(&mailbox->has_mail)) {
        return true;
    }
    atomic_store(&mailbox->asleep, false);
    return false;
}

bool mailbox_awake(struct mailbox *mailbox)
{
    atomic_store_explicit(&mailbox->asleep, false, memory_order_relaxed);
    return atomic_load(&mailbox->has_mail);
}

void mailbox_take(struct mailbox *mailbox, struct mail *mail)
{
    struct mail emptied = *mail;
    pthread_mutex_lock(&mailbox->lock);
    *mail = (struct mail){mailbox->messages, mailbox->count, mailbox->capacity};
    mailbox->messages = emptied.messages;
    mailbox->capacity = emptied.capacity;
    mailbox->count = 0;
    atomic_store(&mailbox->has_mail, false);
    pthread_mutex_unlock(&mailbox->lock);
}
