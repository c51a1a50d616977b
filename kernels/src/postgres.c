/* The binary format of PostgreSQL's COPY: https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format", in
   messages of the protocol: a letter, four bytes of length that count themselves, and the content. */
#include "kernels.h"

/* Where the rows begin and end that follow each other from `begin` on, are whole, have `width` values and less than
   16 MiB. Returns their number. */
EXPORT int64_t postgres_split(const uint8_t *buffer, int64_t size, int64_t begin, int64_t used, int64_t width,
                              int64_t *starts, int64_t *ends, int64_t room) {
    int64_t rows = 0, at = begin;
    if (begin < 0 || used > size) return ELSEWHERE;
    while (rows < room && at + 7 <= used) {
        int64_t length = big4(buffer + at + 1);
        if (buffer[at] != 'd' || length >= 1 << 24 || at + 1 + length > used) break;
        if (big2(buffer + at + 5) != width) break;
        if (length < 6 + 4 * width) return ELSEWHERE;
        starts[rows] = at + 5;
        at += 1 + length;
        ends[rows++] = at;
    }
    return rows;
}

/* Where the values of each column begin, how long they are, and which are NULL: three arrays with `rows` items for each
   column, one column after the other. */
EXPORT int64_t postgres_cells(const uint8_t *buffer, int64_t size, const int64_t *starts, const int64_t *ends,
                              int64_t rows, int64_t width, const int64_t *widths, int64_t *at, int64_t *length,
                              uint8_t *null) {
    for (int64_t row = 0; row < rows; row++) {
        int64_t end = ends[row];
        if (starts[row] < 0 || starts[row] > end || end > size) return ELSEWHERE;
        int64_t place = starts[row] + 2;
        for (int64_t column = 0; column < width; column++) {
            if (place + 4 > end) return ELSEWHERE;
            int64_t bytes = (int32_t)big4(buffer + place), index = column * rows + row;
            uint8_t is_null = bytes == -1;
            if (is_null) bytes = 0;
            else if (bytes < 0 || (widths[column] >= 0 && bytes != widths[column])) return ELSEWHERE;
            place += 4;
            at[index] = place;
            length[index] = bytes;
            null[index] = is_null;
            place += bytes;
        }
        if (place != end) return ELSEWHERE;
    }
    return 0;
}

enum { NEGATIVE = 0x4000 };

/* Decimals of a scale, as whole numbers of `words` words each: up to four digits of base 10000, the first of them worth
   10000 to the `weight`; numbers of more are left to others. */
EXPORT int64_t postgres_decimals(const uint8_t *buffer, int64_t size, const int64_t *at, const uint8_t *null,
                                 int64_t rows, int64_t scale, int64_t words, int64_t *out) {
    for (int64_t row = 0; row < rows; row++) {
        int64_t value = 0;
        if (!inside(at[row], null && null[row] ? 0 : 8, size)) return ELSEWHERE;
        if (!null || !null[row]) {
            const uint8_t *p = buffer + at[row];
            int64_t count = (int16_t)big2(p), weight = (int16_t)big2(p + 2), sign = big2(p + 4);
            int64_t exponent = 4 * (weight + 1 - count) + scale;
            if (count < 0 || count > 4 || !inside(at[row] + 8, 2 * count, size)) return ELSEWHERE;
            if (sign != 0 && sign != NEGATIVE) return ELSEWHERE;
            if (count && (exponent + 4 * count > 18 || exponent < -3)) return ELSEWHERE;
            for (int64_t index = 0; index < count; index++) {
                int64_t digit = big2(p + 8 + 2 * index);
                if (digit > 9999) return ELSEWHERE;
                value = value * 10000 + digit;
            }
            if (count) value = exponent >= 0 ? value * POWERS[exponent] : value / POWERS[-exponent];
            if (sign) value = -value;
        }
        out[row * words] = value;
        for (int64_t word = 1; word < words; word++) out[row * words + word] = value >> 63;
    }
    return 0;
}
