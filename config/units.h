/* Text of durations, rates and listening addresses, as the configuration writes them. */
#ifndef CONFIG_UNITS_H
#define CONFIG_UNITS_H

#include <stdbool.h>
#include <stdint.h>

/* Room for any duration that units_format_duration writes, with its NUL. */
#define UNITS_BYTES 24

/* sun_path of sockaddr_un, with its NUL (unix(7)) */
#define LISTEN_PATH_BYTES 108

/* "250ms", "30s", "10m", "1h", or "0", in milliseconds. ERR_BAD_VALUE for anything else, also when
 * it does not fit (a fraction, a missing unit, more than INT32_MAX milliseconds). */
int units_parse_duration(const char *text, uint32_t *ret_ms);

/* "10/1m": ten in a minute. ERR_BAD_VALUE otherwise; the window is never 0. */
int units_parse_rate(const char *text, uint32_t *ret_count, uint32_t *ret_window_ms);

/* The shortest exact form, in the largest unit that fits: 60000 is "1m"; 0 is "0". */
void units_format_duration(uint32_t duration_ms, char ret_text[static UNITS_BYTES]);

/* Where to accept clients. */
struct listen_address {
    char host[256]; /* name or address without brackets; "*" is every address; "" for a Unix one */
    uint16_t port;
    char path[LISTEN_PATH_BYTES]; /* "" for a TCP one */
};

/* "127.0.0.1:6432", "[::1]:6432", "*:6432", "name:6432" or "unix:/path". The port is 1 to 65535,
 * or 0 to let the system choose. ERR_BAD_VALUE for anything else. */
int units_parse_listen(const char *text, struct listen_address *ret_address);

#endif
