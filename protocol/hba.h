/* pg_hba.conf: who may connect from where, and how they must prove who they are.
 *
 * PostgreSQL's documentation, chapter "The pg_hba.conf File": the first line that matches decides;
 * no line is a refusal. What Howdah cannot honour (host names, samehost, samenet, group members,
 * included files, ident maps, methods beyond those of enum auth_method) is an error at its line,
 * never a line that is skipped: skipping one would let a later, wider line match. Regular
 * expressions (`/...`) are POSIX extended ones. Immutable after parsing; matching takes no lock.
 */
#ifndef PROTOCOL_HBA_H
#define PROTOCOL_HBA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/auth_method.h"

struct hba;

enum hba_clientcert {
    HBA_CLIENTCERT_NONE,
    HBA_CLIENTCERT_VERIFY_CA,   /* a certificate that the CA signed */
    HBA_CLIENTCERT_VERIFY_FULL, /* and its CN is the user's name */
};

/* What a matching line asks for. */
struct hba_result {
    enum auth_method method; /* never AUTH_HBA */
    enum hba_clientcert clientcert;
    uint32_t line; /* of the file, from 1 */
};

/* The connection to be judged. */
struct hba_client {
    bool local; /* came over a Unix socket; the address is unused then */
    bool tls;
    bool ipv6;           /* address has 16 bytes, else 4 */
    uint8_t address[16]; /* network byte order; a mapped ::ffff:a.b.c.d counts as IPv4 */
    const char *database;
    const char *user;
    bool
        physical_replication; /* startup parameter replication=true; =database is an ordinary one */
};

struct hba_error {
    uint32_t line;
    char message[200];
};

/* Parses the whole text and collects at most `errors_max` errors (the count in *ret_error_count).
 * Returns 0, ERR_CONFIG when there is any error, or ERR_NO_MEMORY. */
int hba_parse(const char *text, size_t bytes, struct hba **ret_hba, struct hba_error *errors,
              size_t errors_max, size_t *ret_error_count);

/* NULL is allowed. */
void hba_free(struct hba *hba);

/* How many lines have a rule. */
size_t hba_rule_count(const struct hba *hba);

/* True when some line asks for a client certificate (method cert or clientcert=). */
bool hba_wants_certificates(const struct hba *hba);

/* The first line that matches: true and *ret_result; false when none does, which is a refusal. */
bool hba_match(const struct hba *hba, const struct hba_client *client,
               struct hba_result *ret_result);

#endif
