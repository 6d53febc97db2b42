/* Connection strings; what is understood is written and understood again, with the same meaning. */
#include <stdlib.h>
#include <string.h>

#include "config/dsn.h"
#include "tests/fuzz/fuzz.h"

void fuzz_one(const uint8_t *bytes, size_t len)
{
    struct server_options server = {0}, again = {0};
    struct dsn_report report;
    char *text = malloc(len + 1);
    if (text == NULL) {
        abort();
    }
    memcpy(text, bytes, len);
    text[len] = '\0';
    if (dsn_parse(text, &server, &report) == 0) {
        char *formatted = dsn_format(&server, true);
        if (formatted == NULL || dsn_parse(formatted, &again, &report) != 0) {
            fuzz_fail("what was written is not understood");
        }
        char *twice = dsn_format(&again, true);
        if (twice == NULL || strcmp(formatted, twice) != 0) {
            fuzz_fail("written twice, differently");
        }
        free(formatted);
        free(twice);
        server_options_fini(&server);
        server_options_fini(&again);
    } else if (report.error[0] == '\0') {
        fuzz_fail("refused without a reason");
    }
    free(text);
}
