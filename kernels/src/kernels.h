/* What every file here shares. All places and sizes are bytes in a buffer of `size` bytes, and are checked against it:
   what they come from was sent by somebody else. A function returns -1 where the input is not the plain case that it
   is for; the caller then asks the Python twin, which decides. Nothing here allocates, and nothing keeps state. */
#ifndef OSIRIS_KERNELS_H
#define OSIRIS_KERNELS_H

#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are read as this machine has them");

#define EXPORT __attribute__((visibility("default")))
#define ELSEWHERE (-1)

static inline uint16_t big2(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return __builtin_bswap16(v); }
static inline uint32_t big4(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return __builtin_bswap32(v); }
static inline uint64_t little8(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return v; }
static inline uint64_t big8(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return __builtin_bswap64(v); }

/* Tells whether `width` bytes at `at` lie inside of a buffer. */
static inline int inside(int64_t at, int64_t width, int64_t size) { return at >= 0 && width >= 0 && at <= size - width; }

static const int64_t POWERS[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000,
    10000000000, 100000000000, 1000000000000, 10000000000000, 100000000000000, 1000000000000000, 10000000000000000,
    100000000000000000, 1000000000000000000};

#endif
