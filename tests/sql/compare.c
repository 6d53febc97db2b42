/* Compares Howdah's reading of SQL with PostgreSQL's own, as libpg_query has it.
 *
 *   compare [--mutations N] [--seed N] [--verbose] FILE...
 *
 * FILEs are scripts for psql; its commands and the data of COPY are left out. Of each statement:
 * the tokens (pg_query_scan); of several after one another: where they end
 * (pg_query_split_with_parser); and of the skeleton: it parses if the text does and not otherwise,
 * to the same fingerprint (which sees all but constants), and is its own skeleton. Then mutations
 * of the statements, by a seeded generator. Prints what differs, and "NAME COUNT" lines; exits 1 if
 * anything differs.
 */
#include <pg_query.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pg_query/pg_query.pb-c.h>

#include "protocol/sql_lexer.h"
#include "protocol/sql_split.h"
#include "router/skeleton.h"

struct text {
    char *bytes;
    size_t len;
};

static struct text *statements;
static size_t statement_count;
static bool verbose;

/* What was seen, in the order in which it is printed. */
enum count {
    COUNT_STATEMENTS,
    COUNT_TOKENS,
    COUNT_REFUSED_BY_BOTH,
    COUNT_REFUSED_BY_SERVER,
    COUNT_REFUSED_BY_US,
    COUNT_SKELETONS,
    COUNT_OPAQUE,
    COUNT_PARSED,
    COUNT_SPLITS,
    COUNT_DIFFERENT,
    COUNTS
};

static const char *const count_name[COUNTS] = {
    [COUNT_STATEMENTS] = "statements",
    [COUNT_TOKENS] = "tokens",
    [COUNT_REFUSED_BY_BOTH] = "refused-by-both",
    [COUNT_REFUSED_BY_SERVER] = "refused-by-the-server-alone",
    [COUNT_REFUSED_BY_US] = "refused-by-us-alone",
    [COUNT_SKELETONS] = "skeletons",
    [COUNT_OPAQUE] = "opaque",
    [COUNT_PARSED] = "parsed",
    [COUNT_SPLITS] = "splits",
    [COUNT_DIFFERENT] = "different",
};

static uint64_t counts[COUNTS];

__attribute__((format(printf, 2, 3))) static void differ(const char *text, const char *format, ...)
{
    va_list arguments;
    if (++counts[COUNT_DIFFERENT] > 40) {
        return;
    }
    va_start(arguments, format);
    printf("different: ");
    vprintf(format, arguments);
    printf("\n    %s\n", text);
    va_end(arguments);
}

/* --- tokens ----------------------------------------------------------------------------------- */

/* Whether the server's token is of our kind. */
static bool is_same_kind(enum sql_token_kind kind, int token, uint8_t first)
{
    switch (kind) {
    case SQL_WORD:
        return token == PG_QUERY__TOKEN__IDENT || token > PG_QUERY__TOKEN__C_COMMENT;
    case SQL_QUOTED:
        return token == PG_QUERY__TOKEN__IDENT;
    case SQL_UNICODE_QUOTED:
        return token == PG_QUERY__TOKEN__UIDENT;
    case SQL_INTEGER:
        return token == PG_QUERY__TOKEN__ICONST || token == PG_QUERY__TOKEN__FCONST;
    case SQL_DECIMAL:
        return token == PG_QUERY__TOKEN__FCONST;
    case SQL_STRING:
    case SQL_ESCAPE_STRING:
    case SQL_DOLLAR_STRING:
        return token == PG_QUERY__TOKEN__SCONST;
    case SQL_UNICODE_STRING:
        return token == PG_QUERY__TOKEN__USCONST;
    case SQL_BIT:
        return token == PG_QUERY__TOKEN__BCONST;
    case SQL_HEX:
        return token == PG_QUERY__TOKEN__XCONST;
    case SQL_NATIONAL:
        return token == PG_QUERY__TOKEN__NCHAR;
    case SQL_PARAMETER:
        return token == PG_QUERY__TOKEN__PARAM;
    case SQL_OPERATOR: /* libpg_query has a token for one question mark */
        return token == PG_QUERY__TOKEN__Op || (token == '?' && first == '?');
    case SQL_SELF:
    case SQL_OTHER:
        return token == first;
    case SQL_TYPECAST:
        return token == PG_QUERY__TOKEN__TYPECAST;
    case SQL_DOT_DOT:
        return token == PG_QUERY__TOKEN__DOT_DOT;
    case SQL_COLON_EQUALS:
        return token == PG_QUERY__TOKEN__COLON_EQUALS;
    case SQL_EQUALS_GREATER:
        return token == PG_QUERY__TOKEN__EQUALS_GREATER;
    case SQL_LESS_EQUALS:
        return token == PG_QUERY__TOKEN__LESS_EQUALS;
    case SQL_GREATER_EQUALS:
        return token == PG_QUERY__TOKEN__GREATER_EQUALS;
    case SQL_NOT_EQUALS:
        return token == PG_QUERY__TOKEN__NOT_EQUALS;
    case SQL_ERROR:
    case SQL_END:
    case SQL_TOKEN_KINDS:
        break;
    }
    return false;
}

static bool is_comment(const PgQuery__ScanToken *token)
{
    return token->token == PG_QUERY__TOKEN__SQL_COMMENT ||
           token->token == PG_QUERY__TOKEN__C_COMMENT;
}

/* A string goes on behind a comment and a newline, 'a'--\n'b'; the package, whose lexer has tokens
 * for comments, does not know it any more. */
static bool has_comment_in_string(const char *text, size_t len)
{
    struct sql_lexer lexer;
    struct sql_token token;
    sql_lexer_init(&lexer, text, len, 0);
    while (sql_lexer_next(&lexer, &token) > SQL_END) {
        if (token.kind >= SQL_STRING && token.kind <= SQL_HEX && lexer.continued &&
            memmem(text + token.at, token.len, "--", 2) != NULL) {
            return true;
        }
    }
    return false;
}

static void compare_scan(const char *text, size_t len, const PgQuery__ScanResult *scan)
{
    struct sql_lexer lexer;
    struct sql_token token;
    sql_lexer_init(&lexer, text, len, 0);
    for (size_t i = 0; i < scan->n_tokens; i++) {
        const PgQuery__ScanToken *theirs = scan->tokens[i];
        if (is_comment(theirs)) {
            continue;
        }
        enum sql_token_kind kind = sql_lexer_next(&lexer, &token);
        if (kind == SQL_ERROR) {
            counts[COUNT_REFUSED_BY_US]++;
            differ(text, "refused at %u", token.at);
            return;
        }
        /* The package's own ends of U& tokens are wrong. */
        bool is_unicode = kind == SQL_UNICODE_QUOTED || kind == SQL_UNICODE_STRING;
        if (token.at != (uint32_t)theirs->start ||
            (token.at + token.len != (uint32_t)theirs->end && !is_unicode) ||
            !is_same_kind(kind, (int)theirs->token, (uint8_t)text[token.at])) {
            differ(text, "token %zu: ours %u+%u kind %d, theirs %d..%d token %d", i, token.at,
                   token.len, (int)kind, theirs->start, theirs->end, (int)theirs->token);
            return;
        }
        counts[COUNT_TOKENS]++;
    }
    if (sql_lexer_next(&lexer, &token) != SQL_END) {
        differ(text, "more tokens than the server's, at %u", token.at);
    }
}

static bool has_lexical_error(const char *text, size_t len)
{
    struct sql_lexer lexer;
    struct sql_token token;
    sql_lexer_init(&lexer, text, len, 0);
    while (sql_lexer_next(&lexer, &token) > SQL_END) {
    }
    return token.kind == SQL_ERROR;
}

static void compare_tokens(const char *text, size_t len)
{
    if (has_comment_in_string(text, len)) {
        return;
    }
    PgQueryScanResult result = pg_query_scan(text);
    if (result.error != NULL) {
        bool ours = has_lexical_error(text, len);
        counts[ours ? COUNT_REFUSED_BY_BOTH : COUNT_REFUSED_BY_SERVER]++;
        if (!ours && verbose) {
            printf("refused by the server alone: %s\n    %s\n", result.error->message, text);
        }
    } else {
        PgQuery__ScanResult *scan =
            pg_query__scan_result__unpack(NULL, result.pbuf.len, (const uint8_t *)result.pbuf.data);
        compare_scan(text, len, scan);
        pg_query__scan_result__free_unpacked(scan, NULL);
    }
    pg_query_free_scan_result(result);
}

/* --- skeletons -------------------------------------------------------------------------------- */

struct made {
    uint8_t bytes[LIMIT_SKELETON_ROOM_BYTES + 1];
    struct skeleton_literal literals[LIMIT_SKELETON_LITERALS];
    struct skeleton skeleton;
};

static void make(const char *text, size_t len, struct made *made)
{
    struct skeleton_room room = {.bytes = made->bytes,
                                 .bytes_max = LIMIT_SKELETON_ROOM_BYTES,
                                 .literals = made->literals,
                                 .literals_max = LIMIT_SKELETON_LITERALS,
                                 .hash_key = 1};
    skeleton_make(text, len, &room, &made->skeleton);
    made->bytes[made->skeleton.len] = '\0';
}

/* A literal's token is one in the text, and its placeholder one in the skeleton. */
static void check_literals(const char *text, const struct made *made)
{
    for (uint32_t i = 0; i < made->skeleton.literal_count; i++) {
        const struct skeleton_literal *literal = &made->literals[i];
        struct sql_lexer lexer;
        struct sql_token token, place;
        sql_lexer_init(&lexer, text + literal->at, literal->len, 0);
        sql_lexer_next(&lexer, &token);
        sql_lexer_init(&lexer, made->bytes + literal->place, made->skeleton.len - literal->place,
                       0);
        sql_lexer_next(&lexer, &place);
        bool is_string = token.kind == SQL_ESCAPE_STRING || token.kind == SQL_DOLLAR_STRING;
        bool is_numeric = token.kind == SQL_INTEGER && literal->kind == SKELETON_NUMERIC;
        enum sql_token_kind expected = is_string    ? SQL_STRING
                                       : is_numeric ? SQL_DECIMAL
                                                    : token.kind;
        if (token.len != literal->len || place.at != 0 || place.kind != expected) {
            differ(text, "literal %u at %u+%u kind %d, place %u kind %d of %s", i, literal->at,
                   literal->len, (int)token.kind, literal->place, (int)place.kind, made->bytes);
            return;
        }
    }
}

static void check_again(const char *text, const struct made *made)
{
    static struct made again;
    make((const char *)made->bytes, made->skeleton.len, &again);
    if (again.skeleton.opaque != SKELETON_CLEAR || again.skeleton.len != made->skeleton.len ||
        memcmp(again.bytes, made->bytes, made->skeleton.len) != 0 ||
        again.skeleton.hash != made->skeleton.hash || again.skeleton.verb != made->skeleton.verb ||
        again.skeleton.folded) {
        differ(text, "skeleton of the skeleton: %s\n    %s", made->bytes, again.bytes);
    }
}

static bool is_lexed(const char *text)
{
    PgQueryScanResult result = pg_query_scan(text);
    bool lexed = result.error == NULL;
    pg_query_free_scan_result(result);
    return lexed;
}

/* Of one statement alone. */
static void compare_skeleton(const char *text, size_t len)
{
    static struct made made;
    make(text, len, &made);
    counts[COUNT_SKELETONS]++;
    if (made.skeleton.opaque != SKELETON_CLEAR) {
        counts[COUNT_OPAQUE]++;
        if (verbose) {
            printf("opaque: %s\n    %s\n", skeleton_opaque_text(made.skeleton.opaque), text);
        }
        return;
    }
    check_literals(text, &made);
    check_again(text, &made);
    if (made.skeleton.next < len) {
        return;
    }
    if (!is_lexed(text) || has_comment_in_string(text, len)) {
        return; /* an escape that the lexer looks at inside of a literal */
    }
    PgQueryFingerprintResult theirs = pg_query_fingerprint(text);
    PgQueryFingerprintResult ours = pg_query_fingerprint((const char *)made.bytes);
    if ((theirs.error == NULL) != (ours.error == NULL)) {
        differ(text, "%s parses, the other not (%s): %s", ours.error ? "the text" : "the skeleton",
               ours.error ? ours.error->message : theirs.error->message, made.bytes);
    } else if (theirs.error == NULL) {
        counts[COUNT_PARSED]++;
        /* It sees how many elements an ARRAY has, and the bounds of a type, x::int[3]. */
        const char *skeleton = (const char *)made.bytes;
        bool is_array = made.skeleton.folded && strstr(skeleton, "array[") != NULL;
        bool has_bounds = strstr(skeleton, "[0]") != NULL && strstr(skeleton, "::") != NULL;
        if (theirs.fingerprint != ours.fingerprint && !is_array && !has_bounds) {
            differ(text, "fingerprints: %s", made.bytes);
        }
    }
    pg_query_free_fingerprint_result(theirs);
    pg_query_free_fingerprint_result(ours);
}

/* --- splitting -------------------------------------------------------------------------------- */

/* The skeletons' way of going from statement to statement must be the splitter's. */
static void check_next(const char *text, size_t len)
{
    static struct made made;
    struct sql_lexer lexer;
    struct sql_statement statement;
    sql_lexer_init(&lexer, text, len, 0);
    for (size_t at = 0; at < len; at += made.skeleton.next) {
        make(text + at, len - at, &made);
        bool any = sql_split_next(&lexer, &statement);
        if (made.skeleton.verb == SQL_VERB_EMPTY && !any) {
            return;
        }
        if (made.skeleton.opaque != SKELETON_CLEAR) {
            return;
        }
        if (!any || statement.start != at + made.skeleton.start ||
            statement.end != at + made.skeleton.end) {
            differ(text, "statement %u..%u, skeleton %zu..%zu", statement.start, statement.end,
                   at + made.skeleton.start, at + made.skeleton.end);
            return;
        }
    }
    if (sql_split_next(&lexer, &statement)) {
        differ(text, "a statement at %u without a skeleton", statement.start);
    }
}

static void compare_split(const char *text, size_t len)
{
    PgQuerySplitResult theirs = pg_query_split_with_parser(text);
    struct sql_lexer lexer;
    struct sql_statement statement;
    int count = 0;
    sql_lexer_init(&lexer, text, len, 0);
    if (theirs.error == NULL && !has_comment_in_string(text, len)) {
        counts[COUNT_SPLITS]++;
        while (sql_split_next(&lexer, &statement)) {
            const PgQuerySplitStmt *stmt = count < theirs.n_stmts ? theirs.stmts[count] : NULL;
            int end = stmt != NULL ? stmt->stmt_location + stmt->stmt_len : 0;
            if (statement.broken || stmt == NULL || (int)statement.start < stmt->stmt_location ||
                (int)statement.end > end) {
                differ(text, "statement %d is %u..%u, theirs %d..%d", count, statement.start,
                       statement.end, stmt != NULL ? stmt->stmt_location : -1, end);
                break;
            }
            count++;
        }
        if (count < theirs.n_stmts) {
            differ(text, "%d statements, theirs %d", count, theirs.n_stmts);
        }
    }
    pg_query_free_split_result(theirs);
    check_next(text, len);
}

/* --- scripts ---------------------------------------------------------------------------------- */

static void add_statement(const char *bytes, size_t len)
{
    struct text *more = reallocarray(statements, statement_count + 1, sizeof(*more));
    char *copy = malloc(len + 1);
    if (more == NULL || copy == NULL) {
        abort();
    }
    memcpy(copy, bytes, len);
    copy[len] = '\0';
    statements = more;
    statements[statement_count++] = (struct text){copy, len};
}

static char *read_file(const char *path, size_t *ret_len)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        perror(path);
        exit(1);
    }
    size_t len = (size_t)ftell(file);
    char *bytes = malloc(len + 1);
    rewind(file);
    if (bytes == NULL || fread(bytes, 1, len, file) != len) {
        perror(path);
        exit(1);
    }
    fclose(file);
    bytes[len] = '\0';
    *ret_len = len;
    return bytes;
}

static bool begins_copy(const char *line, size_t len)
{
    return len > 10 && strncasecmp(line, "copy", 4) == 0 &&
           (memmem(line, len, "from stdin", 10) != NULL ||
            memmem(line, len, "FROM STDIN", 10) != NULL ||
            memmem(line, len, "FROM stdin", 10) != NULL);
}

/* Leaves out psql's commands and COPY's data. */
static size_t strip(char *bytes, size_t len)
{
    size_t out = 0;
    bool copying = false;
    for (size_t at = 0; at < len;) {
        char *newline = memchr(bytes + at, '\n', len - at);
        size_t line_len = newline == NULL ? len - at : (size_t)(newline - bytes) + 1 - at;
        const char *line = bytes + at;
        at += line_len;
        if (copying) {
            copying = strncmp(line, "\\.", 2) != 0;
        } else if (line[0] != '\\') {
            copying = begins_copy(line, line_len);
            memmove(bytes + out, line, line_len);
            out += line_len;
        }
    }
    bytes[out] = '\0';
    return out;
}

/* Behind a literal that does not end, reading goes on with the line after the next semicolon. */
static void read_script(const char *path)
{
    size_t len;
    char *bytes = read_file(path, &len);
    len = strip(bytes, len);
    for (size_t at = 0; at < len;) {
        struct sql_lexer lexer;
        struct sql_statement statement;
        sql_lexer_init(&lexer, bytes + at, len - at, 0);
        while (sql_split_next(&lexer, &statement) && !statement.broken) {
            add_statement(bytes + at + statement.start, statement.end - statement.start);
        }
        if (lexer.at < len - at || !statement.broken) {
            break;
        }
        at += statement.start;
        const char *end = strstr(bytes + at, ";\n");
        size_t next = end == NULL ? len : (size_t)(end - bytes) + 2;
        add_statement(bytes + at, next - at);
        at = next;
    }
    free(bytes);
}

/* --- mutations -------------------------------------------------------------------------------- */

static uint64_t chance_state = 1;

static uint64_t chance(uint64_t below)
{
    chance_state ^= chance_state << 13;
    chance_state ^= chance_state >> 7;
    chance_state ^= chance_state << 17;
    return (chance_state * 0x2545f4914f6cdd1du >> 33) % below;
}

static const char *const pieces[] = {
    "'",
    "\"",
    "''",
    "$$",
    "$a$",
    "$",
    "--",
    "/*",
    "*/",
    "\n",
    " ",
    "\\",
    "E'",
    "b'",
    "x'",
    "n'",
    "u&'",
    "u&",
    "U&\"x",
    "::",
    ":=",
    "..",
    ".",
    "1",
    "e",
    "1e5",
    "+",
    "-",
    "*",
    "/",
    "<",
    ">",
    "=",
    "!",
    "@",
    "?",
    "|",
    "~",
    "#",
    "%",
    "^",
    "&",
    "`",
    "(",
    ")",
    "[",
    "]",
    ",",
    ";",
    "$1",
    "_",
    "\xc3\xa9",
    "\r",
    "\t",
    "\v",
    "case ",
    " end ",
    " in (",
    " values ",
    "1,1,1",
    "(1),(1),(1)",
    " order by ",
    " array[",
    "begin atomic",
    "'x'::regclass",
    " union ",
    " as ",
    "\f",
};

static size_t mutate(const struct text *from, char *out, size_t room)
{
    size_t len = from->len < room - 64 ? from->len : room - 64;
    memcpy(out, from->bytes, len);
    for (uint64_t i = 1 + chance(3); i > 0; i--) {
        size_t at = (size_t)chance(len + 1);
        size_t gone = chance(3) == 0 ? (size_t)chance(6) : 0;
        gone = gone < len - at ? gone : len - at;
        const char *piece = chance(4) == 0 ? "" : pieces[chance(sizeof(pieces) / sizeof(*pieces))];
        size_t more = strlen(piece);
        if (len - gone + more >= room) {
            continue;
        }
        memmove(out + at + more, out + at + gone, len - at - gone);
        memcpy(out + at, piece, more);
        len = len - gone + more;
    }
    out[len] = '\0';
    return len;
}

static void run_mutations(uint64_t mutations)
{
    static char text[6000];
    for (uint64_t i = 0; i < mutations && statement_count > 0; i++) {
        const struct text *from = &statements[chance(statement_count)];
        size_t len = mutate(from, text, sizeof(text));
        compare_tokens(text, len);
        compare_skeleton(text, len);
        if (i % 4 == 0) {
            compare_split(text, len);
        }
    }
}

/* --- all -------------------------------------------------------------------------------------- */

/* Up to five statements after one another, some of them empty. */
static void run_splits(void)
{
    static char text[65536];
    static const char *const between[] = {";", " ; ;", ";\n-- ;\n", ";/* ; */;;"};
    for (size_t i = 0; i < statement_count;) {
        size_t len = 0;
        for (uint64_t few = 1 + chance(5); few > 0 && i < statement_count; few--, i++) {
            const char *end = between[chance(4)];
            if (statements[i].len + 16 < sizeof(text) - len) {
                memcpy(text + len, statements[i].bytes, statements[i].len);
                len += statements[i].len;
                memcpy(text + len, end, strlen(end));
                len += strlen(end);
            }
        }
        text[len] = '\0';
        compare_split(text, len);
    }
}

int main(int argc, char **argv)
{
    uint64_t mutations = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--verbose") == 0) {
            verbose = true;
        } else if (strcmp(argv[i], "--mutations") == 0 && i + 1 < argc) {
            mutations = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            chance_state = strtoull(argv[++i], NULL, 10) * 2 + 1;
        } else {
            read_script(argv[i]);
        }
    }
    counts[COUNT_STATEMENTS] = statement_count;
    for (size_t i = 0; i < statement_count; i++) {
        compare_tokens(statements[i].bytes, statements[i].len);
        compare_skeleton(statements[i].bytes, statements[i].len);
    }
    run_splits();
    run_mutations(mutations);
    for (enum count i = 0; i < COUNTS; i++) {
        printf("%s %lu\n", count_name[i], (unsigned long)counts[i]);
    }
    for (size_t i = 0; i < statement_count; i++) {
        free(statements[i].bytes);
    }
    free(statements);
    pg_query_exit();
    return counts[COUNT_DIFFERENT] > 0 || statement_count == 0;
}
