#include "protocol/report.h"

#include <string.h>

#include "base/error.h"
#include "base/writer.h"

static void write_field(struct writer *writer, char kind, const char *text)
{
    if (text != NULL) {
        writer_u8(writer, (uint8_t)kind);
        writer_cstr(writer, text);
    }
}

void report_write(struct writer *writer, const struct report *report)
{
    const char *severity = report->warning ? "WARNING" : report->fatal ? "FATAL" : "ERROR";
    uint32_t mark = writer_begin(writer, report->warning ? 'N' : 'E');
    write_field(writer, 'S', severity);
    write_field(writer, 'V', severity);
    write_field(writer, 'C', error_sqlstate(report->code));
    write_field(writer, 'M',
                report->message != NULL ? report->message : error_message(report->code));
    write_field(writer, 'D', report->detail);
    write_field(writer, 'H', report->hint);
    if (report->position > 0) {
        writer_u8(writer, 'P');
        writer_format(writer, "%u", report->position);
        writer_u8(writer, 0);
    }
    write_field(writer, 'R', report->routine);
    writer_u8(writer, 0);
    writer_end(writer, mark);
}

void report_write_fields(struct writer *writer, const char *severity,
                         const struct report_fields *fields)
{
    uint32_t mark = writer_begin(writer, 'E');
    write_field(writer, 'S', severity);
    write_field(writer, 'V', severity);
    write_field(writer, 'C', fields->sqlstate[0] == '\0' ? "XX000" : fields->sqlstate);
    write_field(writer, 'M', fields->message);
    write_field(writer, 'D', fields->detail[0] == '\0' ? NULL : fields->detail);
    write_field(writer, 'H', fields->hint[0] == '\0' ? NULL : fields->hint);
    writer_u8(writer, 0);
    writer_end(writer, mark);
}

bool report_parse(const uint8_t *body, size_t body_bytes, struct report_fields *ret_fields)
{
    struct reader reader = reader_of(body, body_bytes);
    const char *localized = "";
    *ret_fields = (struct report_fields){"", "", "", "", "", "", ""};
    for (;;) {
        uint8_t kind = reader_u8(&reader);
        if (reader.failed || kind == 0) {
            break;
        }
        const char *text = reader_cstr(&reader);
        switch (kind) {
        case 'S':
            localized = text;
            break;
        case 'V':
            ret_fields->severity = text;
            break;
        case 'C':
            ret_fields->sqlstate = text;
            break;
        case 'M':
            ret_fields->message = text;
            break;
        case 'D':
            ret_fields->detail = text;
            break;
        case 'H':
            ret_fields->hint = text;
            break;
        case 'W':
            ret_fields->context = text;
            break;
        case 'R':
            ret_fields->routine = text;
            break;
        }
    }
    if (ret_fields->severity[0] == '\0') {
        ret_fields->severity = localized;
    }
    return !reader.failed;
}
