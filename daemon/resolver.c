#include "daemon/resolver.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/error.h"
#include "base/limits.h"
#include "daemon/worker.h"
#include "pool/account.h"
#include "pool/engine.h"

struct job {
    struct list node; /* in resolver->jobs */
    struct list waits;
    uv_getaddrinfo_t request;
    struct worker *worker;
    uint16_t port;
    char host[256];
};

void resolver_init(struct resolver *resolver, struct worker *worker)
{
    resolver->worker = worker;
    list_init(&resolver->jobs);
}

int resolver_numeric(const char *text, uint16_t port, struct resolver_address *ret_address)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    if (uv_ip4_addr(text, port, &v4) == 0) {
        memcpy(&ret_address->address, &v4, sizeof(v4));
        ret_address->bytes = sizeof(v4);
        return 0;
    }
    if (uv_ip6_addr(text, port, &v6) == 0) {
        memcpy(&ret_address->address, &v6, sizeof(v6));
        ret_address->bytes = sizeof(v6);
        return 0;
    }
    return ERR_BAD_VALUE;
}

void resolver_figures(const struct resolver_address *address, char *text, size_t bytes)
{
    if (getnameinfo((const struct sockaddr *)&address->address, address->bytes, text,
                    (socklen_t)bytes, NULL, 0, NI_NUMERICHOST) != 0) {
        text[0] = '\0';
    }
}

static void collect(struct resolver_answer *answer, const struct addrinfo *info)
{
    for (; info != NULL && answer->count < RESOLVER_ADDRESSES_MAX; info = info->ai_next) {
        if (info->ai_addrlen <= sizeof(answer->addresses[0].address)) {
            struct resolver_address *address = &answer->addresses[answer->count++];
            memcpy(&address->address, info->ai_addr, info->ai_addrlen);
            address->bytes = info->ai_addrlen;
        }
    }
}

/* For the console: "10.0.0.1,fd00::1". What does not fit is left out. */
static void tell_engine(const struct job *job, const struct resolver_answer *answer)
{
    char text[SHARED_ADDRESSES_BYTES] = "";
    size_t len = 0;
    for (uint32_t i = 0; i < answer->count; i++) {
        char one[LIMIT_ADDRESS_BYTES];
        resolver_figures(&answer->addresses[i], one, sizeof(one));
        if (one[0] == '\0' || strlen(one) + 2 > sizeof(text) - len) {
            continue;
        }
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", len == 0 ? "" : ",", one);
    }
    engine_host_resolved(job->worker->engine, job->host, text);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *info)
{
    struct job *job = request->data;
    struct resolver_answer answer = {.error = NULL};
    job->worker->jobs--;
    collect(&answer, info);
    uv_freeaddrinfo(info);
    if (status != 0 || answer.count == 0) {
        answer.count = 0;
        answer.error = status != 0 ? uv_strerror(status) : "the name has no address";
        answer.no_name = status == 0 || status == UV_EAI_NONAME || status == UV_EAI_NODATA;
    }
    tell_engine(job, &answer);
    list_remove(&job->node);
    for (struct list *node = list_first(&job->waits); node != NULL;
         node = list_first(&job->waits)) {
        struct resolver_wait *wait = CONTAINER_OF(node, struct resolver_wait, node);
        list_remove(node);
        wait->done(wait, &answer);
    }
    free(job);
}

static struct job *find(struct resolver *resolver, const char *host, uint16_t port)
{
    LIST_EACH (&resolver->jobs, node) {
        struct job *job = CONTAINER_OF(node, struct job, node);
        if (job->port == port && strcmp(job->host, host) == 0) {
            return job;
        }
    }
    return NULL;
}

static int start(struct resolver *resolver, const char *host, uint16_t port, struct job **ret_job)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    char service[8];
    struct job *job = calloc(1, sizeof(*job));
    if (job == NULL) {
        return ERR_NO_MEMORY;
    }
    if (strlen(host) >= sizeof(job->host)) {
        free(job);
        return ERR_LIMIT;
    }
    memcpy(job->host, host, strlen(host) + 1);
    job->port = port;
    job->worker = resolver->worker;
    job->request.data = job;
    list_init(&job->waits);
    snprintf(service, sizeof(service), "%u", port);
    if (uv_getaddrinfo(&resolver->worker->loop, &job->request, on_resolved, host, service,
                       &hints) != 0) {
        free(job);
        return ERR_NO_MEMORY;
    }
    resolver->worker->jobs++;
    list_push_back(&resolver->jobs, &job->node);
    *ret_job = job;
    return 0;
}

int resolver_ask(struct resolver *resolver, const char *host, uint16_t port,
                 struct resolver_wait *wait)
{
    struct job *job = find(resolver, host, port);
    if (job == NULL) {
        int code = start(resolver, host, port, &job);
        if (code != 0) {
            return code;
        }
    }
    list_push_back(&job->waits, &wait->node);
    return 0;
}

void resolver_forget(struct resolver_wait *wait)
{
    list_remove(&wait->node);
}
