/* howdah-options: writes what comes from the tables of options and flags (the JSON schema, the
 * reference page, the man pages), or checks that the files of the tree are up to date. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/cli.h"
#include "config/config.h"
#include "config/document.h"
#include "config/file.h"
#include "config/option.h"

static char *generate(void (*write)(FILE *))
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (out == NULL) {
        return NULL;
    }
    write(out);
    return fclose(out) == 0 ? text : NULL;
}

/* --- man pages (groff_man(7)) ---------------------------------------------------------------- */

/* Text of the tables as roff: no byte of it is a request or an escape. */
static void write_roff(const char *text, FILE *out)
{
    bool line_start = true;
    for (; *text != '\0'; text++) {
        if (line_start && (*text == '.' || *text == '\'')) {
            fputs("\\&", out);
        }
        if (*text == '\\') {
            fputs("\\e", out);
        } else if (*text == '-') {
            fputs("\\-", out); /* a minus, as it is typed */
        } else {
            fputc(*text, out);
        }
        line_start = *text == '\n';
    }
}

static void write_title(const char *name, const char *section, const char *what, FILE *out)
{
    fputs(".\\\" Written by howdah-options from the tables of options and flags: edit those.\n",
          out);
    fprintf(out, ".TH %s %s \"\" \"Howdah %s\"\n.SH NAME\n", name, section, HOWDAH_VERSION);
    write_roff(what, out);
    fputc('\n', out);
}

/* A flag's names fill this many columns of the help, behind two of margin (cli_write_help). */
enum { HELP_MARGIN = 2, HELP_NAMES = 26 };

/* One line of the help. What is no flag's is left to the page's own text. */
static void write_flag(const char *line, FILE *out)
{
    const char *doc = line + HELP_MARGIN + HELP_NAMES + 1;
    if (strncmp(line, "  -", 3) != 0 || strlen(line) <= HELP_MARGIN + HELP_NAMES + 1) {
        return;
    }
    char names[HELP_NAMES + 1];
    snprintf(names, sizeof(names), "%s", line + HELP_MARGIN);
    for (size_t end = strlen(names); end > 0 && names[end - 1] == ' '; end--) {
        names[end - 1] = '\0';
    }
    fputs(".TP\n.B ", out);
    write_roff(names, out);
    fputc('\n', out);
    write_roff(doc, out);
    fputc('\n', out);
}

static void write_flags(FILE *out)
{
    char *help = generate(cli_write_help);
    if (help == NULL) {
        return;
    }
    for (char *line = help, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = '\0';
        write_flag(line, out);
    }
    free(help);
}

static const char man_command_head[] =
    ".SH SYNOPSIS\n"
    ".B howdah\n"
    "[\\fB\\-c\\fR \\fIFILE\\fR] [\\fB\\-\\-listen\\fR \\fIADDR\\fR]... "
    "[\\fB\\-\\-database\\fR \\fINAME\\fR=\\fIDSN\\fR]... "
    "[\\fB\\-\\-set\\fR \\fIKEY\\fR=\\fIVALUE\\fR]...\n"
    ".br\n"
    ".B howdah\n"
    "\\fB\\-\\-check\\fR | \\fB\\-\\-print\\-config\\fR [the same]\n"
    ".br\n"
    ".B howdah\n"
    "\\fB\\-\\-explain\\fR \\fIDB\\fR \\fISQL\\fR [the same]\n"
    ".br\n"
    ".B howdah\n"
    "\\fB\\-\\-import\\-pgbouncer\\fR \\fIFILE\\fR | \\fB\\-\\-version\\fR | \\fB\\-\\-help\\fR\n"
    ".SH DESCRIPTION\n"
    "Howdah accepts PostgreSQL clients and lends them server connections of a pool for the length "
    "of a transaction, a session or a statement.\n"
    "It stays in the foreground and logs to the standard error.\n"
    "Without a file and without\n"
    ".B \\-\\-listen\n"
    "it listens on 127.0.0.1:6432.\n"
    "What stands later wins: the file, the environment, the flags in their order.\n"
    ".SH OPTIONS\n";

static const char man_command_tail[] =
    ".SH SIGNALS\n"
    ".TP\n.B SIGHUP\n"
    "Reads the configuration again.\n"
    "All of it is good and comes into force, or nothing changes and the log says why.\n"
    ".TP\n.BR SIGTERM \", \" SIGINT\n"
    "No new clients; each client is sent away after its transaction, and the process ends when the "
    "last one has gone or\n.B shutdown_timeout\nis over.\n"
    "A second one ends the process at once.\n"
    ".SH ENVIRONMENT\n"
    ".TP\n.B HOWDAH_CONFIG\n"
    "The configuration file, when\n.B \\-c\nis not given.\n"
    ".TP\n.B HOWDAH_DATABASE_URL\n"
    "postgres://user:password@host:port/app serves the database app, as\n.B \\-\\-database\ndoes.\n"
    ".TP\n.BR LISTEN_FDS \", \" NOTIFY_SOCKET \", \" WATCHDOG_USEC\n"
    "From systemd: sockets to accept clients on besides the configured ones, and where to report.\n"
    ".PP\n"
    "Variables whose names begin with PG have no effect.\n"
    ".SH EXIT STATUS\n"
    ".TP\n.B 0\n"
    "Ended as asked; with\n.BR \\-\\-check ,\nthe configuration is good.\n"
    ".TP\n.B 1\n"
    "It could not start: an address is taken, or memory or descriptors are out; with\n"
    ".BR \\-\\-explain ,\nthe statement is none.\n"
    ".TP\n.B 2\n"
    "The configuration or the command line has errors, which are printed.\n"
    ".SH FILES\n"
    ".TP\n.I " CONFIG_FILE_DEFAULT "\n"
    "Read when no other file is named, if it exists.\n"
    ".SH EXAMPLES\n"
    ".nf\n"
    "howdah \\-\\-database app=postgres://db1.example:5432/app\n"
    "psql postgres://bob@127.0.0.1:6432/app\n"
    ".fi\n"
    ".SH SEE ALSO\n"
    ".BR howdah.json (5),\n"
    ".BR psql (1)\n";

static void write_man_command(FILE *out)
{
    write_title("HOWDAH", "1", "howdah - a PostgreSQL proxy that pools connections", out);
    fputs(man_command_head, out);
    write_flags(out);
    fputs(man_command_tail, out);
}

static const char man_file_head[] =
    ".SH DESCRIPTION\n"
    "The file is JSON, where // and /* */ comments and trailing commas are also allowed.\n"
    "Unknown keys are errors;\n"
    ".B howdah \\-\\-check\n"
    "tells each with its line and column.\n"
    "Durations are strings with a unit: \"250ms\", \"30s\", \"10m\", \"1h\"; where null is allowed "
    "for one, null and \"0\" mean off.\n"
    "A list of one may be written as a string.\n"
    ".PP\n"
    "Below, dots stand for nested objects, and <name> for a name of your own.\n"
    "The database named * serves every name that has no entry; howdah and pgbouncer are the admin "
    "database and no other may have these names.\n"
    ".SH KEYS\n";

static const char man_file_tail[] =
    ".SH EXAMPLE\n"
    ".nf\n"
    "{\n"
    "  \"listen\": [\"0.0.0.0:6432\"],\n"
    "  \"auth\": { \"users_file\": \"/etc/howdah/userlist.txt\" },\n"
    "  \"databases\": {\n"
    "    \"app\": {\n"
    "      \"primary\": \"postgres://db1.example:5432/app\",\n"
    "      \"pool\": { \"size\": 20, \"wait_timeout\": \"30s\" }\n"
    "    }\n"
    "  }\n"
    "}\n"
    ".fi\n"
    ".SH FILES\n"
    ".I " CONFIG_FILE_DEFAULT "\n"
    ".SH SEE ALSO\n"
    ".BR howdah (1)\n";

static void write_key(const struct option *option, FILE *out)
{
    fputs(".TP\n.B ", out);
    write_roff(option->path, out);
    fputc('\n', out);
    write_roff(option->doc, out);
    fputs("\n.br\nAllowed: ", out);
    char *allowed = NULL;
    size_t bytes = 0;
    FILE *text = open_memstream(&allowed, &bytes);
    if (text != NULL) {
        option_write_allowed(option, text);
        fclose(text);
        write_roff(allowed, out);
    }
    free(allowed);
    if (option->fallback == NULL) {
        fputs(".\nRequired", out);
    } else {
        fputs(".\nDefault: ", out);
        write_roff(option->fallback, out);
    }
    fprintf(out, ".\n%s", (option->flags & OPTION_FIXED) != 0 ? "Needs a restart.\n" : "");
}

static void write_man_file(FILE *out)
{
    write_title("HOWDAH.JSON", "5", "howdah.json - the configuration of howdah(1)", out);
    fputs(man_file_head, out);
    for (size_t i = 0; i < option_count(); i++) {
        write_key(option_at(i), out);
    }
    fputs(man_file_tail, out);
}

/* --- the program ----------------------------------------------------------------------------- */

static const struct document {
    const char *name;
    void (*write)(FILE *);
} documents[] = {
    {"schema", document_write_schema},
    {"reference", document_write_reference},
    {"man-command", write_man_command},
    {"man-file", write_man_file},
};

enum { DOCUMENT_COUNT = sizeof(documents) / sizeof(documents[0]) };

static bool is_current(const char *file, const struct document *document)
{
    char *expected = generate(document->write);
    char *text = NULL;
    size_t bytes;
    const char *reason = "its text differs";
    int error = file_read(file, false, &text, &bytes, &reason);
    bool current = expected != NULL && error == 0 && strcmp(text, expected) == 0;
    if (!current) {
        fprintf(stderr, "%s is not up to date (%s): run howdah-options %s > %s\n", file, reason,
                document->name, file);
    }
    free(expected);
    free(text);
    return current;
}

int main(int argc, char **argv)
{
    bool current = true;
    for (size_t i = 0; argc == 2 && i < DOCUMENT_COUNT; i++) {
        if (strcmp(argv[1], documents[i].name) == 0) {
            documents[i].write(stdout);
            return EXIT_SUCCESS;
        }
    }
    if (argc == 2 + DOCUMENT_COUNT && strcmp(argv[1], "check") == 0) {
        for (size_t i = 0; i < DOCUMENT_COUNT; i++) {
            current = is_current(argv[2 + i], &documents[i]) && current;
        }
        return current ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    fputs("usage: howdah-options schema | reference | man-command | man-file\n"
          "       howdah-options check SCHEMA REFERENCE MAN_COMMAND MAN_FILE\n",
          stderr);
    return 2;
}
