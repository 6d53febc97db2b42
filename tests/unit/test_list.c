#include "base/list.h"

#include <criterion/criterion.h>

struct item {
    int value;
    struct list link;
};

static void expect_values(const struct list *head, const int *values, size_t count)
{
    size_t seen = 0;
    for (const struct list *node = head->next; node != head; node = node->next) {
        cr_assert_lt(seen, count, "the list is longer than %zu", count);
        cr_assert_eq(CONTAINER_OF(node, struct item, link)->value, values[seen]);
        cr_assert_eq(node->next->prev, node);
        seen++;
    }
    cr_assert_eq(seen, count);
}

static void items_init(struct list *head, struct item *items, int count)
{
    list_init(head);
    for (int i = 0; i < count; i++) {
        items[i].value = i;
        list_push_back(head, &items[i].link);
    }
}

Test(list, is_empty_after_init)
{
    struct list head;
    list_init(&head);
    cr_assert(list_empty(&head));
    cr_assert_null(list_first(&head));
    cr_assert_null(list_last(&head));
}

Test(list, keeps_order_at_both_ends)
{
    struct list head;
    struct item items[3];
    items_init(&head, items, 3);
    struct item before = {.value = 9};
    list_push_front(&head, &before.link);

    expect_values(&head, (int[]){9, 0, 1, 2}, 4);
    cr_assert_eq(list_first(&head), &before.link);
    cr_assert_eq(list_last(&head), &items[2].link);
}

Test(list, removes_a_node_once_or_twice)
{
    struct list head;
    struct item items[3];
    items_init(&head, items, 3);

    list_remove(&items[1].link);
    cr_assert_not(list_linked(&items[1].link));
    list_remove(&items[1].link);
    expect_values(&head, (int[]){0, 2}, 2);
}

Test(list, each_may_remove_the_node_it_stands_on)
{
    struct list head;
    struct item items[4];
    items_init(&head, items, 4);

    LIST_EACH (&head, node) {
        if (CONTAINER_OF(node, struct item, link)->value % 2 == 0) {
            list_remove(node);
        }
    }
    expect_values(&head, (int[]){1, 3}, 2);
}

Test(list, splice_moves_everything_to_the_end)
{
    struct list to;
    struct list from;
    struct item a[2];
    struct item b[2];
    items_init(&to, a, 2);
    items_init(&from, b, 2);

    list_splice_back(&to, &from);
    expect_values(&to, (int[]){0, 1, 0, 1}, 4);
    cr_assert(list_empty(&from));

    list_splice_back(&to, &from);
    expect_values(&to, (int[]){0, 1, 0, 1}, 4);
}
