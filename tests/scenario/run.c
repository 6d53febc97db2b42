/* Runs scenario files and compares what the engine did with what they say it does.
 *
 *    run [--update] FILE ...
 *
 * A file holds commands (tests/scenario/driver.h), comments (#), and, in lines that begin with four
 * spaces, the trace that each command is expected to leave. Each is run twice: with its bytes as
 * they are, and one byte at a time; the trace must be the same (a comment "# as it is" leaves the
 * second run out where the cut itself is what the scenario is about). --update writes what happened
 * into the files.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/scenario/driver.h"

static bool read_file(const char *path, struct text *text)
{
    char bytes[4096];
    size_t len;
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        perror(path);
        return false;
    }
    while ((len = fread(bytes, 1, sizeof(bytes), file)) > 0) {
        text_add(text, bytes, len);
    }
    fclose(file);
    return true;
}

static bool run_line(struct world *world, const char *at, size_t len, struct text *seen)
{
    if (strncmp(at, "    ", 4) == 0) {
        return true;
    }
    text_add(seen, at, len);
    text_add(seen, "\n", 1);
    if (len == 0 || at[0] == '#') {
        return true;
    }
    bool understood = world_do(world, "%.*s", (int)len, at);
    text_add(seen, world->last.bytes, world->last.len);
    if (!understood) {
        fprintf(stderr, "not understood: %.*s\n", (int)len, at);
    }
    return understood;
}

static bool run(const struct text *script, size_t step_bytes, struct text *seen)
{
    struct world *world = world_new();
    bool good = true;
    world->step_bytes = step_bytes;
    for (const char *at = script->bytes; good && at != NULL && *at != '\0';) {
        size_t len = strcspn(at, "\n");
        good = run_line(world, at, len, seen);
        at += len + (at[len] == '\n');
    }
    if (world->problem[0] != '\0') {
        fprintf(stderr, "problem: %s\n", world->problem);
        good = false;
    }
    world_free(world);
    return good;
}

static void show_difference(const struct text *wanted, const struct text *seen)
{
    const char *left = wanted->bytes, *right = seen->bytes;
    uint32_t number = 1;
    while (*left != '\0' && *right != '\0') {
        size_t left_len = strcspn(left, "\n"), right_len = strcspn(right, "\n");
        if (left_len != right_len || memcmp(left, right, left_len) != 0) {
            break;
        }
        left += left_len + (left[left_len] == '\n');
        right += right_len + (right[right_len] == '\n');
        number++;
    }
    fprintf(stderr, "line %u:\n--- expected\n%.600s\n--- happened\n%.600s\n", number, left, right);
}

static bool run_file(const char *path, bool update)
{
    struct text script = {0};
    bool good = read_file(path, &script) && script.len > 0;
    bool cuts = good && strstr(script.bytes, "# as it is") == NULL;
    for (size_t step_bytes = 0; good && step_bytes <= (cuts ? 1 : 0); step_bytes++) {
        struct text seen = {0};
        good = run(&script, step_bytes, &seen);
        if (good && update && step_bytes == 0) {
            FILE *file = fopen(path, "w");
            good = file != NULL && fwrite(seen.bytes, 1, seen.len, file) == seen.len && good;
            good = file != NULL && fclose(file) == 0 && good;
            text_clear(&script);
            text_add(&script, seen.bytes, seen.len);
        } else if (good && strcmp(script.bytes, seen.bytes) != 0) {
            fprintf(stderr, "%s, %s\n", path, step_bytes == 0 ? "as it is" : "one byte at a time");
            show_difference(&script, &seen);
            good = false;
        }
        text_free(&seen);
    }
    text_free(&script);
    return good;
}

int main(int argc, char **argv)
{
    bool update = argc > 1 && strcmp(argv[1], "--update") == 0;
    bool good = argc > 1 + update;
    for (int i = 1 + update; i < argc; i++) {
        bool passed = run_file(argv[i], update);
        if (argc > 2 + update) {
            printf("%s %s\n", passed ? "ok" : "not ok", argv[i]);
        }
        good = passed && good;
    }
    return good ? 0 : 1;
}
