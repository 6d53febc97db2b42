#include "daemon/process.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/limits.h"
#include "daemon/log.h"
#include "pool/options.h"

/* Room in libuv's thread pool for what blocks: names to resolve (libuv gives them at most half of
 * it), secrets to look up (SECRETS_LOOKUPS_MAX), and always one for PBKDF2. */
#define THREAD_POOL_SIZE "8"

/* Descriptors that are neither a client's nor a server's: loops, listeners, look-ups, log */
enum { DESCRIPTORS_OWN = 64 };

/* Takes every PG… variable out. One name a pass, since unsetenv moves what stands behind it. */
static void clear_libpq_environment(void)
{
    for (size_t i = 0; environ != NULL && environ[i] != NULL;) {
        const char *entry = environ[i];
        const char *equals = strchr(entry, '=');
        char name[64];
        if (strncmp(entry, "PG", 2) != 0 || equals == NULL ||
            (size_t)(equals - entry) >= sizeof(name)) {
            i++;
            continue;
        }
        memcpy(name, entry, (size_t)(equals - entry));
        name[equals - entry] = '\0';
        if (unsetenv(name) != 0) {
            i++;
        }
    }
}

void process_harden(void)
{
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    clear_libpq_environment();
    setenv("UV_THREADPOOL_SIZE", THREAD_POOL_SIZE, 0);
}

bool process_raise_stack(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_STACK, &limit) != 0) {
        return false;
    }
    if (limit.rlim_cur >= LIMIT_STACK_BYTES) { /* RLIM_INFINITY is the greatest */
        return true;
    }
    limit.rlim_cur = LIMIT_STACK_BYTES;
    return limit.rlim_cur <= limit.rlim_max && setrlimit(RLIMIT_STACK, &limit) == 0;
}

uint64_t process_raise_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 1024;
    }
    if (limit.rlim_cur < limit.rlim_max) {
        struct rlimit raised = {.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0) {
            limit = raised;
        }
    }
    return limit.rlim_cur;
}

static uint64_t server_connections(const struct options *options)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < options->database_count; i++) {
        const struct database_options *database = &options->databases[i];
        count += database->max_server_connections != 0
                     ? database->max_server_connections
                     : (uint64_t)database->pool.size + database->pool.reserve;
    }
    return count;
}

void process_fit_clients(struct options *options, struct log *log)
{
    uint64_t limit = process_raise_files();
    uint64_t others = server_connections(options) + DESCRIPTORS_OWN;
    uint32_t wanted = options->max_clients;
    if (wanted + others <= limit) {
        return;
    }
    /* However bad it is, somebody must be able to log in and see. */
    uint64_t room = limit > others ? limit - others : limit / 4;
    options->max_clients = (uint32_t)(room > 0 ? room : 1);
    log_line(log, LOG_WARNING, LOG_NO_WORKER,
             "max_clients is %u instead of %u: %llu open files are allowed, and %llu are kept for "
             "servers and ourselves (LimitNOFILE= or ulimit -n raises it)",
             options->max_clients, wanted, (unsigned long long)limit, (unsigned long long)others);
}

uint32_t process_cpu_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) != 0) {
        return 1;
    }
    int count = CPU_COUNT(&set);
    return count > 0 ? (uint32_t)count : 1;
}
