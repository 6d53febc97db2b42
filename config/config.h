/* The configuration's door: from a file, flags and environment to one checked, immutable snapshot.
 *
 * Loading is all or nothing and can be repeated with the same sources (reload): either a new
 * snapshot comes out, or findings and the caller keeps the one it has. What stands later wins: the
 * file, then $HOWDAH_DATABASE_URL, then the flags in their order. Files are read and the
 * environment is looked at; nothing else of the system is touched.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "config/errors.h"
#include "pool/options.h"

#define CONFIG_FILE_DEFAULT "/etc/howdah/howdah.json"

enum config_flag { CONFIG_LISTEN, CONFIG_DATABASE, CONFIG_SET };

/* One flag: ADDR, NAME=DSN or KEY=VALUE. */
struct config_override {
    enum config_flag flag;
    const char *text;
};

/* Where the configuration comes from; the strings are borrowed. */
struct config_sources {
    const char *file;         /* NULL: CONFIG_FILE_DEFAULT if it exists, else none */
    const char *database_url; /* NULL: not given */
    const struct config_override *overrides;
    size_t override_count;
};

/* Reads, checks and fills. Findings are added to `errors` (also notes when it succeeds). Returns 0
 * with a snapshot that has one reference and generation 0, ERR_CONFIG, or ERR_NO_MEMORY. */
int config_load(const struct config_sources *sources, struct options **ret_options,
                struct config_errors *errors);

/* The effective configuration as JSON that Howdah reads, secrets as "********". */
void config_print(const struct options *options, FILE *out);

/* Every option of the snapshot, in the table's order. 0 or ERR_NO_MEMORY. */
int config_rows(const struct options *options, struct config_row **ret_rows, size_t *ret_count);
void config_rows_free(struct config_row *rows, size_t count);

/* Whether a reload from one snapshot to the other asks for what only a restart can change: the
 * path of the first such option, static, or NULL. */
const char *config_fixed_change(const struct options *before, const struct options *after);

#endif
