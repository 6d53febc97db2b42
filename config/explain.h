/* howdah --explain: what EXPLAIN (HOWDAH) says, by the configuration alone.
 *
 * No connection is made, so of servers and sessions only what the configuration says is known. */
#ifndef CONFIG_EXPLAIN_H
#define CONFIG_EXPLAIN_H

#include <stdio.h>

#include "config/cli.h"

/* Prints the rows; returns the exit code: 0; 1: the statement is none, or memory is out; 2: the
 * configuration is bad or doesn't have the database. */
int cli_explain(const struct cli *cli, FILE *out, FILE *err);

#endif
