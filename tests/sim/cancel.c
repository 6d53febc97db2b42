#include "tests/sim/cancel.h"

#include "base/writer.h"
#include "protocol/startup.h"
#include "tests/sim/net.h"
#include "tests/sim/shell.h"
#include "tests/sim/sim.h"

static void take_bytes(void *object, const uint8_t *bytes, size_t len)
{
    (void)object;
    (void)bytes;
    (void)len;
}

static void take_end(void *object, bool reset)
{
    (void)reset;
    wire_peer_close(object);
}

bool cancel_send(struct sim *sim, const void *key, size_t key_bytes)
{
    struct wire *wire = wire_new(sim);
    wire->peer = (struct wire_peer){wire, take_bytes, take_end};
    if (!shell_accept(sim->shells[sim_random(sim, sim->shell_count)], wire)) {
        return false;
    }
    struct writer writer;
    writer_init(&writer);
    uint32_t mark = writer_begin(&writer, 0);
    writer_u32(&writer, STARTUP_CANCEL);
    writer_bytes(&writer, key, key_bytes);
    writer_end(&writer, mark);
    wire_peer_send(wire, writer.bytes, writer.len);
    writer_fini(&writer);
    return true;
}
