#include "pool/listen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/writer.h"
#include "pool/account.h"
#include "pool/core.h"
#include "pool/follow.h"
#include "pool/lend.h"
#include "pool/link.h"
#include "pool/options.h"
#include "pool/pid.h"
#include "pool/pool.h"
#include "pool/route.h"
#include "pool/state.h"
#include "pool/tomb.h"
#include "protocol/frontend.h"
#include "protocol/message.h"
#include "protocol/report.h"
#include "protocol/sql_lexer.h"
#include "protocol/sql_names.h"

/* A client that reads so slowly that this much waits for it is ended: a backend would stop reading
 * the queue for it, and so hold up the server's. */
enum { QUEUE_BYTES_MAX = 16 << 20 };

/* A hub without listeners ends after this time. */
enum { HUB_IDLE_US = 60 * 1000 * 1000 };

/* What somebody listens to. */
struct channel {
    struct map_node node; /* in the hub, by name */
    struct list subs;     /* struct sub, in_channel */
    struct list changed;  /* in the hub while the server is to be told */
    bool listened;        /* the hub's server has been told */
    uint32_t name_len;
    char name[];
};

/* One session's share in one channel. */
struct sub {
    struct map_node node; /* in the listener, by the channel's name */
    struct list in_channel, in_listener;
    struct channel *channel;
    struct listener *listener;
    uint64_t from; /* effective when the hub has answered that many */
};

struct listener {
    struct session *session;
    struct list subs;      /* in_listener */
    struct map by_name;    /* the same */
    struct list waiting;   /* in the hub */
    uint64_t wait_for;     /* while waiting */
    bool spoke;            /* it has done what may notify, and the hub was not waited for since */
    char tomb[TOMB_BYTES]; /* to be laid behind an Execute; "" = none */
    uint64_t tomb_portal;  /* of what: the hash of its name */
    struct writer queue;   /* messages for the client that can't be told yet */
};

/* The link that listens for a pool at this worker. It is asked one thing at a time: what is wanted
 * meanwhile goes together into the next. */
struct hub {
    struct pool *pool;
    struct link *link;
    struct map channels;
    struct list changed; /* channels */
    struct list waiting; /* listeners, in order of arrival */
    uint64_t sent, answered;
    bool ready;  /* logged in */
    bool wanted; /* one more is to be sent */
    bool tells;  /* its listeners are being told: channels stay until that is done */
};

/* --- the hub ---------------------------------------------------------------------------------- */

static uint64_t name_hash(const struct engine *engine, const char *name, size_t len)
{
    return hash_bytes(engine->hash_key, name, len);
}

static struct channel *find_channel(const struct hub *hub, uint64_t hash, const char *name,
                                    size_t len)
{
    for (struct map_node *node = map_first(&hub->channels, hash); node != NULL;
         node = map_next(node)) {
        struct channel *channel = CONTAINER_OF(node, struct channel, node);
        if (channel->name_len == len && memcmp(channel->name, name, len) == 0) {
            return channel;
        }
    }
    return NULL;
}

static void free_channel(struct hub *hub, struct channel *channel)
{
    list_remove(&channel->changed);
    map_remove(&hub->channels, &channel->node);
    free(channel);
}

static struct channel *get_channel(const struct engine *engine, struct hub *hub, const char *name)
{
    size_t len = strlen(name);
    uint64_t hash = name_hash(engine, name, len);
    struct channel *channel = find_channel(hub, hash, name, len);
    if (channel != NULL) {
        return channel;
    }
    channel = malloc(sizeof(*channel) + len + 1);
    if (channel == NULL || map_add(&hub->channels, &channel->node, hash) != 0) {
        free(channel);
        return NULL;
    }
    list_init(&channel->subs);
    list_init(&channel->changed);
    channel->listened = false;
    channel->name_len = (uint32_t)len;
    memcpy(channel->name, name, len + 1);
    list_push_back(&hub->changed, &channel->changed);
    return channel;
}

/* Appends a channel's name as an identifier in quotes. */
static void write_name(struct writer *writer, const char *name)
{
    writer_u8(writer, '"');
    for (; *name != '\0'; name++) {
        if (*name == '"') {
            writer_u8(writer, '"');
        }
        writer_u8(writer, (uint8_t)*name);
    }
    writer_u8(writer, '"');
}

/* One Query with all that has changed; a Sync when nothing has. */
static void hub_send(struct engine *engine, struct hub *hub)
{
    struct writer *scratch = &engine->scratch;
    bool any = !list_empty(&hub->changed);
    uint32_t mark = writer_begin(scratch, any ? FRONTEND_QUERY : FRONTEND_SYNC);
    LIST_EACH (&hub->changed, node) {
        struct channel *channel = CONTAINER_OF(node, struct channel, changed);
        bool listens = !list_empty(&channel->subs);
        list_remove(node);
        if (listens != channel->listened) {
            writer_format(scratch, listens ? "LISTEN " : "UNLISTEN ");
            write_name(scratch, channel->name);
            writer_u8(scratch, ';');
        }
        channel->listened = listens;
        if (!listens) {
            free_channel(hub, channel);
        }
    }
    if (any) {
        writer_u8(scratch, '\0');
    }
    writer_end(scratch, mark);
    hub->wanted = false;
    hub->sent++;
    if (due_push_plain(&hub->link->due, any ? DUE_QUERY : DUE_SYNC, DUE_SWALLOW, DUE_FLAG_HUB) !=
        0) {
        conn_close(engine, &hub->link->conn); /* its end is told to the sessions: link_closed */
        writer_reset(scratch);
        return;
    }
    engine_flush_scratch(engine, &hub->link->conn);
}

/* The number of the first answer that tells what the hub's server knows now, or was told now. */
static uint64_t hub_ask(struct engine *engine, struct hub *hub)
{
    hub->wanted = true;
    if (hub->ready && !hub->tells && hub->answered == hub->sent) {
        hub_send(engine, hub);
        return hub->sent;
    }
    return hub->sent + 1;
}

static struct hub *hub_of(struct engine *engine, struct pool *pool)
{
    if (pool->hub != NULL) {
        return pool->hub;
    }
    struct hub *hub = calloc(1, sizeof(*hub));
    if (hub == NULL || engine->draining || engine->now_us < pool->retry_at_us) {
        free(hub);
        return NULL;
    }
    map_init(&hub->channels);
    list_init(&hub->changed);
    list_init(&hub->waiting);
    hub->pool = pool;
    hub->link = lend_hub(engine, pool);
    if (hub->link == NULL) {
        free(hub);
        return NULL;
    }
    hub->link->hub = hub;
    pool->hub = hub;
    return hub;
}

struct link *listen_link(const struct hub *hub)
{
    return hub->link;
}

void listen_hub_ready(struct engine *engine, struct link *link)
{
    struct hub *hub = link->hub;
    hub->ready = true;
    link->state = LINK_LENT;
    link->used = true;
    hub_send(engine, hub);
}

void listen_hub_answered(struct link *link)
{
    link->hub->answered++;
}

void listen_hub_after_reply(struct engine *engine, struct link *link)
{
    struct hub *hub = link->hub;
    struct list *node;
    if (link->erred) { /* a LISTEN of ours fails only where the server is at its end */
        link_fail(engine, link, ERR_SERVER_PROTOCOL, "LISTEN failed");
        return;
    }
    if (hub->wanted && hub->ready && hub->answered == hub->sent) {
        hub_send(engine, hub);
    }
    while ((node = list_first(&hub->waiting)) != NULL) {
        struct listener *listener = CONTAINER_OF(node, struct listener, waiting);
        if (listener->wait_for > hub->answered) {
            break; /* numbers only grow */
        }
        list_remove(node);
        if (listener->session->link != NULL) {
            link_after_reply(engine, listener->session->link);
        }
    }
    if (hub->channels.count == 0 && !timer_armed(&link->conn.timer)) {
        conn_wake_by(engine, &link->conn, engine->now_us + HUB_IDLE_US);
    }
}

void listen_hub_timer(struct engine *engine, struct link *link)
{
    const struct hub *hub = link->hub;
    if (hub->channels.count == 0 && hub->sent == hub->answered && !hub->wanted) {
        link_end(engine, link);
    }
}

/* --- listeners -------------------------------------------------------------------------------- */

static struct listener *listener_of(struct session *session)
{
    if (session->listener == NULL) {
        struct listener *listener = calloc(1, sizeof(*listener));
        if (listener != NULL) {
            list_init(&listener->subs);
            list_init(&listener->waiting);
            map_init(&listener->by_name);
            writer_init(&listener->queue);
            listener->session = session;
            session->listener = listener;
        }
    }
    return session->listener;
}

static void drop_sub(struct engine *engine, struct sub *sub)
{
    struct hub *hub = sub->listener->session->pool->hub;
    struct channel *channel = sub->channel;
    list_remove(&sub->in_channel);
    list_remove(&sub->in_listener);
    map_remove(&sub->listener->by_name, &sub->node);
    free(sub);
    if (list_empty(&channel->subs) && !list_linked(&channel->changed)) {
        list_push_back(&hub->changed, &channel->changed);
        hub_ask(engine, hub);
    }
}

static struct sub *find_sub(const struct engine *engine, const struct listener *listener,
                            const char *name)
{
    struct map_node *node = map_first(&listener->by_name, name_hash(engine, name, strlen(name)));
    for (; node != NULL; node = map_next(node)) {
        struct sub *sub = CONTAINER_OF(node, struct sub, node);
        if (strcmp(sub->channel->name, name) == 0) {
            return sub;
        }
    }
    return NULL;
}

static bool add_sub(const struct engine *engine, struct hub *hub, struct listener *listener,
                    const char *name)
{
    struct channel *channel = get_channel(engine, hub, name);
    struct sub *sub = channel == NULL ? NULL : malloc(sizeof(*sub));
    if (sub == NULL) {
        return false;
    }
    *sub = (struct sub){.channel = channel, .listener = listener, .from = UINT64_MAX};
    if (map_add(&listener->by_name, &sub->node, channel->node.hash) != 0) {
        free(sub);
        return false;
    }
    list_push_back(&channel->subs, &sub->in_channel);
    list_push_back(&listener->subs, &sub->in_listener);
    return true;
}

static bool listens(const struct session *session)
{
    return session->listener != NULL && !list_empty(&session->listener->subs);
}

void listen_discarded(struct engine *engine, struct session *session)
{
    struct listener *listener = session->listener;
    if (listener == NULL) {
        return;
    }
    /* clang's analyzer doesn't see that one which was removed and freed is not in the list. */
    LIST_EACH (&listener->subs, node) { /* NOLINT(clang-analyzer-unix.Malloc) */
        drop_sub(engine, CONTAINER_OF(node, struct sub, in_listener));
    }
}

void listen_free(struct engine *engine, struct session *session)
{
    struct listener *listener = session->listener;
    if (listener == NULL) {
        return;
    }
    listen_discarded(engine, session);
    list_remove(&listener->waiting);
    map_fini(&listener->by_name);
    writer_fini(&listener->queue);
    session->listener = NULL;
    free(listener);
}

/* --- what is sent ----------------------------------------------------------------------------- */

void listen_touch(struct session *session, const struct plan *plan)
{
    static const uint32_t may_notify =
        PLAN_TOUCH_NOTIFY | PLAN_TOUCH_UNKNOWN | PLAN_TOUCH_OPAQUE | PLAN_TOUCH_EXECUTE;
    if (plan->class >= PLAN_WRITE || (plan->touches & may_notify) != 0) {
        listen_touch_all(session);
    }
    session->unlistens = (plan->touches & PLAN_TOUCH_LISTEN) != 0 && listens(session);
    session->notifies |= (plan->touches & PLAN_TOUCH_NOTIFY) != 0;
}

void listen_touch_all(struct session *session)
{
    if (listens(session)) {
        session->listener->spoke = true;
    }
}

bool listen_holds(const struct session *session)
{
    return !session->owns_link && ((session->touched & PLAN_TOUCH_LISTEN) != 0 ||
                                   (listens(session) && session->listener->spoke));
}

bool listen_delays(const struct session *session, uint8_t type)
{
    if (!session->notifies || session->link->due.copy_in || type == FRONTEND_COPY_DATA ||
        type == FRONTEND_COPY_DONE || type == FRONTEND_COPY_FAIL) {
        return false;
    }
    return listen_holds(session) && extended_status_is_open(session->link);
}

bool listen_send_query(struct engine *engine, struct session *session, const char *text,
                       uint32_t len)
{
    struct writer *scratch = &engine->scratch;
    struct sql_lexer lexer;
    char tomb[TOMB_BYTES], more[TOMB_BYTES + 16];
    uint32_t from = 0, count = 0, characters = 0, shift_at[SQL_NAMES_MAX];
    int8_t shifts[SQL_NAMES_MAX];
    sql_lexer_init(&lexer, text, len, 0);
    uint32_t mark = writer_begin(scratch, FRONTEND_QUERY);
    while (tomb_next(engine->hash_key, &lexer, tomb)) {
        int bytes = snprintf(more, sizeof(more), ";LISTEN \"%s\"", tomb);
        writer_bytes(scratch, text + from, lexer.at - from);
        writer_bytes(scratch, more, (size_t)bytes);
        characters += sql_names_characters(text + from, lexer.at - from);
        if (count < SQL_NAMES_MAX) {
            shift_at[count] = characters;
            shifts[count++] = (int8_t)bytes;
        }
        characters += (uint32_t)bytes;
        from = lexer.at;
    }
    if (from == 0) {
        writer_reset(scratch);
        return false;
    }
    writer_bytes(scratch, text + from, len - from);
    writer_u8(scratch, '\0');
    writer_end(scratch, mark);
    session->link->sift = false;
    engine_flush_scratch(engine, &session->link->conn); /* first: a failure uses the scratch, too */
    bool going = link_due(engine, session->link, DUE_QUERY, DUE_SIFT, 0);
    for (uint32_t i = 0; i < count && going; i++) { /* errors have positions in the longer text */
        struct due_entry due = {
            .what = DUE_NAME, .kind = DUE_FORWARD, .shift = shifts[i], .shift_at = shift_at[i]};
        going = link_due_entry(engine, session->link, &due);
    }
    return going;
}

bool listen_sifts(struct link *link, const uint8_t *body, uint32_t body_bytes)
{
    static const char listen[] = "LISTEN", unlisten[] = "UNLISTEN";
    bool ours =
        link->sift && body_bytes == sizeof(listen) && memcmp(body, listen, sizeof(listen)) == 0;
    link->sift = body_bytes == sizeof(unlisten) && memcmp(body, unlisten, sizeof(unlisten)) == 0;
    return ours;
}

void listen_bound(struct engine *engine, struct session *session, const char *portal,
                  const char *text)
{
    struct sql_lexer lexer;
    struct listener *listener = session->listener;
    uint64_t hash = name_hash(engine, portal, strlen(portal));
    session->unlistens = false;
    if (text == NULL) {
        listener->tomb[0] = listener->tomb_portal == hash ? '\0' : listener->tomb[0];
        return;
    }
    listener->tomb_portal = hash;
    sql_lexer_init(&lexer, text, strlen(text), 0);
    if (!tomb_next(engine->hash_key, &lexer, listener->tomb)) {
        listener->tomb[0] = '\0';
    }
}

void listen_executed(struct engine *engine, struct session *session, const char *portal)
{
    static const char name[] = "howdah_unlisten"; /* the unnamed ones are the client's */
    struct listener *listener = session->listener;
    struct link *link = session->link;
    struct writer *scratch = &engine->scratch;
    char text[TOMB_BYTES + 16];
    if (listener->tomb[0] == '\0' ||
        listener->tomb_portal != name_hash(engine, portal, strlen(portal))) {
        return;
    }
    snprintf(text, sizeof(text), "LISTEN \"%s\"", listener->tomb);
    listener->tomb[0] = '\0';
    frontend_parse(scratch, name, text);
    frontend_bind(scratch, name, name);
    frontend_execute(scratch, name);
    frontend_close(scratch, 'P', name);
    frontend_close(scratch, 'S', name);
    engine_flush_scratch(engine, &link->conn);
    if (link_due_executed(engine, link, 1, (struct due_entry){.flags = 0}) &&
        link_due(engine, link, DUE_CLOSE, DUE_SWALLOW, 0)) {
        link_due(engine, link, DUE_CLOSE, DUE_SWALLOW, 0);
    }
}

/* --- what has come of it ---------------------------------------------------------------------- */

static void bury(struct engine *engine, struct session *session, const char *tomb)
{
    uint64_t hash;
    struct map_node *node;
    if (!tomb_read(tomb, &hash)) {
        listen_discarded(engine, session);
        return;
    }
    while ((node = map_first(&session->listener->by_name, hash)) != NULL) {
        drop_sub(engine, CONTAINER_OF(node, struct sub, node));
    }
}

/* Names and payloads come in the client's encoding: one hub has one. */
static bool same_encoding(const struct link *link)
{
    const char *own = settings_get(link->settings, "client_encoding");
    const char *usual = settings_get(link->baseline, "client_encoding");
    return (own == NULL || (usual != NULL && strcmp(own, usual) == 0)) &&
           !link->settings->unsafe_encoding && !link->baseline->unsafe_encoding;
}

static void wait_for(struct engine *engine, struct hub *hub, struct listener *listener)
{
    listener->wait_for = hub_ask(engine, hub);
    if (!list_linked(&listener->waiting)) {
        list_push_back(&hub->waiting, &listener->waiting);
    }
}

/* Those that are new wait for the hub. */
static bool take_over(struct engine *engine, struct listener *listener, struct hub *hub,
                      const char *names, uint32_t count)
{
    bool any = false;
    for (const char *name = names; count > 0; count--, name += strlen(name) + 1) {
        if (!tomb_is(name) && find_sub(engine, listener, name) == NULL) {
            if (!add_sub(engine, hub, listener, name)) {
                return false;
            }
            any = true;
        }
    }
    if (!any) {
        return true;
    }
    wait_for(engine, hub, listener);
    LIST_EACH (&listener->subs, node) {
        struct sub *sub = CONTAINER_OF(node, struct sub, in_listener);
        sub->from = sub->from == UINT64_MAX ? listener->wait_for : sub->from;
    }
    return true;
}

bool listen_answered(struct engine *engine, struct session *session, const char *names,
                     uint32_t count)
{
    const char *name = names;
    uint32_t tombs = 0;
    for (uint32_t i = 0; i < count; i++, name += strlen(name) + 1) {
        if (tomb_is(name)) {
            tombs++;
            if (session->listener != NULL) {
                bury(engine, session, name);
            }
        }
    }
    if (tombs < count) {
        struct listener *listener = listener_of(session);
        bool shares = listener != NULL && (session->pins & PIN_LISTEN) == 0 &&
                      listener->by_name.count + (count - tombs) <= LIMIT_CHANNELS &&
                      same_encoding(session->link);
        struct hub *hub = shares ? hub_of(engine, session->pool) : NULL;
        if (hub == NULL) {
            return false;
        }
        if (!take_over(engine, listener, hub, names, count)) {
            link_fail(engine, session->link, ERR_NO_MEMORY, NULL);
            return true;
        }
    }
    session->link->listens = count > 0;
    return true;
}

/* The link listens no more. */
static void unlisten(struct engine *engine, struct link *link)
{
    frontend_query(&engine->scratch, "UNLISTEN *");
    link->listens = false;
    link_unnamed_unknown(engine, link);
    engine_flush_scratch(engine, &link->conn);
    link_due(engine, link, DUE_QUERY, DUE_SWALLOW, DUE_FLAG_QUIET);
}

/* Whether the link is to stay the session's until the hub knows from whom its notifications are. */
static bool tells_of_itself(const struct session *session)
{
    return session->notifies && session->pool->hub != NULL && !session->owns_link;
}

/* What has come while a transaction was open is for the channels that are listened to after it
 * (async.c, IsListeningOn). */
static void tell_queue(struct engine *engine, struct listener *listener)
{
    uint8_t *at = listener->queue.bytes, *end = at + listener->queue.len;
    while (at < end) {
        uint32_t total = 1 + message_load_u32(at + 1);
        const char *name = (const char *)at + MESSAGE_HEADER_BYTES + 4;
        if (find_sub(engine, listener, name) != NULL) {
            conn_write(engine, &listener->session->conn, at, total);
        }
        at += total;
    }
    writer_reset(&listener->queue);
}

bool listen_waits(const struct session *session)
{
    return session->listener != NULL && list_linked(&session->listener->waiting);
}

void listen_unlinked(struct engine *engine, struct session *session)
{
    if (session->listener != NULL && session->listener->queue.len > 0) {
        engine_flush_scratch(engine, &session->conn);
        tell_queue(engine, session->listener);
    }
}

bool listen_settle(struct engine *engine, struct session *session)
{
    struct listener *listener = session->listener;
    struct link *link = session->link;
    if (link->status != 'I') {
        return false;
    }
    if ((listens(session) && listener->spoke) || tells_of_itself(session)) {
        listener = listener_of(session);
        if (listener != NULL) {
            listener->spoke = false;
            wait_for(engine, session->pool->hub, listener);
        }
    }
    session->notifies = false;
    if (listen_waits(session)) {
        return true;
    }
    if (link->listens) {
        unlisten(engine, link);
        return true;
    }
    if (listener != NULL && listener->queue.len > 0) {
        tell_queue(engine, listener);
    }
    if (session->ready_held) {
        session->ready_held = false;
        session_write_ready(engine, 'I');
        engine_flush_scratch(engine, &session->conn);
    }
    return false;
}

/* --- notifications ---------------------------------------------------------------------------- */

/* As a backend that is idle: what comes now is told at once. */
static bool hears_now(const struct session *session)
{
    const struct link *link = session->link;
    return !session->ready_held && session->listener->queue.len == 0 &&
           session->begin == BEGIN_NONE &&
           (link == NULL || (due_empty(&link->due) && link->status == 'I' && !link->unsynced &&
                             link->body_left == 0 && session->body_left == 0));
}

static void write_notification(struct writer *writer, uint32_t pid, const char *name,
                               const char *payload)
{
    uint32_t mark = writer_begin(writer, BACKEND_NOTIFICATION_RESPONSE);
    writer_u32(writer, pid);
    writer_cstr(writer, name);
    writer_cstr(writer, payload);
    writer_end(writer, mark);
}

static void deliver(struct engine *engine, struct listener *listener, uint32_t pid,
                    const char *name, const char *payload)
{
    struct session *session = listener->session;
    if (session->conn.closing || session->deaf) {
        return;
    }
    route_heard(engine, session);
    if (hears_now(session)) {
        write_notification(&engine->scratch, pid, name, payload);
        engine_flush_scratch(engine, &session->conn);
    } else {
        write_notification(&listener->queue, pid, name, payload);
    }
    if (listener->queue.failed || listener->queue.len > QUEUE_BYTES_MAX ||
        session->conn.tx.bytes > QUEUE_BYTES_MAX) {
        struct report report = {.code = ERR_LIMIT,
                                .detail = "Too many notifications wait for the client to read."};
        session_fail(engine, session, &report);
    }
}

static void fan_out(struct engine *engine, struct hub *hub, uint32_t pid, const char *name,
                    const char *payload)
{
    size_t len = strlen(name);
    struct channel *channel = find_channel(hub, name_hash(engine, name, len), name, len);
    if (channel == NULL) {
        return;
    }
    hub->tells = true;
    LIST_EACH (&channel->subs, node) {
        struct sub *sub = CONTAINER_OF(node, struct sub, in_channel);
        if (sub->from <= hub->answered) {
            deliver(engine, sub->listener, pid, name, payload); /* may end its session */
        }
    }
    hub->tells = false;
}

bool listen_notification(struct engine *engine, struct link *link, const uint8_t *body,
                         uint32_t body_bytes)
{
    struct reader reader = reader_of(body, body_bytes);
    const struct session *owner = link->owner;
    uint32_t pid = reader_u32(&reader);
    const char *name = reader_cstr(&reader);
    const char *payload = reader_cstr(&reader);
    if (reader.failed) {
        return false;
    }
    uint32_t client = pid_client_of(shared_pids(engine->shared), link->host, pid);
    uint32_t told = client == 0 ? pid : client;
    if (link->hub != NULL) {
        fan_out(engine, link->hub, told, name, payload);
        return false;
    }
    if (owner == NULL || owner->ready_held || link->listens) {
        return false; /* what the link hears now is the hub's to tell */
    }
    const struct sub *sub =
        owner->listener == NULL ? NULL : find_sub(engine, owner->listener, name);
    if (sub != NULL && sub->from != UINT64_MAX) {
        return false;
    }
    if (told == pid) {
        return true;
    }
    write_notification(&engine->scratch, told, name, payload);
    engine_flush_scratch(engine, &link->owner->conn);
    return false;
}

/* --- the end of a hub ------------------------------------------------------------------------- */

/* Without its hub a session that has not been promised anything yet keeps its link; the others have
 * missed what nobody knows. */
void listen_hub_lost(struct engine *engine, struct link *link)
{
    struct hub *hub = link->hub;
    struct report report = {.code = ERR_SHUTTING_DOWN};
    struct map_node *node;
    struct list *first;
    link->hub = NULL;
    hub->ready = false; /* nothing is sent any more */
    while ((node = map_any(&hub->channels)) != NULL) {
        struct channel *channel = CONTAINER_OF(node, struct channel, node);
        while ((first = list_first(&channel->subs)) != NULL) {
            struct sub *sub = CONTAINER_OF(first, struct sub, in_channel);
            struct session *session = sub->listener->session;
            bool promised = sub->from <= hub->answered || session->link == NULL;
            drop_sub(engine, sub);
            if (promised) {
                session_fail(engine, session, &report);
            } else {
                session->pins |= PIN_LISTEN;
                state_pins_changed(engine, session);
                session->link->listens = false;
            }
        }
        free_channel(hub, channel);
    }
    hub->pool->hub = NULL;
    while ((first = list_first(&hub->waiting)) != NULL) {
        struct listener *listener = CONTAINER_OF(first, struct listener, waiting);
        list_remove(first);
        if (listener->session->link != NULL) {
            link_after_reply(engine, listener->session->link);
        }
    }
    map_fini(&hub->channels);
    free(hub);
}

void listen_end(struct engine *engine, struct pool *pool)
{
    struct link *link = pool->hub == NULL ? NULL : pool->hub->link;
    if (link == NULL) {
        return;
    }
    follow_compare(link);
    if (link->epoch != pool->epoch || link->term != pool->term) {
        link_fail(engine, link, ERR_SERVER_LOST, "another server takes its place");
    }
}
