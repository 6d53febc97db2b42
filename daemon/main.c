#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/limits.h"
#include "config/cli.h"
#include "daemon/log.h"
#include "daemon/process.h"
#include "daemon/server.h"

enum { EXIT_BAD_USAGE = 2 };

static int run(const struct cli *cli)
{
    struct log *log = log_new(STDERR_FILENO);
    if (log == NULL) {
        return EXIT_FAILURE;
    }
    int exit_code = server_run(&cli->sources, log);
    log_free(log);
    return exit_code;
}

int main(int argc, char **argv)
{
    struct cli cli;
    char message[512];
    process_harden();
    if (!process_raise_stack()) {
        fprintf(stderr, "howdah: the stack is limited to less than %d KiB (ulimit -s raises it)\n",
                LIMIT_STACK_BYTES / 1024);
        return EXIT_FAILURE;
    }
    if (cli_parse(argc, argv, getenv("HOWDAH_CONFIG"), getenv("HOWDAH_DATABASE_URL"), &cli, message,
                  sizeof(message)) != 0) {
        fprintf(stderr, "howdah: %s\n", message);
        return EXIT_BAD_USAGE;
    }
    int exit_code = cli.action == CLI_RUN ? run(&cli) : cli_act(&cli, stdout, stderr);
    cli_fini(&cli);
    return exit_code;
}
