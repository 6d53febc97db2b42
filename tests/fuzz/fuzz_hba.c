/* pg_hba.conf, and matching against whatever came out. */
#include "protocol/hba.h"
#include "tests/fuzz/fuzz.h"

void fuzz_one(const uint8_t *bytes, size_t len)
{
    struct hba *hba = NULL;
    struct hba_error errors[4];
    size_t error_count = 0;
    struct hba_result result;
    if (hba_parse((const char *)bytes, len, &hba, errors, 4, &error_count) != 0) {
        if (error_count == 0) {
            fuzz_fail("refused without a reason");
        }
        return;
    }
    for (uint32_t i = 0; i < 8; i++) {
        struct hba_client client = {.local = (i & 1) != 0,
                                    .tls = (i & 2) != 0,
                                    .ipv6 = (i & 4) != 0,
                                    .address = {127, 0, 0, 1},
                                    .database = "app",
                                    .user = "alice"};
        if (hba_match(hba, &client, &result) && result.method == AUTH_HBA) {
            fuzz_fail("a match that says nothing");
        }
    }
    hba_free(hba);
}
