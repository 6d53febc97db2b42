#include "daemon/derive.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/error.h"
#include "daemon/worker.h"
#include "pool/engine.h"
#include "protocol/crypto.h"
#include "protocol/scram.h"

struct job {
    uv_work_t request;
    struct worker *worker;
    struct handle handle;
    struct derivation inputs;
    struct scram_keys keys; /* RFC 5802 section 3 */
    int code;
};

static void compute(uv_work_t *request)
{
    struct job *job = request->data;
    job->code = scram_derive(job->inputs.password, strlen(job->inputs.password), job->inputs.salt,
                             job->inputs.salt_bytes, job->inputs.iterations, &job->keys);
    crypto_wipe(&job->inputs, sizeof(job->inputs));
}

static void free_job(struct job *job)
{
    crypto_wipe(job, sizeof(*job));
    free(job);
}

static void on_computed(uv_work_t *request, int status)
{
    struct job *job = request->data;
    struct worker *worker = job->worker;
    uint8_t keys[2 * SCRAM_KEY_BYTES];
    int code = status == 0 ? job->code : ERR_INTERNAL;
    memcpy(keys, job->keys.client_key, SCRAM_KEY_BYTES);
    memcpy(keys + SCRAM_KEY_BYTES, job->keys.server_key, SCRAM_KEY_BYTES);
    struct event event = {.kind = EVENT_DERIVED,
                          .handle = job->handle,
                          .code = code,
                          .text = code == 0 ? NULL : error_message(code),
                          .keys = code == 0 ? keys : NULL};
    worker->jobs--;
    if (!worker->stopping) {
        worker_step(worker, &event);
    }
    crypto_wipe(keys, sizeof(keys));
    free_job(job);
}

static void fail(struct worker *worker, struct handle handle)
{
    struct event event = {.kind = EVENT_DERIVED,
                          .handle = handle,
                          .code = ERR_NO_MEMORY,
                          .text = error_message(ERR_NO_MEMORY)};
    worker_step(worker, &event);
}

void derive_start(struct worker *worker, struct handle handle)
{
    struct job *job = calloc(1, sizeof(*job));
    if (job == NULL) {
        fail(worker, handle);
        return;
    }
    if (!engine_derivation(worker->engine, handle, &job->inputs)) {
        free_job(job); /* the connection has ended meanwhile */
        return;
    }
    job->worker = worker;
    job->handle = handle;
    job->request.data = job;
    if (uv_queue_work(&worker->loop, &job->request, compute, on_computed) != 0) {
        free_job(job);
        fail(worker, handle);
        return;
    }
    worker->jobs++;
}
