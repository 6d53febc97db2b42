/* What others have a say in, and so no oracle knows: advisory locks, the sequence, notifications.
 *
 * A lock that a client was told it has is its own: nobody else is told the same until it gave it
 * back, and it can give back that one only. currval() is what nextval() has told the same client
 * last, or an error. A notification reaches who listens, once, in the order of the channel, with
 * the pid of the client that sent it; and nothing that was sent while a client listened is missing
 * when a later one has come, when its own commit is answered, or when it has long been idle.
 */
#include "tests/sim/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/message.h"
#include "tests/sim/client.h"
#include "tests/sim/net.h"
#include "tests/sim/sim.h"

enum { LATE_US = 1500 * 1000, ANY_CHANNEL = UINT16_MAX };

static bool is_idle(const struct client *client)
{
    return client->state == CLIENT_ACTIVE && client->due_ready == 0 && client->due_acks == 0 &&
           client->waiting_from_us == 0;
}

/* --- locks and the sequence ------------------------------------------------------------------- */

/* Its last words are on their way: its locks are gone. */
static bool is_ended(const struct client *client)
{
    return client->wire == NULL || client->wire->engine_closed || client->wire->closing;
}

static bool took_lock(struct client *client, unsigned key, bool got)
{
    struct sim *sim = client->sim;
    if (!got) {
        return client->locks[key] == 0;
    }
    client->locks[key]++;
    for (uint32_t i = 0; i < sim->client_count; i++) {
        const struct client *other = sim->clients[i];
        if (other != client && other->database == client->database && other->locks[key] > 0 &&
            is_idle(other) && !is_ended(other)) {
            sim_fail(sim, "LOCK: c%u was given lock %u, which c%u has", client->number, key, i);
        }
    }
    return true;
}

static bool gave_lock(struct client *client, unsigned key, bool got)
{
    bool had = client->locks[key] > 0;
    client->locks[key] -= had;
    return got == had;
}

/* The number behind a word; false when the text begins otherwise. */
static bool read_number(const char *text, const char *word, uint32_t *ret_number)
{
    size_t len = strlen(word);
    char *end;
    if (strncmp(text, word, len) != 0 || text[len] < '0' || text[len] > '9') {
        return false;
    }
    *ret_number = (uint32_t)strtoul(text + len, &end, 10);
    return true;
}

bool check_chance(struct client *client, const char *wanted, const char *got)
{
    uint32_t number = 0;
    bool yes = strcmp(got, "t") == 0;
    if (read_number(wanted, "?lock ", &number)) {
        return took_lock(client, number, yes);
    }
    if (read_number(wanted, "?unlock ", &number)) {
        return gave_lock(client, number, yes);
    }
    if (strcmp(wanted, "?unlock_all") == 0) {
        memset(client->locks, 0, sizeof(client->locks));
        return got[0] == '\0';
    }
    if (strcmp(wanted, "?signal") == 0) {
        return yes || strcmp(got, "f") == 0;
    }
    if (!read_number(got, "", &number)) {
        return false;
    }
    if (strcmp(wanted, "?next") == 0) {
        bool grows = number > client->last_value;
        client->last_value = number;
        return grows;
    }
    return number == client->last_value;
}

void check_discarded(struct client *client)
{
    client->last_value = 0;
    memset(client->locks, 0, sizeof(client->locks));
}

/* --- notifications ---------------------------------------------------------------------------- */

/* A commit at the server has sent it. */
void check_notified(struct sim *sim, uint32_t database, const char *channel, const char *payload)
{
    if (sim->note_count == sim->note_capacity) {
        sim->note_capacity = sim->note_capacity * 2 + 64;
        sim->notes = realloc(sim->notes, sim->note_capacity * sizeof(*sim->notes));
        if (sim->notes == NULL) {
            abort();
        }
    }
    struct note *note = &sim->notes[sim->note_count++];
    *note = (struct note){.at_us = sim->now_us, .database = database};
    read_number(channel, "ch", &note->channel);
    snprintf(note->payload, sizeof(note->payload), "%s", payload);
    sim_log(sim, "note %u: %s %s", sim->note_count - 1, channel, payload);
}

static bool is_due(const struct client *client, const struct note *note, uint32_t number)
{
    return note->database == client->database && note->channel < CLIENT_CHANNELS &&
           client->heard_from[note->channel] <= number &&
           number >= client->notes_heard[note->channel];
}

static const struct client *sender_of(const struct sim *sim, const struct note *note)
{
    uint64_t id = strtoull(note->payload + 1, NULL, 16); /* "w" and 16 digits, then a dot */
    for (uint32_t i = 0; i < sim->client_count; i++) {
        if (sim->clients[i]->id == id) {
            return sim->clients[i];
        }
    }
    return NULL;
}

/* Everything before `end` that was committed before `until_us`, by `sender` if that is not NULL,
 * has been heard. */
static void check_none_lost(struct client *client, uint32_t end, uint32_t channel,
                            uint64_t until_us, const struct client *sender)
{
    struct sim *sim = client->sim;
    for (uint32_t i = 0; i < end; i++) {
        const struct note *note = &sim->notes[i];
        if ((channel == ANY_CHANNEL || note->channel == channel) && is_due(client, note, i) &&
            note->at_us <= until_us && (sender == NULL || sender_of(sim, note) == sender)) {
            sim_fail(sim, "NOTIFY: c%u has not heard note %u: ch%u %s", client->number, i,
                     note->channel, note->payload);
            return;
        }
    }
}

static uint32_t find_note(const struct sim *sim, uint32_t from, const char *payload)
{
    while (from < sim->note_count && strcmp(sim->notes[from].payload, payload) != 0) {
        from++;
    }
    return from;
}

/* A payload may have been sent several times, by a statement that was prepared. */
static uint32_t which_note(const struct client *client, uint32_t channel, const char *payload)
{
    const struct sim *sim = client->sim;
    uint32_t first = find_note(sim, client->notes_heard[channel], payload), at = first;
    while (at < sim->note_count && !is_due(client, &sim->notes[at], at)) {
        at = find_note(sim, at + 1, payload);
    }
    at = at < sim->note_count ? at : first;
    return at < sim->note_count ? at : find_note(sim, 0, payload);
}

void check_notification(struct client *client, const uint8_t *message, size_t len)
{
    struct sim *sim = client->sim;
    struct reader reader = reader_of(message + MESSAGE_HEADER_BYTES, len - MESSAGE_HEADER_BYTES);
    uint32_t pid = reader_u32(&reader);
    const char *channel = reader_cstr(&reader);
    const char *payload = reader_cstr(&reader);
    uint32_t channel_number = 0;
    read_number(channel, "ch", &channel_number);
    channel_number = channel_number < CLIENT_CHANNELS ? channel_number : 0;
    uint32_t number = which_note(client, channel_number, payload);
    if (reader.failed || number == sim->note_count ||
        sim->notes[number].channel != channel_number ||
        sim->notes[number].database != client->database) {
        sim_fail(sim, "NOTIFY: c%u has heard what nobody has sent: %s %s", client->number, channel,
                 payload);
        return;
    }
    const struct client *sender = sender_of(sim, &sim->notes[number]);
    sim_log(sim, "c%u hears note %u", client->number, number);
    sim->heard++;
    /* What a notifier's link has is known to be its own by the listeners of its worker and user. */
    bool known = sim->shell_count == 1 && sim->swarm.users == 1 &&
                 client->heard_from[channel_number] != UINT32_MAX;
    if (sender == NULL || (known && pid != message_load_u32(sender->cancel_body))) {
        sim_fail(sim, "NOTIFY: c%u has heard note %u with the pid %u", client->number, number, pid);
    } else if (number < client->notes_heard[channel_number]) {
        sim_fail(sim, "NOTIFY: c%u has heard note %u twice or late", client->number, number);
    } else if ((client->asked_channels >> channel_number & 1) == 0 ||
               (is_idle(client) && client->heard_from[channel_number] == UINT32_MAX)) {
        sim_fail(sim, "NOTIFY: c%u does not listen to ch%u", client->number, channel_number);
    }
    check_none_lost(client, number, channel_number, UINT64_MAX, NULL);
    client->notes_heard[channel_number] = number + 1;
}

/* A ReadyForQuery has come and nothing is due: what the oracle listens to is what the client hears
 * from now on. */
void check_listens(struct client *client)
{
    struct sim *sim = client->sim;
    for (uint32_t i = 0; i < CLIENT_CHANNELS; i++) {
        char name[8];
        snprintf(name, sizeof(name), "ch%u", i);
        bool listens = pg_listens(&client->oracle.pg, name);
        client->heard_from[i] = !listens                              ? UINT32_MAX
                                : client->heard_from[i] == UINT32_MAX ? sim->note_count
                                                                      : client->heard_from[i];
    }
    if (client->status == 'I') {
        check_none_lost(client, sim->note_count, ANY_CHANNEL, UINT64_MAX, client);
    }
}

/* It has been idle for long. */
void check_heard(struct client *client)
{
    uint64_t now_us = client->sim->now_us;
    if (now_us > LATE_US && is_idle(client) && client->status == 'I') {
        check_none_lost(client, client->sim->note_count, ANY_CHANNEL, now_us - LATE_US, NULL);
    }
}
