#include "base/error.h"

#include "base/assert.h"

struct error_row {
    const char *name;
    const char *sqlstate;
    const char *message;
};

static const struct error_row rows[ERR_COUNT] = {
    [ERR_NONE] = {"ERR_NONE", "00000", "success"},
#define ERROR_CODE(name, sqlstate, message) [name] = {#name, sqlstate, message},
#include "base/error.def"
#undef ERROR_CODE
};

static const struct error_row *error_row(int code)
{
    ASSERT(code >= 0 && code < ERR_COUNT);
    return &rows[code];
}

const char *error_sqlstate(int code)
{
    return error_row(code)->sqlstate;
}

const char *error_message(int code)
{
    return error_row(code)->message;
}

const char *error_name(int code)
{
    return error_row(code)->name;
}
