#include "protocol/hba_regex.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Groups inside each other, and how many atoms more than its own characters a pattern may have once
 * what is repeated has been copied: glibc's regcomp needs time by the square of the atoms that may
 * be empty (7 ms for a thousand), and a file may have a pattern in each of its lines. */
enum { REGEX_DEPTH_MAX = 32, REGEX_REPEATS_MAX = 128, REGEX_BOUND_MAX = 10000 };

/* PostgreSQL's regular expressions know more than POSIX's: what would mean something else here is
 * refused. */
static bool is_portable(const char *pattern)
{
    for (const char *at = pattern; *at != '\0'; at++) {
        if (*at == '\\') {
            at++;
            if (*at == '\0' || (*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'z') ||
                (*at >= 'A' && *at <= 'Z')) {
                return false;
            }
        } else if (at[0] == '(' && at[1] == '?') {
            return false;
        } else if (strchr("*+?}", at[0]) != NULL && at[1] == '?') {
            return false; /* a non-greedy quantifier */
        }
    }
    return strncmp(pattern, "***", 3) != 0;
}

/* Past a bracket expression that begins at `at`; its end is regcomp's to check. */
static const char *past_bracket(const char *at)
{
    at += at[1] == '^' ? 2 : 1;
    at += *at == ']';
    while (*at != '\0' && *at != ']') {
        const char *end = *at == '[' && at[1] != '\0' && strchr(":.=", at[1]) != NULL
                              ? strchr(at + 2, ']')
                              : NULL;
        at = end == NULL ? at + 1 : end + 1;
    }
    return *at == '\0' ? at : at + 1;
}

/* How often a quantifier makes regcomp copy what it follows; 1 when it is none that copies.
 * Advances *at past it. */
static uint32_t quantifier_copies(const char **at)
{
    uint32_t copies = 1;
    if (**at == '{') {
        for (; **at != '\0' && **at != '}'; (*at)++) {
            char *end;
            unsigned long bound = strtoul(*at + 1, &end, 10);
            bound = bound > REGEX_BOUND_MAX ? REGEX_BOUND_MAX : bound;
            copies = bound > copies ? (uint32_t)bound : copies;
        }
    } else if (**at == '+') {
        copies = 2;
    }
    *at += **at != '\0';
    return copies;
}

/* Whether regcomp can compile it in bounded memory and time: it copies what is repeated, and copies
 * of copies grow with each level. A quantifier behind a quantifier is none for PostgreSQL,
 * either. */
static bool is_small(const char *at)
{
    uint32_t size[REGEX_DEPTH_MAX] = {0}, depth = 0;
    uint32_t size_max = REGEX_REPEATS_MAX + (uint32_t)strlen(at);
    while (*at != '\0') {
        uint32_t atom = 1;
        if (*at == '(') {
            if (++depth == REGEX_DEPTH_MAX) {
                return false;
            }
            size[depth] = 0;
            at++;
            continue;
        }
        if (*at == ')' && depth > 0) {
            atom = size[depth--];
            at++;
        } else if (*at == '[') {
            at = past_bracket(at);
        } else {
            at += *at == '\\' && at[1] != '\0' ? 2 : 1;
        }
        if (*at != '\0' && strchr("*+?{", *at) != NULL) {
            uint32_t copies = quantifier_copies(&at);
            if (atom > size_max / copies) {
                return false;
            }
            atom *= copies;
            if (*at != '\0' && strchr("*+?{", *at) != NULL) {
                return false;
            }
        }
        size[depth] += atom;
        if (size[depth] > size_max) {
            return false;
        }
    }
    return true;
}

const char *hba_regex_refusal(const char *pattern)
{
    if (!is_portable(pattern)) {
        return "is not supported, allowed: POSIX extended ones, without escapes of letters and "
               "digits";
    }
    if (!is_small(pattern)) {
        return "repeats too much, allowed: no quantifier behind a quantifier, at most 32 groups "
               "inside each other, at most 128 characters more when all repeats are written "
               "out";
    }
    return NULL;
}
