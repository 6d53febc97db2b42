#include "router/control.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "base/error.h"

static const char prefix[] = "howdah.";

static const struct {
    const char *label, *usual, *values, *doc;
} rows[CONTROL_COUNT] = {
#define CONTROL(name, label, usual, values, doc) {label, usual, values, doc},
#include "router/control.def"
#undef CONTROL
};

const char *control_label(enum control control)
{
    ASSERT(control < CONTROL_COUNT);
    return rows[control].label;
}

const char *control_usual(enum control control)
{
    ASSERT(control < CONTROL_COUNT);
    return rows[control].usual;
}

const char *control_doc(enum control control)
{
    ASSERT(control < CONTROL_COUNT);
    return rows[control].doc;
}

bool control_is_ours(const char *name)
{
    return strncasecmp(name, prefix, sizeof(prefix) - 1) == 0;
}

enum control control_find(const char *label, size_t bytes)
{
    enum control control = 0;
    while (control < CONTROL_COUNT && (strlen(rows[control].label) != bytes ||
                                       strncasecmp(rows[control].label, label, bytes) != 0)) {
        control++;
    }
    return control;
}

/* --- the nearest name ------------------------------------------------------------------------- */

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

/* Letters to be put in, left out or changed to make one of the other (Levenshtein). */
static uint32_t distance(const char *left, size_t left_bytes, const char *right, size_t right_bytes)
{
    uint32_t row[CONTROL_NAME_BYTES];
    for (uint32_t r = 0; r <= right_bytes; r++) {
        row[r] = r;
    }
    for (size_t l = 0; l < left_bytes; l++) {
        uint32_t diagonal = row[0];
        row[0]++;
        for (size_t r = 0; r < right_bytes; r++) {
            uint32_t change = diagonal + (lower(left[l]) != right[r]);
            uint32_t least = row[r] < row[r + 1] ? row[r] + 1 : row[r + 1] + 1;
            diagonal = row[r + 1];
            row[r + 1] = change < least ? change : least;
        }
    }
    return row[right_bytes];
}

enum control control_nearest(const char *label, size_t bytes)
{
    enum control nearest = CONTROL_COUNT;
    uint32_t least = 4; /* more letters than this, and it is another word */
    for (enum control control = 0; control < CONTROL_COUNT && bytes < CONTROL_NAME_BYTES;
         control++) {
        size_t own_bytes = strlen(rows[control].label);
        uint32_t apart = distance(label, bytes, rows[control].label, own_bytes);
        if (apart < least && apart < own_bytes - 1) {
            least = apart;
            nearest = control;
        }
    }
    return nearest;
}

/* --- values ----------------------------------------------------------------------------------- */

/* The word of the list that the value is, with its length; NULL when it is none. */
static const char *find_word(const char *words, const char *value, size_t bytes)
{
    for (const char *word = words; *word != '\0';) {
        size_t word_bytes = strcspn(word, ",");
        if (word_bytes == bytes && strncasecmp(word, value, bytes) == 0) {
            return word;
        }
        word += word_bytes;
        word += strspn(word, ", ");
    }
    return NULL;
}

/* A number and its unit: 250ms, 60s, 5m, 1h. Up to as many milliseconds as an int32 holds. */
static bool is_duration(const char *value, size_t bytes)
{
    ASSERT(value != NULL);
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 3600 * 1000}};
    uint64_t number = 0;
    size_t at = 0;
    while (at < bytes && value[at] >= '0' && value[at] <= '9' && number <= INT32_MAX) {
        number = number * 10 + (uint64_t)(value[at++] - '0');
    }
    for (size_t i = 0; at > 0 && i < sizeof(units) / sizeof(units[0]); i++) {
        if (strlen(units[i].unit) == bytes - at &&
            memcmp(units[i].unit, value + at, bytes - at) == 0) {
            return number * units[i].ms <= INT32_MAX;
        }
    }
    return false;
}

int control_check(enum control control, const char *value, size_t bytes,
                  char ret_value[static CONTROL_VALUE_BYTES])
{
    ASSERT(control < CONTROL_COUNT);
    const char *words = rows[control].values;
    const char *canonical = words == NULL ? value : find_word(words, value, bytes);
    if (control == CONTROL_CACHE && canonical == NULL && is_duration(value, bytes)) {
        canonical = value;
    }
    if (canonical == NULL || bytes >= CONTROL_VALUE_BYTES || memchr(value, '\0', bytes) != NULL) {
        return ERR_BAD_VALUE;
    }
    memcpy(ret_value, canonical, bytes);
    ret_value[bytes] = '\0';
    return 0;
}

const char *control_allowed(enum control control)
{
    ASSERT(control < CONTROL_COUNT);
    static const char *const allowed[CONTROL_COUNT] = {
        [CONTROL_ROUTE] = "Available values: auto, primary, replica.",
        [CONTROL_CONSISTENCY] = "Available values: eventual, session, strong.",
        [CONTROL_SHARD] = "It takes at most 255 bytes of text.",
        [CONTROL_SHARD_KEY] = "It takes at most 255 bytes of text.",
        [CONTROL_CACHE] = "Available values: off, on, or a duration such as 60s (ms, s, m or h).",
    };
    return allowed[control];
}
