/* The configuration file: the whole way from its text to a snapshot and back to text. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/config.h"
#include "tests/fuzz/fuzz.h"

void fuzz_one(const uint8_t *bytes, size_t len)
{
    char path[64];
    struct options *options = NULL;
    struct config_errors errors;
    int descriptor = memfd_create("config", 0);
    if (descriptor < 0 || write(descriptor, bytes, len) != (ssize_t)len) {
        abort();
    }
    fchmod(descriptor, 0600);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", descriptor);
    struct config_sources sources = {.file = path};
    config_errors_init(&errors);
    int code = config_load(&sources, &options, &errors);
    if (code == 0) {
        FILE *null = fopen("/dev/null", "w");
        config_print(options, null);
        fclose(null);
        options_unref(options);
    } else if (errors.error_count == 0) {
        fuzz_fail("refused without a reason");
    }
    config_errors_fini(&errors);
    close(descriptor);
}
