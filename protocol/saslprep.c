#include "protocol/saslprep.h"

#include <stdbool.h>
#include <string.h>
#include <stringprep.h>

#include "base/assert.h"
#include "base/error.h"
#include "protocol/crypto.h"

/* All ASCII, or with a NUL, behind which the library would not look. */
static bool is_as_it_is(const char *text, size_t count)
{
    bool beyond_ascii = false;
    for (size_t i = 0; i < count; i++) {
        if (text[i] == '\0') {
            return true;
        }
        beyond_ascii |= (unsigned char)text[i] > 0x7F;
    }
    return !beyond_ascii;
}

int saslprep(const char *text, size_t count, char out[static SASLPREP_BYTES_MAX], size_t *ret_count)
{
    char room[SASLPREP_BYTES_MAX + 1]; /* with a NUL */
    int code = 0;
    ASSERT(count <= SASLPREP_BYTES_MAX);
    memcpy(out, text, count);
    if (is_as_it_is(text, count)) {
        *ret_count = count;
        return 0;
    }
    memcpy(room, text, count);
    room[count] = '\0';
    switch (stringprep(room, sizeof room, STRINGPREP_NO_UNASSIGNED, stringprep_saslprep)) {
    case STRINGPREP_OK: {
        size_t prepared = strlen(room);
        count = prepared == 0 ? count : prepared;
        memcpy(out, prepared == 0 ? text : room, count);
        break;
    }
    case STRINGPREP_TOO_SMALL_BUFFER:
        code = ERR_LIMIT;
        break;
    case STRINGPREP_MALLOC_ERROR:
        code = ERR_NO_MEMORY;
        break;
    default: /* it can't be prepared */
        break;
    }
    crypto_wipe(room, sizeof room);
    if (code == 0) {
        *ret_count = count;
    }
    return code;
}
