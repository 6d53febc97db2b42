#include "pool/due.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/limits.h"
#include "protocol/message.h"

enum { DUE_CAPACITY_MIN = 32 };

void due_init(struct due *due)
{
    *due = (struct due){0};
}

void due_fini(struct due *due)
{
    free(due->entries);
    due_init(due);
}

static int grow(struct due *due)
{
    uint32_t capacity = due->capacity == 0 ? DUE_CAPACITY_MIN : due->capacity * 2;
    struct due_entry *entries = malloc(capacity * sizeof(*entries));
    if (entries == NULL) {
        return ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < due->count; i++) {
        entries[i] = *due_at(due, i);
    }
    free(due->entries);
    due->entries = entries;
    due->capacity = capacity;
    due->first = 0;
    return 0;
}

int due_push(struct due *due, const struct due_entry *entry)
{
    if (due->count == due->capacity) {
        int code = due->count >= LIMIT_DUE ? ERR_LIMIT : grow(due);
        if (code != 0) {
            return code;
        }
    }
    struct due_entry *last = due_at(due, due->count++);
    *last = *entry;
    due->flushed = false;
    if (entry->prepared != NULL || entry->named != NULL || entry->unnamed_before != NULL) {
        last->flags |= DUE_FLAG_REFERS;
    }
    return 0;
}

/* Reply messages by what is due. What is not named is a violation. */
const uint8_t due_rules[DUE_WHAT_COUNT][256] = {
    [DUE_QUERY] = {[BACKEND_ROW_DESCRIPTION] = DUE_VERDICT_PLAIN,
                   [BACKEND_DATA_ROW] = DUE_VERDICT_PLAIN,
                   [BACKEND_COMMAND_COMPLETE] = DUE_VERDICT_PART,
                   [BACKEND_EMPTY_QUERY_RESPONSE] = DUE_VERDICT_PART,
                   [BACKEND_ERROR_RESPONSE] = DUE_VERDICT_PART,
                   [BACKEND_COPY_IN_RESPONSE] = DUE_VERDICT_PART,
                   [BACKEND_COPY_OUT_RESPONSE] = DUE_VERDICT_PLAIN,
                   [BACKEND_COPY_BOTH_RESPONSE] = DUE_VERDICT_PART,
                   [BACKEND_COPY_DATA] = DUE_VERDICT_PLAIN,
                   [BACKEND_COPY_DONE] = DUE_VERDICT_PLAIN,
                   [BACKEND_READY_FOR_QUERY] = DUE_VERDICT_LAST},
    [DUE_PARSE] = {[BACKEND_PARSE_COMPLETE] = DUE_VERDICT_PLAIN_LAST,
                   [BACKEND_ERROR_RESPONSE] = DUE_VERDICT_ERROR},
    [DUE_BIND] = {[BACKEND_BIND_COMPLETE] = DUE_VERDICT_PLAIN_LAST,
                  [BACKEND_ERROR_RESPONSE] = DUE_VERDICT_ERROR},
    [DUE_DESCRIBE_STATEMENT] = {[BACKEND_PARAMETER_DESCRIPTION] = DUE_VERDICT_PART,
                                [BACKEND_ROW_DESCRIPTION] = DUE_VERDICT_PLAIN_LAST,
                                [BACKEND_NO_DATA] = DUE_VERDICT_PLAIN_LAST,
                                [BACKEND_ERROR_RESPONSE] = DUE_VERDICT_ERROR},
    [DUE_DESCRIBE_PORTAL] = {[BACKEND_ROW_DESCRIPTION] = DUE_VERDICT_PLAIN_LAST,
                             [BACKEND_NO_DATA] = DUE_VERDICT_PLAIN_LAST,
                             [BACKEND_ERROR_RESPONSE] = DUE_VERDICT_ERROR},
    [DUE_EXECUTE] = {[BACKEND_DATA_ROW] = DUE_VERDICT_PLAIN,
                     [BACKEND_COPY_IN_RESPONSE] = DUE_VERDICT_PART,
                     [BACKEND_COPY_OUT_RESPONSE] = DUE_VERDICT_PLAIN,
                     [BACKEND_COPY_BOTH_RESPONSE] = DUE_VERDICT_PART,
                     [BACKEND_COPY_DATA] = DUE_VERDICT_PLAIN,
                     [BACKEND_COPY_DONE] = DUE_VERDICT_PLAIN,
                     [BACKEND_COMMAND_COMPLETE] = DUE_VERDICT_LAST,
                     [BACKEND_EMPTY_QUERY_RESPONSE] = DUE_VERDICT_PLAIN_LAST,
                     [BACKEND_PORTAL_SUSPENDED] = DUE_VERDICT_PLAIN_LAST,
                     [BACKEND_ERROR_RESPONSE] = DUE_VERDICT_ERROR},
    [DUE_CLOSE] = {[BACKEND_CLOSE_COMPLETE] = DUE_VERDICT_PLAIN_LAST,
                   [BACKEND_ERROR_RESPONSE] = DUE_VERDICT_ERROR},
    /* A Sync commits, and that may fail (deferred constraints): an error, then ReadyForQuery. */
    [DUE_SYNC] =
        {[BACKEND_ERROR_RESPONSE] = DUE_VERDICT_PART, [BACKEND_READY_FOR_QUERY] = DUE_VERDICT_LAST},
    [DUE_FUNCTION_CALL] = {[BACKEND_FUNCTION_CALL_RESPONSE] = DUE_VERDICT_PLAIN,
                           [BACKEND_ERROR_RESPONSE] = DUE_VERDICT_PART,
                           [BACKEND_READY_FOR_QUERY] = DUE_VERDICT_LAST},
};

enum due_verdict due_judge(const struct due_entry *head, uint8_t type)
{
    uint8_t verdict = DUE_VERDICT_VIOLATION;
    if (head != NULL && head->kind != DUE_SYNTHESISE) {
        verdict = due_rules[head->what][type];
    }
    if (verdict == DUE_VERDICT_VIOLATION &&
        (type == BACKEND_NOTICE_RESPONSE || type == BACKEND_PARAMETER_STATUS ||
         type == BACKEND_NOTIFICATION_RESPONSE)) {
        return DUE_VERDICT_ASIDE;
    }
    return (enum due_verdict)verdict;
}

void due_copy_in_begins(struct due *due)
{
    const struct due_entry head = *due_head(due);
    bool ended = false;
    while (due->count > 1 && !ended) {
        uint8_t what = due_at(due, 1)->what;
        ended = what == DUE_COPY_END;
        if (what != DUE_SYNC && !ended) {
            break;
        }
        due_pop(due);
        *due_at(due, 0) = head;
    }
    due->copy_in = !ended;
}
