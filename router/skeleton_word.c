#include "router/skeleton_word.h"

const struct skeleton_word skeleton_word[SKELETON_WORD_SLOTS] = {
#define SKELETON_WORD(slot, word, roles) [slot] = {word, roles},
#include "router/skeleton_word.def"
#undef SKELETON_WORD
};
