/* Assertions that stay on in release builds.
 *
 * ASSERT is for what only our own bug can break. What the world can break (a peer's bytes, a
 * failed system call, a full disk) is an error code from base/error.h, never an assertion.
 */
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

#define ASSERT(condition) \
    (__builtin_expect(!!(condition), 1) ? (void)0 : assert_failed(__FILE__, __LINE__, #condition))

#define UNREACHABLE() assert_failed(__FILE__, __LINE__, "unreachable")

/* Prints place and condition to stderr and aborts the process. */
_Noreturn void assert_failed(const char *file, int line, const char *condition);

#endif
