/* What a literal's bytes say of its type and of its constancy. */
#ifndef ROUTER_SKELETON_LITERAL_H
#define ROUTER_SKELETON_LITERAL_H

#include <stdbool.h>
#include <stdint.h>

#include "router/skeleton.h"

/* The type that the server gives to an integer of these digits (make_const, parse_node.c). False
 * for 2147483648 and 9223372036854775808, which are of the smaller type if a minus stands before
 * them. */
bool skeleton_literal_integer(const uint8_t *digits, uint32_t len, enum skeleton_kind *ret_kind);

/* Whether a string has a word that is read as a time that moves: now, today, tomorrow, yesterday,
 * anywhere and in any case (DecodeDateTime, datetime.c). */
bool skeleton_literal_has_time(const uint8_t *text, uint32_t len);

#endif
