/* What clients say: batches in the style of psql, of drivers with and without named statements, of
 * pipelines, and of a COPY. */
#include <stdio.h>
#include <string.h>

#include "protocol/message.h"
#include "tests/sim/client.h"
#include "tests/sim/sim.h"

enum { COMMAND_BYTES = CLIENT_COMMAND_BYTES };

static bool one_in(struct client *client, uint64_t bound)
{
    return client_random(client, bound) == 0;
}

/* --- commands --------------------------------------------------------------------------------- */

static void make_select(struct client *client, char text[COMMAND_BYTES], const char *tag)
{
    const struct swarm *swarm = &client->sim->swarm;
    unsigned rows = (unsigned)client_random(client, 5), width = 0, ms = 0;
    if (swarm->big_rows && one_in(client, 6)) {
        rows = 1 + (unsigned)client_random(client, 20);
        width = (unsigned)client_random(client, one_in(client, 6) ? 30000 : 3000);
    }
    if (swarm->sleeps && one_in(client, 5)) {
        ms = 1 + (unsigned)client_random(client, one_in(client, 5) ? 400 : 30);
    }
    snprintf(text, COMMAND_BYTES, "select %s %u %u %u", tag, rows, width, ms);
}

static void make_set(struct client *client, char text[COMMAND_BYTES], const char *tag)
{
    static const char *const styles[] = {"iso", "german", "ISO, MDY", "wrong"};
    /* RESET goes back to what the client asked for at its start, but within a transaction only at
     * its end: those who ask for something at their start do not RESET. */
    bool may_reset = !client->sim->swarm.startup_parameters;
    switch (client_random(client, 4) + (may_reset ? 0 : 2)) {
    case 0:
        snprintf(text, COMMAND_BYTES, "set DateStyle %s", styles[client_random(client, 4)]);
        return;
    case 1:
        snprintf(text, COMMAND_BYTES, "reset %s",
                 pg_parameter_names[client_random(client, PG_REPORTED_COUNT)]);
        return;
    case 2:
        snprintf(text, COMMAND_BYTES, "show application_name");
        return;
    default:
        snprintf(text, COMMAND_BYTES, "set application_name %s", tag);
        return;
    }
}

/* Begins or ends a transaction, so that most of them end. */
static bool make_transaction(struct client *client, char text[COMMAND_BYTES])
{
    if (!client->sim->swarm.transactions || !one_in(client, 3)) {
        return false;
    }
    const char *command = "begin";
    if (client->status != 'I' || one_in(client, 12)) {
        command = one_in(client, 3) ? "rollback" : "commit";
    }
    snprintf(text, COMMAND_BYTES, "%s",
             client->sim->swarm.begins ? client_vary(client, command) : command);
    return true;
}

/* One command; `tag` may be "$1". */
static void make_command(struct client *client, char text[COMMAND_BYTES], const char *tag,
                         bool simple)
{
    const struct swarm *swarm = &client->sim->swarm;
    bool own_tag = tag[0] != '$';
    if (make_transaction(client, text) ||
        (swarm->begins && !client->opaque && client_make_modes(client, text))) {
        return;
    }
    if (swarm->state && !client->opaque) {
        client_make_state(client, text, tag, simple && own_tag);
        return;
    }
    if (client_random(client, 1000) < swarm->error_chance) {
        snprintf(text, COMMAND_BYTES, one_in(client, 5) ? "nonsense" : "error %s", tag);
        return;
    }
    switch (client_random(client, 12)) {
    case 0:
        snprintf(text, COMMAND_BYTES, "insert %s", tag);
        return;
    case 1:
        if (swarm->notices) {
            snprintf(text, COMMAND_BYTES, "notice %s", tag);
            return;
        }
        break;
    case 2:
    case 3:
        if (swarm->parameters && own_tag) {
            make_set(client, text, tag);
            return;
        }
        break;
    case 4:
        if (swarm->copies) {
            snprintf(text, COMMAND_BYTES, "copyout %s %u", tag, (unsigned)client_random(client, 6));
            return;
        }
        break;
    case 5:
        if (swarm->discards && one_in(client, 3)) {
            snprintf(text, COMMAND_BYTES,
                     one_in(client, 2) && !swarm->startup_parameters ? "discard all"
                                                                     : "deallocate all");
            return;
        }
        break;
    case 6:
        if (one_in(client, 4)) {
            text[0] = '\0';
            return;
        }
        break;
    }
    make_select(client, text, tag);
}

/* --- messages --------------------------------------------------------------------------------- */

static void add_query(struct client *client, const char *text)
{
    uint32_t mark = writer_begin(&client->out, FRONTEND_QUERY);
    writer_cstr(&client->out, text);
    writer_end(&client->out, mark);
    client->due_ready++;
}

static void add_sync(struct client *client)
{
    writer_end(&client->out, writer_begin(&client->out, FRONTEND_SYNC));
    client->due_ready++;
    client->open_pipeline = false;
}

static void add_parse(struct client *client, const char *name, const char *text)
{
    uint32_t mark = writer_begin(&client->out, FRONTEND_PARSE);
    writer_cstr(&client->out, name);
    writer_cstr(&client->out, text);
    writer_u16(&client->out, 0);
    writer_end(&client->out, mark);
    client->due_acks++;
}

static void add_bind(struct client *client, const char *portal, const char *name,
                     const char *argument)
{
    uint32_t mark = writer_begin(&client->out, FRONTEND_BIND);
    writer_cstr(&client->out, portal);
    writer_cstr(&client->out, name);
    writer_u16(&client->out, 0);
    writer_u16(&client->out, argument == NULL ? 0 : 1);
    if (argument != NULL) {
        writer_u32(&client->out, (uint32_t)strlen(argument));
        writer_bytes(&client->out, argument, strlen(argument));
    }
    writer_u16(&client->out, 0);
    writer_end(&client->out, mark);
    client->due_acks++;
}

static void add_target(struct client *client, char type, char kind, const char *name)
{
    uint32_t mark = writer_begin(&client->out, type);
    writer_u8(&client->out, (uint8_t)kind);
    writer_cstr(&client->out, name);
    writer_end(&client->out, mark);
    client->due_acks++;
}

static void add_execute(struct client *client, const char *portal, uint32_t rows)
{
    uint32_t mark = writer_begin(&client->out, FRONTEND_EXECUTE);
    writer_cstr(&client->out, portal);
    writer_u32(&client->out, rows);
    writer_end(&client->out, mark);
    client->due_acks++;
}

/* --- batches ---------------------------------------------------------------------------------- */

/* A text is SQL or is not: of one that is not, Howdah can't know the names in it. */
static void choose_language(struct client *client)
{
    const struct swarm *swarm = &client->sim->swarm;
    client->opaque = swarm->state && client_random(client, 1000) < swarm->opaque_chance;
}

static void make_simple(struct client *client)
{
    char tag[CLIENT_ID_TEXT_BYTES], command[COMMAND_BYTES], text[4 * COMMAND_BYTES] = "";
    uint64_t count = client->sim->swarm.batches ? 1 + client_random(client, 3) : 1;
    size_t at = 0;
    choose_language(client);
    client->alone = count == 1;
    for (uint64_t i = 0; i < count; i++) {
        client_tag(client, tag);
        make_command(client, command, tag, true);
        bool alone = !client->sim->swarm.state || client->opaque || count == 1;
        if (client->sim->swarm.copies && one_in(client, 10) && !client->pipelined && alone) {

            snprintf(command, sizeof(command),
                     client->sim->swarm.state && !client->opaque ? "copy t from stdin"
                                                                 : "copyin %s",
                     tag);
        }
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", i > 0 ? "; " : "", command);
    }
    add_query(client, text);
}

static bool ends_transaction(const char *text)
{
    return strncmp(text, "commit", 6) == 0 || strncmp(text, "rollback", 8) == 0 ||
           strcmp(text, "end") == 0 || strcmp(text, "abort") == 0;
}

/* A unit of extended query: some of Parse, Bind, Describe, Execute, Close. */
static void make_unit(struct client *client)
{
    static const char *const names[CLIENT_NAMES] = {"", "s1", "s2", "s3"};
    const struct swarm *swarm = &client->sim->swarm;
    char tag[CLIENT_ID_TEXT_BYTES], text[COMMAND_BYTES];
    const char *name = swarm->named ? names[client_random(client, CLIENT_NAMES)] : "";
    const char *portal = swarm->portals && one_in(client, 4) ? "p1" : "";
    bool bound = one_in(client, 2);
    bool parse = one_in(client, 2);
    if (name[0] == '\0') {
        parse = client->unnamed_copies || !swarm->rebinds || !one_in(client, 8);
    }
    uint32_t limit =
        swarm->portals && one_in(client, 3) ? 1 + (uint32_t)client_random(client, 3) : 0;
    client_tag(client, tag);
    client->alone = true;
    if (parse) {
        choose_language(client);
        /* Names are used for the same texts again, as drivers do: statements are shared. */
        make_command(client, text, bound ? "$1" : tag, false);
        if (name[0] != '\0' && bound && !one_in(client, 4)) {
            snprintf(text, sizeof(text),
                     swarm->state && !client->opaque ? "select $1, %c, 0, 0" : "select $1 %c",
                     name[1]);
        }
        /* In a failed transaction a name of SQL's can't be put on the link to refuse the Parse of
         * what ends the transaction. */
        if (swarm->state_prepares && name[0] != '\0' && ends_transaction(text)) {
            snprintf(text, sizeof(text), "select $1, %c, 0, 0", name[1]);
        }
        bound = strstr(text, "$1") != NULL;
        /* A name that is taken is refused by what the link has, and that may be lost. */
        if (swarm->heals && name[0] != '\0') {
            add_target(client, FRONTEND_CLOSE, 'S', name);
        }
        add_parse(client, name, text);
    }
    if (one_in(client, 4)) {
        add_target(client, FRONTEND_DESCRIBE, 'S', name);
    }
    add_bind(client, portal, name, bound ? tag : NULL);
    if (one_in(client, 2)) {
        add_target(client, FRONTEND_DESCRIBE, 'P', portal);
    }
    add_execute(client, portal, limit);
    if (limit > 0 && one_in(client, 2)) {
        add_execute(client, portal, 0);
    }
    if (name[0] != '\0' && one_in(client, 5)) {
        add_target(client, FRONTEND_CLOSE, 'S', name);
    }
    if (portal[0] != '\0' && one_in(client, 3)) {
        add_target(client, FRONTEND_CLOSE, 'P', portal);
    }
}

static void make_extended(struct client *client)
{
    const struct swarm *swarm = &client->sim->swarm;
    uint64_t units = swarm->pipelines ? 1 + client_random(client, 4) : 1;
    for (uint64_t i = 0; i < units; i++) {
        make_unit(client);
        if (swarm->pipelines && i + 1 < units && one_in(client, 3)) {
            add_sync(client);
        }
    }
    if (swarm->flushes && one_in(client, 4) && client->due_ready == 0) {
        writer_end(&client->out, writer_begin(&client->out, FRONTEND_FLUSH));
        client->open_pipeline = true;
        return;
    }
    client->due_acks = 0;
    add_sync(client);
}

/* As libpq: the Sync behind the Execute is ignored by a COPY that begins, and sent again. */
static void make_extended_copy(struct client *client)
{
    char tag[CLIENT_ID_TEXT_BYTES], text[COMMAND_BYTES];
    client_tag(client, tag);
    snprintf(text, sizeof(text),
             client->sim->swarm.state_prepares ? "copy t from stdin" : "copyin %s", tag);
    add_parse(client, "", text);
    add_bind(client, "", "", NULL);
    add_execute(client, "", 0);
    client->due_acks = 0;
    add_sync(client);
    client->copy_extended = client->unnamed_copies = true;
}

void client_make_copy(struct client *client)
{
    struct writer *out = &client->out;
    uint64_t lines = client_random(client, 5);
    for (uint64_t i = 0; i < lines; i++) {
        uint32_t mark = writer_begin(out, FRONTEND_COPY_DATA);
        writer_format(out, one_in(client, 12) ? "bad line" : "good line %u", (unsigned)i);
        writer_end(out, mark);
    }
    bool fail = one_in(client, 5);
    uint32_t mark = writer_begin(out, fail ? FRONTEND_COPY_FAIL : FRONTEND_COPY_DONE);
    if (fail) {
        writer_cstr(out, "the client does not want to");
    }
    writer_end(out, mark);
    if (client->copy_extended) {
        writer_end(out, writer_begin(out, FRONTEND_SYNC));
    }
}

static void make_garbage(struct client *client)
{
    uint32_t len = 1 + (uint32_t)client_random(client, 40);
    static const char types[] = "BCcDdEfFHPpQSX";
    client->oracle.blind = true;
    if (one_in(client, 2)) {
        writer_u8(&client->out, (uint8_t)types[client_random(client, sizeof(types) - 1)]);
        writer_u32(&client->out, 4 + (uint32_t)client_random(client, 30));
    }
    for (uint32_t i = 0; i < len; i++) {
        writer_u8(&client->out, (uint8_t)client_random(client, 256));
    }
    client->ops_left = 0;
}

void client_make_batch(struct client *client)
{
    const struct swarm *swarm = &client->sim->swarm;
    client->pipelined = false;
    client->due_acks = 0;
    if (client->hostile && one_in(client, 4)) {
        make_garbage(client);
        return;
    }
    if (client->open_pipeline) {
        if (one_in(client, 3)) {
            make_unit(client);
            client->due_acks = 0;
        }
        add_sync(client);
        return;
    }
    if (swarm->extended && !one_in(client, 3)) {
        if (swarm->copies && one_in(client, 8)) {
            make_extended_copy(client);
        } else {
            make_extended(client);
        }
        return;
    }
    uint64_t count = swarm->pipelines && one_in(client, 4) ? 2 + client_random(client, 3) : 1;
    client->pipelined = count > 1;
    for (uint64_t i = 0; i < count; i++) {
        make_simple(client);
    }
}
