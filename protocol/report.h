/* ErrorResponse and NoticeResponse: writing our own, reading the server's
 * (protocol chapter, "Error and Notice Message Fields").
 */
#ifndef PROTOCOL_REPORT_H
#define PROTOCOL_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct writer;

/* An error of our own; detail, hint and routine may be NULL, message NULL means the code's own. */
struct report {
    bool fatal;        /* FATAL, else ERROR */
    bool warning;      /* WARNING: a NoticeResponse */
    int code;          /* enum error_code */
    uint32_t position; /* in the statement, in characters from 1; 0: none */
    const char *message, *detail, *hint;
    const char *routine; /* of PostgreSQL's source, where drivers tell an error by it; or NULL */
};

/* Appends one ErrorResponse, or NoticeResponse. */
void report_write(struct writer *writer, const struct report *report);

/* The fields of somebody else's report, in place; each "" when it is missing. */
struct report_fields {
    const char *severity; /* 'V', else 'S' */
    const char *sqlstate, *message, *detail, *hint;
    const char *context, *routine; /* of PostgreSQL's source: in no language */
};

/* Appends an ErrorResponse with the fields of another one and a severity of ours. */
void report_write_fields(struct writer *writer, const char *severity,
                         const struct report_fields *fields);

/* Reads the body of an ErrorResponse or NoticeResponse. Every field may be missing, doubled or of
 * an unknown kind; false only when the body does not end with a NUL behind the last field. */
bool report_parse(const uint8_t *body, size_t body_bytes, struct report_fields *ret_fields);

#endif
