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

/* Numbers of a scale as the type numeric is sent: how many groups of four digits, the weight of the first, the sign, the
   scale, and the groups, of which one ends at the decimal point. */
EXPORT int64_t postgres_numeric(const int64_t *unscaled, int64_t rows, int64_t scale, int64_t groups, uint16_t *out) {
    int64_t last = scale % 4, fraction = (scale + 3) / 4, width = 4 + groups;
    if (scale < 0 || scale > 76 || groups < 0 || groups > 8) return ELSEWHERE;
    uint64_t below = (uint64_t)POWERS[last], above = (uint64_t)POWERS[4 - last];
    for (int64_t row = 0; row < rows; row++, out += width) {
        int64_t number = unscaled[row], group = groups;
        if (number == INT64_MIN) return ELSEWHERE;
        uint64_t left = (uint64_t)(number < 0 ? -number : number);
        out[0] = __builtin_bswap16((uint16_t)groups);
        out[1] = __builtin_bswap16((uint16_t)(groups - 1 - fraction));
        out[2] = __builtin_bswap16(number < 0 ? NEGATIVE : 0);
        out[3] = __builtin_bswap16((uint16_t)scale);
        if (last && group--) {
            out[4 + group] = __builtin_bswap16((uint16_t)(left % below * above));
            left /= below;
        }
        for (; group--; left /= 10000) out[4 + group] = __builtin_bswap16((uint16_t)(left % 10000));
        if (left) return ELSEWHERE;
    }
    return 0;
}

enum { RAW, SWAPPED, VARYING };
enum { CHUNK = 16 };

/* A part of each row. RAW: `width` bytes that stand at each `stride`th place of `values`. SWAPPED: the lower `width`
   bytes of a number of `stride` bytes there, in network order. VARYING: the bytes of `values` between the offsets
   `stride` times the row, and the next one. Both buffers have a size in bytes. */
typedef struct {
    int64_t kind, width, stride;
    const uint8_t *values;
    int64_t values_size;
    const uint8_t *offsets;
    int64_t offsets_size;
} Part;

/* Where the next part of a row goes, and where the row ends. */
typedef struct {
    uint8_t *place, *end;
} Row;

static int holds(const Part *part, int64_t rows) {
    int64_t most = INT64_C(1) << 40, stride = part->stride, width = part->width;
    if (stride < 0 || stride > most || width < 0 || width > most) return 0;
    if (part->kind == VARYING) return ((rows - 1) * stride + 2) * 8 <= part->offsets_size;
    if (part->kind == RAW) return (rows - 1) * stride + width <= part->values_size;
    int is_number = stride == 2 || stride == 4 || stride == 8;
    return is_number && (width == 2 || width == 4 || width == 8) && width <= stride && rows * stride <= part->values_size;
}

/* Add to the length of each row that of its part. Returns 0 where the part is not inside of its values. */
static int add_lengths(const Part *part, int64_t first, int64_t rows, int64_t *lengths) {
    for (int64_t row = 0; row < rows; row++) {
        const uint8_t *offset = part->offsets + 8 * (first + row) * part->stride;
        int64_t from = (int64_t)little8(offset), to = (int64_t)little8(offset + 8);
        if (from < 0 || to < from || to > part->values_size) return 0;
        lengths[row] += to - from;
    }
    return 1;
}

/* Copy bytes, CHUNK of them at once as long as so many can be read, and written. */
static inline void put_bytes(uint8_t *out, const uint8_t *from, int64_t bytes, int64_t readable, int64_t writable) {
    int64_t at = 0, free = readable < writable ? readable : writable;
    for (; at < bytes && at + CHUNK <= free; at += CHUNK) memcpy(out + at, from + at, CHUNK);
    if (at < bytes) memcpy(out + at, from + at, (size_t)(bytes - at));
}

static inline void put_numbers(const uint8_t *from, int64_t rows, int64_t stride, int64_t width, Row *out) {
    for (int64_t row = 0; row < rows; row++, from += stride) {
        uint64_t number = stride == 2 ? __builtin_bswap16(big2(from)) : stride == 4 ? __builtin_bswap32(big4(from)) : little8(from);
        number = __builtin_bswap64(number << (64 - 8 * width));
        memcpy(out[row].place, &number, (size_t)width);
        out[row].place += width;
    }
}

/* Write a part of each row to its place, and move the place behind it. */
static void put_part(const Part *part, int64_t first, int64_t rows, Row *out) {
    int64_t stride = part->stride, width = part->width;
    const uint8_t *from = part->kind == VARYING ? part->offsets + 8 * first * stride : part->values + first * stride;
    if (part->kind == VARYING) {
        for (int64_t row = 0; row < rows; row++, from += 8 * stride) {
            int64_t begin = (int64_t)little8(from), bytes = (int64_t)little8(from + 8) - begin;
            put_bytes(out[row].place, part->values + begin, bytes, part->values_size - begin, out[row].end - out[row].place);
            out[row].place += bytes;
        }
    } else if (part->kind == RAW && width == 4) {
        for (int64_t row = 0; row < rows; row++, from += stride, out++) {
            memcpy(out->place, from, 4);
            out->place += 4;
        }
    } else if (part->kind == RAW) {
        for (int64_t row = 0; row < rows; row++, from += stride, out++) {
            put_bytes(out->place, from, width, part->values_size - (from - part->values), out->end - out->place);
            out->place += width;
        }
    } else if (stride == 8 && width == 4) put_numbers(from, rows, 8, 4, out);
    else if (stride == 8 && width == 8) put_numbers(from, rows, 8, 8, out);
    else if (stride == 4 && width == 4) put_numbers(from, rows, 4, 4, out);
    else put_numbers(from, rows, stride, width, out);
}

enum { BLOCK = 512 };
/* Rows that are written together, a part of all of them after the other: they stay in the cache. */

/* Parts in the order of the rows, and where each row begins and the last ends. Returns how many bytes they are. */
EXPORT int64_t postgres_join(const Part *parts, int64_t width, int64_t rows, uint8_t *out, int64_t room, int64_t *starts) {
    int64_t lengths[BLOCK], fixed = 0, total = 0;
    Row block[BLOCK];
    if (rows < 0) return ELSEWHERE;
    for (int64_t index = 0; rows && index < width; index++) {
        if (!holds(parts + index, rows)) return ELSEWHERE;
        if (parts[index].kind != VARYING) fixed += parts[index].width;
    }
    for (int64_t first = 0; first < rows; first += BLOCK) {
        int64_t count = rows - first < BLOCK ? rows - first : BLOCK;
        for (int64_t row = 0; row < count; row++) lengths[row] = fixed;
        for (int64_t index = 0; index < width; index++)
            if (parts[index].kind == VARYING && !add_lengths(parts + index, first, count, lengths)) return ELSEWHERE;
        for (int64_t row = 0; row < count; row++) {
            if (lengths[row] > room - total) return ELSEWHERE;
            block[row] = (Row){out + total, out + total + lengths[row]};
            starts[first + row] = total;
            total += lengths[row];
        }
        for (int64_t index = 0; index < width; index++) put_part(parts + index, first, count, block);
    }
    starts[rows] = total;
    return total;
}
