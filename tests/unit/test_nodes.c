/* Who is the primary, which replicas may be read, and that neither is ever said without proof. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "router/nodes.h"

#define MS UINT64_C(1000)

enum { MB = 1024 * 1024, SYSTEM = 7 };

static struct nodes *fresh(uint32_t count, bool discovers, uint64_t max_lag_ms)
{
    struct nodes *nodes = malloc(sizeof(*nodes));
    const struct nodes_rules rules = {count, discovers, max_lag_ms * MS, 0};
    nodes_init(nodes, &rules, 1);
    return nodes;
}

static struct node_answer answer_at(uint64_t now_ms, bool in_recovery, uint32_t timeline,
                                    uint64_t lsn)
{
    return (struct node_answer){.in_recovery = in_recovery,
                                .has_lsn = true,
                                .lsn = lsn,
                                .timeline = timeline,
                                .segment_bytes = 16 * MB,
                                .system_id = SYSTEM,
                                .started_us = 1,
                                .asked_us = now_ms * MS,
                                .answered_us = now_ms * MS + 500};
}

static void leads(struct nodes *nodes, uint32_t at, uint64_t now_ms, uint32_t timeline,
                  uint64_t lsn)
{
    struct node_answer answer = answer_at(now_ms, false, timeline, lsn);
    answer.started_us = at + 1;
    nodes_answered(nodes, at, &answer);
}

static void follows(struct nodes *nodes, uint32_t at, uint64_t now_ms, uint32_t timeline,
                    uint64_t lsn)
{
    struct node_answer answer = answer_at(now_ms, true, timeline, lsn);
    answer.started_us = at + 1;
    nodes_answered(nodes, at, &answer);
}

static void state_is(const struct nodes *nodes, uint32_t at, enum node_state state)
{
    const struct node *node = &nodes->nodes[at];
    cr_expect_eq(node->state, state, "node %u is %s (%s), not %s", at,
                 nodes_state_name(node->state), node->reason, nodes_state_name(state));
}

static void reason_has(const struct nodes *nodes, uint32_t at, const char *part)
{
    cr_expect_not_null(strstr(nodes->nodes[at].reason, part), "node %u: %s", at,
                       nodes->nodes[at].reason);
}

static const struct node_failover *last_failover(const struct nodes *nodes)
{
    return &nodes->failovers[(nodes->failover_count - 1) % NODES_FAILOVERS];
}

/* --- LSNs ------------------------------------------------------------------------------------- */

Test(nodes, page_headers_are_no_wal)
{
    cr_expect_eq(nodes_round_lsn(8192 * 5 + 24, 16 * MB), 8192 * 5);
    cr_expect_eq(nodes_round_lsn(8192 * 5 + 40, 16 * MB), 8192 * 5 + 40);
    cr_expect_eq(nodes_round_lsn(UINT64_C(16) * MB * 3 + 40, 16 * MB), UINT64_C(16) * MB * 3);
    cr_expect_eq(nodes_round_lsn(UINT64_C(16) * MB * 3 + 40, 0), UINT64_C(16) * MB * 3 + 40);
    cr_expect_eq(nodes_round_lsn(8192 * 5 + 32, 16 * MB), 8192 * 5 + 32);
    cr_expect_eq(nodes_round_lsn(0, 16 * MB), 0);
}

/* --- states ----------------------------------------------------------------------------------- */

Test(nodes, a_replica_that_keeps_up_is_up)
{
    struct nodes *nodes = fresh(2, false, 10000);
    state_is(nodes, 1, NODE_UNKNOWN);
    follows(nodes, 1, 1, 1, 1000);
    state_is(nodes, 1, NODE_UNKNOWN); /* not blamed for a primary that was not asked yet */
    leads(nodes, 0, 2, 1, 1000);
    follows(nodes, 1, 3, 1, 1000);
    state_is(nodes, 0, NODE_UP);
    state_is(nodes, 1, NODE_UP);
    cr_expect_eq(nodes->nodes[1].lag_us, 0);
    cr_expect(nodes_may_read(nodes, 1));
    cr_expect_not(nodes_may_read(nodes, 0));
    free(nodes);
}

/* The primary writes a byte a millisecond and is asked once a second. */
static void run_seconds(struct nodes *nodes, uint64_t from_s, uint64_t to_s, uint64_t replayed)
{
    for (uint64_t s = from_s; s < to_s; s++) {
        leads(nodes, 0, s * 1000, 1, 1000000 + s * 1000);
        follows(nodes, 1, s * 1000 + 10, 1, replayed == 0 ? 1000000 + s * 1000 : replayed);
    }
}

Test(nodes, lag_is_told_by_lsns_and_goes_with_hysteresis)
{
    struct nodes *nodes = fresh(2, false, 4000);
    run_seconds(nodes, 1, 10, 0);
    state_is(nodes, 1, NODE_UP);
    run_seconds(nodes, 10, 14, 1009000);
    state_is(nodes, 1, NODE_UP); /* 4 s behind: not more than max_lag */
    cr_expect_eq(nodes->nodes[1].lag_us, 4000 * MS);
    cr_expect_eq(nodes->nodes[1].lag_bytes, 4000);
    run_seconds(nodes, 14, 15, 1009000);
    state_is(nodes, 1, NODE_LAGGING);
    reason_has(nodes, 1, "5000 ms behind");
    for (uint64_t second = 15; second < 19; second++) {
        run_seconds(nodes, second, second + 1, 1000000 + (second - 3) * 1000);
        state_is(nodes, 1, NODE_LAGGING); /* 3 s: within max_lag, not within half of it */
    }
    run_seconds(nodes, 19, 21, 0);
    state_is(nodes, 1, NODE_RETURNING);
    cr_expect_not(nodes_may_read(nodes, 1));
    run_seconds(nodes, 21, 22, 0);
    state_is(nodes, 1, NODE_UP);
    cr_expect_str_eq(nodes->nodes[1].reason, "");
    free(nodes);
}

Test(nodes, what_is_not_known_is_infinite)
{
    struct nodes *nodes = fresh(2, false, 4000);
    struct node_answer lies = answer_at(2500, true, 1, 1002000);
    lies.started_us = 2;
    run_seconds(nodes, 1, 3, 0);
    lies.has_lsn = false;
    nodes_answered(nodes, 1, &lies);
    state_is(nodes, 1, NODE_LAGGING);
    reason_has(nodes, 1, "LSN is not known");
    run_seconds(nodes, 3, 6, 0);
    state_is(nodes, 1, NODE_UP);
    follows(nodes, 1, 6001, 0, 1005000);
    state_is(nodes, 1, NODE_LAGGING);
    reason_has(nodes, 1, "follows timeline 0");
    free(nodes);

    /* Behind all that is known. */
    nodes = fresh(2, false, 4000);
    leads(nodes, 0, 1, 1, 1000000);
    follows(nodes, 1, 2, 1, 999999);
    state_is(nodes, 1, NODE_LAGGING);
    cr_expect_eq(nodes->nodes[1].lag_us, NODE_LAG_UNKNOWN);
    free(nodes);
}

Test(nodes, without_an_answer_of_the_primary_lag_becomes_unknown)
{
    struct nodes *nodes = fresh(2, false, 4000);
    run_seconds(nodes, 1, 4, 0);
    nodes_failed(nodes, 0, NODE_REFUSED, "refused", 3500 * MS);
    state_is(nodes, 0, NODE_DOWN);
    cr_expect_eq(nodes->primary, 0); /* nobody else claims it */
    follows(nodes, 1, 6900, 1, 1003000);
    state_is(nodes, 1, NODE_UP);
    follows(nodes, 1, 7100, 1, 1003000);
    state_is(nodes, 1, NODE_LAGGING);
    reason_has(nodes, 1, "primary has not answered");
    leads(nodes, 0, 7200, 1, 1003000);
    state_is(nodes, 0, NODE_UP); /* at once */
    free(nodes);
}

Test(nodes, without_max_lag_a_replica_may_be_anywhere_on_the_timeline)
{
    struct nodes *nodes = fresh(2, false, 0);
    leads(nodes, 0, 1, 2, 1000000);
    follows(nodes, 1, 2, 2, 5);
    state_is(nodes, 1, NODE_UP);
    follows(nodes, 1, 3, 1, 5);
    state_is(nodes, 1, NODE_LAGGING);
    free(nodes);
}

Test(nodes, refusal_silence_and_names)
{
    struct nodes *nodes = fresh(2, false, 10000);
    run_seconds(nodes, 1, 2, 0);
    nodes_failed(nodes, 1, NODE_LATE, "late", 1500 * MS);
    state_is(nodes, 1, NODE_UP);
    cr_expect_not(nodes->nodes[1].has_lsn);
    cr_expect_eq(nodes->nodes[1].silences, 0);
    cr_expect_neq(nodes->nodes[1].latency_us, 0);
    nodes_failed(nodes, 1, NODE_LATE, "late", 2500 * MS);
    state_is(nodes, 1, NODE_FROZEN);
    cr_expect_eq(nodes->nodes[1].latency_us, 0);
    nodes_failed(nodes, 1, NODE_REFUSED, "refused", 2600 * MS);
    state_is(nodes, 1, NODE_DOWN);
    cr_expect_eq(nodes->nodes[1].silences, 1); /* the same one goes on */
    reason_has(nodes, 1, "refused");
    run_seconds(nodes, 3, 5, 0);
    state_is(nodes, 1, NODE_RETURNING);
    nodes_failed(nodes, 1, NODE_LATE, "late", 5500 * MS);
    run_seconds(nodes, 6, 8, 0); /* counted from one again */
    state_is(nodes, 1, NODE_RETURNING);
    run_seconds(nodes, 8, 9, 0);
    state_is(nodes, 1, NODE_UP);
    nodes_failed(nodes, 1, NODE_NO_NAME, "no such name", 9 * 1000 * MS);
    state_is(nodes, 1, NODE_GONE);
    cr_expect_eq(nodes->nodes[1].silences, 2);
    nodes_failed(nodes, 0, NODE_NAMELESS, "no such name", 11 * 1000 * MS);
    state_is(nodes, 0, NODE_UP); /* it answers, and there is no other */
    cr_expect_eq(nodes->event_count, 7);
    nodes_failed(nodes, 0, NODE_NO_NAME, "no such name", 12 * 1000 * MS);
    state_is(nodes, 0, NODE_GONE); /* its connection has ended */
    cr_expect_not(nodes_may_write(nodes));
    free(nodes);
}

Test(nodes, latency_rises_slowly_and_falls_quickly)
{
    struct nodes *nodes = fresh(1, false, 10000);
    const uint64_t took_us[] = {16000, 1000, 1000, 1000, 1000, 40000};
    const uint64_t shown_us[] = {16001, 8501, 4751, 2876, 1938, 6695};
    for (size_t i = 0; i < sizeof(took_us) / sizeof(took_us[0]); i++) {
        struct node_answer answer = answer_at(1 + i * 1000, false, 1, 1000000);
        answer.answered_us = answer.asked_us + took_us[i];
        nodes_answered(nodes, 0, &answer);
        cr_expect_eq(nodes->nodes[0].latency_us, shown_us[i], "%zu: %llu", i,
                     (unsigned long long)nodes->nodes[0].latency_us);
    }
    free(nodes);
}

Test(nodes, an_incarnation_is_one_run_of_one_server)
{
    struct nodes *nodes = fresh(2, false, 10000);
    run_seconds(nodes, 1, 3, 0);
    uint32_t first = nodes->nodes[1].incarnation;
    nodes_failed(nodes, 1, NODE_REFUSED, "broke", 2500 * MS);
    follows(nodes, 1, 2600, 1, 1002000);
    cr_expect_eq(nodes->nodes[1].incarnation, first); /* connections from before may live */
    follows(nodes, 1, 2700, 1, 1001000);
    cr_expect_eq(nodes->nodes[1].incarnation, first + 1, "its LSN went back");
    struct node_answer answer = answer_at(2800, true, 1, 1002000);
    answer.started_us = 99;
    nodes_answered(nodes, 1, &answer);
    cr_expect_eq(nodes->nodes[1].incarnation, first + 2, "restarted");
    nodes_changed(nodes, 1, "another address", 2900 * MS);
    cr_expect_eq(nodes->nodes[1].incarnation, first + 3, "moved");
    cr_expect_not(nodes->nodes[1].has_lsn);
    nodes_answered(nodes, 1, &answer);
    nodes_moved(nodes, 1, &answer, "its name means 10.0.0.2 now");
    cr_expect_eq(nodes->nodes[1].incarnation, first + 3, "another address of the same run");
    cr_expect(nodes->nodes[1].has_lsn);
    answer.system_id = 0; /* nobody knows */
    nodes_moved(nodes, 1, &answer, "its name means 10.0.0.3 now");
    cr_expect_eq(nodes->nodes[1].incarnation, first + 4, "moved");
    cr_expect_not(nodes->nodes[1].has_lsn);
    free(nodes);
}

/* --- who is the primary ----------------------------------------------------------------------- */

Test(nodes, nobody_is_elected_before_all_were_heard_of)
{
    struct nodes *nodes = fresh(3, true, 10000);
    leads(nodes, 0, 1, 1, 100);
    follows(nodes, 1, 2, 1, 100);
    cr_expect_eq(nodes->primary, NODES_NONE);
    state_is(nodes, 0, NODE_UNKNOWN);
    nodes_failed(nodes, 2, NODE_LATE, "late", 1000 * MS);
    cr_expect_eq(nodes->primary, NODES_NONE);
    nodes_failed(nodes, 2, NODE_LATE, "late", 2000 * MS);
    cr_expect_eq(nodes->primary, 0);
    cr_expect_eq(nodes->failover_count, 0);
    free(nodes);
}

Test(nodes, the_higher_timeline_wins_and_the_old_primary_stays_out)
{
    struct nodes *nodes = fresh(3, true, 10000);
    leads(nodes, 0, 1, 1, 100);
    follows(nodes, 1, 2, 1, 100);
    follows(nodes, 2, 3, 1, 100);
    cr_expect_eq(nodes->primary, 0);
    nodes_failed(nodes, 0, NODE_REFUSED, "refused", 1000 * MS);
    cr_expect_eq(nodes->primary, 0);
    leads(nodes, 1, 2001, 2, 120);
    cr_expect_eq(nodes->primary, 1);
    state_is(nodes, 1, NODE_UP);
    cr_expect_eq(last_failover(nodes)->from, 0);
    cr_expect_eq(last_failover(nodes)->to, 1);
    cr_expect_eq(last_failover(nodes)->timeline, 2);
    cr_expect_eq(last_failover(nodes)->without_us, 2000 * MS);
    follows(nodes, 2, 2100, 1, 120); /* does not follow yet */
    state_is(nodes, 2, NODE_LAGGING);
    reason_has(nodes, 2, "follows timeline 1, the primary is on 2");
    leads(nodes, 0, 3000, 1, 130); /* the old one is back, and doesn't know */
    cr_expect_eq(nodes->primary, 1);
    state_is(nodes, 0, NODE_FENCED);
    reason_has(nodes, 0, "timeline 1");
    nodes_failed(nodes, 1, NODE_REFUSED, "refused", 3100 * MS);
    leads(nodes, 0, 3200, 1, 140);
    cr_expect_eq(nodes->primary, 1, "never written to again");
    follows(nodes, 0, 4000, 2, 120);
    leads(nodes, 1, 4100, 2, 120);
    follows(nodes, 0, 4200, 2, 120);
    follows(nodes, 0, 5200, 2, 120);
    follows(nodes, 0, 6200, 2, 120);
    state_is(nodes, 0, NODE_UP);
    cr_expect_eq(nodes->failover_count, 1);
    free(nodes);
}

Test(nodes, a_timeline_that_a_replica_has_heard_of_counts)
{
    struct nodes *nodes = fresh(2, true, 10000);
    leads(nodes, 0, 1, 1, 100);
    follows(nodes, 1, 2, 1, 100);
    cr_expect_eq(nodes->primary, 0);
    follows(nodes, 1, 3, 2, 100); /* of a primary that we don't know */
    cr_expect_eq(nodes->primary, NODES_NONE);
    leads(nodes, 0, 4, 1, 100);
    state_is(nodes, 0, NODE_FENCED);
    follows(nodes, 1, 5, 1, 100); /* not forgotten */
    leads(nodes, 0, 6, 1, 100);
    cr_expect_eq(nodes->primary, NODES_NONE);
    leads(nodes, 0, 7, 3, 100);
    cr_expect_eq(nodes->primary, 0);
    free(nodes);
}

Test(nodes, two_primaries_on_one_timeline_are_none)
{
    struct nodes *nodes = fresh(3, true, 10000);
    leads(nodes, 0, 1, 2, 100);
    follows(nodes, 1, 2, 2, 100);
    follows(nodes, 2, 3, 2, 100);
    cr_expect_eq(nodes->primary, 0);
    leads(nodes, 1, 4, 2, 100);
    cr_expect_eq(nodes->primary, NODES_NONE);
    cr_expect(nodes->disputed);
    state_is(nodes, 0, NODE_FENCED);
    state_is(nodes, 1, NODE_FENCED);
    cr_expect_eq(last_failover(nodes)->to, NODES_NONE);
    nodes_failed(nodes, 1, NODE_REFUSED, "refused", 5 * MS);
    cr_expect_eq(nodes->primary, NODES_NONE, "its claim stands while nobody knows what it does");
    follows(nodes, 1, 6, 2, 100);
    cr_expect_eq(nodes->primary, 0);
    leads(nodes, 0, 7, 2, 100);
    state_is(nodes, 0, NODE_UP);
    free(nodes);
}

Test(nodes, one_server_under_two_names_is_no_dispute)
{
    struct nodes *nodes = fresh(2, true, 10000);
    struct node_answer answer = answer_at(1, false, 1, 100);
    nodes_answered(nodes, 0, &answer);
    nodes_answered(nodes, 1, &answer);
    cr_expect_eq(nodes->primary, 0);
    nodes_answered(nodes, 1, &answer);
    state_is(nodes, 1, NODE_FENCED);
    reason_has(nodes, 1, "under another name");
    free(nodes);
}

Test(nodes, a_foreign_database_system_is_fenced)
{
    struct nodes *nodes = fresh(3, true, 10000);
    struct node_answer foreign = answer_at(1, true, 9, 100);
    foreign.system_id = SYSTEM + 1;
    nodes_answered(nodes, 2, &foreign);
    leads(nodes, 0, 2, 1, 100);
    follows(nodes, 1, 3, 1, 100);
    cr_expect_eq(nodes->primary, 0, "its timelines don't count");
    nodes_answered(nodes, 2, &foreign);
    state_is(nodes, 2, NODE_FENCED);
    reason_has(nodes, 2, "another database system");
    foreign.in_recovery = false;
    nodes_answered(nodes, 2, &foreign);
    cr_expect_eq(nodes->primary, 0);
    free(nodes);

    /* Two that claim, and nothing to know by which is meant. */
    nodes = fresh(2, true, 10000);
    nodes_answered(nodes, 0, &foreign);
    leads(nodes, 1, 2, 1, 100);
    cr_expect_eq(nodes->primary, NODES_NONE);
    cr_expect(nodes->disputed);
    free(nodes);
}

Test(nodes, given_roles_are_not_swapped)
{
    struct nodes *nodes = fresh(2, false, 10000);
    run_seconds(nodes, 1, 3, 0);
    leads(nodes, 1, 3000, 2, 1003000);
    cr_expect_eq(nodes->primary, NODES_NONE);
    state_is(nodes, 1, NODE_FENCED);
    reason_has(nodes, 1, "configured as a replica");
    state_is(nodes, 0, NODE_FENCED);
    follows(nodes, 0, 4000, 2, 1003000);
    cr_expect_eq(nodes->primary, NODES_NONE);
    cr_expect_str_eq(nodes->why_none, "another server is the primary, on timeline 2");
    follows(nodes, 1, 5000, 2, 1003000);
    cr_expect_str_eq(nodes->why_none, "the configured primary is in recovery");
    leads(nodes, 0, 6000, 3, 1003000);
    cr_expect_eq(nodes->primary, 0);
    free(nodes);
}

Test(nodes, who_shuts_out_is_there_and_no_more_is_known)
{
    struct nodes *nodes = fresh(2, true, 10000);
    nodes_failed(nodes, 1, NODE_SHUT_OUT, "no room", 1 * MS);
    leads(nodes, 0, 1, 1, 1000);
    cr_expect(nodes_may_write(nodes), "a host that shuts out was heard of");
    state_is(nodes, 1, NODE_UNKNOWN);
    follows(nodes, 1, 2, 1, 1000);
    state_is(nodes, 1, NODE_UP);

    /* A replica is not read; the primary is written to on trust. */
    nodes_failed(nodes, 1, NODE_SHUT_OUT, "no room", 3 * MS);
    state_is(nodes, 1, NODE_UNKNOWN);
    reason_has(nodes, 1, "not watched: no room");
    nodes_failed(nodes, 0, NODE_LOST, "broke", 3 * MS);
    state_is(nodes, 0, NODE_UP);
    cr_expect_not(nodes->nodes[0].has_lsn);
    nodes_failed(nodes, 0, NODE_SHUT_OUT, "no room", 4 * MS);
    state_is(nodes, 0, NODE_UNKNOWN);
    cr_expect(nodes_may_write(nodes));
    cr_expect(nodes_answers(nodes, 0), "at the address that was asked");
    nodes_failed(nodes, 0, NODE_LATE, "late", 5 * MS);
    cr_expect(nodes_may_write(nodes), "once may be chance");

    /* Until it may have gone away: then only an answer counts. */
    nodes_failed(nodes, 0, NODE_REFUSED, "refused", 6 * MS);
    cr_expect_not(nodes_may_write(nodes));
    nodes_failed(nodes, 0, NODE_SHUT_OUT, "no room", 7 * MS);
    state_is(nodes, 0, NODE_UNKNOWN);
    cr_expect_not(nodes_may_write(nodes));
    leads(nodes, 0, 8, 1, 1000);
    cr_expect(nodes_may_write(nodes));

    /* Likewise for what its name has left. */
    uint32_t incarnation = nodes->nodes[0].incarnation;
    nodes_failed(nodes, 0, NODE_ELSEWHERE, "no room", 8 * MS);
    nodes_failed(nodes, 0, NODE_SHUT_OUT, "no room", 8 * MS);
    cr_expect_not(nodes_may_write(nodes) || nodes_answers(nodes, 0));
    cr_expect_eq(nodes->nodes[0].incarnation, incarnation + 1);
    leads(nodes, 0, 8, 1, 1000);

    /* Another claims it meanwhile. */
    nodes_failed(nodes, 0, NODE_SHUT_OUT, "no room", 9 * MS);
    leads(nodes, 1, 10, 2, 1000);
    cr_expect_eq(nodes->primary, 1);
    state_is(nodes, 0, NODE_FENCED);
    nodes_failed(nodes, 0, NODE_SHUT_OUT, "no room", 11 * MS);
    state_is(nodes, 0, NODE_FENCED);
    free(nodes);
}

Test(nodes, a_warning_is_told_once_and_shown_as_long_as_it_holds)
{
    struct nodes *nodes = fresh(1, true, 10000);
    struct node_answer answer = answer_at(1, false, 1, 1000);
    answer.warning = "not again";
    nodes_answered(nodes, 0, &answer);
    uint64_t events = nodes->event_count;
    nodes_answered(nodes, 0, &answer);
    cr_expect_eq(nodes->event_count, events);
    cr_expect_str_eq(nodes->nodes[0].warning, "not again");
    answer.warning = "";
    nodes_answered(nodes, 0, &answer);
    cr_expect_str_eq(nodes->nodes[0].warning, "");
    free(nodes);
}

/* Other nodes in the place of `before`, which it frees. */
static struct nodes *go_on(struct nodes *before, uint32_t count, const uint32_t places[])
{
    struct nodes *nodes = fresh(count, before->rules.discovers, 10000);
    nodes->rules.incarnation = 7;
    nodes_go_on(nodes, before, places);
    free(before);
    return nodes;
}

Test(nodes, other_nodes_go_on_with_what_is_known_of_those_before)
{
    struct nodes *nodes = fresh(2, true, 10000);
    follows(nodes, 1, 1, 2, 1000);
    leads(nodes, 0, 1, 2, 1000);
    follows(nodes, 1, 2, 2, 1000);
    state_is(nodes, 1, NODE_UP);

    /* One is new, and holds up nobody; it may be the primary all the same. */
    nodes = go_on(nodes, 3, (uint32_t[]){NODES_NONE, 1, 0});
    cr_expect_eq(nodes->primary, 2);
    cr_expect_eq(nodes->nodes[2].incarnation, 7, "at another place");
    cr_expect_eq(nodes->nodes[1].incarnation, 0, "connections to it are kept");
    state_is(nodes, 0, NODE_UNKNOWN);
    state_is(nodes, 1, NODE_UP);
    state_is(nodes, 2, NODE_UP);
    cr_expect_not(nodes->nodes[1].has_lsn);
    struct node_answer again = answer_at(3, true, 2, 1000);
    again.started_us = 2; /* as follows() has told of node 1 */
    nodes_answered(nodes, 1, &again);
    cr_expect_eq(nodes->primary, 2);
    cr_expect_eq(nodes->nodes[1].incarnation, 0);
    cr_expect_eq(nodes->nodes[1].lag_us, 0, "the primary's samples are kept");
    again.started_us = 99;
    again.asked_us = again.answered_us = 5 * MS;
    nodes_answered(nodes, 1, &again);
    cr_expect_eq(nodes->nodes[1].incarnation, 1, "it was restarted meanwhile");

    /* The primary is not among them any more: none, and no claim on a lower timeline. */
    nodes = go_on(nodes, 2, (uint32_t[]){1, NODES_NONE});
    cr_expect_eq(nodes->primary, NODES_NONE);
    leads(nodes, 1, 6, 1, 1000);
    cr_expect_eq(nodes->primary, NODES_NONE);
    state_is(nodes, 1, NODE_FENCED);
    leads(nodes, 1, 7, 3, 1000);
    cr_expect_eq(nodes->primary, 1);

    /* All others: nothing is known. */
    nodes = go_on(nodes, 2, (uint32_t[]){NODES_NONE, NODES_NONE});
    leads(nodes, 0, 8, 1, 1000);
    cr_expect_eq(nodes->primary, NODES_NONE, "not all were heard of");
    follows(nodes, 1, 9, 1, 1000);
    cr_expect_eq(nodes->primary, 0);
    free(nodes);

    /* Given roles stay given. */
    nodes = fresh(2, false, 10000);
    leads(nodes, 0, 1, 1, 1000);
    follows(nodes, 1, 2, 1, 1000);
    nodes = go_on(nodes, 2, (uint32_t[]){1, 0});
    follows(nodes, 0, 3, 1, 1000);
    cr_expect_eq(nodes->primary, NODES_NONE);
    cr_expect_not_null(strstr(nodes->why_none, "another server"), "%s", nodes->why_none);
    free(nodes);
}

Test(nodes, a_reload_that_leaves_no_server_of_the_old_system_ends_it)
{
    struct nodes *nodes = fresh(2, false, 10000);
    leads(nodes, 0, 1, 3, 1000);
    follows(nodes, 1, 1, 3, 1000);

    /* Another cluster's primary, and a replica of the old one. */
    nodes = go_on(nodes, 2, (uint32_t[]){NODES_NONE, 1});
    struct node_answer other = answer_at(2, false, 1, 1000);
    other.system_id = SYSTEM + 1;
    nodes_answered(nodes, 0, &other);
    cr_expect_eq(nodes->primary, NODES_NONE);
    state_is(nodes, 0, NODE_FENCED);

    nodes = go_on(nodes, 2, (uint32_t[]){0, NODES_NONE});
    other.asked_us = other.answered_us = 3 * MS;
    nodes_answered(nodes, 0, &other);
    cr_expect_eq(nodes->primary, 0, "%s", nodes->why_none);
    cr_expect(nodes_may_write(nodes));
    free(nodes);
}

Test(nodes, a_given_primary_that_is_none_stays_so_among_other_nodes)
{
    struct nodes *nodes = fresh(2, false, 10000);
    leads(nodes, 0, 1, 1, 1000);
    leads(nodes, 1, 2, 2, 1000);
    cr_expect_eq(nodes->primary, NODES_NONE);
    nodes = go_on(nodes, 3, (uint32_t[]){0, 1, NODES_NONE});
    cr_expect_eq(nodes->primary, NODES_NONE);
    cr_expect_not_null(strstr(nodes->why_none, "another server"), "%s", nodes->why_none);

    /* Nor does it come back with the other taken away: its timeline is known. */
    nodes = go_on(nodes, 2, (uint32_t[]){0, NODES_NONE});
    cr_expect_eq(nodes->primary, NODES_NONE);
    cr_expect_not_null(strstr(nodes->why_none, "timeline 2"), "%s", nodes->why_none);
    leads(nodes, 0, 3, 3, 1000);
    cr_expect_eq(nodes->primary, 0);
    cr_expect(nodes_may_write(nodes));
    free(nodes);

    /* The promoted one is made the given one; an unknown one counts. */
    nodes = fresh(2, false, 10000);
    leads(nodes, 0, 1, 1, 1000);
    leads(nodes, 1, 2, 2, 1000);
    nodes = go_on(nodes, 2, (uint32_t[]){1, 0});
    cr_expect_eq(nodes->primary, 0);
    nodes = go_on(nodes, 2, (uint32_t[]){NODES_NONE, 1});
    cr_expect_eq(nodes->primary, 0);
    free(nodes);
}

/* --- at random -------------------------------------------------------------------------------- */

/* A world that the rules know only by answers, some of which lie. */
enum { WORLD_NODES = 4, HISTORY = 4096 };

struct world {
    struct random random;
    uint64_t now_us, lsn;
    uint32_t leader, timeline;
    struct {
        bool leads, silent;
        uint32_t timeline;
        uint64_t lsn, started_us;
    } servers[WORLD_NODES];
    struct {
        uint64_t at_us, lsn;
    } history[HISTORY]; /* of the leader on its timeline */
    uint32_t history_count;
};

/* What the checker remembers of what was said. */
struct seen {
    bool answered, leads, has_lsn;
    uint32_t timeline, good_in_a_row;
    uint64_t lsn;
};

static bool chance(struct world *world, uint64_t one_in)
{
    return random_below(&world->random, one_in) == 0;
}

static void promote(struct world *world, uint32_t at)
{
    world->timeline += chance(world, 8) ? 0 : 1; /* now and then two on one timeline */
    world->servers[at].leads = true;
    world->servers[at].timeline = world->timeline;
    world->leader = at;
    world->lsn = world->servers[at].lsn;
    world->history_count = 0;
}

static void live(struct world *world)
{
    world->now_us += random_below(&world->random, 400 * MS);
    uint32_t at = (uint32_t)random_below(&world->random, WORLD_NODES);
    if (!chance(world, 3)) {
        world->lsn += random_below(&world->random, 9000);
        world->servers[world->leader].lsn = world->lsn;
    }
    if (world->history_count < HISTORY) {
        world->history[world->history_count].at_us = world->now_us;
        world->history[world->history_count++].lsn = world->lsn;
    }
    if (!world->servers[at].leads && !chance(world, 3)) { /* it follows, and replays some */
        uint64_t behind =
            world->lsn > world->servers[at].lsn ? world->lsn - world->servers[at].lsn : 0;
        world->servers[at].lsn +=
            chance(world, 2) ? behind : random_below(&world->random, behind + 1);
        world->servers[at].timeline = world->timeline;
    }
    if (chance(world, 40)) {
        world->servers[at].silent = !world->servers[at].silent;
    }
    if (chance(world, 400)) {
        promote(world, at);
    }
    if (at != world->leader && chance(world, 60)) { /* the old primary is made a replica */
        world->servers[at].leads = false;
    }
}

/* True: `answer` is what the server says, or a lie. */
static bool ask(struct world *world, uint32_t at, struct node_answer *answer)
{
    if (world->servers[at].silent || chance(world, 30)) {
        return false;
    }
    *answer = answer_at(0, !world->servers[at].leads, world->servers[at].timeline,
                        world->servers[at].lsn);
    answer->segment_bytes = 0;
    answer->asked_us = world->now_us;
    answer->answered_us = world->now_us + random_below(&world->random, 50 * MS);
    answer->started_us = at + 1;
    if (chance(world, 40)) {
        answer->has_lsn = false;
    } else if (answer->in_recovery && chance(world, 60)) {
        answer->lsn /= 2;
    } else if (chance(world, 60)) {
        answer->timeline = (uint32_t)random_below(&world->random, world->timeline + 1);
    } else if (chance(world, 200)) {
        answer->system_id = SYSTEM + 1;
    }
    return true;
}

/* The primary has proven to be it, on a timeline that never falls. */
static void check_primary(const struct nodes *nodes, const struct seen *seen, uint32_t *timeline)
{
    if (nodes->primary == NODES_NONE) {
        return;
    }
    const struct seen *primary = &seen[nodes->primary];
    cr_assert(primary->answered && primary->leads);
    cr_assert_geq(primary->timeline, *timeline);
    *timeline = primary->timeline;
    for (uint32_t i = 0; i < WORLD_NODES; i++) {
        bool same = nodes->nodes[i].system_id == SYSTEM;
        cr_assert(!same || seen[i].timeline <= primary->timeline);
        cr_assert(i == nodes->primary || !same || !seen[i].leads ||
                  seen[i].timeline < primary->timeline);
    }
}

/* By what the leader really had written when the newest sample was asked for, the replica was not
 * further behind than is said. */
static void check_lag(const struct nodes *nodes, const struct world *world, const struct node *node)
{
    for (uint32_t i = 0; i < world->history_count; i++) {
        if (world->history[i].lsn > node->lsn) { /* written here, and not replayed */
            cr_assert(world->history[i].at_us >= nodes->newest.at_us ||
                      nodes->newest.at_us - world->history[i].at_us <= node->lag_us);
            return;
        }
    }
}

static void check_states(const struct nodes *nodes, const struct seen *seen)
{
    for (uint32_t i = 0; i < WORLD_NODES; i++) {
        const struct node *node = &nodes->nodes[i];
        cr_assert(node->state == NODE_UP || node->state == NODE_UNKNOWN || node->reason[0] != 0);
        cr_assert(!node->trusted || node->state == NODE_UP || node->state == NODE_UNKNOWN);
        cr_assert(!nodes_may_read(nodes, i) || (seen[i].answered && !seen[i].leads));
    }
}

Test(nodes, a_million_decisions)
{
    enum { MAX_LAG_MS = 5000 };
    struct world world = {.random = {4}, .now_us = 1000 * MS, .timeline = 1, .lsn = 100000};
    struct nodes *nodes = NULL;
    struct seen seen[WORLD_NODES];
    uint64_t states[NODE_STATES] = {0}, readable = 0, disputes = 0, elected = 0;
    uint32_t timeline = 0;
    for (uint32_t step = 0; step < 1000000; step++) {
        if (step % 2000 == 0) { /* another process, in another world */
            free(nodes);
            nodes = fresh(WORLD_NODES, true, MAX_LAG_MS);
            memset(seen, 0, sizeof(seen));
            memset(world.servers, 0, sizeof(world.servers));
            world.timeline = 0;
            timeline = 0;
            promote(&world, 0);
        }
        struct node_answer answer = {0};
        uint32_t at = (uint32_t)random_below(&world.random, WORLD_NODES);
        enum node_state before = nodes->nodes[at].state;
        uint64_t failovers = nodes->failover_count, events = nodes->event_count;
        live(&world);
        if (ask(&world, at, &answer)) {
            nodes_answered(nodes, at, &answer);
            seen[at] = (struct seen){true, !answer.in_recovery, answer.has_lsn, answer.timeline,
                                     0,    answer.lsn};
        } else {
            nodes_failed(nodes, at, (enum node_failure)random_below(&world.random, 6), "why",
                         world.now_us);
            cr_assert_neq(nodes->nodes[at].state == NODE_UP && before != NODE_UP, true);
        }
        enum node_state after = nodes->nodes[at].state;
        cr_assert(after == before || nodes->event_count > events);
        cr_assert(after != NODE_UP || before == NODE_UP || before == NODE_UNKNOWN ||
                  at == nodes->primary || nodes->nodes[at].streak >= NODES_STEADY);
        if (after == NODE_UP && at != nodes->primary && answer.answered_us != 0) {
            cr_assert(answer.has_lsn && nodes->primary != NODES_NONE);
            cr_assert_eq(answer.timeline, nodes->nodes[nodes->primary].timeline);
            cr_assert_leq(nodes->nodes[at].lag_us, MAX_LAG_MS * MS);
            cr_assert_leq(answer.answered_us, nodes->newest.at_us + MAX_LAG_MS * MS);
            cr_assert_eq(answer.system_id, SYSTEM);
            if (nodes->primary == world.leader && answer.timeline == world.timeline) {
                check_lag(nodes, &world, &nodes->nodes[at]);
            }
        }
        check_primary(nodes, seen, &timeline);
        check_states(nodes, seen);
        states[after]++;
        elected += nodes->failover_count - failovers;
        disputes += nodes->disputed;
        readable += after == NODE_UP && at != nodes->primary;
    }
    /* Everything has happened, and often. */
    for (uint32_t i = 0; i < NODE_STATES; i++) {
        cr_expect_gt(states[i], 1000, "%s: %lu", nodes_state_name((enum node_state)i), states[i]);
    }
    cr_expect_gt(elected, 100);
    cr_expect_gt(disputes, 1000);
    cr_expect_gt(readable, 50000);
    free(nodes);
}
