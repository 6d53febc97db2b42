/* Everything that is wrong with a configuration, collected: one finding a line, with its place.
 *
 * A finding reads "FILE:LINE:COLUMN: PATH: what is wrong, what is allowed"; one that comes from a
 * flag or the environment has that name in place of FILE:LINE:COLUMN. Notes are findings that stop
 * nothing. No message may hold a secret's bytes.
 */
#ifndef CONFIG_ERRORS_H
#define CONFIG_ERRORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct config_place {
    const char *source; /* a file's name, a flag or a variable */
    uint32_t line;      /* from 1; 0: the source has no lines */
    uint32_t column;    /* from 1, in characters; 0: only the line is known */
};

struct config_finding {
    char *source;
    uint32_t line, column;
    bool note;
    char *text; /* "PATH: what is wrong", or without a path */
};

struct config_errors {
    struct config_finding *findings;
    size_t count;
    size_t error_count; /* of them, those that are not notes */
    bool out_of_memory; /* findings were lost */
};

void config_errors_init(struct config_errors *errors);
void config_errors_fini(struct config_errors *errors);

/* `path` may be NULL or "". */
__attribute__((format(printf, 4, 5))) void config_errors_add(struct config_errors *errors,
                                                             struct config_place place,
                                                             const char *path, const char *format,
                                                             ...);
__attribute__((format(printf, 4, 5))) void config_errors_note(struct config_errors *errors,
                                                              struct config_place place,
                                                              const char *path, const char *format,
                                                              ...);

/* 0 when there are none, ERR_NO_MEMORY, or ERR_CONFIG. */
int config_errors_code(const struct config_errors *errors);

/* One line each, errors and notes in the order of their places; notes begin with "note: " after the
 * place. */
void config_errors_write(struct config_errors *errors, FILE *out);

#endif
