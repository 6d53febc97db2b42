#include "config/option.h"

#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "config/units.h"
#include "pool/options.h"

static const struct option_word words_workers[] = {{"auto", 0}, {NULL, 0}};

static const struct option_word words_tls_mode[] = {
    {"disable", TLS_DISABLE},     {"prefer", TLS_PREFER},           {"require", TLS_REQUIRE},
    {"verify-ca", TLS_VERIFY_CA}, {"verify-full", TLS_VERIFY_FULL}, {NULL, 0},
};

static const struct option_word words_tls_version[] = {{"1.2", 0}, {"1.3", 1}, {NULL, 0}};

static const struct option_word words_auth_method[] = {
    {"trust", AUTH_TRUST},
    {"password", AUTH_PASSWORD},
    {"md5", AUTH_MD5},
    {"scram-sha-256", AUTH_SCRAM_SHA_256},
    {"cert", AUTH_CERT},
    {"hba", AUTH_HBA},
    {NULL, 0},
};

static const struct option_word words_log_level[] = {
    {"error", 0}, {"warning", 1}, {"notice", 2}, {"info", 3}, {"debug", 4}, {NULL, 0},
};

static const struct option_word words_log_format[] = {{"text", 0}, {"json", 1}, {NULL, 0}};

static const struct option_word words_pool_mode[] = {
    {"session", POOL_SESSION},
    {"transaction", POOL_TRANSACTION},
    {"statement", POOL_STATEMENT},
    {NULL, 0},
};

static const struct option_word words_reads[] = {
    {"replicas", READS_REPLICAS},
    {"primary", READS_PRIMARY},
    {"any", READS_ANY},
    {NULL, 0},
};

static const struct option_word words_consistency[] = {
    {"eventual", CONSISTENCY_EVENTUAL},
    {"session", CONSISTENCY_SESSION},
    {"strong", CONSISTENCY_STRONG},
    {NULL, 0},
};

static const struct option_word words_transaction_reads[] = {
    {"primary", TRANSACTION_READS_PRIMARY},
    {"until_write", TRANSACTION_READS_UNTIL_WRITE},
    {NULL, 0},
};

static const struct option_word words_balance[] = {
    {"least_busy", BALANCE_LEAST_BUSY},
    {"weighted", BALANCE_WEIGHTED},
    {"round_robin", BALANCE_ROUND_ROBIN},
    {NULL, 0},
};

#define TYPE_OF_ROOT struct options
#define TYPE_OF_DATABASE struct database_options
#define TYPE_OF_USER struct user_options
#define FIXED OPTION_FIXED
#define REQUIRED OPTION_REQUIRED
#define NOWHERE OPTION_NONE, 0
#define AT(home, field) offsetof(TYPE_OF_##home, field), sizeof(((TYPE_OF_##home *)NULL)->field)

static const struct option rows[] = {
#define OPTION(path, type, home, field, second, fallback, low, high, words, flags, doc) \
    {path, OPTION_##type, HOME_##home, AT(home, field), second, fallback,               \
     low,  high,          words,       flags,           doc},
#define LATER(path)
#include "config/options.def"
#undef OPTION
#undef LATER
};

static const char *const later_paths[] = {
#define OPTION(path, type, home, field, second, fallback, low, high, words, flags, doc)
#define LATER(path) path,
#include "config/options.def"
#undef OPTION
#undef LATER
};

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))
#define LATER_COUNT (sizeof(later_paths) / sizeof(later_paths[0]))

size_t option_count(void)
{
    return ROW_COUNT;
}

const struct option *option_at(size_t index)
{
    ASSERT(index < ROW_COUNT);
    return &rows[index];
}

const struct option *option_find(const char *pattern)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (strcmp(rows[i].path, pattern) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

/* What stands behind `pattern` and a dot in `path`; NULL when the path is not below it. */
static const char *path_below(const char *path, const char *pattern)
{
    size_t length = strlen(pattern);
    if (length == 0) {
        return path;
    }
    if (strncmp(path, pattern, length) != 0 || path[length] != '.') {
        return NULL;
    }
    return path + length + 1;
}

enum option_kind option_kind(const char *pattern)
{
    if (option_find(pattern) != NULL) {
        return OPTION_VALUE;
    }
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const char *below = path_below(rows[i].path, pattern);
        if (below != NULL) {
            return below[0] == '<' ? OPTION_NAMED : OPTION_OBJECT;
        }
    }
    for (size_t i = 0; i < LATER_COUNT; i++) {
        if (strcmp(later_paths[i], pattern) == 0) {
            return OPTION_LATER;
        }
    }
    return OPTION_UNKNOWN;
}

/* The key of row `index` right below `pattern`, with its length; NULL when it has none or an
 * earlier row gave the same one. */
static const char *key_below(size_t index, const char *pattern, size_t *ret_length)
{
    const char *key = path_below(rows[index].path, pattern);
    if (key == NULL) {
        return NULL;
    }
    size_t length = strcspn(key, ".");
    if (index > 0) {
        const char *before = path_below(rows[index - 1].path, pattern);
        if (before != NULL && strcspn(before, ".") == length && strncmp(before, key, length) == 0) {
            return NULL;
        }
    }
    *ret_length = length;
    return key;
}

#define KEY_BYTES_MAX 40

/* Edit distance with neighbouring letters swapped as one edit; both at most KEY_BYTES_MAX. */
static unsigned edit_distance(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    unsigned row[3][KEY_BYTES_MAX + 1];
    for (size_t j = 0; j <= b_bytes; j++) {
        row[0][j] = (unsigned)j;
    }
    for (size_t i = 1; i <= a_bytes; i++) {
        unsigned *now = row[i % 3];
        const unsigned *last = row[(i + 2) % 3];
        const unsigned *last_but_one = row[(i + 1) % 3];
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= b_bytes; j++) {
            unsigned best = last[j - 1] + (a[i - 1] != b[j - 1]);
            best = last[j] + 1 < best ? last[j] + 1 : best;
            best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                last_but_one[j - 2] + 1 < best) {
                best = last_but_one[j - 2] + 1;
            }
            now[j] = best;
        }
    }
    return row[a_bytes % 3][b_bytes];
}

bool option_suggest(const char *pattern, const char *key, char *ret_key, size_t key_bytes)
{
    size_t length = strlen(key);
    if (length > KEY_BYTES_MAX) {
        return false;
    }
    unsigned best = length < 4 ? 2 : 4; /* one worse than what still counts as near */
    bool found = false;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        size_t candidate_bytes;
        const char *candidate = key_below(i, pattern, &candidate_bytes);
        if (candidate == NULL || candidate_bytes >= key_bytes || candidate_bytes > KEY_BYTES_MAX) {
            continue;
        }
        unsigned distance = edit_distance(key, length, candidate, candidate_bytes);
        if (distance < best && distance < candidate_bytes) {
            best = distance;
            memcpy(ret_key, candidate, candidate_bytes);
            ret_key[candidate_bytes] = '\0';
            found = true;
        }
    }
    return found;
}

const char *option_nearest(const char *const *words, const char *word)
{
    size_t length = strlen(word);
    unsigned best = length < 4 ? 2 : 4;
    const char *nearest = NULL;
    for (; *words != NULL && length <= KEY_BYTES_MAX; words++) {
        size_t bytes = strlen(*words);
        unsigned distance = edit_distance(word, length, *words, bytes);
        if (distance < best && distance < bytes) {
            best = distance;
            nearest = *words;
        }
    }
    return nearest;
}

void option_write_keys(const char *pattern, FILE *out)
{
    const char *separator = "";
    for (size_t i = 0; i < ROW_COUNT; i++) {
        size_t length;
        const char *key = key_below(i, pattern, &length);
        if (key != NULL) {
            fprintf(out, "%s%.*s", separator, (int)length, key);
            separator = ", ";
        }
    }
}

bool option_nullable(const struct option *option)
{
    return (option->fallback != NULL && strcmp(option->fallback, "null") == 0) ||
           (option->type == OPTION_DURATION && option->low == 0) || option->type == OPTION_RATE;
}

static void write_words(const struct option *option, FILE *out)
{
    for (const struct option_word *word = option->words; word->word != NULL; word++) {
        fprintf(out, "%s\"%s\"", word == option->words ? "" : ", ", word->word);
    }
}

static void write_duration_range(const struct option *option, FILE *out)
{
    char low[UNITS_BYTES];
    char high[UNITS_BYTES];
    units_format_duration(option->low, low);
    units_format_duration(option->high, high);
    if (option->high == INT32_MAX) {
        fprintf(out, "a duration such as \"250ms\", \"30s\", \"10m\" or \"1h\"");
        if (option->low > 0) {
            fprintf(out, ", at least \"%s\"", low);
        }
        return;
    }
    fprintf(out, "a duration from \"%s\" to \"%s\"", low, high);
}

void option_write_allowed(const struct option *option, FILE *out)
{
    switch (option->type) {
    case OPTION_INT:
        fprintf(out, "an integer from %u to %u", option->low, option->high);
        if (option->words != NULL) {
            fputs(", or ", out);
            write_words(option, out);
        }
        break;
    case OPTION_DURATION:
        write_duration_range(option, out);
        break;
    case OPTION_RATE:
        fprintf(out, "\"COUNT/DURATION\" such as \"10/1m\", with a count from %u to %u",
                option->low, option->high);
        break;
    case OPTION_WORD:
        fputs("one of ", out);
        write_words(option, out);
        break;
    case OPTION_BOOL:
        fputs("true or false", out);
        break;
    case OPTION_STRING:
        fputs("a string that is not empty", out);
        break;
    case OPTION_SECRET:
        fputs("a string, {\"file\": \"path\"} or {\"env\": \"NAME\"}", out);
        break;
    case OPTION_STRINGS:
        fputs("a list of strings", out);
        break;
    case OPTION_LISTEN:
        fputs("a list of \"host:port\", \"[v6]:port\" or \"unix:/path\"", out);
        break;
    case OPTION_DSN:
        fputs("a libpq connection string, such as \"postgres://host:5432/app\"", out);
        break;
    case OPTION_RULES:
        fprintf(out,
                "a list of at most %u objects {\"match\": {\"tables\", \"user\", \"class\"}, "
                "\"route\": \"primary\" or \"replica\", or \"reject\": text}",
                option->high);
        break;
    case OPTION_REPLICAS:
    case OPTION_HOSTS:
        fprintf(out,
                "a list of at most %u libpq connection strings, such as "
                "\"postgres://host:5432/app\", or objects {\"dsn\": string, \"weight\": %u to %u}",
                option->high, LIMIT_WEIGHT_MIN, LIMIT_WEIGHT_MAX);
        break;
    }
    if (option_nullable(option)) {
        fputs(", or null", out);
    }
}

const char *option_word(const struct option *option, uint32_t value)
{
    if (option->words == NULL) {
        return NULL;
    }
    for (const struct option_word *word = option->words; word->word != NULL; word++) {
        if (word->value == value) {
            return word->word;
        }
    }
    return NULL;
}
