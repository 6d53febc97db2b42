/* SQL text: tokens, statements and skeletons. What must hold whatever the bytes: tokens go forward
 * to the end, statements are the same for the splitter and the skeletons, a skeleton is bounded and
 * its own skeleton, and each literal is where it is said to be. */
#include <stdlib.h>
#include <string.h>

#include "protocol/sql_lexer.h"
#include "protocol/sql_split.h"
#include "router/skeleton.h"
#include "tests/fuzz/fuzz.h"

struct made {
    uint8_t bytes[LIMIT_SKELETON_ROOM_BYTES];
    struct skeleton_literal literals[LIMIT_SKELETON_LITERALS];
    struct skeleton skeleton;
};

static struct made first, again;

static void make(const uint8_t *bytes, size_t len, struct made *made)
{
    struct skeleton_room room = {.bytes = made->bytes,
                                 .bytes_max = sizeof(made->bytes),
                                 .literals = made->literals,
                                 .literals_max = LIMIT_SKELETON_LITERALS,
                                 .hash_key = 1};
    skeleton_make((const char *)bytes, len, &room, &made->skeleton);
}

static void check_tokens(const uint8_t *bytes, size_t len, uint32_t flags)
{
    struct sql_lexer lexer;
    struct sql_token token;
    uint32_t end = 0;
    sql_lexer_init(&lexer, bytes, len, flags);
    while (sql_lexer_next(&lexer, &token) > SQL_END) {
        if (token.at < end || token.len == 0 || token.len > len - token.at) {
            fuzz_fail("a token that goes backward or beyond the end");
        }
        end = token.at + token.len;
    }
    if (token.kind == SQL_END && token.at != len) {
        fuzz_fail("an end before the end");
    }
    if (lexer.hint_len > len - lexer.hint_at) {
        fuzz_fail("a hint beyond the end");
    }
}

static void check_literals(const uint8_t *bytes)
{
    for (uint32_t i = 0; i < first.skeleton.literal_count; i++) {
        const struct skeleton_literal *literal = &first.literals[i];
        struct sql_lexer lexer;
        struct sql_token token;
        sql_lexer_init(&lexer, bytes + literal->at, literal->len, 0);
        sql_lexer_next(&lexer, &token);
        if (token.len != literal->len || literal->place >= first.skeleton.len) {
            fuzz_fail("a literal that is none");
        }
    }
}

static void check_again(void)
{
    make(first.bytes, first.skeleton.len, &again);
    if (again.skeleton.opaque != SKELETON_CLEAR || again.skeleton.len != first.skeleton.len ||
        memcmp(again.bytes, first.bytes, first.skeleton.len) != 0 ||
        again.skeleton.hash != first.skeleton.hash) {
        fuzz_fail("a skeleton that is not its own");
    }
}

void fuzz_one(const uint8_t *bytes, size_t len)
{
    struct sql_lexer lexer;
    struct sql_statement statement;
    check_tokens(bytes, len, SQL_LEXER_BACKSLASHES);
    check_tokens(bytes, len, 0);
    sql_lexer_init(&lexer, bytes, len, 0);
    for (size_t at = 0; at < len; at += first.skeleton.next) {
        make(bytes + at, len - at, &first);
        bool any = sql_split_next(&lexer, &statement);
        if (first.skeleton.opaque != SKELETON_CLEAR || first.skeleton.verb == SQL_VERB_EMPTY) {
            return;
        }
        if (!any || statement.start != at + first.skeleton.start ||
            statement.end != at + first.skeleton.end || first.skeleton.next == 0) {
            fuzz_fail("the splitter and the skeletons see other statements");
        }
        if (first.skeleton.len > LIMIT_SKELETON_BYTES) {
            fuzz_fail("a long skeleton");
        }
        check_literals(bytes + at);
        check_again();
    }
}
