#include "protocol/frontend.h"

#include "base/writer.h"
#include "protocol/message.h"

void frontend_parse(struct writer *writer, const char *name, const char *sql)
{
    uint32_t mark = writer_begin(writer, FRONTEND_PARSE);
    writer_cstr(writer, name);
    writer_cstr(writer, sql);
    writer_u16(writer, 0);
    writer_end(writer, mark);
}

void frontend_bind(struct writer *writer, const char *portal, const char *statement)
{
    uint32_t mark = writer_begin(writer, FRONTEND_BIND);
    writer_cstr(writer, portal);
    writer_cstr(writer, statement);
    writer_u16(writer, 0); /* formats of values */
    writer_u16(writer, 0); /* values */
    writer_u16(writer, 0); /* formats of results */
    writer_end(writer, mark);
}

void frontend_execute(struct writer *writer, const char *portal)
{
    uint32_t mark = writer_begin(writer, FRONTEND_EXECUTE);
    writer_cstr(writer, portal);
    writer_u32(writer, 0);
    writer_end(writer, mark);
}

void frontend_describe(struct writer *writer, const char *name)
{
    uint32_t mark = writer_begin(writer, FRONTEND_DESCRIBE);
    writer_u8(writer, 'S');
    writer_cstr(writer, name);
    writer_end(writer, mark);
}

void frontend_close(struct writer *writer, char kind, const char *name)
{
    uint32_t mark = writer_begin(writer, FRONTEND_CLOSE);
    writer_u8(writer, (uint8_t)kind);
    writer_cstr(writer, name);
    writer_end(writer, mark);
}

void frontend_sync(struct writer *writer)
{
    writer_end(writer, writer_begin(writer, FRONTEND_SYNC));
}

void frontend_query(struct writer *writer, const char *sql)
{
    uint32_t mark = writer_begin(writer, FRONTEND_QUERY);
    writer_cstr(writer, sql);
    writer_end(writer, mark);
}
