/* Which regular expressions of a pg_hba.conf are taken: those that mean the same in POSIX as they
 * do in PostgreSQL, and that regcomp can compile in little memory. */
#ifndef PROTOCOL_HBA_REGEX_H
#define PROTOCOL_HBA_REGEX_H

/* NULL when the pattern is taken; else why not, to be put behind the pattern. Static storage. */
const char *hba_regex_refusal(const char *pattern);

#endif
