/* Small files, read whole: the configuration, what it names, and what an importer is given. */
#ifndef CONFIG_FILE_H
#define CONFIG_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* A users file of 100,000 names with SCRAM verifiers has some 20 MB. */
#define FILE_BYTES_MAX (64 * 1024 * 1024)

/* Reads `path` into a text that the caller frees, with a NUL behind it that `bytes` does not count.
 * With `secret`, a file that group or others may read or write is refused. Returns 0, ERR_IO with
 * *ret_reason telling why (static storage), or ERR_NO_MEMORY. */
int file_read(const char *path, bool secret, char **ret_text, size_t *ret_bytes,
              const char **ret_reason);

/* Whether it can be opened for reading; else *ret_reason tells why. */
bool file_readable(const char *path, const char **ret_reason);

#endif
