#include "daemon/lookup.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "daemon/pq.h"
#include "protocol/crypto.h"

/* rolcanlogin is not asked of rolpassword's owner by the server before the login: here it is. */
static const char authid_query[] =
    "SELECT rolname, rolpassword, rolvaliduntil FROM pg_catalog.pg_authid "
    "WHERE rolname OPERATOR(pg_catalog.=) $1 AND rolcanlogin";

static void set_detail(struct lookup_result *result, int code, const char *text)
{
    size_t length = strcspn(text, "\n");
    result->code = code;
    snprintf(result->detail, sizeof(result->detail), "%.*s", (int)length, text);
}

static int code_of(const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (state != NULL && strcmp(state, "42501") == 0) {
        return ERR_PRIVILEGE;
    }
    if (state != NULL && strcmp(state, "57014") == 0) {
        return ERR_QUERY_TIMEOUT;
    }
    return ERR_SERVER_LOST;
}

/* The one row, checked. */
static void read_row(const PGresult *rows, const char *user, struct lookup_result *result)
{
    int columns = PQnfields(rows);
    if (columns != 2 && columns != 3) {
        set_detail(result, ERR_BAD_VALUE, "the query must give 2 or 3 columns");
        return;
    }
    if (PQntuples(rows) == 0) {
        return;
    }
    if (PQntuples(rows) > 1) {
        set_detail(result, ERR_BAD_VALUE, "the query gave more than one row");
        return;
    }
    if (PQgetisnull(rows, 0, 0) || strcmp(PQgetvalue(rows, 0, 0), user) != 0) {
        set_detail(result, ERR_BAD_VALUE, "the query gave another user's row");
        return;
    }
    if (columns == 3 && !PQgetisnull(rows, 0, 2)) {
        result->expires = true;
        if (lookup_parse_time(PQgetvalue(rows, 0, 2), &result->valid_until_us) != 0) {
            set_detail(result, ERR_BAD_VALUE, "the query's third column is no time");
            return;
        }
    }
    result->found = true;
    /* An empty password is none: PostgreSQL refuses it too (CVE-2017-7546). */
    if (PQgetisnull(rows, 0, 1) || PQgetlength(rows, 0, 1) == 0) {
        return;
    }
    if (PQgetlength(rows, 0, 1) >= LOOKUP_SECRET_BYTES) {
        result->found = false;
        set_detail(result, ERR_BAD_VALUE, "the secret is too long");
        return;
    }
    result->has_secret = true;
    memcpy(result->secret, PQgetvalue(rows, 0, 1), (size_t)PQgetlength(rows, 0, 1) + 1);
}

/* The result's memory holds a secret; libpq does not wipe it. */
static void wipe_rows(PGresult *rows)
{
    if (rows == NULL || PQresultStatus(rows) != PGRES_TUPLES_OK || PQnfields(rows) < 2) {
        return;
    }
    for (int i = 0; i < PQntuples(rows); i++) {
        crypto_wipe(PQgetvalue(rows, i, 1), (size_t)PQgetlength(rows, i, 1));
    }
}

/* False when the connection is of no more use. */
static bool ask(PGconn *connection, const char *query, const char *user,
                struct lookup_result *result)
{
    PGresult *rows = NULL;
    int code = pq_run(connection, query, user, LOOKUP_QUERY_US, &rows);
    if (code != 0) {
        set_detail(result, code,
                   code == ERR_QUERY_TIMEOUT ? "the query took too long"
                                             : PQerrorMessage(connection));
        return false;
    }
    if (PQresultStatus(rows) == PGRES_TUPLES_OK) {
        read_row(rows, user, result);
    } else {
        set_detail(result, code_of(rows), PQresultErrorMessage(rows));
    }
    wipe_rows(rows);
    PQclear(rows);
    return PQstatus(connection) == CONNECTION_OK;
}

void lookup_run(const struct lookup_source *source, char *const *users, uint32_t user_count,
                struct lookup_result *ret_results)
{
    const char *query = source->query != NULL ? source->query : authid_query;
    struct lookup_result failure = {.code = 0};
    memset(ret_results, 0, user_count * sizeof(*ret_results));
    PGconn *connection = NULL;
    failure.code = pq_open(&source->login, "howdah secrets", &connection, failure.detail);
    for (uint32_t i = 0; i < user_count; i++) {
        if (connection == NULL) {
            ret_results[i] = failure;
        } else if (!ask(connection, query, users[i], &ret_results[i])) {
            failure = (struct lookup_result){.code = ret_results[i].code};
            snprintf(failure.detail, sizeof(failure.detail), "%s", ret_results[i].detail);
            if (failure.code == 0) {
                failure.code = ERR_SERVER_LOST;
            }
            PQfinish(connection);
            connection = NULL;
        }
    }
    PQfinish(connection);
}

/* --- time ------------------------------------------------------------------------------------ */

/* Days since 1970-01-01 of a date in the proleptic Gregorian calendar (years counted
 * astronomically), by counting leap days up to the year's first of March. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    int64_t shifted = month <= 2 ? year - 1 : year;
    int64_t era = (shifted >= 0 ? shifted : shifted - 399) / 400;
    int64_t year_of_era = shifted - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

/* Reads `before` and a number of at most `digits_max` digits at *at, which moves behind it. False
 * when there is none: then *at stays. */
static bool read_number(const char **at, char before, int digits_max, int *ret_number)
{
    const char *next = *at;
    int number = 0, digits = 0;
    if (before != '\0' && *next++ != before) {
        return false;
    }
    for (; digits < digits_max && *next >= '0' && *next <= '9'; digits++) {
        number = number * 10 + (*next++ - '0');
    }
    if (digits == 0) {
        return false;
    }
    *at = next;
    *ret_number = number;
    return true;
}

static bool read_zone(const char *text, int64_t *ret_offset_s)
{
    int hours = 0, minutes = 0, seconds = 0;
    *ret_offset_s = 0;
    if (*text == '\0') {
        return true; /* a timestamp without zone is in the session's, which is UTC */
    }
    char sign = *text;
    if ((sign != '+' && sign != '-') || !read_number(&text, sign, 2, &hours)) {
        return false;
    }
    if (read_number(&text, ':', 2, &minutes)) {
        (void)read_number(&text, ':', 2, &seconds); /* zones of long ago have them */
    }
    *ret_offset_s = (sign == '-' ? -1 : 1) * (hours * 3600 + minutes * 60 + seconds);
    return *text == '\0';
}

int lookup_parse_time(const char *text, int64_t *ret_us)
{
    int year, month, day, hour = 0, minute = 0, second = 0;
    int64_t offset_s;
    if (strcmp(text, "infinity") == 0 || strcmp(text, "-infinity") == 0) {
        *ret_us = text[0] == '-' ? INT64_MIN : INT64_MAX;
        return 0;
    }
    if (!read_number(&text, '\0', 6, &year) || !read_number(&text, '-', 2, &month) ||
        !read_number(&text, '-', 2, &day)) {
        return ERR_BAD_VALUE;
    }
    if (*text == ' ' &&
        (!read_number(&text, ' ', 2, &hour) || !read_number(&text, ':', 2, &minute) ||
         !read_number(&text, ':', 2, &second))) {
        return ERR_BAD_VALUE;
    }
    if (*text == '.') {
        text += 1 + strspn(text + 1, "0123456789"); /* parts of a second don't matter */
    }
    if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 24 || minute > 59 || second > 60 ||
        !read_zone(text, &offset_s)) {
        return ERR_BAD_VALUE;
    }
    int64_t seconds = days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    *ret_us = (seconds - offset_s) * 1000000;
    return 0;
}
