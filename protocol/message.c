#include "protocol/message.h"

#include "base/limits.h"

const struct message_bounds message_frontend_bounds[256] = {
#define FRONTEND(name, byte, body_min, body_max) [byte] = {body_min, (body_max) + 1},
#define BACKEND(name, byte, body_min, body_max)
#include "protocol/message.def"
#undef FRONTEND
#undef BACKEND
};

const struct message_bounds message_backend_bounds[256] = {
#define FRONTEND(name, byte, body_min, body_max)
#define BACKEND(name, byte, body_min, body_max) [byte] = {body_min, (body_max) + 1},
#include "protocol/message.def"
#undef FRONTEND
#undef BACKEND
};

const char *message_frontend_name(uint8_t type)
{
    switch (type) {
#define FRONTEND(name, byte, body_min, body_max) \
    case byte:                                   \
        return #name;
#define BACKEND(name, byte, body_min, body_max)
#include "protocol/message.def"
#undef FRONTEND
#undef BACKEND
    }
    return "unknown";
}

const char *message_backend_name(uint8_t type)
{
    switch (type) {
#define FRONTEND(name, byte, body_min, body_max)
#define BACKEND(name, byte, body_min, body_max) \
    case byte:                                  \
        return #name;
#include "protocol/message.def"
#undef FRONTEND
#undef BACKEND
    }
    return "unknown";
}
