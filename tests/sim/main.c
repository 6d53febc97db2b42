/* sim [--seed N] [--seeds A..B] [--file FILE] [--once] [--verbose] [--steps N]
 *
 * --known names a file of seeds that fail for a reason that is written there.
 * Runs the seeds, each twice: the second time must go exactly as the first. Prints what failed with
 * its seed and the last lines of its log. --file names a file of kept seeds, one a line before
 * '#'. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/check.h"
#include "tests/sim/sim.h"

struct arguments {
    uint64_t first, last, steps;
    const char *file, *known;
    bool verbose, once, keep_going;
};

struct totals {
    uint64_t runs, failed, steps, responses, rows, errors, moves, fatals, cancels, lost, refused;
};

static void print_failure(const struct sim *sim)
{
    uint32_t lines = sim->log_next < SIM_LOG_LINES ? sim->log_next : SIM_LOG_LINES;
    uint32_t shown = lines < 60 ? lines : 60;
    printf("seed %" PRIu64 " FAILED: %s\n", sim->seed, sim->failure);
    swarm_print(&sim->swarm);
    check_pool_print(sim);
    for (uint32_t i = shown; i > 0 && !sim->verbose; i--) {
        printf("    %s\n", sim->log[(sim->log_next - i) % SIM_LOG_LINES]);
    }
    fflush(stdout);
}

static void add(struct totals *totals, const struct sim *sim)
{
    totals->runs++;
    totals->failed += sim->failed;
    totals->steps += sim->steps;
    totals->responses += sim->responses;
    totals->rows += sim->rows;
    totals->errors += sim->errors;
    totals->moves += sim->moves;
    totals->fatals += sim->fatals;
    totals->cancels += sim->cancels;
    totals->lost += sim->lost;
    totals->refused += sim->refused;
}

static bool run_once(const struct arguments *arguments, uint64_t seed, struct totals *totals,
                     uint64_t *ret_hash)
{
    struct sim *sim = calloc(1, sizeof(*sim));
    if (sim == NULL) {
        return false;
    }
    sim->verbose = arguments->verbose;
    sim->seed = seed;
    bool fine = sim_run(sim, seed, arguments->steps);
    if (!fine) {
        print_failure(sim);
    }
    add(totals, sim);
    *ret_hash = sim->hash;
    sim_fini(sim);
    free(sim);
    return fine;
}

static bool run_seed(const struct arguments *arguments, uint64_t seed, struct totals *totals)
{
    uint64_t first, second;
    if (getenv("SIM_TRACE") != NULL) {
        fprintf(stderr, "seed %" PRIu64 "\n", seed);
    }
    if (!run_once(arguments, seed, totals, &first)) {
        return false;
    }
    if (arguments->once) {
        return true;
    }
    struct arguments again = *arguments;
    struct totals ignored = {0};
    again.verbose = false;
    if (!run_once(&again, seed, &ignored, &second) || first != second) {
        printf("seed %" PRIu64 " FAILED: two runs of it differ\n", seed);
        totals->failed++;
        return false;
    }
    return true;
}

/* The reason in the file of known failures; NULL when the seed is not there. */
static const char *known_reason(const struct arguments *arguments, uint64_t seed, char line[256])
{
    FILE *file = arguments->known == NULL ? NULL : fopen(arguments->known, "r");
    const char *reason = NULL;
    while (file != NULL && reason == NULL && fgets(line, 256, file) != NULL) {
        char *end;
        if (strtoull(line, &end, 10) == seed && end != line) {
            reason = end;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return reason;
}

static bool judge_seed(const struct arguments *arguments, uint64_t seed, struct totals *totals)
{
    char line[256];
    bool fine = run_seed(arguments, seed, totals);
    const char *reason = known_reason(arguments, seed, line);
    if (reason != NULL) {
        printf("seed %" PRIu64 " %s:%s", seed,
               fine ? "is in the list of known failures and passes: take it out"
                    : "is known to fail",
               reason);
    }
    return fine || reason != NULL;
}

static bool run_file(const struct arguments *arguments, struct totals *totals)
{
    char line[256];
    bool fine = true;
    FILE *file = fopen(arguments->file, "r");
    if (file == NULL) {
        printf("cannot read %s\n", arguments->file);
        return false;
    }
    while (fgets(line, sizeof(line), file) != NULL) {
        char *end;
        uint64_t seed = strtoull(line, &end, 10);
        if (end != line) {
            fine = judge_seed(arguments, seed, totals) && fine;
        }
    }
    fclose(file);
    return fine;
}

static bool parse(int count, char **words, struct arguments *arguments)
{
    for (int i = 1; i < count; i++) {
        const char *word = words[i], *value = i + 1 < count ? words[i + 1] : "";
        char *end = NULL;
        if (strcmp(word, "--verbose") == 0) {
            arguments->verbose = true;
        } else if (strcmp(word, "--once") == 0) {
            arguments->once = true;
        } else if (strcmp(word, "--keep-going") == 0) {
            arguments->keep_going = true;
        } else if (strcmp(word, "--seed") == 0) {
            arguments->first = arguments->last = strtoull(value, &end, 10);
            i++;
        } else if (strcmp(word, "--seeds") == 0) {
            arguments->first = strtoull(value, &end, 10);
            arguments->last = strncmp(end, "..", 2) == 0 ? strtoull(end + 2, &end, 10) : 0;
            i++;
        } else if (strcmp(word, "--steps") == 0) {
            arguments->steps = strtoull(value, &end, 10);
            i++;
        } else if (strcmp(word, "--known") == 0) {
            arguments->known = value;
            i++;
        } else if (strcmp(word, "--file") == 0) {
            arguments->file = value;
            i++;
        } else {
            return false;
        }
        if (end != NULL && (*end != '\0' || *value == '\0')) {
            return false;
        }
    }
    return true;
}

int main(int count, char **words)
{
    struct arguments arguments = {.first = 1, .steps = 20 * 1000 * 1000};
    struct totals totals = {0};
    if (!parse(count, words, &arguments)) {
        fprintf(stderr, "usage: sim [--seed N | --seeds A..B] [--file FILE] [--known FILE] "
                        "[--once] [--verbose] [--keep-going] [--steps N]\n");
        return 2;
    }
    bool fine = arguments.file == NULL || run_file(&arguments, &totals);
    for (uint64_t seed = arguments.first; seed <= arguments.last; seed++) {
        fine = judge_seed(&arguments, seed, &totals) && fine;
        if (!fine && !arguments.keep_going) {
            break;
        }
    }
    printf("%" PRIu64 " seeds, %" PRIu64 " failed: %" PRIu64 " engine steps, %" PRIu64
           " responses, %" PRIu64 " rows, %" PRIu64 " errors, %" PRIu64 " links moved, %" PRIu64
           " cancels, %" PRIu64 " FATALs, %" PRIu64 " refusals\n",
           totals.runs, totals.failed, totals.steps, totals.responses, totals.rows, totals.errors,
           totals.moves, totals.cancels, totals.fatals, totals.refused);
    fflush(stdout);
    if (totals.failed > 0) {
        _Exit(fine ? 0 : 1); /* what a failed run leaves behind is no leak */
    }
    return 0;
}
