/*
 * What every file of the stand-in shares: the codes, the handles, and how a call reads the machine.
 *
 * A reading of one number is one line: NUMBER(entry point, its C type, the fact's name). Without that fact the
 * card does not support the reading.
 */
#ifndef MACHINE_H
#define MACHINE_H

enum {
    SUCCESS = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7,
    DRIVER_NOT_LOADED = 9,
    VERSION_MISMATCH = 25,
};
enum { LINE = 512, TEXT = 96, NO_INSTANCE = -1 };

/* A handle is a number in a pointer: card 3 is 4, its MIG instance 7 is 4 + 8 * 256. */
typedef void *handle_t;

/* Between the files alone: none of these names leaves the library. */
#pragma GCC visibility push(hidden)

int card_of(handle_t handle);
int instance_of(handle_t handle);
handle_t handle_of(int card, int instance);

/* The value of the line that begins with `key`; 0 when there is none. `skip` passes over so many of them. */
int find(const char *key, int skip, char *value);

/* What every call goes through: the delay and the failure that the file orders, and the state of the library. */
int enter(const char *entry);

/* One fact of a card or of a MIG instance, which has none of its card's: the driver is asked for those there. */
int fact(const char *entry, handle_t handle, const char *name, unsigned long long *number);

/* A text into a caller's buffer. */
int copy(const char *text, char *buffer, unsigned size);

#pragma GCC visibility pop

#define NUMBER(entry, type, name)                                                                          \
    int entry(handle_t handle, type *value) {                                                              \
        unsigned long long number = 0;                                                                     \
        int code = fact(#entry, handle, name, &number);                                                    \
        if (!code)                                                                                         \
            *value = (type)number;                                                                         \
        return code;                                                                                       \
    }
#define NUMBER_AND_PENDING(entry, type, name)                                                              \
    int entry(handle_t handle, type *value, type *pending) {                                               \
        unsigned long long number = 0;                                                                     \
        int code = fact(#entry, handle, name, &number);                                                    \
        if (!code)                                                                                         \
            *value = *pending = (type)number;                                                              \
        return code;                                                                                       \
    }

#endif
