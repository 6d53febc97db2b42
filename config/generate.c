/* howdah-options: writes what comes from the table of options, or checks that it is up to date. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/document.h"
#include "config/file.h"

static char *generate(void (*write)(FILE *))
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (out == NULL) {
        return NULL;
    }
    write(out);
    return fclose(out) == 0 ? text : NULL;
}

static bool is_current(const char *file, void (*write)(FILE *), const char *command)
{
    char *expected = generate(write);
    char *text = NULL;
    size_t bytes;
    const char *reason = "its text differs";
    int error = file_read(file, false, &text, &bytes, &reason);
    bool current = expected != NULL && error == 0 && strcmp(text, expected) == 0;
    if (!current) {
        fprintf(stderr, "%s is not up to date (%s): run howdah-options %s > %s\n", file, reason,
                command, file);
    }
    free(expected);
    free(text);
    return current;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "schema") == 0) {
        document_write_schema(stdout);
        return EXIT_SUCCESS;
    }
    if (argc == 2 && strcmp(argv[1], "reference") == 0) {
        document_write_reference(stdout);
        return EXIT_SUCCESS;
    }
    if (argc == 4 && strcmp(argv[1], "check") == 0) {
        bool schema = is_current(argv[2], document_write_schema, "schema");
        bool reference = is_current(argv[3], document_write_reference, "reference");
        return schema && reference ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    fputs("usage: howdah-options schema | reference | check SCHEMA REFERENCE\n", stderr);
    return 2;
}
