#include "config/errors.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define FINDINGS_MAX 1000

void config_errors_init(struct config_errors *errors)
{
    *errors = (struct config_errors){0};
}

void config_errors_fini(struct config_errors *errors)
{
    for (size_t i = 0; i < errors->count; i++) {
        free(errors->findings[i].source);
        free(errors->findings[i].text);
    }
    free(errors->findings);
    config_errors_init(errors);
}

static bool grow(struct config_errors *errors)
{
    struct config_finding *findings =
        reallocarray(errors->findings, errors->count + 1, sizeof(*findings));
    if (findings == NULL) {
        return false;
    }
    errors->findings = findings;
    return true;
}

static char *format_text(const char *path, const char *format, va_list arguments)
{
    char *message = NULL;
    if (vasprintf(&message, format, arguments) < 0) {
        return NULL;
    }
    if (path == NULL || path[0] == '\0') {
        return message;
    }
    char *text = NULL;
    if (asprintf(&text, "%s: %s", path, message) < 0) {
        text = NULL;
    }
    free(message);
    return text;
}

static void add(struct config_errors *errors, struct config_place place, const char *path,
                bool note, const char *format, va_list arguments)
{
    if (!note) {
        errors->error_count++;
    }
    if (errors->count >= FINDINGS_MAX) {
        return;
    }
    char *text = format_text(path, format, arguments);
    char *source = strdup(place.source != NULL ? place.source : "");
    if (text == NULL || source == NULL || !grow(errors)) {
        free(text);
        free(source);
        errors->out_of_memory = true;
        return;
    }
    errors->findings[errors->count++] = (struct config_finding){
        .source = source, .line = place.line, .column = place.column, .note = note, .text = text};
}

void config_errors_add(struct config_errors *errors, struct config_place place, const char *path,
                       const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add(errors, place, path, false, format, arguments);
    va_end(arguments);
}

void config_errors_note(struct config_errors *errors, struct config_place place, const char *path,
                        const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add(errors, place, path, true, format, arguments);
    va_end(arguments);
}

int config_errors_code(const struct config_errors *errors)
{
    if (errors->out_of_memory) {
        return ERR_NO_MEMORY;
    }
    return errors->error_count > 0 ? ERR_CONFIG : 0;
}

static bool stands_after(const struct config_finding *a, const struct config_finding *b)
{
    if (strcmp(a->source, b->source) != 0) {
        return false;
    }
    return a->line > b->line || (a->line == b->line && a->column > b->column);
}

/* Insertion keeps the order of findings at one place, and of sources. */
static void sort_by_place(struct config_errors *errors)
{
    for (size_t i = 1; i < errors->count; i++) {
        struct config_finding finding = errors->findings[i];
        size_t at = i;
        for (; at > 0 && stands_after(&errors->findings[at - 1], &finding); at--) {
            errors->findings[at] = errors->findings[at - 1];
        }
        errors->findings[at] = finding;
    }
}

void config_errors_write(struct config_errors *errors, FILE *out)
{
    sort_by_place(errors);
    for (size_t i = 0; i < errors->count; i++) {
        const struct config_finding *finding = &errors->findings[i];
        if (finding->source[0] != '\0') {
            fputs(finding->source, out);
            if (finding->line > 0) {
                fprintf(out, ":%u:%u", finding->line, finding->column > 0 ? finding->column : 1);
            }
            fputs(": ", out);
        }
        fprintf(out, "%s%s\n", finding->note ? "note: " : "", finding->text);
    }
}
