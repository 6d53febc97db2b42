/* The users file. */
#include "protocol/userlist.h"
#include "tests/fuzz/fuzz.h"

void fuzz_one(const uint8_t *bytes, size_t len)
{
    struct userlist *list = NULL;
    struct userlist_error error;
    if (userlist_parse((const char *)bytes, len, &list, &error) != 0) {
        if (error.message[0] == '\0') {
            fuzz_fail("refused without a reason");
        }
        return;
    }
    userlist_find(list, "alice");
    userlist_free(list);
}
