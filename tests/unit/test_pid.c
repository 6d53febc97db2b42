#include "pool/pid.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/limits.h"
#include "base/writer.h"

enum { HOST = 3, CLIENT = PID_BASE + 7, OTHER = PID_BASE + (1 << PID_SLOT_BITS) + 1 };

static struct pid_directory *directory_of_two(void)
{
    struct pid_directory *directory = pid_directory_new(2);
    cr_assert_not_null(directory);
    pid_lent(directory, HOST, CLIENT, 1234);
    pid_lent(directory, HOST, OTHER, 77);
    return directory;
}

/* What stands for those that are signalled. */
static struct pid_signals held_by_two(void)
{
    return (struct pid_signals){.count = 2, .items = {{CLIENT, 1234}, {OTHER, 77}}};
}

/* The text becomes this one, with these parameters found. */
static void becomes(const char *text, const char *wanted, uint64_t parameters)
{
    struct pid_directory *directory = directory_of_two();
    struct writer writer;
    writer_init(&writer);
    struct pid_signals signals = held_by_two();
    const struct pid_view view = {.directory = directory, .host = HOST, .signals = &signals};
    struct pid_use use =
        pid_rewrite_text(&view, (const uint8_t *)text, (uint32_t)strlen(text), &writer);
    writer_u8(&writer, '\0');
    cr_assert_str_eq((const char *)writer.bytes, wanted);
    cr_assert_eq(use.changed, strcmp(text, wanted) != 0);
    cr_assert_eq(use.parameters, parameters);
    writer_fini(&writer);
    pid_directory_free(directory);
}

Test(pid, a_client_has_the_backend_it_was_lent_last)
{
    struct pid_directory *directory = directory_of_two();
    cr_assert_eq(pid_of_client(directory, HOST, CLIENT), 1234);
    cr_assert_eq(pid_client_of(directory, HOST, 1234), CLIENT);
    pid_lent(directory, HOST, CLIENT, 99);
    cr_assert_eq(pid_of_client(directory, HOST, CLIENT), 99);
    pid_directory_free(directory);
}

Test(pid, a_backend_that_was_lent_on_is_no_longer_the_clients)
{
    struct pid_directory *directory = directory_of_two();
    pid_lent(directory, HOST, OTHER, 1234);
    cr_assert_eq(pid_of_client(directory, HOST, CLIENT), 0);
    cr_assert_eq(pid_client_of(directory, HOST, 1234), OTHER);
    cr_assert_eq(pid_client_of(directory, HOST, 77), OTHER, "who sent from there is known yet");
    pid_directory_free(directory);
}

Test(pid, whoever_gets_the_pid_of_a_backend_that_has_ended_is_no_client)
{
    struct pid_directory *directory = directory_of_two();
    pid_ended(directory, HOST + 1, 1234);
    cr_assert_eq(pid_client_of(directory, HOST, 1234), CLIENT, "another server's has ended");
    pid_ended(directory, HOST, 1234);
    cr_assert_eq(pid_client_of(directory, HOST, 1234), 0);
    cr_assert_eq(pid_of_client(directory, HOST, CLIENT), 0);
    cr_assert_eq(pid_client_of(directory, HOST, 77), OTHER);
    pid_directory_free(directory);
}

Test(pid, another_server_has_other_pids)
{
    struct pid_directory *directory = directory_of_two();
    cr_assert_eq(pid_of_client(directory, HOST + 1, CLIENT), 0);
    cr_assert_eq(pid_client_of(directory, HOST + 1, 1234), 0);
    pid_directory_free(directory);
}

Test(pid, what_is_no_pid_of_ours_has_no_backend)
{
    struct pid_directory *directory = directory_of_two();
    static const uint32_t pids[] = {0,        1234,       PID_BASE - 1,
                                    PID_BASE, UINT32_MAX, PID_BASE + (2 << PID_SLOT_BITS)};
    for (size_t i = 0; i < sizeof(pids) / sizeof(pids[0]); i++) {
        cr_assert_eq(pid_of_client(directory, HOST, pids[i]), 0);
    }
    pid_lent(directory, HOST, UINT32_MAX, 5);
    pid_lent(directory, HOST, CLIENT, UINT32_MAX);
    cr_assert_eq(pid_client_of(directory, HOST, 5), 0);
    cr_assert_eq(pid_client_of(directory, HOST, UINT32_MAX), 0);
    pid_directory_free(directory);
}

Test(pid, a_pid_says_where_its_client_is_and_is_its_own_for_a_while)
{
    uint32_t worker, slot, before = 0;
    for (uint32_t generation = 1; generation < 100; generation++) {
        const struct handle handle = {.slot = LIMIT_CONNECTIONS - 1, .generation = generation};
        uint32_t pid = pid_make(LIMIT_WORKERS - 1, handle);
        cr_assert(pid_place(pid, &worker, &slot));
        cr_assert_eq(worker, LIMIT_WORKERS - 1);
        cr_assert_eq(slot, LIMIT_CONNECTIONS - 1);
        cr_assert(pid >= PID_BASE && pid <= INT32_MAX && pid != before);
        before = pid;
    }
    cr_assert_eq(pid_make(0, (struct handle){.slot = 7, .generation = 1}), CLIENT);
    cr_assert_not(pid_place(PID_BASE - 1, &worker, &slot));
    cr_assert_not(pid_place(UINT32_MAX, &worker, &slot));
}

Test(pid, who_has_a_slot_later_does_not_have_the_pid)
{
    struct pid_directory *directory = directory_of_two();
    uint32_t later = pid_make(0, (struct handle){.slot = 7, .generation = 2});
    pid_lent(directory, HOST, later, 1234);
    cr_assert_eq(pid_of_client(directory, HOST, later), 1234);
    cr_assert_eq(pid_of_client(directory, HOST, CLIENT), 0);
    cr_assert_eq(pid_client_of(directory, HOST, 1234), later);
    pid_directory_free(directory);
}

Test(pid, what_is_signalled_is_collected_and_only_what_is_held_stands_for_it)
{
    static const char text[] = "select pg_cancel_backend(4194311), pg_blocking_pids(4194311),"
                               " pg_terminate_backend($2), pg_cancel_backend(4194311), $1";
    static const char wanted[] = "select pg_cancel_backend(99), pg_blocking_pids(1234),"
                                 " pg_terminate_backend($2), pg_cancel_backend(99), $1";
    struct pid_directory *directory = directory_of_two();
    struct pid_signals signals = {0};
    struct pid_view view = {.directory = directory, .host = HOST, .signals = &signals};
    struct writer writer;
    writer_init(&writer);
    struct pid_use use =
        pid_rewrite_text(&view, (const uint8_t *)text, (uint32_t)strlen(text), &writer);
    cr_assert_eq(signals.count, 1);
    cr_assert_eq(signals.items[0].virtual_pid, CLIENT);
    cr_assert(signals.terminates);
    cr_assert_eq(use.parameters, 2);
    cr_assert_eq(use.signalled, 2);
    signals.items[0].pid = 99;
    writer_reset(&writer);
    pid_rewrite_text(&view, (const uint8_t *)text, (uint32_t)strlen(text), &writer);
    writer_u8(&writer, '\0');
    cr_assert_str_eq((const char *)writer.bytes, wanted);
    view.signals = NULL;
    writer_reset(&writer);
    pid_rewrite_text(&view, (const uint8_t *)text, (uint32_t)strlen(text), &writer);
    writer_u8(&writer, '\0');
    cr_assert_not_null(strstr((const char *)writer.bytes, "pg_cancel_backend(4194311)"));
    writer_fini(&writer);
    pid_directory_free(directory);
}

Test(pid, names_of_functions_are_found_in_any_case_and_whole)
{
    static const char *const with[] = {"select pg_cancel_backend(1)", "PG_Terminate_Backend",
                                       "a_b_pg_ pg_blocking_pids"};
    static const char *const without[] = {
        "", "_", "pg_", "select pg_backend_pid()", "pg_cancel_backends(1)", "g_cancel_backend"};
    for (size_t i = 0; i < sizeof(with) / sizeof(with[0]); i++) {
        cr_assert(pid_function_in((const uint8_t *)with[i], (uint32_t)strlen(with[i])), "%s",
                  with[i]);
    }
    for (size_t i = 0; i < sizeof(without) / sizeof(without[0]); i++) {
        cr_assert_not(pid_function_in((const uint8_t *)without[i], (uint32_t)strlen(without[i])),
                      "%s", without[i]);
    }
}

Test(pid, pids_in_arguments_are_replaced)
{
    becomes("select pg_cancel_backend(4194311)", "select pg_cancel_backend(1234)", 0);
    becomes("select pg_cancel_backend ( ('4194311')::int ), 1",
            "select pg_cancel_backend ( ('1234')::int ), 1", 0);
    becomes("select pg_isolation_test_session_is_blocked($2, '{4194311,5242881}')",
            "select pg_isolation_test_session_is_blocked($2, '{1234,77}')", 2);
    becomes("select PG_BLOCKING_PIDS(4194311), pg_terminate_backend($1, 4194311)",
            "select PG_BLOCKING_PIDS(1234), pg_terminate_backend($1, 1234)", 1);
}

Test(pid, everything_else_stays)
{
    static const char *const texts[] = {
        "",
        "select 4194311",
        "select f(4194311), pg_cancel_backend(1234), g($1)",
        "select pg_cancel_backend(4194312)",
        "select pg_cancel_backend(41943110000)",
        "select pg_cancel_backend('pid 4194311')",
        "select 'pg_cancel_backend(4194311)'",
        "select pg_cancel_backend /* 4194311 */ (1)",
        "select pg_cancel_backend(1), 4194311",
        "select pg_cancel_backend, (4194311)",
        "select pg_cancel_backend(1",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        becomes(texts[i], texts[i], 0);
    }
    becomes("select pg_cancel_backend($64, $65, $0)", "select pg_cancel_backend($64, $65, $0)",
            UINT64_C(1) << 63);
}

Test(pid, parameters_are_replaced_in_text_and_binary)
{
    static const uint8_t body[] = "\0\3\0\0\0\1\0\0"
                                  "\0\3"
                                  "\0\0\0\7"
                                  "4194311"
                                  "\0\0\0\4\0\x40\0\7"
                                  "\0\0\0\7"
                                  "4194311"
                                  "\0\1\0";
    static const uint8_t wanted[] = "\0\3\0\0\0\1\0\0"
                                    "\0\3"
                                    "\0\0\0\4"
                                    "1234"
                                    "\0\0\0\4\0\0\4\xd2"
                                    "\0\0\0\7"
                                    "4194311"
                                    "\0\1\0";
    struct pid_directory *directory = directory_of_two();
    struct writer writer;
    writer_init(&writer);
    const struct pid_view view = {.directory = directory, .host = HOST};
    const struct pid_use use = {.parameters = 3};
    cr_assert(pid_rewrite_parameters(&view, &use, body, sizeof(body), &writer));
    cr_assert_eq(writer.len, sizeof(wanted));
    cr_assert_eq(memcmp(writer.bytes, wanted, sizeof(wanted)), 0);
    for (uint32_t len = 0; len < sizeof(body) - 4; len++) {
        writer_reset(&writer);
        cr_assert_not(pid_rewrite_parameters(&view, &use, body, len, &writer), "%u", len);
    }
    writer_fini(&writer);
    pid_directory_free(directory);
}
