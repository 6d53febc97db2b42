#include "pool/statement.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct statement *intern(struct statement_store *store, const char *text)
{
    return statement_intern(store, 0, (const uint8_t *)text, (uint32_t)strlen(text) + 1);
}

Test(statement, the_same_text_is_one_statement)
{
    struct statement_store store;
    statement_store_init(&store, 0, 1);
    struct statement *one = intern(&store, "select 1"), *again = intern(&store, "select 1");
    struct statement *other = intern(&store, "select 2");
    cr_assert_eq(one, again);
    cr_assert_neq(one, other);
    cr_assert_neq(one->id, other->id);
    statement_unref(&store, one);
    cr_assert_eq(store.statements.count, 2);
    statement_unref(&store, again);
    statement_unref(&store, other);
    statement_unref(&store, NULL);
    cr_assert_eq(store.statements.count, 0);
    statement_store_fini(&store);
}

Test(statement, a_prefix_is_another_text)
{
    struct statement_store store;
    statement_store_init(&store, 0, 1);
    struct statement *one = statement_intern(&store, 0, (const uint8_t *)"ab", 1);
    struct statement *two = statement_intern(&store, 0, (const uint8_t *)"ab", 2);
    struct statement *none = statement_intern(&store, 0, (const uint8_t *)"", 0);
    cr_assert(one != two && two != none && one != none);
    statement_unref(&store, one);
    statement_unref(&store, two);
    statement_unref(&store, none);
    statement_store_fini(&store);
}

Test(statement, ids_and_names_differ_between_workers)
{
    struct statement_store stores[2];
    char names[2][STATEMENT_NAME_BYTES];
    for (uint32_t worker = 0; worker < 2; worker++) {
        statement_store_init(&stores[worker], worker, 1);
        struct statement *statement = intern(&stores[worker], "select 1");
        uint32_t len = statement_name(statement->id, names[worker]);
        cr_assert_eq(len, strlen(names[worker]));
        statement_unref(&stores[worker], statement);
        statement_store_fini(&stores[worker]);
    }
    cr_assert_str_neq(names[0], names[1]);
    char longest[STATEMENT_NAME_BYTES];
    cr_assert_lt(statement_name(UINT64_MAX, longest), STATEMENT_NAME_BYTES);
    cr_assert_str_eq(longest, "howdah_ffffffffffffffff");
}

Test(statement, a_session_hides_what_it_is_closing)
{
    struct statement_store store;
    struct session_statements session;
    statement_store_init(&store, 0, 1);
    session_statements_init(&session);
    struct statement *one = intern(&store, "select 1"), *two = intern(&store, "select 2");
    struct session_statement *entry = session_statement_add(&session, 1, "s", one, 1);
    cr_assert_eq(session_statement_find(&session, 1, "s", strlen("s")), entry);
    cr_assert_null(session_statement_find(&session, 1, "S", strlen("S")));
    cr_assert_null(session_statement_find(&session, 1, "", strlen("")));
    entry->pending_close = true;
    cr_assert_null(session_statement_find(&session, 1, "s", strlen("s")));
    struct session_statement *fresh = session_statement_add(&session, 1, "s", two, 1);
    cr_assert_eq(session_statement_find(&session, 1, "s", strlen("s")), fresh);
    session_statement_remove(&store, &session, entry);
    cr_assert_eq(session_statement_find(&session, 1, "s", strlen("s")), fresh);
    statement_unref(&store, one);
    statement_unref(&store, two);
    cr_assert_eq(store.statements.count, 1, "the session still holds the second");
    session_statements_clear(&store, &session);
    statement_store_fini(&store);
}

Test(statement, a_link_gives_up_the_least_recently_used)
{
    struct statement_store store;
    struct link_statements link;
    struct link_statement *entries[3];
    statement_store_init(&store, 0, 1);
    link_statements_init(&link);
    for (int i = 0; i < 3; i++) {
        char text[16];
        snprintf(text, sizeof(text), "select %d", i);
        struct statement *statement = intern(&store, text);
        cr_assert_null(link_statement_find(&link, statement));
        entries[i] = link_statement_add(&link, statement, statement->id, 1);
        cr_assert_eq(link_statement_find(&link, statement), entries[i]);
        statement_unref(&store, statement);
    }
    cr_assert_eq(link_statement_oldest(&link), entries[0]);
    link_statement_used(&link, entries[0]);
    cr_assert_eq(link_statement_oldest(&link), entries[1]);
    entries[1]->pending++; /* its Parse is under way */
    cr_assert_eq(link_statement_oldest(&link), entries[2]);
    entries[2]->pending++;
    entries[0]->pending++;
    cr_assert_null(link_statement_oldest(&link));
    link_statements_clear(&store, &link);
    cr_assert_eq(store.statements.count, 0);
    statement_store_fini(&store);
}

Test(statement, what_is_held_for_a_batch_stays)
{
    struct statement_store store;
    struct link_statements link;
    struct link_statement *entries[2];
    statement_store_init(&store, 0, 1);
    link_statements_init(&link);
    for (int i = 0; i < 2; i++) {
        struct statement *statement = intern(&store, i == 0 ? "select 1" : "select 22");
        entries[i] = link_statement_add(&link, statement, statement->id, 1);
        statement_unref(&store, statement);
    }
    link_statement_hold(&link, entries[0]);
    cr_assert_eq(link_statement_oldest(&link), entries[1]);
    link_statement_hold(&link, entries[1]);
    cr_assert_null(link_statement_oldest(&link));
    link_statements_next_batch(&link);
    cr_assert_eq(link_statement_oldest(&link), entries[0]);
    link_statements_clear(&store, &link);
    statement_store_fini(&store);
}

Test(statement, bytes_are_counted)
{
    struct statement_store store;
    struct link_statements link;
    struct session_statements session;
    statement_store_init(&store, 0, 1);
    link_statements_init(&link);
    session_statements_init(&session);
    struct statement *statement = intern(&store, "select 1");
    struct session_statement *named = session_statement_add(&session, 1, "name", statement, 1);
    struct session_statement *again = session_statement_add(&session, 1, "n", statement, 1);
    cr_assert_eq(session.bytes, session_statement_bytes(4, statement->body_bytes) +
                                    session_statement_bytes(1, statement->body_bytes));
    cr_assert_gt(session_statement_bytes(4, 100), 104);
    session_statement_remove(&store, &session, named);
    session_statement_remove(&store, &session, again);
    cr_assert_eq(session.bytes, 0);

    struct link_statement *entry = link_statement_add(&link, statement, statement->id, 1);
    cr_assert_eq(link.bytes, statement->body_bytes);
    link_statement_close(&link, entry);
    cr_assert_eq(link.bytes, 0);
    link_statement_keep(&link, entry);
    cr_assert_eq(link.bytes, statement->body_bytes);
    link_statement_close(&link, entry);
    link_statement_remove(&store, &link, entry);
    cr_assert_eq(link.bytes, 0);
    statement_unref(&store, statement);
    session_statements_clear(&store, &session);
    link_statements_clear(&store, &link);
    statement_store_fini(&store);
}
