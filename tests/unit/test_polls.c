#include "router/polls.h"

#include <criterion/criterion.h>

#include "router/ticks.h"

/* A primary (node 0) and two replicas, in a simulated time of microseconds. A server answers after
 * RTT_US with what it was in the middle of that. Each replica shows what the primary was lag_us
 * before; one that is paused stays where it was. What is logged beside commits (`loose`) is
 * flushed, and shown by replicas, FLUSH_US after a poll that commits. */
enum { NODES = 3, RTT_US = 200, STEP_US = 20, INCARNATION = 1, FLUSH_US = 200000 };
#define MS UINT64_C(1000)
#define S UINT64_C(1000000)

static const struct polls_who everybody = {.usable = 7}, replicas = {.usable = 6};

struct server {
    uint64_t due_us, lsn; /* of the answer; 0: nothing is under way */
    uint64_t lag_us, paused_us, polls;
};

struct world {
    struct polls polls;
    struct ticks *ticks;
    uint64_t now_us, next_us;
    struct server servers[NODES];
    uint64_t begun_us, write_us; /* since then a write each so many microseconds */
    uint64_t loose, commits, committed_us;
    struct polls_who who;
};

static void begin(struct world *world)
{
    *world = (struct world){.now_us = S, .next_us = POLLS_NEVER, .begun_us = S, .write_us = S};
    world->who = everybody;
    world->ticks = ticks_new(0);
    polls_init(&world->polls, ticks_ref(world->ticks));
    polls_follow(&world->polls, 0, INCARNATION);
}

static void end(struct world *world)
{
    polls_fini(&world->polls);
    ticks_unref(world->ticks);
}

static uint64_t lsn_at(const struct world *world, uint64_t us)
{
    return 1000 + (us > world->begun_us ? (us - world->begun_us) / world->write_us : 0);
}

static bool is_flushed(const struct world *world)
{
    return world->commits > 0 && world->now_us >= world->committed_us + FLUSH_US;
}

static uint64_t lsn_of(const struct world *world, const struct server *server)
{
    uint64_t us = world->now_us - server->lag_us;
    bool has_loose = server == &world->servers[0] || is_flushed(world);
    return lsn_at(world, server->paused_us != 0 ? server->paused_us : us) +
           (has_loose ? world->loose : 0);
}

static void ask_one(struct world *world, uint32_t at)
{
    struct server *server = &world->servers[at];
    cr_assert_eq(server->due_us, 0, "one at a time");
    if (at == 0 && polls_commits(&world->polls, world->who)) {
        polls_committed(&world->polls, world->now_us);
        world->commits++;
        world->committed_us = world->now_us;
    }
    polls_asked(&world->polls, at, world->now_us);
    server->due_us = world->now_us + RTT_US;
    server->polls++;
}

static void answer(struct world *world, uint32_t at)
{
    struct server *server = &world->servers[at];
    server->due_us = 0;
    cr_assert(polls_answered(&world->polls, at, server->lsn, INCARNATION));
    if (at == 0) {
        uint64_t unflushed = is_flushed(world) ? 0 : world->loose;
        polls_flushed(&world->polls, server->lsn, server->lsn - unflushed);
    }
}

static void ask(struct world *world)
{
    uint32_t due;
    do {
        due = polls_due(&world->polls, world->who, world->now_us, &world->next_us);
        for (uint32_t i = 0; i < NODES; i++) {
            if ((due >> i & 1) != 0) {
                ask_one(world, i);
            }
        }
    } while (!polls_sleep(&world->polls));
}

static void want(struct world *world)
{
    if (ticks_want(world->ticks, ticks_next(world->ticks))) {
        ask(world);
    }
}

/* Until that time, with a want every so often (0: never). */
static void run(struct world *world, uint64_t until_us, uint64_t want_us)
{
    for (; world->now_us < until_us; world->now_us += STEP_US) {
        if (want_us != 0 && world->now_us % want_us == 0) {
            want(world);
        }
        bool news = world->now_us >= world->next_us;
        for (uint32_t i = 0; i < NODES; i++) {
            struct server *server = &world->servers[i];
            if (server->due_us == world->now_us + RTT_US / 2) {
                server->lsn = lsn_of(world, server);
            } else if (server->due_us == world->now_us) {
                answer(world, i);
                news = true;
            }
        }
        if (news) {
            ask(world);
        }
    }
}

static uint64_t replayed(const struct world *world, uint32_t node)
{
    struct ticks_replayed found;
    return ticks_replayed(world->ticks, node, &found) ? found.lsn : 0;
}

Test(polls, nobody_is_polled_without_a_want)
{
    struct world world;
    begin(&world);
    run(&world, 3 * S, 0);
    cr_assert(world.servers[0].polls + world.servers[1].polls + world.servers[2].polls == 0);
    end(&world);
}

Test(polls, a_want_polls_the_primary_and_then_each_replica_once)
{
    struct world world;
    uint64_t lsn;
    begin(&world);
    uint64_t need = ticks_next(world.ticks);
    want(&world);
    run(&world, world.now_us + RTT_US + STEP_US, 0);
    cr_assert(ticks_bound(world.ticks, need, &lsn), "within one round trip");
    run(&world, world.now_us + RTT_US + STEP_US, 0);
    cr_assert(replayed(&world, 1) == lsn && replayed(&world, 2) == lsn, "within two");
    run(&world, world.now_us + S, 0);
    for (uint32_t i = 0; i < NODES; i++) {
        cr_assert_eq(world.servers[i].polls, 1);
    }
    cr_assert_eq(world.next_us, POLLS_NEVER);
    /* Again, though no replica is behind: connections that were opened since come to count. */
    want(&world);
    run(&world, world.now_us + S, 0);
    cr_assert(world.servers[0].polls == 2 && world.servers[1].polls == 2);
    end(&world);
}

Test(polls, a_replica_that_is_hardly_behind_is_asked_until_it_has_caught_up)
{
    struct world world;
    begin(&world);
    world.servers[1].lag_us = 900;
    world.write_us = 100 * MS;
    run(&world, 2 * S + STEP_US, 0); /* a write has just been made */
    uint64_t began_us = world.now_us, lsn = lsn_at(&world, began_us);
    want(&world);
    while (replayed(&world, 1) < lsn) {
        run(&world, world.now_us + STEP_US, 0);
    }
    cr_assert(world.now_us - began_us <= 900 + 2 * RTT_US, "%lu us", world.now_us - began_us);
    run(&world, world.now_us + 50 * MS, 0);
    cr_assert(world.servers[1].polls >= 2 && world.servers[1].polls <= 6);
    cr_assert(world.servers[2].polls == 1 && world.servers[0].polls == 1);
    end(&world);
}

Test(polls, a_stream_of_wants_shares_polls)
{
    struct world world;
    begin(&world);
    world.write_us = 100;
    run(&world, 3 * S, 100);
    for (uint32_t i = 0; i < NODES; i++) {
        uint64_t most = 2 * S / POLLS_GAP_US + POLLS_BURST;
        cr_assert(world.servers[i].polls <= most, "%lu polls", world.servers[i].polls);
        cr_assert(world.servers[i].polls >= most / 2, "%lu polls", world.servers[i].polls);
    }
    end(&world);
}

Test(polls, a_paused_replica_is_asked_ever_more_seldom_and_its_return_is_noticed)
{
    struct world world;
    begin(&world);
    world.write_us = 10 * MS;
    world.servers[1].paused_us = world.now_us;
    run(&world, 11 * S, 10 * MS);
    cr_assert(world.servers[1].polls < 60, "%lu polls in 10 s", world.servers[1].polls);
    cr_assert(world.servers[2].polls > 500);
    world.servers[1].paused_us = 0;
    run(&world, 14 * S, 10 * MS); /* a quarter of the pause */
    uint64_t before = world.servers[1].polls;
    run(&world, 16 * S, 10 * MS);
    cr_assert(world.servers[1].polls - before > 100, "it is as the other soon after");
    end(&world);
}

Test(polls, a_replica_that_is_always_late_is_asked_several_times_in_that_time)
{
    struct world world;
    begin(&world);
    world.write_us = MS;
    world.servers[1].lag_us = 50 * MS;
    run(&world, 2 * S, MS); /* settles */
    uint64_t before = world.servers[1].polls, oldest_us = 0;
    while (world.now_us < 4 * S) {
        run(&world, world.now_us + MS, MS);
        uint64_t shown_us = world.begun_us + (replayed(&world, 1) - 1000) * world.write_us;
        oldest_us = world.now_us - shown_us > oldest_us ? world.now_us - shown_us : oldest_us;
    }
    cr_assert(oldest_us < 50 * MS * 3 / 2, "%lu us", oldest_us);
    cr_assert(world.servers[1].polls - before < 400, "%lu polls", world.servers[1].polls - before);
    end(&world);
}

Test(polls, with_another_primary_nothing_that_was_under_way_counts)
{
    struct world world;
    uint64_t lsn, next_us;
    begin(&world);
    want(&world);
    run(&world, world.now_us + S, 0);
    uint64_t need = ticks_next(world.ticks);
    want(&world);
    polls_asked(&world.polls, 2, world.now_us);
    cr_assert(polls_follows(&world.polls, 0, INCARNATION));
    cr_assert(!polls_follows(&world.polls, 0, INCARNATION + 1), "it may have lost WAL");
    cr_assert(!polls_follows(&world.polls, 1, INCARNATION));
    polls_follow(&world.polls, 1, INCARNATION);
    cr_assert_eq(replayed(&world, 1), 0);
    cr_assert(polls_answered(&world.polls, 0, 5000, INCARNATION), "of the old one");
    cr_assert(polls_answered(&world.polls, 2, 5000, INCARNATION), "of a replica");
    cr_assert(!ticks_bound(world.ticks, need, &lsn));
    cr_assert(replayed(&world, 0) == 0 && replayed(&world, 2) == 0);
    cr_assert((polls_due(&world.polls, everybody, world.now_us, &next_us) & 2) != 0, "the new one");
    polls_asked(&world.polls, 1, world.now_us);
    cr_assert(polls_answered(&world.polls, 1, 900, INCARNATION));
    cr_assert(ticks_bound(world.ticks, need, &lsn) && lsn == 900);
    end(&world);
}

Test(polls, an_lsn_that_goes_back_is_told)
{
    struct world world;
    begin(&world);
    polls_asked(&world.polls, 1, world.now_us);
    cr_assert(polls_answered(&world.polls, 1, 500, INCARNATION));
    polls_asked(&world.polls, 1, world.now_us);
    cr_assert(!polls_answered(&world.polls, 1, 499, INCARNATION));
    cr_assert_eq(replayed(&world, 1), 0);
    polls_asked(&world.polls, 1, world.now_us);
    polls_forget(&world.polls, 1);
    cr_assert(polls_answered(&world.polls, 1, 600, INCARNATION), "is ignored");
    cr_assert_eq(replayed(&world, 1), 0);
    end(&world);
}

Test(polls, who_cannot_be_asked_is_not_due)
{
    struct world world;
    uint64_t next_us;
    begin(&world);
    (void)ticks_want(world.ticks, ticks_next(world.ticks));
    cr_assert_eq(polls_due(&world.polls, everybody, world.now_us, &next_us), 1);
    cr_assert_eq(polls_due(&world.polls, replicas, world.now_us, &next_us), 0);
    polls_asked(&world.polls, 0, world.now_us);
    cr_assert_eq(polls_due(&world.polls, everybody, world.now_us, &next_us), 0, "is under way");
    polls_lost(&world.polls, 0);
    cr_assert_eq(polls_due(&world.polls, everybody, world.now_us, &next_us), 1, "is wanted yet");
    end(&world);
}

Test(polls, what_an_idle_primary_does_not_flush_is_flushed_for_who_waits_for_it)
{
    struct world world;
    begin(&world);
    world.write_us = 1000 * S;
    world.loose = 64;
    run(&world, 5 * S, 0);
    cr_assert_eq(world.servers[0].polls, 0, "nobody waits");
    uint64_t need = ticks_next(world.ticks), began_us = world.now_us, lsn;
    want(&world);
    while (!ticks_bound(world.ticks, need, &lsn) || replayed(&world, 1) < lsn) {
        run(&world, world.now_us + MS, 0);
    }
    cr_assert_eq(world.commits, 1);
    cr_assert(world.now_us - began_us < 2 * (TAIL_US + FLUSH_US), "%lu us",
              world.now_us - began_us);
    run(&world, world.now_us + 60 * S, 0);
    cr_assert(world.commits == 1 && world.servers[0].polls <= 4, "and that was all");
    end(&world);
}

Test(polls, nothing_is_committed_for_a_replica_that_is_behind_what_is_flushed)
{
    struct world world;
    begin(&world);
    world.servers[1].paused_us = world.servers[2].paused_us = S;
    world.loose = 64;
    run(&world, 3 * S, 0);
    run(&world, 60 * S, 100 * MS);
    cr_assert_eq(world.commits, 0);
    end(&world);
}

Test(polls, a_replica_that_is_taken_for_late_needs_no_want)
{
    struct world world;
    begin(&world);
    world.write_us = 1000 * S;
    world.loose = 64;
    for (uint32_t i = 0; i < 2; i++) { /* the probes' own questions */
        ask_one(&world, i);
    }
    run(&world, 2 * S, 0);
    cr_assert_eq(world.commits, 0);
    world.who.late = 2;
    ask_one(&world, 0); /* what the next of them tells has us look */
    run(&world, 4 * S, 0);
    cr_assert_eq(world.commits, 1);
    end(&world);
}

static void tell_at_once(struct world *world, uint32_t at)
{
    ask_one(world, at);
    world->servers[at].lsn = lsn_of(world, &world->servers[at]);
    answer(world, at);
}

Test(polls, a_commit_that_breaks_the_connection_leaves_nothing_to_wait_for)
{
    struct world world;
    begin(&world);
    world.write_us = 1000 * S;
    world.loose = 64;
    world.who.late = 2;
    tell_at_once(&world, 0);
    tell_at_once(&world, 1);
    world.now_us += TAIL_US;
    tell_at_once(&world, 0);
    cr_assert(polls_commits(&world.polls, world.who));
    polls_asked(&world.polls, 0, world.now_us);
    polls_forget(&world.polls, 0); /* it broke when the commit was to be sent */
    polls_committed(&world.polls, world.now_us);
    cr_assert(!polls_commits(&world.polls, world.who));
    cr_assert_eq(world.polls.tail.due_us, 0);
    end(&world);
}

Test(polls, wants_wake_only_who_sleeps)
{
    struct world world;
    begin(&world);
    want(&world);
    cr_assert(!ticks_want(world.ticks, 2), "a poll is under way: its answer has us look");
    run(&world, world.now_us + 10 * MS, 0);
    cr_assert_eq(ticks_newest(world.ticks), 2);
    cr_assert(ticks_want(world.ticks, 3), "all is answered");
    cr_assert(!ticks_want(world.ticks, 4));
    ask(&world);
    run(&world, world.now_us + 10 * MS, 0);
    cr_assert_eq(ticks_newest(world.ticks), 4);
    end(&world);
}
