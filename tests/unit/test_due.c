#include "pool/due.h"

#include <criterion/criterion.h>

#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "protocol/message.h"

/* A verdict without what is only told for speed. */
static enum due_verdict plain(enum due_verdict verdict)
{
    return verdict == DUE_VERDICT_PLAIN        ? DUE_VERDICT_PART
           : verdict == DUE_VERDICT_PLAIN_LAST ? DUE_VERDICT_LAST
                                               : verdict;
}

static void push(struct due *due, enum due_what what, enum due_kind kind)
{
    struct due_entry entry = {.what = (uint8_t)what, .kind = (uint8_t)kind};
    cr_assert_eq(due_push(due, &entry), 0);
}

Test(due, first_in_first_out_while_it_grows)
{
    struct due due;
    uint32_t pushed = 0, popped = 0;
    due_init(&due);
    while (popped < 3000) {
        for (int i = 0; i < 7 && pushed < 4000; i++, pushed++) {
            struct due_entry entry = {.what = DUE_QUERY, .flags = (uint8_t)pushed};
            cr_assert_eq(due_push(&due, &entry), 0);
        }
        for (int i = 0; i < 3; i++, popped++) {
            cr_assert_eq(due_head(&due)->flags, (uint8_t)popped);
            due_pop(&due);
        }
        cr_assert_eq(due.count, pushed - popped);
    }
    due_fini(&due);
}

Test(due, is_full_at_its_limit)
{
    struct due due;
    struct due_entry entry = {.what = DUE_SYNC};
    due_init(&due);
    for (uint32_t i = 0; i < LIMIT_DUE; i++) {
        cr_assert_eq(due_push(&due, &entry), 0);
    }
    cr_assert_eq(due_push(&due, &entry), ERR_LIMIT);
    cr_assert_eq(due.count, LIMIT_DUE);
    due_pop(&due);
    cr_assert_eq(due_push(&due, &entry), 0);
    due_fini(&due);
}

/* What ends each reply, from the protocol chapter ("Message Flow"). */
Test(due, what_ends_each_reply)
{
    static const char *const ends[DUE_WHAT_COUNT] = {[DUE_QUERY] = "Z",
                                                     [DUE_PARSE] = "1",
                                                     [DUE_BIND] = "2",
                                                     [DUE_DESCRIBE_STATEMENT] = "Tn",
                                                     [DUE_DESCRIBE_PORTAL] = "Tn",
                                                     [DUE_EXECUTE] = "CIs",
                                                     [DUE_CLOSE] = "3",
                                                     [DUE_SYNC] = "Z",
                                                     [DUE_FUNCTION_CALL] = "Z",
                                                     [DUE_COPY_END] = "",
                                                     [DUE_NAME] = ""};
    static const char *const parts[DUE_WHAT_COUNT] = {[DUE_QUERY] = "TDCIEGHWdc",
                                                      [DUE_PARSE] = "",
                                                      [DUE_BIND] = "",
                                                      [DUE_DESCRIBE_STATEMENT] = "t",
                                                      [DUE_DESCRIBE_PORTAL] = "",
                                                      [DUE_EXECUTE] = "DGHWdc",
                                                      [DUE_CLOSE] = "",
                                                      [DUE_SYNC] = "E",
                                                      [DUE_FUNCTION_CALL] = "VE",
                                                      [DUE_COPY_END] = "",
                                                      [DUE_NAME] = ""};
    for (int what = 0; what < DUE_WHAT_COUNT; what++) {
        bool skips = what == DUE_PARSE || what == DUE_BIND || what == DUE_DESCRIBE_STATEMENT ||
                     what == DUE_DESCRIBE_PORTAL || what == DUE_EXECUTE || what == DUE_CLOSE;
        for (int type = 1; type < 256; type++) {
            struct due due;
            enum due_verdict wanted = strchr(ends[what], type) != NULL    ? DUE_VERDICT_LAST
                                      : strchr(parts[what], type) != NULL ? DUE_VERDICT_PART
                                      : skips && type == 'E'              ? DUE_VERDICT_ERROR
                                      : strchr("NSA", type) != NULL       ? DUE_VERDICT_ASIDE
                                                                          : DUE_VERDICT_VIOLATION;
            due_init(&due);
            push(&due, (enum due_what)what, DUE_FORWARD);
            cr_assert_eq(plain(due_judge(due_head(&due), (uint8_t)type)), wanted, "%d: %c (0x%02x)",
                         what, type, type);
            due_fini(&due);
        }
    }
}

Test(due, nothing_due_allows_nothing_but_asides)
{
    struct due due;
    due_init(&due);
    for (int type = 0; type < 256; type++) {
        bool aside = type == 'N' || type == 'S' || type == 'A';
        cr_assert_eq(due_judge(due_head(&due), (uint8_t)type),
                     aside ? DUE_VERDICT_ASIDE : DUE_VERDICT_VIOLATION);
    }
    push(&due, DUE_PARSE, DUE_SYNTHESISE); /* the server was not asked */
    cr_assert_eq(due_judge(due_head(&due), '1'), DUE_VERDICT_VIOLATION);
    due_fini(&due);
}

Test(due, copy_in_ignores_the_syncs_before_its_end)
{
    struct due due;
    due_init(&due);
    push(&due, DUE_EXECUTE, DUE_FORWARD);
    push(&due, DUE_SYNC, DUE_FORWARD);
    due_copy_in_begins(&due);
    cr_assert_eq(due.count, 1);
    cr_assert(due.copy_in);
    cr_assert_eq(due_head(&due)->what, DUE_EXECUTE);
    due_fini(&due);
}

Test(due, copy_in_whose_end_was_sent_ahead)
{
    struct due due;
    due_init(&due);
    push(&due, DUE_EXECUTE, DUE_FORWARD);
    push(&due, DUE_COPY_END, DUE_FORWARD);
    push(&due, DUE_SYNC, DUE_FORWARD);
    due_copy_in_begins(&due);
    cr_assert(!due.copy_in);
    cr_assert_eq(due.count, 2);
    cr_assert_eq(due_at(&due, 1)->what, DUE_SYNC);
    due_fini(&due);
}
