/* What a known statement costs: its skeleton with the hash, and a look into a table that compares
 * the skeleton's bytes, against libpg_query's parse to protobuf of the same text in the same run.
 *
 *   skeleton [ROUNDS]
 *
 * Prints "NAME BYTES SKELETON_NS PARSE_NS RATIO" a line. The two take turns in short rounds and the
 * best round of each counts, so that what else runs on the machine hits both or neither.
 */
#include <pg_query.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "router/skeleton.h"

static char insert_text[16384];

static const char *const select_text = "SELECT abalance FROM pgbench_accounts WHERE aid = 4711;";

/* As an object-relational mapper writes it */
static const char *const orm_text =
    "SELECT orders.id AS orders_id, orders.number AS orders_number, orders.status AS "
    "orders_status, orders.created_at AS orders_created_at, orders.updated_at AS "
    "orders_updated_at, orders.customer_id AS orders_customer_id, orders.total AS orders_total, "
    "orders.currency AS orders_currency, customers_1.id AS customers_1_id, customers_1.name AS "
    "customers_1_name, customers_1.email AS customers_1_email, customers_1.city AS "
    "customers_1_city, customers_1.country AS customers_1_country, items_1.id AS items_1_id, "
    "items_1.order_id AS items_1_order_id, items_1.product_id AS items_1_product_id, "
    "items_1.quantity AS items_1_quantity, items_1.price AS items_1_price, products_1.name AS "
    "products_1_name, products_1.sku AS products_1_sku \n"
    "FROM orders JOIN customers AS customers_1 ON customers_1.id = orders.customer_id LEFT OUTER "
    "JOIN items AS items_1 ON orders.id = items_1.order_id LEFT OUTER JOIN products AS products_1 "
    "ON products_1.id = items_1.product_id \n"
    "WHERE orders.status = 'open' AND orders.total > 100.50 AND customers_1.country IN ('DE', "
    "'AT', 'CH') ORDER BY orders.created_at DESC \n LIMIT 50";

static void make_insert(void)
{
    size_t len = (size_t)snprintf(insert_text, sizeof(insert_text),
                                  "INSERT INTO events (id, kind, name, amount, made_at) VALUES ");
    for (int i = 0; i < 100; i++) {
        len += (size_t)snprintf(insert_text + len, sizeof(insert_text) - len,
                                "%s(%d, %d, 'event number %d', %d.%02d, '2024-05-%02d')",
                                i > 0 ? ", " : "", 100000 + i * 7, i % 5, i, i * 3, i % 100,
                                1 + i % 28);
    }
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* A plan's place in the table: the whole skeleton is compared on a hit. */
struct known {
    uint64_t hash;
    uint8_t bytes[LIMIT_SKELETON_ROOM_BYTES];
    uint32_t len;
};

static uint8_t bytes[LIMIT_SKELETON_ROOM_BYTES];
static struct skeleton_literal literals[LIMIT_SKELETON_LITERALS];
static const struct skeleton_room room = {.bytes = bytes,
                                          .bytes_max = sizeof(bytes),
                                          .literals = literals,
                                          .literals_max = LIMIT_SKELETON_LITERALS,
                                          .hash_key = 0x5bd1e995};

#define TABLE_SLOTS 1024
static struct known *table[TABLE_SLOTS];

static const struct known *look_up(const struct skeleton *skeleton)
{
    for (uint64_t slot = skeleton->hash;; slot++) {
        const struct known *known = table[slot % TABLE_SLOTS];
        if (known == NULL || (known->hash == skeleton->hash && known->len == skeleton->len &&
                              memcmp(known->bytes, skeleton->bytes, known->len) == 0)) {
            return known;
        }
    }
}

static void learn(const char *text, size_t len)
{
    struct skeleton skeleton;
    struct known *known = calloc(1, sizeof(*known));
    skeleton_make(text, len, &room, &skeleton);
    if (known == NULL || skeleton.opaque != SKELETON_CLEAR) {
        fprintf(stderr, "opaque: %s\n", skeleton_opaque_text(skeleton.opaque));
        exit(1);
    }
    known->hash = skeleton.hash;
    known->len = skeleton.len;
    memcpy(known->bytes, skeleton.bytes, skeleton.len);
    table[skeleton.hash % TABLE_SLOTS] = known;
}

static uint64_t run_skeleton_ns(const char *text, size_t len, uint32_t times)
{
    uint64_t from_ns = now_ns();
    for (uint32_t i = 0; i < times; i++) {
        struct skeleton skeleton;
        skeleton_make(text, len, &room, &skeleton);
        if (look_up(&skeleton) == NULL) {
            fprintf(stderr, "not found\n");
            exit(1);
        }
    }
    return now_ns() - from_ns;
}

static uint64_t run_parse_ns(const char *text, uint32_t times)
{
    uint64_t from_ns = now_ns();
    for (uint32_t i = 0; i < times; i++) {
        PgQueryProtobufParseResult result = pg_query_parse_protobuf(text);
        if (result.error != NULL) {
            fprintf(stderr, "parse: %s\n", result.error->message);
            exit(1);
        }
        pg_query_free_protobuf_parse_result(result);
    }
    return now_ns() - from_ns;
}

static void measure(const char *name, const char *text, uint32_t rounds)
{
    size_t len = strlen(text);
    uint32_t times = (uint32_t)(200000 / len + 1); /* a round is about 0.1 ms, and ten parses */
    double skeleton_ns = 1e12, parse_ns = 1e12;
    learn(text, len);
    for (uint32_t i = 0; i < rounds; i++) {
        double ns = (double)run_skeleton_ns(text, len, times) / times;
        skeleton_ns = ns < skeleton_ns ? ns : skeleton_ns;
        ns = (double)run_parse_ns(text, times / 50 + 1) / (times / 50 + 1);
        parse_ns = ns < parse_ns ? ns : parse_ns;
    }
    printf("%s %zu %.0f %.0f %.1f\n", name, len, skeleton_ns, parse_ns, parse_ns / skeleton_ns);
}

int main(int argc, char **argv)
{
    uint32_t rounds = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 200;
    make_insert();
    measure("select", select_text, rounds);
    measure("orm", orm_text, rounds);
    measure("insert", insert_text, rounds);
    for (uint32_t i = 0; i < TABLE_SLOTS; i++) {
        free(table[i]);
    }
    return 0;
}
