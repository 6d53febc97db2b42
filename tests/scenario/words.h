/* Messages as words: what a scenario writes for bytes, and what its trace says of bytes.
 *
 *     Query "select 1"            Bind "portal" "statement" "value"       ReadyForQuery I
 *     Startup 3.0 user=alice database=app                          ErrorResponse ERROR 42601 "text"
 *     bytes 51 00 00 00 04        (any bytes at all)
 *
 * Strings are quoted; in them \" \\ \n and \xNN. Several messages of one segment are separated by
 * " | ".
 */
#ifndef TESTS_SCENARIO_WORDS_H
#define TESTS_SCENARIO_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A growing text or byte string, always with a NUL behind it. */
struct text {
    char *bytes;
    size_t len, capacity;
};

void text_add(struct text *text, const void *bytes, size_t len);
void text_format(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_drop(struct text *text, size_t len); /* from the front */
void text_clear(struct text *text);
void text_free(struct text *text);

/* One word from the front of a line: bare, or quoted (then with its escapes undone). */
struct word {
    char bytes[20000];
    size_t len;
    bool quoted;
};

/* False at the end of the line. Advances *at. */
bool word_next(const char **at, struct word *ret_word);

/* Appends the bytes of the messages in `line`, from a client or from a server. False when a word is
 * not understood. */
bool words_to_bytes(const char *line, bool from_client, struct text *out);

/* Appends the words of one whole message with a type byte. */
void words_of_message(const uint8_t *message, size_t bytes, bool from_client, struct text *out);

/* Appends the words of a packet without a type byte: Startup, SSLRequest … */
void words_of_packet(const uint8_t *packet, size_t bytes, struct text *out);

uint32_t words_u32(const void *at);

#endif
