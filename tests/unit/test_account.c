#include "pool/account.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>

Test(account, names_that_run_together_are_not_the_same)
{
    struct shared *shared = shared_new(2);
    struct account *one = shared_account(shared, "pool", "a", "b c");
    struct account *two = shared_account(shared, "pool", "a b", "c");
    struct account *three = shared_account(shared, "db", "a", "b c");
    cr_assert(one != two && one != three && two != three);
    cr_assert_eq(shared_account(shared, "pool", "a", "b c"), one);
    shared_free(shared);
    shared_free(NULL);
}

Test(account, homes_go_round_the_workers)
{
    struct shared *shared = shared_new(3);
    cr_assert_eq(shared_worker_count(shared), 3);
    uint32_t seen[3] = {0};
    for (char name[2] = "a"; name[0] < 'g'; name[0]++) {
        seen[shared_account(shared, "pool", name, "")->home]++;
    }
    cr_assert(seen[0] == 2 && seen[1] == 2 && seen[2] == 2);
    shared_free(shared);
}

Test(account, places_up_to_the_limit)
{
    struct shared *shared = shared_new(1);
    struct account *account = shared_account(shared, "db", "a", "");
    cr_assert(account_take(account, 2) && account_take(account, 2));
    cr_assert(!account_take(account, 2));
    cr_assert(account_take(account, 0), "0 is no limit");
    account_give_back(account);
    account_give_back(account);
    cr_assert(account_take(account, 2));
    cr_assert_eq(account->total, 2);
    shared_free(shared);
}

Test(account, pools_under_a_cap_are_found)
{
    struct shared *shared = shared_new(2);
    struct account *database = shared_account(shared, "db", "a", "");
    struct account *alice = shared_account(shared, "user", "alice", "");
    struct account *bob = shared_account(shared, "user", "bob", "");
    struct account *one = shared_account(shared, "pool", "a", "alice");
    struct account *two = shared_account(shared, "pool", "a", "bob");
    shared_account(shared, "pool", "a", "nobody has met it");
    cr_assert_null(shared_next_under(shared, database, NULL));
    account_under(one, database, alice);
    account_under(two, database, bob);
    cr_assert_eq(shared_next_under(shared, database, NULL), two);
    cr_assert_eq(shared_next_under(shared, database, two), one);
    cr_assert_null(shared_next_under(shared, database, one));
    cr_assert_eq(shared_next_under(shared, alice, NULL), one);
    cr_assert_null(shared_next_under(shared, alice, one));
    cr_assert_str_eq(one->first, "a");
    cr_assert_str_eq(one->second, "alice");
    shared_free(shared);
}

struct takers {
    struct account *account;
    int taken;
};

static void *take_all(void *context)
{
    struct takers *takers = context;
    for (int i = 0; i < 10000; i++) {
        takers->taken += account_take(takers->account, 1000);
    }
    return NULL;
}

Test(account, threads_together_take_no_more_than_the_limit)
{
    struct shared *shared = shared_new(2);
    struct takers takers[4];
    pthread_t threads[4];
    int taken = 0;
    for (int i = 0; i < 4; i++) {
        takers[i] = (struct takers){shared_account(shared, "db", "a", ""), 0};
        pthread_create(&threads[i], NULL, take_all, &takers[i]);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        taken += takers[i].taken;
    }
    cr_assert_eq(taken, 1000);
    shared_free(shared);
}

Test(account, clients_up_to_the_maximum)
{
    struct shared *shared = shared_new(1);
    cr_assert(!shared_client_enter(shared, 0));
    cr_assert(shared_client_enter(shared, 1));
    cr_assert(!shared_client_enter(shared, 1));
    shared_client_leave(shared);
    cr_assert(shared_client_enter(shared, 1));
    shared_free(shared);
}

Test(account, failed_logins_count_per_address_and_user_within_the_window)
{
    static const uint8_t here[16] = {127, 0, 0, 1}, there[16] = {10, 0, 0, 1};
    struct shared *shared = shared_new(1);
    for (int i = 0; i < 3; i++) {
        cr_assert(shared_login_allowed(shared, here, "alice", 3, 1000, 100 + i));
        shared_login_failed(shared, here, "alice", 1000, 100 + i);
    }
    cr_assert(!shared_login_allowed(shared, here, "alice", 3, 1000, 200));
    cr_assert(shared_login_allowed(shared, here, "alice", 0, 1000, 200), "0 is no limit");
    cr_assert(shared_login_allowed(shared, here, "bob", 3, 1000, 200));
    cr_assert(shared_login_allowed(shared, there, "alice", 3, 1000, 200));
    cr_assert(!shared_login_allowed(shared, here, "alice", 3, 1000, 1099));
    cr_assert(shared_login_allowed(shared, here, "alice", 3, 1000, 1100));
    shared_login_failed(shared, here, "alice", 1000, 1100);
    cr_assert(shared_login_allowed(shared, here, "alice", 3, 1000, 1101), "a window of its own");
    shared_free(shared);
}

Test(account, resolved_hosts)
{
    struct shared *shared = shared_new(1);
    struct shared_host host;
    cr_assert_not(shared_host_at(shared, 0, &host));
    shared_host_resolved(shared, "db1", "10.0.0.1");
    shared_host_resolved(shared, "db2", "");
    shared_host_resolved(shared, "db1", "10.0.0.2,fd00::2"); /* moved */
    cr_assert(shared_host_at(shared, 0, &host));
    cr_assert_str_eq(host.name, "db1");
    cr_assert_str_eq(host.addresses, "10.0.0.2,fd00::2");
    cr_assert(shared_host_at(shared, 1, &host));
    cr_assert_str_eq(host.addresses, "");
    cr_assert_not(shared_host_at(shared, 2, &host));
    for (int i = 0; i < 1000; i++) {
        char name[32];
        snprintf(name, sizeof(name), "other%d", i);
        shared_host_resolved(shared, name, "::1");
    }
    cr_assert(shared_host_at(shared, 255, &host));
    cr_assert_not(shared_host_at(shared, 256, &host), "bounded");
    shared_free(shared);
}
