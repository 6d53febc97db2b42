/* From a pgbouncer.ini (PgBouncer 1.24) to an equivalent howdah.json.
 *
 * Reads the file with its %include lines, [databases], [users] and [pgbouncer]. Every value of the
 * result has a comment that names its setting; what has no equivalent is one line on `err`, with
 * file and line. Passwords in the ini go to the result as they are. Neither the users file nor the
 * hba file is changed: the result names them.
 */
#ifndef CONFIG_IMPORT_PGBOUNCER_H
#define CONFIG_IMPORT_PGBOUNCER_H

#include <stdio.h>

/* Returns 0, ERR_CONFIG when the file cannot be read or is no such ini (said on `err`, nothing
 * written to `out`), or ERR_NO_MEMORY. */
int import_pgbouncer(const char *file, FILE *out, FILE *err);

#endif
