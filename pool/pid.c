#include "pool/pid.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/limits.h"
#include "base/writer.h"
#include "protocol/sql_lexer.h"

/* A number with more digits is no pid. */
enum { PID_DIGITS = 10 };

enum { PAGE_BITS = 12 };

struct pid_page {
    _Atomic uint64_t others[1 << PAGE_BITS];
};

/* Of each pid of a backend that of its client, and of each client's that of its backend: the host
 * in the upper half, the other's pid in the lower; 0 = none. Servers' pids end where ours begin.
 * Pages are made as they are needed, and stay. */
struct pid_directory {
    uint32_t pid_end;
    _Atomic(struct pid_page *) pages[];
};

enum function_kind { FUNCTION_NONE, FUNCTION_LOOKS, FUNCTION_CANCELS, FUNCTION_TERMINATES };

/* What follows "pg_" in the functions' names. */
static const struct {
    const char *name;
    enum function_kind kind;
} functions[] = {
    {"blocking_pids", FUNCTION_LOOKS},
    {"cancel_backend", FUNCTION_CANCELS},
    {"isolation_test_session_is_blocked", FUNCTION_LOOKS},
    {"log_backend_memory_contexts", FUNCTION_LOOKS},
    {"safe_snapshot_blocking_pids", FUNCTION_LOOKS},
    {"stat_get_activity", FUNCTION_LOOKS},
    {"terminate_backend", FUNCTION_TERMINATES},
};

enum { FUNCTION_COUNT = sizeof(functions) / sizeof(functions[0]) };

/* --- pids ------------------------------------------------------------------------------------- */

enum { PLACE_MASK = (1 << (PID_SLOT_BITS + PID_WORKER_BITS)) - 1 };

uint32_t pid_make(uint32_t worker, struct handle handle)
{
    _Static_assert(LIMIT_CONNECTIONS == 1 << PID_SLOT_BITS, "a slot needs its bits");
    _Static_assert(LIMIT_WORKERS == 1 << PID_WORKER_BITS, "a worker needs its bits");
    uint32_t times = (handle.generation - 1) % PID_TIMES;
    return PID_BASE + ((times << PID_WORKER_BITS | worker) << PID_SLOT_BITS | handle.slot);
}

bool pid_place(uint32_t pid, uint32_t *ret_worker, uint32_t *ret_slot)
{
    uint32_t place = (pid - PID_BASE) & PLACE_MASK;
    *ret_worker = place >> PID_SLOT_BITS;
    *ret_slot = place & ((1 << PID_SLOT_BITS) - 1);
    return pid >= PID_BASE && (pid - PID_BASE) / (PLACE_MASK + 1) < PID_TIMES;
}

/* --- the directory ---------------------------------------------------------------------------- */

struct pid_directory *pid_directory_new(uint32_t worker_count)
{
    uint32_t pid_end = PID_BASE + worker_count * LIMIT_CONNECTIONS;
    size_t pages_bytes = (pid_end >> PAGE_BITS) * sizeof(struct pid_page *);
    struct pid_directory *directory = calloc(1, sizeof(*directory) + pages_bytes);
    if (directory != NULL) {
        directory->pid_end = pid_end;
    }
    return directory;
}

void pid_directory_free(struct pid_directory *directory)
{
    for (uint32_t i = 0; directory != NULL && i < directory->pid_end >> PAGE_BITS; i++) {
        free(atomic_load(&directory->pages[i]));
    }
    free(directory);
}

/* Clients that have a slot one after the other have one entry. */
static uint32_t index_of(uint32_t pid)
{
    return pid < PID_BASE ? pid : PID_BASE + ((pid - PID_BASE) & PLACE_MASK);
}

static uint64_t other_of(struct pid_directory *directory, uint32_t virtual_or_not)
{
    uint32_t pid = index_of(virtual_or_not);
    const struct pid_page *page =
        pid < directory->pid_end ? atomic_load(&directory->pages[pid >> PAGE_BITS]) : NULL;
    return page == NULL ? 0
                        : atomic_load_explicit(&page->others[pid & ((1 << PAGE_BITS) - 1)],
                                               memory_order_relaxed);
}

static struct pid_page *add_page(_Atomic(struct pid_page *) *at)
{
    struct pid_page *page = calloc(1, sizeof(*page)), *other = NULL;
    if (page != NULL && !atomic_compare_exchange_strong(at, &other, page)) {
        free(page); /* another worker was faster */
        return other;
    }
    return page;
}

static void set_other(struct pid_directory *directory, uint32_t virtual_or_not, uint32_t host,
                      uint32_t other)
{
    uint32_t pid = index_of(virtual_or_not);
    _Atomic(struct pid_page *) *at = &directory->pages[pid >> PAGE_BITS];
    struct pid_page *page = atomic_load(at);
    if (page == NULL) {
        page = add_page(at);
    }
    if (page != NULL) { /* else memory is out: the pid is not known */
        atomic_store_explicit(&page->others[pid & ((1 << PAGE_BITS) - 1)],
                              (uint64_t)host << 32 | other, memory_order_relaxed);
    }
}

void pid_lent(struct pid_directory *directory, uint32_t host, uint32_t virtual_pid, uint32_t pid)
{
    if (virtual_pid >= PID_BASE && index_of(virtual_pid) < directory->pid_end && pid < PID_BASE) {
        set_other(directory, virtual_pid, host, pid);
        set_other(directory, pid, host, virtual_pid);
    }
}

void pid_ended(struct pid_directory *directory, uint32_t host, uint32_t pid)
{
    if (pid < PID_BASE && other_of(directory, pid) >> 32 == host) {
        set_other(directory, pid, 0, 0);
    }
}

uint32_t pid_client_of(struct pid_directory *directory, uint32_t host, uint32_t pid)
{
    uint64_t client = pid < PID_BASE ? other_of(directory, pid) : 0;
    return client >> 32 == host ? (uint32_t)client : 0;
}

uint32_t pid_of_client(struct pid_directory *directory, uint32_t host, uint32_t virtual_pid)
{
    uint64_t backend = virtual_pid >= PID_BASE ? other_of(directory, virtual_pid) : 0;
    uint32_t pid = (uint32_t)backend;
    return backend >> 32 == host && pid_client_of(directory, host, pid) == virtual_pid ? pid : 0;
}

/* --- texts ------------------------------------------------------------------------------------ */

static enum function_kind kind_of(const uint8_t *word, size_t len)
{
    for (uint32_t i = 0; i < FUNCTION_COUNT; i++) {
        size_t name_len = strlen(functions[i].name);
        if (len == name_len && strncasecmp((const char *)word, functions[i].name, len) == 0) {
            return functions[i].kind;
        }
    }
    return FUNCTION_NONE;
}

bool pid_function_in(const uint8_t *text, uint32_t len)
{
    uint32_t at = 0;
    const uint8_t *found;
    while (at < len && (found = memchr(text + at, '_', len - at)) != NULL) {
        uint32_t under = (uint32_t)(found - text);
        at = under + 1;
        if (under < 2 || (text[under - 2] | 0x20) != 'p' || (text[under - 1] | 0x20) != 'g') {
            continue;
        }
        while (at < len && sql_lexer_is_word(text[at])) {
            at++;
        }
        if (kind_of(text + under + 1, at - under - 1) != FUNCTION_NONE) {
            return true;
        }
    }
    return false;
}

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

/* What stands for a number: a pid, or 0 where it stays. */
static uint32_t stand_for(const struct pid_view *view, bool signalled, uint32_t number)
{
    uint32_t worker, slot;
    struct pid_signals *signals = view->signals;
    if (!signalled) {
        return pid_of_client(view->directory, view->host, number);
    }
    if (signals == NULL || !pid_place(number, &worker, &slot)) {
        return 0;
    }
    for (uint32_t i = 0; i < signals->count; i++) {
        if (signals->items[i].virtual_pid == number) {
            return signals->items[i].pid;
        }
    }
    if (signals->count < PID_SIGNALS_MAX) {
        signals->items[signals->count].pid = 0;
        signals->items[signals->count++].virtual_pid = number;
    }
    return 0;
}

/* Appends the bytes, each run of digits that is a virtual pid replaced. True if one was. */
static bool rewrite_digits(const struct pid_view *view, bool signalled, const uint8_t *bytes,
                           uint32_t len, struct writer *writer)
{
    bool changed = false;
    uint32_t at = 0;
    while (at < len) {
        uint32_t from = at;
        uint64_t number = 0;
        for (; at < len && is_digit(bytes[at]); at++) {
            number = at - from < PID_DIGITS ? number * 10 + (uint64_t)(bytes[at] - '0') : 0;
        }
        uint32_t pid = at - from > PID_DIGITS || number > UINT32_MAX
                           ? 0
                           : stand_for(view, signalled, (uint32_t)number);
        if (pid != 0) {
            writer_format(writer, "%u", pid);
            changed = true;
        } else {
            at += at == from;
            writer_bytes(writer, bytes + from, at - from);
        }
    }
    return changed;
}

/* A string that is a number or an array of them. */
static bool is_numbers(const uint8_t *bytes, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        if (!is_digit(bytes[i]) && strchr("'{}, ", bytes[i]) == NULL) {
            return false;
        }
    }
    return true;
}

static uint64_t parameter_bit(const uint8_t *text, const struct sql_token *token)
{
    uint32_t number = 0;
    for (uint32_t i = 1; i < token->len && number <= 64; i++) {
        number = number * 10 + (uint32_t)(text[token->at + i] - '0');
    }
    return number >= 1 && number <= 64 ? UINT64_C(1) << (number - 1) : 0;
}

/* Where in a text the reader is: within how many parentheses of a function's arguments. */
struct place {
    enum function_kind named; /* the token before was the function's name */
    uint32_t depth;
    bool signalled; /* the arguments' pids are */
};

static void next_place(struct place *place, const struct sql_lexer *lexer,
                       const struct sql_token *token, struct pid_signals *signals)
{
    const uint8_t *word = lexer->bytes + token->at;
    if (sql_token_is_self(lexer, token, '(')) {
        bool signalled = place->named >= FUNCTION_CANCELS;
        place->signalled = signalled || (place->signalled && place->depth > 0);
        place->depth += place->named != FUNCTION_NONE || place->depth > 0;
        if (signals != NULL && place->named == FUNCTION_TERMINATES) {
            signals->terminates = true;
        }
    } else if (sql_token_is_self(lexer, token, ')')) {
        place->depth -= place->depth > 0;
    }
    bool named =
        token->kind == SQL_WORD && token->len > 3 && strncasecmp((const char *)word, "pg_", 3) == 0;
    place->named = named ? kind_of(word + 3, token->len - 3) : FUNCTION_NONE;
}

struct pid_use pid_rewrite_text(const struct pid_view *view, const uint8_t *text, uint32_t len,
                                struct writer *writer)
{
    struct pid_use use = {0};
    struct place place = {0};
    struct sql_lexer lexer;
    struct sql_token token;
    uint32_t written = 0;
    sql_lexer_init(&lexer, text, len, 0);
    while (sql_lexer_next(&lexer, &token) > SQL_END) {
        next_place(&place, &lexer, &token, view->signals);
        if (place.depth == 0) {
            continue;
        }
        if (token.kind == SQL_PARAMETER) {
            uint64_t bit = parameter_bit(text, &token);
            use.parameters |= bit;
            use.signalled |= place.signalled ? bit : 0;
        } else if (token.kind == SQL_INTEGER ||
                   (token.kind == SQL_STRING && is_numbers(text + token.at, token.len))) {
            writer_bytes(writer, text + written, token.at - written);
            use.changed |=
                rewrite_digits(view, place.signalled, text + token.at, token.len, writer);
            written = token.at + token.len;
        }
    }
    writer_bytes(writer, text + written, len - written);
    return use;
}

/* --- parameters ------------------------------------------------------------------------------- */

/* One value: a text of digits, or a binary int4 or int8. */
static void rewrite_value(const struct pid_view *view, bool signalled, bool binary,
                          const uint8_t *value, uint32_t len, struct writer *writer)
{
    uint32_t at = writer->len;
    writer_u32(writer, len);
    if (!binary) {
        if (is_numbers(value, len)) {
            rewrite_digits(view, signalled, value, len, writer);
        } else {
            writer_bytes(writer, value, len);
        }
        if (!writer->failed) {
            uint32_t bytes = writer->len - at - 4;
            uint8_t word[] = {(uint8_t)(bytes >> 24), (uint8_t)(bytes >> 16), (uint8_t)(bytes >> 8),
                              (uint8_t)bytes};
            memcpy(writer->bytes + at, word, sizeof(word));
        }
        return;
    }
    struct reader reader = reader_of(value, len);
    uint32_t high = len == 8 ? reader_u32(&reader) : 0;
    uint32_t pid =
        high == 0 && (len == 4 || len == 8) ? stand_for(view, signalled, reader_u32(&reader)) : 0;
    if (pid == 0) {
        writer_bytes(writer, value, len);
        return;
    }
    writer_bytes(writer, value, len - 4);
    writer_u32(writer, pid);
}

bool pid_rewrite_parameters(const struct pid_view *view, const struct pid_use *use,
                            const uint8_t *body, uint32_t body_bytes, struct writer *writer)
{
    struct reader reader = reader_of(body, body_bytes);
    uint32_t format_count = reader_u16(&reader);
    const uint8_t *formats = reader_bytes(&reader, format_count * 2);
    uint32_t count = reader_u16(&reader);
    if (reader.failed || (format_count > 1 && format_count != count)) {
        return false;
    }
    writer_bytes(writer, body, body_bytes - reader.left);
    for (uint32_t i = 0; i < count && !reader.failed; i++) {
        uint32_t len = reader_u32(&reader);
        uint32_t format = format_count > 1 ? i : 0;
        bool binary = format_count > 0 && (formats[format * 2] | formats[format * 2 + 1]) != 0;
        bool is_pid = i < 64 && (use->parameters >> i & 1) != 0;
        bool signalled = i < 64 && (use->signalled >> i & 1) != 0;
        if (len == UINT32_MAX) {
            writer_u32(writer, len);
            continue;
        }
        const uint8_t *value = reader_bytes(&reader, len);
        if (value != NULL && is_pid) {
            rewrite_value(view, signalled, binary, value, len, writer);
        } else if (value != NULL) {
            writer_u32(writer, len);
            writer_bytes(writer, value, len);
        }
    }
    if (reader.failed) {
        return false;
    }
    writer_bytes(writer, reader.at, reader.left);
    return !writer->failed;
}
