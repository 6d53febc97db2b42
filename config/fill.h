/* From the tree of a configuration to the structs of pool/options.h, by the table of options. */
#ifndef CONFIG_FILL_H
#define CONFIG_FILL_H

#include "config/errors.h"
#include "config/json.h"
#include "pool/options.h"

/* Fills defaults, then what the tree gives; unknown keys and impossible values become findings and
 * leave the default. `options` is fresh from options_new. Returns 0, or ERR_NO_MEMORY. */
int fill_options(const struct json_node *root, struct options *options,
                 struct config_errors *errors);

/* Checks what concerns several options or other files, and reads auth.hba and auth.users_file into
 * `options`. The tree gives the places of findings. Returns 0, or ERR_NO_MEMORY. */
int check_options(const struct json_node *root, struct options *options,
                  struct config_errors *errors);

#endif
