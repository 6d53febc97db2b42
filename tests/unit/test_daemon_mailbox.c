#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>

#include "daemon/mailbox.h"

enum { SENDERS = 4, MESSAGES = 20000 };

struct sender {
    struct mailbox *mailbox;
    uint32_t index;
};

static void *send_all(void *argument)
{
    struct sender *sender = argument;
    for (uint32_t i = 1; i <= MESSAGES; i++) {
        struct message message = {.kind = MESSAGE_PING, .worker = sender->index};
        message.handle.slot = i;
        bool wake = false;
        if (mailbox_put(sender->mailbox, &message, &wake) != 0) {
            abort();
        }
    }
    return NULL;
}

Test(daemon_mailbox, wakes_a_receiver_that_sleeps_once)
{
    struct mailbox mailbox;
    struct mail mail = {.messages = NULL};
    struct message message = {.kind = MESSAGE_PING};
    bool wake = false;
    mailbox_init(&mailbox);
    cr_assert_eq(mailbox_put(&mailbox, &message, &wake), 0);
    cr_assert(!wake); /* it is at work, and will see it by itself */
    cr_assert(!mailbox_sleep(&mailbox));
    mailbox_take(&mailbox, &mail);
    cr_assert_eq(mail.count, 1);
    mail.count = 0;
    cr_assert(mailbox_sleep(&mailbox));
    cr_assert_eq(mailbox_put(&mailbox, &message, &wake), 0);
    cr_assert(wake);
    cr_assert_eq(mailbox_put(&mailbox, &message, &wake), 0);
    cr_assert(!wake);
    cr_assert(mailbox_awake(&mailbox));
    mailbox_take(&mailbox, &mail);
    cr_assert_eq(mail.count, 2);
    cr_assert(!mailbox_awake(&mailbox));
    free(mail.messages);
    mailbox_fini(&mailbox);
}

/* Each message arrives once, and those of one sender in their order. */
Test(daemon_mailbox, keeps_the_order_of_each_sender)
{
    struct mailbox mailbox;
    struct mail mail = {.messages = NULL};
    struct sender senders[SENDERS];
    pthread_t threads[SENDERS];
    uint32_t seen[SENDERS] = {0};
    uint32_t total = 0;
    mailbox_init(&mailbox);
    for (uint32_t i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){.mailbox = &mailbox, .index = i};
        cr_assert_eq(pthread_create(&threads[i], NULL, send_all, &senders[i]), 0);
    }
    while (total < SENDERS * MESSAGES) {
        mailbox_take(&mailbox, &mail);
        for (uint32_t i = 0; i < mail.count; i++) {
            uint32_t from = mail.messages[i].worker;
            cr_assert_eq(mail.messages[i].handle.slot, seen[from] + 1);
            seen[from]++;
        }
        total += mail.count;
        mail.count = 0;
    }
    for (uint32_t i = 0; i < SENDERS; i++) {
        pthread_join(threads[i], NULL);
    }
    free(mail.messages);
    mailbox_fini(&mailbox);
}
