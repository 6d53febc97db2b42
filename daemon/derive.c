#include "daemon/derive.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/error.h"
#include "daemon/worker.h"
#include "pool/engine.h"
#include "protocol/crypto.h"

struct job {
    uv_work_t request;
    struct worker *worker;
    struct handle handle;
    struct derivation inputs;
    uint8_t keys[2 * CRYPTO_SHA256_BYTES]; /* ClientKey, ServerKey (RFC 5802 section 3) */
};

static void compute(uv_work_t *request)
{
    static const char client_label[] = "Client Key", server_label[] = "Server Key";
    struct job *job = request->data;
    uint8_t salted[CRYPTO_SHA256_BYTES];
    crypto_pbkdf2(job->inputs.password, strlen(job->inputs.password), job->inputs.salt,
                  job->inputs.salt_bytes, job->inputs.iterations, salted);
    crypto_hmac(salted, sizeof(salted), client_label, sizeof(client_label) - 1, job->keys);
    crypto_hmac(salted, sizeof(salted), server_label, sizeof(server_label) - 1,
                job->keys + CRYPTO_SHA256_BYTES);
    crypto_wipe(salted, sizeof(salted));
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
    struct event event = {.kind = EVENT_DERIVED,
                          .handle = job->handle,
                          .code = status == 0 ? 0 : ERR_INTERNAL,
                          .keys = status == 0 ? job->keys : NULL};
    worker->jobs--;
    if (!worker->stopping) {
        worker_step(worker, &event);
    }
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
