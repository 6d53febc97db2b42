/* The table of commands: who may do what, and how statements are read. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "pool/admin_command.h"
#include "pool/admin_lexer.h"
#include "pool/admin_parse.h"

static const struct admin_who who = {"ann", "howdah", "test", 7};

static int parse(const char *text, struct admin_statement *ret_statement)
{
    struct admin_error error;
    return admin_parse(text, strlen(text), &who, ret_statement, &error);
}

/* A good argument for each shape. */
static const char *argument_for(enum admin_shape shape)
{
    switch (shape) {
    case SHAPE_NOTHING:
        return "";
    case SHAPE_DATABASE:
    case SHAPE_MAYBE_DATABASE:
        return " app";
    case SHAPE_CLIENT:
        return " 12";
    case SHAPE_SETTING:
        return " log.level = 'debug'";
    }
    abort();
}

Test(admin_command, matrix_of_roles)
{
    for (size_t i = 0; i < admin_command_count(); i++) {
        const struct admin_command *command = admin_command_at(i);
        bool shows = strncmp(command->words, "SHOW ", 5) == 0;
        cr_expect(!admin_command_allowed(command, ROLE_NOBODY), "%s for nobody", command->words);
        cr_expect(admin_command_allowed(command, ROLE_STATS) == shows, "%s for stats",
                  command->words);
        cr_expect(admin_command_allowed(command, ROLE_ADMIN), "%s for admins", command->words);
    }
}

Test(admin_command, a_row_without_a_role_is_for_nobody)
{
    struct admin_command command = *admin_command_at(0);
    command.role = ROLE_NOBODY;
    cr_expect(!admin_command_allowed(&command, ROLE_NOBODY));
    cr_expect(!admin_command_allowed(&command, ROLE_STATS));
    cr_expect(!admin_command_allowed(&command, ROLE_ADMIN));
}

Test(admin_command, every_command_is_found_by_its_words)
{
    for (size_t i = 0; i < admin_command_count(); i++) {
        const struct admin_command *command = admin_command_at(i);
        struct admin_statement statement;
        char text[256];
        snprintf(text, sizeof(text), "%s%s", command->words, argument_for(command->shape));
        cr_assert(parse(text, &statement) == 0, "%s", text);
        cr_expect(statement.command == command, "%s", text);
        admin_statement_fini(&statement);
        for (char *at = text; *at != '\0'; at++) {
            *at = *at >= 'A' && *at <= 'Z' ? (char)(*at + 32) : *at;
        }
        cr_assert(parse(text, &statement) == 0, "%s", text);
        cr_expect(statement.command == command, "%s", text);
        admin_statement_fini(&statement);
    }
}

Test(admin_command, too_much_or_too_little_is_refused)
{
    for (size_t i = 0; i < admin_command_count(); i++) {
        const struct admin_command *command = admin_command_at(i);
        struct admin_statement statement;
        char text[256];
        if (command->shape != SHAPE_SETTING) { /* whose value is all that follows */
            snprintf(text, sizeof(text), "%s%s more", command->words, argument_for(command->shape));
            cr_expect(parse(text, &statement) == ERR_SYNTAX, "%s", text);
        }
        if (command->shape != SHAPE_NOTHING && command->shape != SHAPE_MAYBE_DATABASE) {
            cr_expect(parse(command->words, &statement) == ERR_SYNTAX, "%s", command->words);
        }
    }
}

Test(admin_command, tags_and_columns)
{
    for (size_t i = 0; i < admin_command_count(); i++) {
        const struct admin_command *command = admin_command_at(i);
        bool shows = strncmp(command->words, "SHOW ", 5) == 0;
        cr_expect((command->shown_count > 0) == shows, "%s", command->words);
        cr_expect(!shows || admin_command_tag_bytes(command) == 4);
        cr_expect(command->visit != NULL && command->help != NULL);
        /* Without a finish nothing would turn the one into the other. */
        cr_expect(command->finish != NULL || command->columns == command->shown, "%s",
                  command->words);
    }
}

/* --- reading ---------------------------------------------------------------------------------- */

static void expect_argument(const char *text, const char *argument, const char *value)
{
    struct admin_statement statement;
    cr_assert(parse(text, &statement) == 0, "%s", text);
    cr_assert(statement.argument != NULL, "%s", text);
    cr_expect_str_eq(statement.argument, argument);
    if (value != NULL) {
        cr_expect_str_eq(statement.value, value);
    }
    admin_statement_fini(&statement);
}

Test(admin_parse, arguments)
{
    expect_argument("PAUSE app", "app", NULL);
    expect_argument("PAUSE \"a \"\"b\"\"\"", "a \"b\"", NULL);
    expect_argument("pause my-app /* c */ -- d", "my-app", NULL);
    expect_argument("KILL_CLIENT 0x10000000100000", "0x10000000100000", NULL);
    expect_argument("SET databases.app.pool.size = 30", "databases.app.pool.size", "30");
    expect_argument("SET databases.\"a.b\".primary TO 'x''y'", "databases.\"a.b\".primary", "x'y");
    expect_argument("SET admin.users = [\"a\", \"b\"]", "admin.users", "[\"a\", \"b\"]");
}

Test(admin_parse, splitting)
{
    const char *text = "SHOW 'a;b' /* ; */ -- ;\n; SHOW c";
    cr_expect(admin_statement_bytes(text, strlen(text)) == strlen("SHOW 'a;b' /* ; */ -- ;\n"));
    cr_expect(admin_statement_bytes("'", 1) == 1);
    cr_expect(admin_statement_bytes("", 0) == 0);
}

static void expect_driver(const char *text, const char *tag, const char *value)
{
    struct admin_statement statement;
    cr_assert(parse(text, &statement) == 0, "%s", text);
    cr_assert(statement.command == NULL, "%s", text);
    cr_expect_str_eq(statement.tag, tag);
    if (value != NULL) {
        cr_assert(statement.table.row_count == 1, "%s", text);
        cr_expect_str_eq(admin_table_text_at(&statement.table, 0, 0), value);
    }
    admin_statement_fini(&statement);
}

Test(admin_parse, what_drivers_ask)
{
    expect_driver("SET extra_float_digits = 3", "SET", NULL);
    expect_driver("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SET", NULL);
    expect_driver("SHOW TRANSACTION ISOLATION LEVEL", "SHOW", "read committed");
    expect_driver("show standard_conforming_strings", "SHOW", "on");
    expect_driver("select current_schema()", "SELECT 1", "public");
    expect_driver("select pg_catalog.current_user", "SELECT 1", "ann");
    expect_driver("SELECT 'x' AS \"y\"", "SELECT 1", "x");
    expect_driver("SELECT t.oid FROM pg_catalog.pg_type t", "SELECT 0", NULL);
    expect_driver("ROLLBACK TO SAVEPOINT a", "ROLLBACK", NULL);
    expect_driver("DEALLOCATE ALL", "DEALLOCATE ALL", NULL);
}

Test(admin_parse, what_nobody_knows)
{
    struct admin_statement statement;
    static const char *const wrong[] = {"FROB",
                                        "SELECT * FROM orders",
                                        "SHOW nothing",
                                        "DROP TABLE a",
                                        "INSERT INTO pg_class VALUES (1)",
                                        "SELECT",
                                        "'",
                                        "SET",
                                        "SET x",
                                        "DISCARD TEMP"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_expect(parse(wrong[i], &statement) == ERR_SYNTAX, "%s", wrong[i]);
    }
}
