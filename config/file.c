#include "config/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

/* O_NONBLOCK: a FIFO in place of a file is refused, not waited for. */
static int open_regular(const char *path, struct stat *ret_status, const char **ret_reason)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, ret_status) != 0) {
        *ret_reason = strerrordesc_np(errno);
    } else if (!S_ISREG(ret_status->st_mode)) {
        *ret_reason = "not a regular file";
    } else {
        return fd;
    }
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

bool file_readable(const char *path, const char **ret_reason)
{
    struct stat status;
    int fd = open_regular(path, &status, ret_reason);
    if (fd < 0) {
        return false;
    }
    close(fd);
    return true;
}

/* Reads `room` bytes, or fewer when the file has shrunk meanwhile. */
static int read_all(int fd, size_t room, char **ret_text, size_t *ret_bytes,
                    const char **ret_reason)
{
    char *text = malloc(room + 1);
    if (text == NULL) {
        return ERR_NO_MEMORY;
    }
    size_t bytes = 0;
    while (bytes < room) {
        ssize_t got = read(fd, text + bytes, room - bytes);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            *ret_reason = strerrordesc_np(errno);
            explicit_bzero(text, bytes);
            free(text);
            return ERR_IO;
        }
        if (got == 0) {
            break;
        }
        bytes += (size_t)got;
    }
    text[bytes] = '\0';
    *ret_text = text;
    *ret_bytes = bytes;
    return 0;
}

int file_read(const char *path, bool secret, char **ret_text, size_t *ret_bytes,
              const char **ret_reason)
{
    struct stat status;
    int fd = open_regular(path, &status, ret_reason);
    if (fd < 0) {
        return ERR_IO;
    }
    int error = ERR_IO;
    if (secret && (status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        *ret_reason = "group or others may use it; chmod it to 0600";
    } else if (status.st_size > FILE_BYTES_MAX) {
        *ret_reason = "too large";
    } else {
        error = read_all(fd, (size_t)status.st_size, ret_text, ret_bytes, ret_reason);
    }
    close(fd);
    return error;
}
