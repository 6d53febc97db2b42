#include "config/units.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"

struct unit {
    const char *name;
    uint32_t ms;
};

/* The largest first: formatting takes the first that divides. */
static const struct unit units[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};

/* Digits at *text into *ret_value, moving *text on; false without digits or above `high`. */
static bool take_number(const char **text, uint64_t high, uint64_t *ret_value)
{
    const char *at = *text;
    uint64_t value = 0;
    if (*at < '0' || *at > '9') {
        return false;
    }
    for (; *at >= '0' && *at <= '9'; at++) {
        value = value * 10 + (uint64_t)(*at - '0');
        if (value > high) {
            return false;
        }
    }
    *text = at;
    *ret_value = value;
    return true;
}

int units_parse_duration(const char *text, uint32_t *ret_ms)
{
    uint64_t value;
    if (!take_number(&text, INT32_MAX, &value)) {
        return ERR_BAD_VALUE;
    }
    if (value == 0 && *text == '\0') {
        *ret_ms = 0;
        return 0;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(text, units[i].name) == 0) {
            if (value > INT32_MAX / units[i].ms) {
                return ERR_BAD_VALUE;
            }
            *ret_ms = (uint32_t)value * units[i].ms;
            return 0;
        }
    }
    return ERR_BAD_VALUE;
}

int units_parse_rate(const char *text, uint32_t *ret_count, uint32_t *ret_window_ms)
{
    uint64_t count;
    uint32_t window_ms;
    if (!take_number(&text, UINT32_MAX, &count) || *text != '/') {
        return ERR_BAD_VALUE;
    }
    int error = units_parse_duration(text + 1, &window_ms);
    if (error != 0 || window_ms == 0) {
        return ERR_BAD_VALUE;
    }
    *ret_count = (uint32_t)count;
    *ret_window_ms = window_ms;
    return 0;
}

void units_format_duration(uint32_t duration_ms, char ret_text[static UNITS_BYTES])
{
    if (duration_ms == 0) {
        snprintf(ret_text, UNITS_BYTES, "0");
        return;
    }
    const struct unit *unit = units;
    while (duration_ms % unit->ms != 0) {
        unit++;
    }
    snprintf(ret_text, UNITS_BYTES, "%u%s", duration_ms / unit->ms, unit->name);
}

static int parse_unix(const char *path, struct listen_address *ret_address)
{
    size_t length = strlen(path);
    if (path[0] != '/' || length >= LISTEN_PATH_BYTES) {
        return ERR_BAD_VALUE;
    }
    *ret_address = (struct listen_address){0};
    memcpy(ret_address->path, path, length);
    return 0;
}

int units_parse_listen(const char *text, struct listen_address *ret_address)
{
    if (strncmp(text, "unix:", 5) == 0) {
        return parse_unix(text + 5, ret_address);
    }
    const char *host = text;
    const char *colon = strrchr(text, ':');
    if (colon == NULL) {
        return ERR_BAD_VALUE;
    }
    size_t host_bytes = (size_t)(colon - text);
    bool bracketed = text[0] == '[';
    if (bracketed) {
        if (host_bytes < 3 || colon[-1] != ']') {
            return ERR_BAD_VALUE;
        }
        host++;
        host_bytes -= 2;
    }
    if (host_bytes == 0 || host_bytes >= sizeof(ret_address->host) ||
        (!bracketed && memchr(host, ':', host_bytes) != NULL)) {
        return ERR_BAD_VALUE;
    }
    uint64_t port;
    const char *digits = colon + 1;
    if (!take_number(&digits, UINT16_MAX, &port) || *digits != '\0') {
        return ERR_BAD_VALUE;
    }
    *ret_address = (struct listen_address){.port = (uint16_t)port};
    memcpy(ret_address->host, host, host_bytes);
    return 0;
}
