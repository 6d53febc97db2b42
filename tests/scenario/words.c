#include "tests/scenario/words.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/writer.h"
#include "protocol/message.h"
#include "protocol/startup.h"

/* --- texts ---------------------------------------------------------------------------------- */

void text_add(struct text *text, const void *bytes, size_t len)
{
    if (text->len + len + 1 > text->capacity) {
        text->capacity = (text->len + len + 1) * 2;
        text->bytes = realloc(text->bytes, text->capacity);
        if (text->bytes == NULL) {
            abort();
        }
    }
    if (len > 0) {
        memcpy(text->bytes + text->len, bytes, len);
    }
    text->len += len;
    text->bytes[text->len] = '\0';
}

void text_format(struct text *text, const char *format, ...)
{
    char line[4096];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    text_add(text, line, (size_t)len < sizeof(line) ? (size_t)len : sizeof(line) - 1);
}

void text_drop(struct text *text, size_t len)
{
    memmove(text->bytes, text->bytes + len, text->len - len + 1);
    text->len -= len;
}

void text_clear(struct text *text)
{
    text->len = 0;
    if (text->bytes != NULL) {
        text->bytes[0] = '\0';
    }
}

void text_free(struct text *text)
{
    free(text->bytes);
    *text = (struct text){0};
}

uint32_t words_u32(const void *at)
{
    return message_load_u32(at);
}

/* --- words to bytes --------------------------------------------------------------------------- */

static int hex_digit(char digit)
{
    const char *digits = "0123456789abcdef";
    const char *found = strchr(digits, tolower(digit));
    return digit == '\0' || found == NULL ? -1 : (int)(found - digits);
}

static char unescape(const char **at)
{
    char escaped = *(*at)++;
    if (escaped == 'n') {
        return '\n';
    }
    if (escaped == 'x' && hex_digit((*at)[0]) >= 0 && hex_digit((*at)[1]) >= 0) {
        int value = hex_digit((*at)[0]) * 16 + hex_digit((*at)[1]);
        *at += 2;
        return (char)value;
    }
    return escaped;
}

bool word_next(const char **at, struct word *ret_word)
{
    const char *from = *at;
    ret_word->len = 0;
    while (*from == ' ') {
        from++;
    }
    if (*from == '\0' || *from == '\n') {
        return false;
    }
    ret_word->quoted = *from == '"';
    from += ret_word->quoted;
    while (*from != '\0' && *from != '\n' && *from != '"' && (ret_word->quoted || *from != ' ') &&
           ret_word->len < sizeof(ret_word->bytes) - 1) {
        if (ret_word->quoted && *from == '\\' && from[1] != '\0') {
            from++;
            ret_word->bytes[ret_word->len++] = unescape(&from);
        } else {
            ret_word->bytes[ret_word->len++] = *from++;
        }
    }
    from += ret_word->quoted && *from == '"';
    ret_word->bytes[ret_word->len] = '\0';
    *at = from;
    return true;
}

/* What stands in a message, in order: s string, S rest of the words as strings with an Int16 count,
 * V the same as values with lengths, c character, 4 Int32, r raw string without a NUL,
 * 0 two zero bytes, 1 one zero byte. */
struct shape {
    const char *name;
    char type;
    const char *fields;
};

static const struct shape frontend_shapes[] = {
    {"Query", 'Q', "s"},        {"Parse", 'P', "ss0"},  {"Bind", 'B', "ss0V0"},
    {"Describe", 'D', "cs"},    {"Execute", 'E', "s4"}, {"Close", 'C', "cs"},
    {"Sync", 'S', ""},          {"Flush", 'H', ""},     {"Terminate", 'X', ""},
    {"CopyData", 'd', "r"},     {"CopyDone", 'c', ""},  {"CopyFail", 'f', "s"},
    {"Password", 'p', "s"},     {"Sasl", 'p', "r"},     {"FunctionCall", 'F', "40V0"},
    {"SaslInitial", 'p', "sv"},
};

static const struct shape backend_shapes[] = {
    {"Authentication", 'R', "4r"},
    {"ParameterStatus", 'S', "ss"},
    {"BackendKeyData", 'K', "4r"},
    {"ReadyForQuery", 'Z', "c"},
    {"RowDescription", 'T', "R"},
    {"DataRow", 'D', "V"},
    {"CommandComplete", 'C', "s"},
    {"EmptyQueryResponse", 'I', ""},
    {"ErrorResponse", 'E', "e"},
    {"NoticeResponse", 'N', "e"},
    {"ParseComplete", '1', ""},
    {"BindComplete", '2', ""},
    {"CloseComplete", '3', ""},
    {"NoData", 'n', ""},
    {"ParameterDescription", 't', "0"},
    {"PortalSuspended", 's', ""},
    {"CopyInResponse", 'G', "10"},
    {"CopyOutResponse", 'H', "10"},
    {"CopyBothResponse", 'W', "10"},
    {"CopyData", 'd', "r"},
    {"CopyDone", 'c', ""},
    {"NotificationResponse", 'A', "4ss"},
    {"FunctionCallResponse", 'V', "v"},
    {"NegotiateProtocolVersion", 'v', "44"},
};

static void write_value(struct writer *writer, const struct word *word)
{
    if (!word->quoted && strcmp(word->bytes, "NULL") == 0) {
        writer_u32(writer, UINT32_MAX);
        return;
    }
    writer_u32(writer, (uint32_t)word->len);
    writer_bytes(writer, word->bytes, word->len);
}

/* The words up to the next bar. */
static bool more_words(const char **at, struct word *word)
{
    const char *before = *at;
    if (!word_next(at, word)) {
        return false;
    }
    if (!word->quoted && strcmp(word->bytes, "|") == 0) {
        *at = before;
        return false;
    }
    return true;
}

static void write_list(struct writer *writer, char kind, const char **at, struct word *word)
{
    uint32_t mark = writer->len;
    uint16_t count = 0;
    writer_u16(writer, 0);
    while (more_words(at, word)) {
        count++;
        if (kind == 'V') {
            write_value(writer, word);
        } else { /* a column's name and a text column's facts */
            static const uint8_t facts[18] = {0,  0,    0,    0,    0,    0,    0,    0, 0,
                                              25, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0};
            writer_cstr(writer, word->bytes);
            writer_bytes(writer, facts, sizeof(facts));
        }
    }
    writer->bytes[mark] = (uint8_t)(count >> 8);
    writer->bytes[mark + 1] = (uint8_t)count;
}

/* ERROR 42601 "message" [D "detail"] …; a severity of "-" leaves S and V out, a code of "-" C. */
static void write_report(struct writer *writer, const char **at, struct word *word)
{
    static const char kinds[] = "SCM";
    for (size_t i = 0; i < 3 && more_words(at, word); i++) {
        if (strcmp(word->bytes, "-") == 0) {
            continue;
        }
        writer_u8(writer, (uint8_t)kinds[i]);
        writer_cstr(writer, word->bytes);
        if (kinds[i] == 'S') {
            writer_u8(writer, 'V');
            writer_cstr(writer, word->bytes);
        }
    }
    while (more_words(at, word)) {
        writer_u8(writer, (uint8_t)word->bytes[0]);
        if (more_words(at, word)) {
            writer_cstr(writer, word->bytes);
        }
    }
    writer_u8(writer, 0);
}

static bool write_field(struct writer *writer, char field, const char **at, struct word *word)
{
    if (field == 'V' || field == 'R') {
        write_list(writer, field, at, word);
        return true;
    }
    if (field == 'e') {
        write_report(writer, at, word);
        return true;
    }
    if (field == '0') {
        writer_u16(writer, 0);
        return true;
    }
    if (field == '1') {
        writer_u8(writer, 0);
        return true;
    }
    if (!more_words(at, word)) {
        return field == 'r';
    }
    switch (field) {
    case 's':
        writer_bytes(writer, word->bytes, word->len);
        writer_u8(writer, 0);
        return true;
    case 'c':
        writer_u8(writer, (uint8_t)word->bytes[0]);
        return true;
    case '4':
        writer_u32(writer, (uint32_t)strtoul(word->bytes, NULL, 0));
        return true;
    case 'r':
        writer_bytes(writer, word->bytes, word->len);
        return true;
    case 'v':
        write_value(writer, word);
        return true;
    }
    return false;
}

static bool write_shaped(struct writer *writer, const struct shape *shape, const char **at,
                         struct word *word)
{
    uint32_t mark = writer_begin(writer, shape->type);
    for (const char *field = shape->fields; *field != '\0'; field++) {
        if (!write_field(writer, *field, at, word)) {
            return false;
        }
    }
    writer_end(writer, mark);
    return true;
}

static void write_startup(struct writer *writer, const char **at, struct word *word)
{
    uint32_t mark = writer_begin(writer, 0);
    uint32_t major = 3, minor = 0;
    if (more_words(at, word)) {
        char *rest;
        major = (uint32_t)strtoul(word->bytes, &rest, 10);
        minor = *rest == '.' ? (uint32_t)strtoul(rest + 1, NULL, 10) : 0;
    }
    writer_u32(writer, major << 16 | minor);
    while (more_words(at, word)) {
        char *equals = strchr(word->bytes, '=');
        if (equals != NULL && !word->quoted) {
            *equals = '\0';
            writer_cstr(writer, word->bytes);
            if (equals[1] == '\0' && **at == '"') { /* name="a value" */
                more_words(at, word);
                writer_cstr(writer, word->bytes);
            } else {
                writer_cstr(writer, equals + 1);
            }
        }
    }
    writer_u8(writer, 0);
    writer_end(writer, mark);
}

static void write_request(struct writer *writer, uint32_t code)
{
    uint32_t mark = writer_begin(writer, 0);
    writer_u32(writer, code);
    writer_end(writer, mark);
}

static void write_hex(struct writer *writer, const char **at, struct word *word)
{
    while (more_words(at, word)) {
        for (size_t i = 0; i + 1 < word->len; i += 2) {
            int high = hex_digit(word->bytes[i]), low = hex_digit(word->bytes[i + 1]);
            writer_u8(writer, (uint8_t)(high * 16 + low));
        }
    }
}

static bool write_message(struct writer *writer, bool from_client, const char **at,
                          struct word *word)
{
    const struct shape *shapes = from_client ? frontend_shapes : backend_shapes;
    size_t count = from_client ? sizeof(frontend_shapes) / sizeof(frontend_shapes[0])
                               : sizeof(backend_shapes) / sizeof(backend_shapes[0]);
    if (strcmp(word->bytes, "bytes") == 0) {
        write_hex(writer, at, word);
        return true;
    }
    if (from_client && strcmp(word->bytes, "Startup") == 0) {
        write_startup(writer, at, word);
        return true;
    }
    if (from_client && strcmp(word->bytes, "SSLRequest") == 0) {
        write_request(writer, STARTUP_SSL);
        return true;
    }
    if (from_client && strcmp(word->bytes, "GSSENCRequest") == 0) {
        write_request(writer, STARTUP_GSSENC);
        return true;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(word->bytes, shapes[i].name) == 0) {
            return write_shaped(writer, &shapes[i], at, word);
        }
    }
    return false;
}

bool words_to_bytes(const char *line, bool from_client, struct text *out)
{
    struct word *word = malloc(sizeof(*word));
    struct writer writer;
    bool understood = word != NULL;
    writer_init(&writer);
    while (understood && word_next(&line, word)) {
        if (strcmp(word->bytes, "|") != 0) {
            understood = write_message(&writer, from_client, &line, word);
        }
    }
    if (understood) {
        text_add(out, writer.bytes, writer.len);
    }
    writer_fini(&writer);
    free(word);
    return understood;
}

/* --- bytes to words --------------------------------------------------------------------------- */

static void add_quoted(struct text *out, const uint8_t *bytes, size_t len)
{
    size_t shown = len > 300 ? 40 : len;
    text_add(out, "\"", 1);
    for (size_t i = 0; i < shown; i++) {
        if (bytes[i] == '"' || bytes[i] == '\\') {
            text_format(out, "\\%c", bytes[i]);
        } else if (bytes[i] == '\n') {
            text_add(out, "\\n", 2);
        } else if (bytes[i] < 32 || bytes[i] > 126) {
            text_format(out, "\\x%02x", bytes[i]);
        } else {
            text_add(out, &bytes[i], 1);
        }
    }
    text_add(out, "\"", 1);
    if (shown < len) {
        text_format(out, "...(%zu bytes)", len);
    }
}

static void add_values(struct text *out, struct reader *reader)
{
    uint16_t count = reader_u16(reader);
    for (uint16_t i = 0; i < count && !reader->failed; i++) {
        uint32_t len = reader_u32(reader);
        if (len == UINT32_MAX) {
            text_format(out, " NULL");
            continue;
        }
        const uint8_t *value = reader_bytes(reader, len);
        text_add(out, " ", 1);
        if (value != NULL) {
            add_quoted(out, value, len);
        }
    }
}

static void add_report(struct text *out, struct reader *reader)
{
    uint8_t kind;
    while ((kind = reader_u8(reader)) != 0) {
        const char *value = reader_cstr(reader);
        if (kind == 'S' || kind == 'C') {
            text_format(out, " %s", value);
        } else if (kind != 'V') {
            text_format(out, kind == 'M' ? " " : " %c ", kind);
            add_quoted(out, (const uint8_t *)value, strlen(value));
        }
    }
}

static void add_rows(struct text *out, struct reader *reader)
{
    uint16_t count = reader_u16(reader);
    for (uint16_t i = 0; i < count && !reader->failed; i++) {
        const char *name = reader_cstr(reader);
        text_add(out, " ", 1);
        add_quoted(out, (const uint8_t *)name, strlen(name));
        reader_bytes(reader, 18);
    }
}

static void add_field(struct text *out, char field, struct reader *reader)
{
    const char *string;
    uint8_t kind;
    switch (field) {
    case 's':
        string = reader_cstr(reader);
        text_add(out, " ", 1);
        add_quoted(out, (const uint8_t *)string, strlen(string));
        return;
    case 'c':
        kind = reader_u8(reader);
        text_format(out, kind >= 33 && kind <= 126 ? " %c" : " \\x%02x", kind);
        return;
    case '4':
        text_format(out, " %u", reader_u32(reader));
        return;
    case 'r':
        if (reader->left > 0) {
            text_add(out, " ", 1);
            add_quoted(out, reader->at, reader->left);
            reader_bytes(reader, reader->left);
        }
        return;
    case '0':
        reader_bytes(reader, 2);
        return;
    case '1':
        reader_bytes(reader, 1);
        return;
    case 'V':
        add_values(out, reader);
        return;
    case 'R':
        add_rows(out, reader);
        return;
    case 'e':
        add_report(out, reader);
        return;
    }
}

void words_of_message(const uint8_t *message, size_t bytes, bool from_client, struct text *out)
{
    const struct shape *shapes = from_client ? frontend_shapes : backend_shapes;
    size_t count = from_client ? sizeof(frontend_shapes) / sizeof(frontend_shapes[0])
                               : sizeof(backend_shapes) / sizeof(backend_shapes[0]);
    struct reader reader = reader_of(message + MESSAGE_HEADER_BYTES, bytes - MESSAGE_HEADER_BYTES);
    for (size_t i = 0; i < count; i++) {
        if ((uint8_t)shapes[i].type == message[0]) {
            text_format(out, "%s", shapes[i].name);
            for (const char *field = shapes[i].fields; *field != '\0'; field++) {
                add_field(out, *field, &reader);
            }
            text_format(out, reader.failed ? " (malformed)" : "");
            return;
        }
    }
    text_format(out, "(unknown message 0x%02x of %zu bytes)", message[0], bytes);
}

void words_of_packet(const uint8_t *packet, size_t bytes, struct text *out)
{
    struct reader reader = reader_of(packet + 4, bytes - 4);
    uint32_t code = reader_u32(&reader);
    if (code == STARTUP_SSL || code == STARTUP_GSSENC) {
        text_format(out, code == STARTUP_SSL ? "SSLRequest" : "GSSENCRequest");
        return;
    }
    if (code == STARTUP_CANCEL) {
        text_format(out, "CancelRequest %u", reader_u32(&reader));
        add_field(out, 'r', &reader);
        return;
    }
    text_format(out, "Startup %u.%u", code >> 16, code & 0xffff);
    while (!reader.failed && reader.left > 1) {
        const char *name = reader_cstr(&reader);
        text_format(out, " %s=", name);
        name = reader_cstr(&reader);
        add_quoted(out, (const uint8_t *)name, strlen(name));
    }
}
