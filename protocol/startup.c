#include "protocol/startup.h"

#include <string.h>

#include "base/error.h"
#include "base/writer.h"

static const char option_prefix[] = "_pq_.";

static bool is_protocol_option(const char *name)
{
    return strncmp(name, option_prefix, sizeof(option_prefix) - 1) == 0;
}

int startup_length(const uint8_t *bytes, uint32_t *ret_bytes)
{
    struct reader reader = reader_of(bytes, 4);
    uint32_t len = reader_u32(&reader);
    if (len < 8 || len > LIMIT_STARTUP_BYTES) {
        return ERR_PROTOCOL;
    }
    *ret_bytes = len;
    return 0;
}

static int parse_parameters(struct reader *reader, struct startup *startup)
{
    for (;;) {
        const char *name = reader_cstr(reader);
        if (reader->failed) {
            return ERR_PROTOCOL;
        }
        if (name[0] == '\0') {
            /* PostgreSQL: "invalid startup packet layout: expected terminator as last byte" */
            return reader->left == 0 ? 0 : ERR_PROTOCOL;
        }
        const char *value = reader_cstr(reader);
        if (reader->failed) {
            return ERR_PROTOCOL;
        }
        if (startup->parameter_count == LIMIT_STARTUP_PARAMETERS) {
            return ERR_LIMIT;
        }
        startup->unknown_option_count += is_protocol_option(name);
        startup->parameters[startup->parameter_count++] = (struct startup_parameter){name, value};
    }
}

static int parse_cancel(struct reader *reader, struct startup *startup)
{
    startup->cancel_pid = reader_u32(reader);
    startup->cancel_key_bytes = (uint32_t)reader->left;
    if (reader->failed || reader->left < 4 || reader->left > LIMIT_CANCEL_KEY_BYTES) {
        return ERR_PROTOCOL;
    }
    startup->cancel_key = reader_bytes(reader, reader->left);
    return 0;
}

int startup_parse(const uint8_t *bytes, uint32_t len, struct startup *ret_startup)
{
    struct reader reader = reader_of(bytes, len);
    struct startup *startup = ret_startup;
    startup->parameter_count = 0;
    startup->unknown_option_count = 0;
    startup->cancel_key = NULL;
    if (reader_u32(&reader) != len) {
        return ERR_PROTOCOL;
    }
    startup->code = reader_u32(&reader);
    switch (startup->code) {
    case STARTUP_SSL:
    case STARTUP_GSSENC:
        return reader.failed || reader.left != 0 ? ERR_PROTOCOL : 0;
    case STARTUP_CANCEL:
        return parse_cancel(&reader, startup);
    }
    if (startup->code >> 16 != 3) {
        return 0; /* the caller refuses the version; its body may be anything */
    }
    return parse_parameters(&reader, startup);
}

const char *startup_parameter(const struct startup *startup, const char *name)
{
    for (uint32_t i = startup->parameter_count; i > 0; i--) {
        if (strcmp(startup->parameters[i - 1].name, name) == 0) {
            return startup->parameters[i - 1].value;
        }
    }
    return NULL;
}

void startup_write_negotiate(struct writer *writer, const struct startup *startup, uint32_t minor)
{
    uint32_t mark = writer_begin(writer, 'v');
    writer_u32(writer, (3 << 16) | minor);
    writer_u32(writer, startup->unknown_option_count);
    for (uint32_t i = 0; i < startup->parameter_count; i++) {
        if (is_protocol_option(startup->parameters[i].name)) {
            writer_cstr(writer, startup->parameters[i].name);
        }
    }
    writer_end(writer, mark);
}

void startup_write_cancel(struct writer *writer, uint32_t pid, const uint8_t *key,
                          uint32_t key_bytes)
{
    uint32_t mark = writer_begin(writer, 0);
    writer_u32(writer, STARTUP_CANCEL);
    writer_u32(writer, pid);
    writer_bytes(writer, key, key_bytes);
    writer_end(writer, mark);
}
