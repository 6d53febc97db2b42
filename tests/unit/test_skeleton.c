/* skeleton: what is typed out, what stays, what folds, where literals were, and what is refused.
 * That it means the same to PostgreSQL's parser is tests/sql. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "router/skeleton.h"
#include "router/skeleton_word.h"

static uint8_t bytes[LIMIT_SKELETON_ROOM_BYTES + 1];
static struct skeleton_literal literals[LIMIT_SKELETON_LITERALS];
static struct skeleton made;

static const char *make(const char *text, size_t len)
{
    struct skeleton_room room = {.bytes = bytes,
                                 .bytes_max = LIMIT_SKELETON_ROOM_BYTES,
                                 .literals = literals,
                                 .literals_max = LIMIT_SKELETON_LITERALS,
                                 .hash_key = 7};
    char *copy = malloc(len + 1); /* so that a read beyond its end is seen */
    memcpy(copy, text, len);
    skeleton_make(copy, len, &room, &made);
    free(copy);
    bytes[made.len] = '\0';
    return made.opaque == SKELETON_CLEAR ? (const char *)bytes : skeleton_opaque_text(made.opaque);
}

struct row {
    const char *text;
    const char *skeleton;
};

static void check(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *got = make(rows[i].text, strlen(rows[i].text));
        cr_expect_str_eq(got, rows[i].skeleton, "%s\n is  %s\n not %s", rows[i].text, got,
                         rows[i].skeleton);
    }
}

#define CHECK(rows) check(rows, sizeof(rows) / sizeof(rows[0]))

Test(skeleton, every_word_is_in_its_slot)
{
    static const char *const words[] = {
#define SKELETON_WORD(slot, word, roles) [slot] = word,
#include "router/skeleton_word.def"
#undef SKELETON_WORD
    };
    for (uint32_t slot = 0; slot < sizeof(words) / sizeof(words[0]); slot++) {
        struct skeleton_word_key key = {{0}};
        if (words[slot] == NULL) {
            continue;
        }
        memcpy(&key, words[slot], strlen(words[slot]));
        cr_expect_eq(skeleton_word_slot(&key), slot, "%s: %u", words[slot],
                     skeleton_word_slot(&key));
        cr_expect_neq(skeleton_word_roles(&key), 0, "%s", words[slot]);
    }
}

Test(skeleton, words_and_separators)
{
    static const struct row rows[] = {
        {"SELECT  Abalance\n FROM t -- x\nWHERE aid = 4711;", "select abalance from t where aid=0"},
        {"select \"A b\" , t . a as \"x\"", "select \"A b\",t.a as \"x\""},
        {"select a - - 1, a -1, b*c", "select a- -0,a-0,b*c"},
        {"select u & 'x', e 'x'", "select u &'',e ''"},
        {"select 1 . 5", "select 0 . 0"},
        {"select \xc3\x89T\xc3\x89", "select \xc3\x89t\xc3\x89"},
        {"select a[1:2], x::int", "select a[0 : 0],x::int"},
        {"select /* c */ f(a => 1)", "select f(a=>0)"},
        {"", ""},
        {" ;; -- x", ""},
    };
    CHECK(rows);
}

Test(skeleton, literals)
{
    static const struct row rows[] = {
        {"select 1, 2147483647, 0000000000000001", "select 0,0,0"},
        {"select 2147483649, 9223372036854775807", "select 9000000000,9000000000"},
        {"select 2147483648, 9223372036854775808", "select 2147483648,9223372036854775808"},
        {"select 9223372036854775809, 1.5, 1e5, .5", "select 0.0,0.0,0.0,0.0"},
        {"select 'a', E'\\n', $$b$$, $t$c$t$, 'd'\n'e'", "select '','','','',''"},
        {"select b'01', X'1f', n'x'", "select b'',x'',N''"},
        {"select $1, 'x' 'y'", "select $1,'' ''"},
        {"select U&'\\0441', U&'x' uescape '!'", "select U&'\\0441',U&'x' uescape '!'"},
    };
    CHECK(rows);
}

Test(skeleton, what_stays)
{
    static const struct row rows[] = {
        {"select a from t order by 1, 2 desc, a + 3 limit 4",
         "select a from t order by 1,2 desc,a+0 limit 0"},
        {"select 5 from t group by (1), rollup(2, 3) having a = 4",
         "select 0 from t group by(1),rollup(2,3)having a=0"},
        {"select 5 order by row_number() over (partition by 1), 2",
         "select 0 order by row_number()over(partition by 1),2"},
        {"select 5 order by a is distinct from 6, 2", "select 0 order by a is distinct from 0,2"},
        {"select distinct on (1) 2", "select distinct on(1)0"},
        {"select 1 union select 2 order by 1", "select 0 union select 0 order by 1"},
        {"select nextval('s'), setval('s', 5), lower('X')",
         "select nextval('s'),setval('s',0),lower('')"},
        {"select pg_catalog.\"set_config\"('a.b', 'c', true)",
         "select pg_catalog.\"set_config\"('a.b','',true)"},
        {"select set_config(new_value => 'c', setting_name => 'a')",
         "select set_config(new_value=>'c',setting_name=>'a')"},
        {"select 'x'::regclass, cast('y' as pg_catalog.regtype), 'z'::text::regproc, regrole 'q'",
         "select 'x'::regclass,cast('y' as pg_catalog.regtype),'z'::text::regproc,regrole 'q'"},
        {"select 'x'::text, date '2024-01-01'", "select ''::text,date ''"},
        {"select a::float(20), current_timestamp(3)", "select a::float(20),current_timestamp(3)"},
        {"set application_name = 'x'", "set application_name='x'"},
        {"Explain select 1, 'x'", "explain select 1,'x'"},
        {"prepare p as insert into t values ($1), ($2), ($3)",
         "prepare p as insert into t values($1),($2),($3)"},
    };
    CHECK(rows);
}

Test(skeleton, what_folds)
{
    static const struct row rows[] = {
        {"insert into t values (1, 'a')", "insert into t values(0,'')"},
        {"insert into t values (1, 'a'), (2, 'b')", "insert into t values(0,''),(0,'')"},
        {"insert into t values (1,'a'),(2,'b'),(3,'c'),(4,'d') returning *",
         "insert into t values(0,''),(0,'')returning*"},
        {"insert into t values (1,'a'),(2,'b'),(3,null),(4,null),(5,'x')",
         "insert into t values(0,''),(0,''),(0,null),(0,'')"},
        {"insert into t values ($1,$2),($3,$4),($5,$6)", "insert into t values($1,$2),($0,$0)"},
        {"insert into t values (1,nextval('a')),(2,nextval('b')),(3,nextval('a'))",
         "insert into t values(0,nextval('a')),(0,nextval('b')),(0,nextval('a'))"},
        {"select * from t where a in (1,2,3) and b in (1) and c in ((1,'a'),(2,'b'),(3,'c'))",
         "select*from t where a in(0,0)and b in(0)and c in((0,''),(0,''))"},
        {"select * from t where a in (select 1, 2, 3)", "select*from t where a in(select 0,0,0)"},
        {"select * from t where a in (values (1),(2),(3))",
         "select*from t where a in(values(0),(0))"},
        {"select * from t where a = any(array[1,2,3,4])", "select*from t where a=any(array[0,0])"},
        {"select f(1,1,1), a.values", "select f(0,0,0),a.values"},
        {"insert into t default values", "insert into t default values"},
        {"insert into t values (array[1,2,3]),(array[1,2]),(array[1,2,3,4])",
         "insert into t values(array[0,0]),(array[0,0])"},
        {"select array['a','b','c']::regclass[]", "select array['','']::regclass[]"},
    };
    CHECK(rows);
}

/* The literals as "text>place". */
static const char *listed(const char *text)
{
    static char out[512];
    size_t len = 0;
    make(text, strlen(text));
    out[0] = '\0';
    for (uint32_t i = 0; i < made.literal_count; i++) {
        len += (size_t)snprintf(out + len, sizeof(out) - len, "%.*s>%u ", (int)literals[i].len,
                                text + literals[i].at, literals[i].place);
    }
    return out;
}

Test(skeleton, literals_know_their_place)
{
    cr_expect_str_eq(listed("select 12, E'b', $1"), "12>7 E'b'>9 ");
    cr_expect_str_eq(listed("values (1,'a'),(2,'b'),(3,'c')"),
                     "1>7 'a'>9 2>14 'b'>16 3>14 'c'>16 ");
    cr_expect_str_eq(listed("values ($1),($2),($3)"), "$2>12 $3>12 ");
    cr_expect_eq(literals[0].kind, SKELETON_PARAMETER);
    cr_expect_str_eq(listed("select 1, 'x'::regclass, 'y'"), "1>7 'y'>23 ");
    cr_expect_str_eq(listed("values (array[1,2,3]),(array[4,5]),(array[6,7,8])"),
                     "1>13 2>15 3>15 4>26 5>28 6>26 7>28 8>28 ");
    cr_expect(made.folded);
}

Test(skeleton, what_does_not_fit_is_cut)
{
    struct skeleton_room room = {.bytes = bytes,
                                 .bytes_max = LIMIT_SKELETON_ROOM_BYTES,
                                 .literals = literals,
                                 .literals_max = 2};
    skeleton_make("select 1,2,3", 12, &room, &made);
    cr_expect_eq(made.literal_count, 2);
    cr_expect(made.literals_cut);
    skeleton_make("select 1,2", 10, &room, &made);
    cr_expect_not(made.literals_cut);
}

Test(skeleton, several_statements)
{
    const char *text = "; begin; select 'a;b' ; -- x\n ;";
    cr_expect_str_eq(make(text, strlen(text)), "begin");
    cr_expect_eq(made.verb, SQL_VERB_BEGIN);
    cr_expect_eq(made.start, 2);
    cr_expect_eq(made.end, 7);
    cr_expect_eq(made.next, 8);
    text += made.next;
    cr_expect_str_eq(make(text, strlen(text)), "select ''");
    cr_expect_eq(made.next, strlen(text));
    text = "create function f() returns int begin atomic select 1; end; select 2";
    make(text, strlen(text));
    cr_expect_str_eq(text + made.next, " select 2");
    text = "select (1;2); select 3";
    make(text, strlen(text));
    cr_expect_str_eq(text + made.next, " select 3");
}

Test(skeleton, hints_belong_to_their_statement)
{
    const char *text = "select 1 /* howdah:a */; /* howdah:b */ select 2; -- howdah:c";
    make(text, strlen(text));
    cr_expect(made.has_hint && text[made.hint_at] == 'a');
    text += made.next;
    make(text, strlen(text));
    cr_expect(made.has_hint && text[made.hint_at] == 'c' && made.hint_len == 1);
    make("select 1", 8);
    cr_expect_not(made.has_hint);
}

static bool has_now(const char *text)
{
    make(text, strlen(text));
    return made.has_now;
}

Test(skeleton, times_that_move)
{
    cr_expect(has_now("select * from t where a > 'yesterday'"));
    cr_expect(has_now("select timestamp ' 04:05 ToDay '"));
    cr_expect(has_now("select E'n\\x6fw'"));
    cr_expect(has_now("select 'no'\n'w'"));
    cr_expect(has_now("select $$now$$"));
    cr_expect_not(has_now("select 'I know', 'Monday', 'knowing', E'a'"));
    cr_expect_not(has_now("insert into t values ('now')"));
}

Test(skeleton, what_is_refused)
{
    static const struct row rows[] = {
        {"select 'a", "lexical"},
        {"select 1 {", "lexical"},
        {"select 0x1F", "lexical"},
        {"select /* 1", "lexical"},
    };
    CHECK(rows);
    cr_expect_eq(made.verb, SQL_VERB_SELECT);
    cr_expect_eq(made.next, 11);
}

/* "select " and then the piece so many times. */
static const char *repeat(const char *piece, uint32_t times)
{
    size_t len = strlen(piece);
    char *text = malloc(8 + len * times);
    memcpy(text, "select ", 7);
    for (uint32_t i = 0; i < times; i++) {
        memcpy(text + 7 + i * len, piece, len);
    }
    const char *got = make(text, 7 + len * times);
    free(text);
    return got;
}

Test(skeleton, depth_is_bounded)
{
    static const char *const deep[] = {
        "1+",
        "(",
        "not ",
        "- ",
        "a[",
        "case when ",
        "1 union select ",
        "t join ",
        "f(1,",
        "x::y::",
        "a collate ",
        "((1) ",
        "a operator(b.+) ",
        "a is distinct from ",
        "a at time zone ",
    };
    for (uint32_t i = 0; i < sizeof(deep) / sizeof(deep[0]); i++) {
        cr_expect_str_eq(repeat(deep[i], LIMIT_SKELETON_DEPTH + 1), "deep", "%s", deep[i]);
        cr_expect_str_neq(repeat(deep[i], LIMIT_SKELETON_DEPTH / 4), "deep", "%s", deep[i]);
    }
    static const char *const flat[] = {
        "a=1 and ", "a=1 or ", "-1,", "(1)+(2),", "a.", "case when a then b end,", "f(1+1),",
    };
    for (uint32_t i = 0; i < sizeof(flat) / sizeof(flat[0]); i++) {
        cr_expect_str_neq(repeat(flat[i], LIMIT_SKELETON_DEPTH + 1), "deep", "%s", flat[i]);
    }
}

Test(skeleton, length_is_bounded)
{
    cr_expect_str_eq(repeat("abcdefghijklmno,", LIMIT_SKELETON_BYTES / 16 + 1), "long");
    cr_expect_eq(made.verb, SQL_VERB_SELECT);
    cr_expect_str_neq(repeat("abcdefghijklmno,", LIMIT_SKELETON_BYTES / 16 - 2), "long");
    cr_expect_str_eq(repeat("a,", LIMIT_SKELETON_TOKENS / 2), "long");
    cr_expect_str_neq(repeat("a,", LIMIT_SKELETON_TOKENS / 2 - 1), "long");
    cr_expect_str_eq(repeat(" ", LIMIT_SKELETON_TEXT_BYTES), "long text");
    cr_expect_eq(made.verb, SQL_VERB_SELECT);
    cr_expect_str_eq(repeat(" ", LIMIT_SKELETON_TEXT_BYTES - 7), "select");
}

Test(skeleton, a_small_room_is_kept)
{
    uint8_t small[80 + 1];
    struct skeleton_room room = {.bytes = small, .bytes_max = 80};
    for (size_t len = 0; len < 200; len++) {
        char text[256];
        small[80] = 0xa5;
        snprintf(text, sizeof(text), "select %0*d, abcdefghijklmnopq from t", (int)len + 1, 1);
        skeleton_make(text, strlen(text), &room, &made);
        cr_expect_eq(small[80], 0xa5);
        memset(text + 7, 'x', len);
        skeleton_make(text, strlen(text), &room, &made);
        cr_expect_eq(small[80], 0xa5);
    }
    cr_expect_eq(made.opaque, SKELETON_LONG);
}

Test(skeleton, the_hash_is_that_of_the_skeleton)
{
    make("select 1", 8);
    uint64_t one = made.hash;
    make("SELECT  22", 10);
    cr_expect_eq(made.hash, one);
    make("select 'a'", 10);
    cr_expect_neq(made.hash, one);
}
