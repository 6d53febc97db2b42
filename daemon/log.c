#include "daemon/log.h"

#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A pipe that polls writable takes this much without blocking: PIPE_BUF of pipe(7). */
enum { ROOM_BYTES = 4096 };

struct log {
    int fd;
    atomic_int level;
    atomic_bool json;
    pthread_mutex_t lock; /* keeps "is there room" and "write" together */
    uint64_t dropped;
};

struct line {
    char bytes[ROOM_BYTES];
    size_t used;
};

static const char *const level_words[] = {
    [LOG_ERROR] = "error", [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice",
    [LOG_INFO] = "info",   [LOG_DEBUG] = "debug",
};

struct log *log_new(int fd)
{
    struct log *log = calloc(1, sizeof(*log));
    if (log == NULL) {
        return NULL;
    }
    log->fd = fd;
    atomic_init(&log->level, LOG_INFO);
    pthread_mutex_init(&log->lock, NULL);
    return log;
}

void log_free(struct log *log)
{
    if (log != NULL) {
        pthread_mutex_destroy(&log->lock);
        free(log);
    }
}

void log_configure(struct log *log, enum log_event_level level, bool json)
{
    atomic_store(&log->level, (int)level);
    atomic_store(&log->json, json);
}

bool log_wants(const struct log *log, enum log_event_level level)
{
    return (int)level <= atomic_load_explicit(&log->level, memory_order_relaxed);
}

__attribute__((format(printf, 2, 3))) static void add_format(struct line *line, const char *format,
                                                             ...)
{
    size_t room = sizeof(line->bytes) - line->used;
    va_list arguments;
    va_start(arguments, format);
    int written = vsnprintf(line->bytes + line->used, room, format, arguments);
    va_end(arguments);
    if (written > 0) {
        line->used += (size_t)written < room ? (size_t)written : room - 1;
    }
}

/* The text with what would break the line masked; two bytes are kept for the line's end. */
static void add_masked(struct line *line, const char *text, bool json)
{
    for (size_t i = 0; text[i] != '\0' && i < LOG_LINE_BYTES; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (sizeof(line->bytes) - line->used < 16) {
            break;
        }
        if (byte < 0x20 || byte == 0x7f) {
            add_format(line, json ? "\\u%04x" : "\\x%02x", byte);
        } else if (json && (byte == '"' || byte == '\\')) {
            add_format(line, "\\%c", byte);
        } else {
            line->bytes[line->used++] = (char)byte;
        }
    }
}

static void add_time(struct line *line)
{
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    add_format(line, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ", parts.tm_year + 1900, parts.tm_mon + 1,
               parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, now.tv_nsec / 1000000);
}

static void build(struct line *line, bool json, enum log_event_level level, int worker,
                  const char *text)
{
    line->used = 0;
    if (json) {
        add_format(line, "{\"time\":\"");
        add_time(line);
        add_format(line, "\",\"level\":\"%s\"", level_words[level]);
        if (worker != LOG_NO_WORKER) {
            add_format(line, ",\"worker\":%d", worker);
        }
        add_format(line, ",\"message\":\"");
        add_masked(line, text, true);
        add_format(line, "\"}\n");
        return;
    }
    add_time(line);
    add_format(line, " %-7s ", level_words[level]);
    if (worker == LOG_NO_WORKER) {
        add_format(line, "-  ");
    } else {
        add_format(line, "w%d ", worker);
    }
    add_masked(line, text, false);
    add_format(line, "\n");
}

static bool has_room(const struct log *log)
{
    struct pollfd poller = {.fd = log->fd, .events = POLLOUT};
    return poll(&poller, 1, 0) == 1 && (poller.revents & POLLOUT) != 0;
}

static void write_line(struct log *log, const struct line *line)
{
    /* Nobody is left to be told of a failed write. */
    ssize_t written = write(log->fd, line->bytes, line->used);
    (void)written;
}

static void put(struct log *log, enum log_event_level level, int worker, const char *text)
{
    struct line line;
    bool json = atomic_load(&log->json);
    build(&line, json, level, worker, text);
    pthread_mutex_lock(&log->lock);
    if (!has_room(log)) {
        log->dropped++;
    } else {
        if (log->dropped > 0) {
            struct line gap;
            char words[64];
            snprintf(words, sizeof(words), "%llu log lines were dropped: stderr was full",
                     (unsigned long long)log->dropped);
            build(&gap, json, LOG_WARNING, LOG_NO_WORKER, words);
            write_line(log, &gap);
            log->dropped = 0;
        }
        if (has_room(log)) {
            write_line(log, &line);
        } else {
            log->dropped++;
        }
    }
    pthread_mutex_unlock(&log->lock);
}

void log_text(struct log *log, enum log_event_level level, int worker, const char *text)
{
    if (log_wants(log, level)) {
        put(log, level, worker, text);
    }
}

void log_announce(struct log *log, const char *text)
{
    put(log, LOG_NOTICE, LOG_NO_WORKER, text);
}

void log_line(struct log *log, enum log_event_level level, int worker, const char *format, ...)
{
    if (!log_wants(log, level)) {
        return;
    }
    char text[LOG_LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    put(log, level, worker, text);
}
