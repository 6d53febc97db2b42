/* sql_lexer, sql_split, sql_verb: the kinds and ends of tokens, of statements, and what they are.
 * How they compare with PostgreSQL's own is tests/sql. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/sql_lexer.h"
#include "protocol/sql_split.h"
#include "protocol/sql_verb.h"

static const char *const kind_name[SQL_TOKEN_KINDS] = {
    "error",  "end",    "word",  "quoted", "uquoted",  "int",   "dec",   "str",  "estr",
    "ustr",   "dstr",   "bit",   "hex",    "national", "param", "op",    "self", "cast",
    "dotdot", "assign", "arrow", "le",     "ge",       "ne",    "other",
};

/* The tokens as "kind:text kind:text"; up to an error or the end. */
static const char *lex(const char *text, uint32_t flags)
{
    static char out[1024];
    struct sql_lexer lexer;
    struct sql_token token;
    size_t len = 0;
    char *copy = malloc(strlen(text)); /* without the NUL, so that a read beyond it is seen */
    memcpy(copy, text, strlen(text));
    sql_lexer_init(&lexer, copy, strlen(text), flags);
    out[0] = '\0';
    while (sql_lexer_next(&lexer, &token) != SQL_END) {
        len += (size_t)snprintf(out + len, sizeof(out) - len, "%s%s:%.*s", len > 0 ? " " : "",
                                kind_name[token.kind], (int)token.len, copy + token.at);
        if (token.kind == SQL_ERROR) {
            break;
        }
    }
    free(copy);
    return out;
}

struct row {
    const char *text;
    const char *tokens;
};

static void check(const struct row *rows, size_t count, uint32_t flags)
{
    for (size_t i = 0; i < count; i++) {
        cr_expect_str_eq(lex(rows[i].text, flags), rows[i].tokens, "%s\n is %s\n not %s",
                         rows[i].text, lex(rows[i].text, flags), rows[i].tokens);
    }
}

#define CHECK(rows, flags) check(rows, sizeof(rows) / sizeof(rows[0]), flags)

Test(sql_lexer, words)
{
    static const struct row rows[] = {
        {"Select a_1$b", "word:Select word:a_1$b"},
        {"\xc3\xa9t\xc3\xa9", "word:\xc3\xa9t\xc3\xa9"},
        {"\"a b\"\"c\"x", "quoted:\"a b\"\"c\" word:x"},
        {"U&\"\\0441\" u&'x' uescape", "uquoted:U&\"\\0441\" ustr:u&'x' word:uescape"},
        {"u&x ux&'x'", "word:u op:& word:x word:ux op:& str:'x'"},
        {"u", "word:u"},
        {"\"\"", "error:"},
        {"\"a", "error:"},
    };
    CHECK(rows, 0);
}

Test(sql_lexer, numbers)
{
    static const struct row rows[] = {
        {"1 1.5 .5 1. 1e5 1.e-5 .5E+5", "int:1 dec:1.5 dec:.5 dec:1. dec:1e5 dec:1.e-5 dec:.5E+5"},
        {"1..2", "int:1 dotdot:.. int:2"},
        {"1...2", "int:1 dotdot:.. dec:.2"},
        {"1.5..2", "dec:1.5 dotdot:.. int:2"},
        {"1.5.5", "dec:1.5 dec:.5"},
        {"0x1F", "error:"},
        {"1_000", "error:"},
        {"1a", "error:"},
        {"1e", "error:"},
        {"1e+", "error:"},
        {"1.e+", "error:"},
        {"1\xc3\xa9", "error:"},
        {"$1 $12+1 $1.x", "param:$1 param:$12 self:+ int:1 param:$1 self:. word:x"},
        {"$1a", "error:"},
        {"1$1", "int:1 param:$1"},
    };
    CHECK(rows, 0);
}

Test(sql_lexer, strings)
{
    static const struct row rows[] = {
        {"'a''b'x", "str:'a''b' word:x"},
        {"'a\\'x", "str:'a\\' word:x"},
        {"E'a\\'b''c\\\\'x", "estr:E'a\\'b''c\\\\' word:x"},
        {"b'01'X'1f'", "bit:b'01' hex:X'1f'"},
        {"b'0''1'", "bit:b'0' str:'1'"},
        {"N'a'", "national:N str:'a'"},
        {"n 'a'", "word:n str:'a'"},
        {"xb'a'", "word:xb str:'a'"},
        {"$$a'b$$ $t$a$$b$t$", "dstr:$$a'b$$ dstr:$t$a$$b$t$"},
        {"$a$x$b$a$", "dstr:$a$x$b$a$"},
        {"$a$x$a $a$", "dstr:$a$x$a $a$"},
        {"$a x$", "other:$ word:a word:x$"},
        {"'", "error:"},
        {"'a''", "error:"},
        {"E'a\\'", "error:"},
        {"E'a\\", "error:"},
        {"$$a$", "error:"},
        {"$a$b$A$", "error:"},
    };
    CHECK(rows, 0);
}

Test(sql_lexer, continued_strings)
{
    static const struct row rows[] = {
        {"'a'\n'b'", "str:'a'\n'b'"},
        {"'a' 'b'", "str:'a' str:'b'"},
        {"'a' \t\f\r 'b'\n\n'c' x", "str:'a' \t\f\r 'b'\n\n'c' word:x"},
        {"'a' -- c\n 'b'", "str:'a' -- c\n 'b'"},
        {"'a'\n -- c\n -- d\n'b'", "str:'a'\n -- c\n -- d\n'b'"},
        {"'a'\n-- c", "str:'a'"},
        {"'a'\n- 1", "str:'a' self:- int:1"},
        {"'a'\n/* */'b'", "str:'a' str:'b'"},
        {"'a'\nE'b'", "str:'a' estr:E'b'"},
        {"E'a'\n'\\''", "estr:E'a'\n'\\''"},
        {"b'0'\n'1'", "bit:b'0'\n'1'"},
        {"'a'\n'", "error:"},
    };
    CHECK(rows, 0);
}

Test(sql_lexer, backslashes)
{
    static const struct row rows[] = {
        {"'a\\'x'", "estr:'a\\'x'"},
        {"'a'\n'\\''", "estr:'a'\n'\\''"},
        {"U&'a'", "error:"},
        {"$$\\$$", "dstr:$$\\$$"},
    };
    CHECK(rows, SQL_LEXER_BACKSLASHES);
}

Test(sql_lexer, operators)
{
    static const struct row rows[] = {
        {"a+-b", "word:a self:+ self:- word:b"},
        {"=-1", "self:= self:- int:1"},
        {"@-1", "op:@- int:1"},
        {"+++", "self:+ self:+ self:+"},
        {"*+*-+", "op:*+* self:- self:+"},
        {"<=- >=+ <>- !=- =>-", "le:<= self:- ge:>= self:+ ne:<> self:- op:!=- arrow:=> self:-"},
        {"<= >= <> != =>", "le:<= ge:>= ne:<> ne:!= arrow:=>"},
        {"<=> !== ->>", "op:<=> op:!== op:->>"},
        {"+/*c*/-", "self:+ self:-"},
        {"@--c\n", "op:@"},
        {"*/**/ 1", "self:* int:1"},
        {"a::b:=c:d::=", "word:a cast::: word:b assign::= word:c self:: word:d cast::: self:="},
        {".. . ,()[];", "dotdot:.. self:. self:, self:( self:) self:[ self:] self:;"},
        {"~ ! @ # & | ` ?", "op:~ op:! op:@ op:# op:& op:| op:` op:?"},
        {"{ \\ \v", "other:{ other:\\ other:\v"},
    };
    CHECK(rows, 0);
}

Test(sql_lexer, an_operator_has_at_most_63_bytes)
{
    char text[70];
    memset(text, '@', sizeof(text));
    text[63] = '\0';
    cr_assert_eq(strncmp(lex(text, 0), "op:", 3), 0);
    text[63] = '@';
    text[64] = '\0';
    cr_assert_str_eq(lex(text, 0), "error:");
}

Test(sql_lexer, comments)
{
    static const struct row rows[] = {
        {"a--b\rc-- d", "word:a word:c"},
        {"a/*b*/c/**/d", "word:a word:c word:d"},
        {"/* /* */ */a", "word:a"},
        {"/*/*/*/ */ */ */a", "word:a"},
        {"/***/a/*//**/*/b", "word:a word:b"},
        {"/*/", "error:"},
        {"a /* /* */", "word:a error:"},
    };
    CHECK(rows, 0);
}

static const char *hint(const char *text)
{
    static char out[64];
    struct sql_lexer lexer;
    struct sql_token token;
    sql_lexer_init(&lexer, text, strlen(text), 0);
    while (sql_lexer_next(&lexer, &token) > SQL_END) {
    }
    snprintf(out, sizeof(out), "%.*s", (int)lexer.hint_len, text + lexer.hint_at);
    return lexer.hint_at == 0 ? "none" : out;
}

Test(sql_lexer, hints)
{
    cr_expect_str_eq(hint("select 1 /* howdah: route=primary */"), " route=primary ");
    cr_expect_str_eq(hint("--howdah:cache=60s\nselect 1"), "cache=60s");
    cr_expect_str_eq(hint("/* howdah:a */ select /*howdah:b*/"), "b");
    cr_expect_str_eq(hint("/* a howdah: b */ select 'x' -- howdah"), "none");
    cr_expect_str_eq(hint("select '/* howdah: a */'"), "none");
    cr_expect_str_eq(hint("/* howdah:*/"), "");
}

Test(sql_lexer, a_long_run_of_signs_takes_linear_time)
{
    size_t len = 1000 * 1000;
    char *text = malloc(len);
    memset(text, '+', len);
    struct sql_lexer lexer;
    struct sql_token token;
    size_t count = 0;
    sql_lexer_init(&lexer, text, len, 0);
    while (sql_lexer_next(&lexer, &token) > SQL_END) {
        count++;
    }
    cr_assert_eq(count, len);
    free(text);
}

/* The statements, between bars. */
static const char *split(const char *text)
{
    static char out[512];
    struct sql_lexer lexer;
    struct sql_statement statement;
    size_t len = 0;
    sql_lexer_init(&lexer, text, strlen(text), 0);
    out[0] = '\0';
    while (sql_split_next(&lexer, &statement)) {
        len += (size_t)snprintf(out + len, sizeof(out) - len, "%s|%.*s|",
                                statement.broken ? "broken" : "",
                                (int)(statement.end - statement.start), text + statement.start);
    }
    return out;
}

Test(sql_split, semicolons)
{
    cr_expect_str_eq(split(""), "");
    cr_expect_str_eq(split(" ; ;; -- ;\n"), "");
    cr_expect_str_eq(split("begin; select ';' ; /* ; */ commit ;"), "|begin||select ';'||commit|");
    cr_expect_str_eq(split("create rule r as on insert to t do (a; b); c"),
                     "|create rule r as on insert to t do (a; b)||c|");
    cr_expect_str_eq(split("a; 'b"), "|a|broken|'b|");
    cr_expect_str_eq(split("select 1); select 2"), "|select 1)||select 2|");
}

Test(sql_split, bodies)
{
    cr_expect_str_eq(
        split("create function f() begin atomic select 1; select case when a then b end; end; c"),
        "|create function f() begin atomic select 1; select case when a then b end; end||c|");
    cr_expect_str_eq(split("create or replace procedure p() begin atomic end; c"),
                     "|create or replace procedure p() begin atomic end||c|");
    cr_expect_str_eq(split("create function f() begin atomic select 1 end; end; c"),
                     "|create function f() begin atomic select 1 end; end||c|");
    cr_expect_str_eq(split("create function f(begin atomic) as 'x'; c"),
                     "|create function f(begin atomic) as 'x'||c|");
    cr_expect_str_eq(split("select * from begin atomic; c"), "|select * from begin atomic||c|");
}

static enum sql_verb verb(const char *text)
{
    return sql_verb_read(text, strlen(text));
}

Test(sql_verb, one_word)
{
    for (enum sql_verb each = SQL_VERB_SELECT; each < SQL_VERB_COUNT; each++) {
        char text[64];
        const char *more = each == SQL_VERB_PREPARE_TRANSACTION ? " 'x'" : "";
        snprintf(text, sizeof(text), " /* c */; %s%s", sql_verb_text(each), more);
        cr_expect_eq(verb(text), each, "%s: %s", text, sql_verb_text(verb(text)));
    }
}

Test(sql_verb, several_words)
{
    cr_expect_eq(verb(""), SQL_VERB_EMPTY);
    cr_expect_eq(verb(" ;; -- begin"), SQL_VERB_EMPTY);
    cr_expect_eq(verb("((SELECT 1))"), SQL_VERB_SELECT);
    cr_expect_eq(verb("selec"), SQL_VERB_UNKNOWN);
    cr_expect_eq(verb("(begin)"), SQL_VERB_UNKNOWN);
    cr_expect_eq(verb("\"select\""), SQL_VERB_UNKNOWN);
    cr_expect_eq(verb("'x"), SQL_VERB_UNKNOWN);
    cr_expect_eq(verb("rollback work to savepoint a"), SQL_VERB_ROLLBACK_TO);
    cr_expect_eq(verb("ROLLBACK TRANSACTION"), SQL_VERB_ROLLBACK);
    cr_expect_eq(verb("commit and chain"), SQL_VERB_COMMIT);
    cr_expect_eq(verb("prepare transaction as select 1"), SQL_VERB_PREPARE);
    cr_expect_eq(verb("prepare transaction (int) as select $1"), SQL_VERB_PREPARE);
    cr_expect_eq(verb("BEGIN;"), SQL_VERB_BEGIN);
}
