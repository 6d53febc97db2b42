/* A plan in words, for tests: see tests/sql/plan_of.c. */
#ifndef TESTS_SQL_PLAN_TEXT_H
#define TESTS_SQL_PLAN_TEXT_H

#include <stddef.h>

#include "router/plan.h"

void plan_text(const struct plan *plan, char *text, size_t room);

#endif
