/* Values that begin at any byte of a buffer, as arrays of Arrow. */
#include "kernels.h"

/* Numbers of `width` bytes in network order. */
EXPORT int64_t columns_load(const uint8_t *buffer, int64_t size, const int64_t *at, int64_t rows, int64_t width,
                            void *out) {
    for (int64_t row = 0; row < rows; row++)
        if (!inside(at[row], width, size)) return ELSEWHERE;
    switch (width) {
    case 2: for (int64_t row = 0; row < rows; row++) ((uint16_t *)out)[row] = big2(buffer + at[row]); return 0;
    case 4: for (int64_t row = 0; row < rows; row++) ((uint32_t *)out)[row] = big4(buffer + at[row]); return 0;
    case 8: for (int64_t row = 0; row < rows; row++) ((uint64_t *)out)[row] = big8(buffer + at[row]); return 0;
    default: return ELSEWHERE;
    }
}

/* Texts or bytes that stand one behind the other: where each begins in `data`, and where the last ends, and the bytes.
   `ascii` tells whether none of them has its highest bit. Returns how many bytes there are. */
EXPORT int64_t columns_bytes(const uint8_t *buffer, int64_t size, const int64_t *at, const int64_t *length,
                             int64_t rows, int64_t skip, int32_t *offsets, uint8_t *data, int64_t room, uint8_t *ascii) {
    int64_t total = 0, before = 0;
    uint8_t high = 0;
    for (int64_t row = 0; row < rows; row++) {
        int64_t end = length[row] > skip ? length[row] : skip, bytes = end - skip;
        if (at[row] < before || !inside(at[row], end, size) || total + bytes > room) return ELSEWHERE;
        before = at[row] + end;
        offsets[row] = (int32_t)total;
        memcpy(data + total, buffer + at[row] + skip, (size_t)bytes);
        total += bytes;
    }
    if (total > INT32_MAX) return ELSEWHERE;
    offsets[rows] = (int32_t)total;
    for (int64_t index = 0; index < total; index++) high |= data[index];
    *ascii = high < 0x80;
    return total;
}
