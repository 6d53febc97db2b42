#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "daemon/log.h"

static size_t read_some(int fd, char *text, size_t bytes)
{
    ssize_t got = read(fd, text, bytes - 1);
    text[got > 0 ? got : 0] = '\0';
    return got > 0 ? (size_t)got : 0;
}

Test(daemon_log, masks_what_could_forge_a_line)
{
    int ends[2];
    char text[1024];
    cr_assert_eq(pipe(ends), 0);
    struct log *log = log_new(ends[1]);
    log_text(log, LOG_ERROR, 3, "user=\"x\ny\"");
    read_some(ends[0], text, sizeof(text));
    cr_assert_not_null(strstr(text, "error   w3 user=\"x\\x0ay\"\n"), "%s", text);
    log_configure(log, LOG_INFO, true);
    log_text(log, LOG_ERROR, 3, "user=\"x\ny\"");
    read_some(ends[0], text, sizeof(text));
    cr_assert_not_null(
        strstr(text, "\"level\":\"error\",\"worker\":3,\"message\":\"user=\\\"x\\u000ay\\\"\"}\n"),
        "%s", text);
    log_free(log);
}

Test(daemon_log, writes_up_to_its_level_and_announces_at_any)
{
    int ends[2];
    char text[1024];
    cr_assert_eq(pipe2(ends, O_NONBLOCK), 0);
    struct log *log = log_new(ends[1]);
    log_configure(log, LOG_ERROR, false);
    log_line(log, LOG_WARNING, LOG_NO_WORKER, "not %s", "this");
    cr_assert_eq(read_some(ends[0], text, sizeof(text)), 0);
    log_announce(log, "ready");
    cr_assert_gt(read_some(ends[0], text, sizeof(text)), 0);
    cr_assert_not_null(strstr(text, "ready\n"));
    log_free(log);
}

/* A reader that has stopped reading must not stop us: the lines are counted instead. */
Test(daemon_log, drops_lines_rather_than_blocking, .timeout = 10)
{
    int ends[2];
    static char text[1 << 20];
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    struct log *log = log_new(ends[1]);
    for (int i = 0; i < 5000; i++) {
        log_line(log, LOG_ERROR, 0, "line %d", i);
    }
    while (read_some(ends[0], text, sizeof(text)) > 0) {
    }
    log_line(log, LOG_ERROR, 0, "the last");
    read_some(ends[0], text, sizeof(text));
    cr_assert_not_null(strstr(text, "log lines were dropped"), "%s", text);
    cr_assert_not_null(strstr(text, "the last\n"));
    log_free(log);
}
