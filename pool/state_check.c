#include "pool/state_check.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/writer.h"
#include "pool/link.h"
#include "pool/settings.h"
#include "protocol/message.h"

/* coalesce: of a setting that nobody has made both are NULL or ''. */
const char state_check_part[] =
    "SELECT 'c', n, v FROM ROWS FROM (pg_catalog.unnest($3::pg_catalog.text[]),"
    " pg_catalog.unnest($4::pg_catalog.text[])) AS t(n, v)"
    " WHERE NOT coalesce(pg_catalog.current_setting(n, true)"
    " OPERATOR(pg_catalog.=) pg_catalog.set_config(n, v, true), false)";

/* These are shown by name; as another role most settings can't be set to what they are. */
static bool is_role(const char *name)
{
    return strcasecmp(name, "role") == 0 || strcasecmp(name, "session_authorization") == 0;
}

static bool has_role(const struct settings *settings)
{
    return settings_get(settings, "role") != NULL ||
           settings_get(settings, "session_authorization") != NULL;
}

static void write_element(struct writer *writer, const char *text)
{
    writer_u8(writer, '"');
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            writer_u8(writer, '\\');
        }
        writer_u8(writer, (uint8_t)*text);
    }
    writer_u8(writer, '"');
}

static void write_array(struct writer *writer, const struct settings *settings, bool values)
{
    uint32_t at = writer->len;
    writer_u32(writer, 0);
    writer_u8(writer, '{');
    for (uint32_t i = 0; !has_role(settings) && i < settings->count; i++) {
        if (i > 0) {
            writer_u8(writer, ',');
        }
        write_element(writer, values ? settings->items[i].value : settings->items[i].name);
    }
    writer_u8(writer, '}');
    if (!writer->failed) {
        message_store_u32(writer->bytes + at, writer->len - at - 4);
    }
}

void state_check_write_values(struct writer *writer, const struct link *link)
{
    write_array(writer, link->settings, false);
    write_array(writer, link->settings, true);
}

/* A setting made to what a fresh link has anyway is not remembered. */
static bool is_strange(const struct link *link, const struct setting *shown)
{
    const char *thought = settings_get(link->settings, shown->name);
    const char *usual = settings_get(link->baseline, shown->name);
    return is_role(shown->name) ? thought == NULL || strcmp(thought, shown->value) != 0
           : thought == NULL    ? usual == NULL || strcmp(usual, shown->value) != 0
                                : false; /* the server compares */
}

bool state_check_strange(const struct link *link, const struct settings *now, uint32_t pins,
                         uint32_t channels, char *ret_detail, uint32_t detail_bytes)
{
    if (pins != 0 || (channels > 0 && !link->listens)) {
        snprintf(ret_detail, detail_bytes, "The server holds %s that nobody knows of.",
                 pins != 0 ? "objects of a session" : "a LISTEN");
        return true;
    }
    for (uint32_t i = 0; i < now->count; i++) {
        if (is_strange(link, &now->items[i])) {
            snprintf(ret_detail, detail_bytes, "The server has %s = '%s', which was not known.",
                     now->items[i].name, now->items[i].value);
            return true;
        }
    }
    for (uint32_t i = 0; i < link->settings->count; i++) {
        const struct setting *thought = &link->settings->items[i];
        if (is_role(thought->name) && settings_get(now, thought->name) == NULL) {
            snprintf(ret_detail, detail_bytes, "The server has %s = '%s' no more.", thought->name,
                     thought->value);
            return true;
        }
    }
    return false;
}
