#include "daemon/os_user.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "base/error.h"
#include "daemon/worker.h"
#include "pool/engine.h"

enum { NAME_BYTES = 256, RECORD_BYTES = 16384 };

struct job {
    uv_work_t request;
    struct worker *worker;
    struct handle handle;
    uint32_t uid;
    char name[NAME_BYTES]; /* "" = nobody */
};

static void look_up(uv_work_t *request)
{
    struct job *job = request->data;
    char *room = malloc(RECORD_BYTES);
    struct passwd record, *found = NULL;
    if (room != NULL && getpwuid_r(job->uid, &record, room, RECORD_BYTES, &found) == 0 &&
        found != NULL) {
        int len = snprintf(job->name, sizeof(job->name), "%s", found->pw_name);
        if (len < 0 || (size_t)len >= sizeof(job->name)) {
            job->name[0] = '\0'; /* a part of a name is another's name */
        }
    }
    free(room);
}

static void answer(struct worker *worker, struct handle handle, const char *name)
{
    struct event event = {.kind = EVENT_OS_USER, .handle = handle, .text = name};
    worker_step(worker, &event);
}

static void on_looked_up(uv_work_t *request, int status)
{
    struct job *job = request->data;
    struct worker *worker = job->worker;
    worker->jobs--;
    if (!worker->stopping) {
        answer(worker, job->handle, status == 0 && job->name[0] != '\0' ? job->name : NULL);
    }
    free(job);
}

void os_user_ask(struct worker *worker, struct handle handle, uint32_t uid)
{
    struct job *job = calloc(1, sizeof(*job));
    if (job == NULL) {
        answer(worker, handle, NULL);
        return;
    }
    job->worker = worker;
    job->handle = handle;
    job->uid = uid;
    job->request.data = job;
    if (uv_queue_work(&worker->loop, &job->request, look_up, on_looked_up) != 0) {
        free(job);
        answer(worker, handle, NULL);
        return;
    }
    worker->jobs++;
}
