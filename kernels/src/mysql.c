/* Rows of MySQL's text protocol, each a packet: three bytes of length, one that counts the packets, and the content, in
   which each value is a text behind its length.
   https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_packets.html
   https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query_response_text_resultset_row.html */
#include "kernels.h"

enum { HEAD = 4, IS_NULL = 251, IN_2 = 252, IN_3 = 253, IN_8 = 254, ERROR = 0xFF, END = 0xFE, END_SIZE = 9 };

/* Where the rows begin and end that follow each other from `begin` on, are whole and have less than 64 KiB; what is an
   error or the end is none. Returns their number. */
EXPORT int64_t mysql_split(const uint8_t *buffer, int64_t size, int64_t begin, int64_t used, int64_t *starts,
                           int64_t *ends, int64_t room) {
    int64_t rows = 0, at = begin;
    if (begin < 0 || used > size) return ELSEWHERE;
    while (rows < room && at + HEAD < used) {
        int64_t end = at + HEAD + (buffer[at] | buffer[at + 1] << 8);
        uint8_t first = buffer[at + HEAD];
        if (buffer[at + 2] || end > used) break;
        if (end + HEAD <= used && buffer[end + 3] != (uint8_t)(buffer[at + 3] + 1)) break;
        if (first == ERROR || (first == END && end - at < HEAD + END_SIZE)) break;
        starts[rows] = at + HEAD;
        ends[rows++] = at = end;
    }
    return rows;
}

/* Read a length that needs more than a byte, and move `at` behind it; -1 where it is none, or more than `size`. */
static int64_t longer(const uint8_t *buffer, int64_t size, int64_t end, int64_t mark, int64_t *at) {
    int64_t width = mark == IN_2 ? 2 : mark == IN_3 ? 3 : 8;
    uint64_t length = 0;
    if (mark > IN_8 || *at + width > end) return ELSEWHERE;
    memcpy(&length, buffer + *at, (size_t)width);
    *at += width;
    return length > (uint64_t)size ? ELSEWHERE : (int64_t)length;
}

/* Where the values of each column begin, how long they are, and which are NULL: three arrays with `rows` items for each
   column, one column after the other. */
EXPORT int64_t mysql_cells(const uint8_t *buffer, int64_t size, const int64_t *starts, const int64_t *ends, int64_t rows,
                           int64_t width, int64_t *at, int64_t *length, uint8_t *null) {
    for (int64_t row = 0; row < rows; row++) {
        int64_t place = starts[row], end = ends[row];
        if (place < 0 || end > size) return ELSEWHERE;
        for (int64_t column = 0; column < width; column++) {
            int64_t index = column * rows + row;
            if (place >= end) return ELSEWHERE;
            int64_t bytes = buffer[place++];
            uint8_t is_null = bytes == IS_NULL;
            if (is_null) bytes = 0;
            else if (bytes > IS_NULL && (bytes = longer(buffer, size, end, bytes, &place)) < 0) return ELSEWHERE;
            at[index] = place;
            length[index] = bytes;
            null[index] = is_null;
            place += bytes;
        }
        if (place != end) return ELSEWHERE;
    }
    return 0;
}

/* Eight digits become a number two, four, then all of them at a time; the last one is the highest byte. */
static inline uint64_t eight(uint64_t digits) {
    digits = (digits * 2561) >> 8 & 0x00FF00FF00FF00FF;
    digits = (digits * 6553601) >> 16 & 0x0000FFFF0000FFFF;
    return (digits * 42949672960001) >> 32;
}

/* Tells whether each byte is one of 0 to 9. */
static inline int all_digits(uint64_t bytes) {
    return !(((bytes + 0x7676767676767676) | bytes) & 0x8080808080808080);
}

/* Read up to 19 digits that end at `end`, with at least eight bytes before the first; tells whether they are digits. */
static inline int read_number(const uint8_t *buffer, int64_t end, int64_t count, uint64_t *value) {
    uint64_t weight = 1;
    *value = 0;
    for (; count > 0; count -= 8, end -= 8, weight *= 100000000) {
        uint64_t kept = count < 8 ? ~UINT64_C(0) << (64 - 8 * count) : ~UINT64_C(0);
        uint64_t digits = (little8(buffer + end - 8) ^ 0x3030303030303030) & kept;
        if (!all_digits(digits)) return 0;
        *value += eight(digits) * weight;
    }
    return 1;
}

/* Tells whether a value of at least one byte lies inside of the buffer, and what is before it can be read. */
static inline int readable(int64_t at, int64_t length, int64_t size) {
    return at >= 8 && length > 0 && inside(at, length, size);
}

/* Whole numbers of a `width` in bytes; what is too large for it loses its highest bits. */
EXPORT int64_t mysql_integers(const uint8_t *buffer, int64_t size, const int64_t *at, const int64_t *length,
                              const uint8_t *null, int64_t rows, int64_t width, void *out) {
    for (int64_t row = 0; row < rows; row++) {
        uint64_t value = 0;
        if (!null || !null[row]) {
            if (!readable(at[row], length[row], size)) return ELSEWHERE;
            int64_t minus = buffer[at[row]] == '-', count = length[row] - minus;
            if (count < 1 || count > 19 || !read_number(buffer, at[row] + length[row], count, &value)) return ELSEWHERE;
            if (minus) value = 0 - value;
        }
        switch (width) {
        case 1: ((uint8_t *)out)[row] = (uint8_t)value; break;
        case 2: ((uint16_t *)out)[row] = (uint16_t)value; break;
        case 4: ((uint32_t *)out)[row] = (uint32_t)value; break;
        case 8: ((uint64_t *)out)[row] = value; break;
        default: return ELSEWHERE;
        }
    }
    return 0;
}

/* Decimals of up to 18 digits, with all those of their scale, as whole numbers of two words. */
EXPORT int64_t mysql_decimals(const uint8_t *buffer, int64_t size, const int64_t *at, const int64_t *length,
                              const uint8_t *null, int64_t rows, int64_t scale, int64_t *out) {
    int64_t behind = scale ? scale + 1 : 0;
    if (scale < 0 || scale > 17) return ELSEWHERE;
    for (int64_t row = 0; row < rows; row++) {
        int64_t value = 0;
        if (!null || !null[row]) {
            if (!readable(at[row], length[row], size)) return ELSEWHERE;
            int64_t minus = buffer[at[row]] == '-', end = at[row] + length[row], count = length[row] - minus - behind;
            uint64_t whole, part;
            if (count < 1 || count + scale > 18 || (scale && buffer[end - behind] != '.')) return ELSEWHERE;
            if (!read_number(buffer, end - behind, count, &whole) || !read_number(buffer, end, scale, &part))
                return ELSEWHERE;
            value = (int64_t)whole * POWERS[scale] + (int64_t)part;
            if (minus) value = -value;
        }
        out[2 * row] = value;
        out[2 * row + 1] = value >> 63;
    }
    return 0;
}

enum { FIRST_DAY = -719162, NONE = INT32_MIN };

static const int64_t DAY = 86400000000;

/* The days before each month, and before the next year. */
static const int16_t BEFORE[2][14] = {{0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365},
                                      {0, 0, 31, 60, 91, 121, 152, 182, 213, 244, 274, 305, 335, 366}};

/* The days from 1970 to YYYY-MM-DD, of which ten bytes can be read; NONE where there is no such day, or year 0. */
static inline int32_t read_day(const uint8_t *p) {
    uint64_t digits = little8(p) ^ 0x2D30302D30303030;
    int32_t tens = p[8] - '0', ones = p[9] - '0';
    if (!all_digits(digits) || digits & 0xFF0000FF00000000 || tens < 0 || tens > 9 || ones < 0 || ones > 9) return NONE;
    digits = (digits * 2561) >> 8 & 0x00FF00FF00FF00FF;
    int32_t year = (int32_t)((digits & 0xFF) * 100 + (digits >> 16 & 0xFF)), past = year - 1;
    int32_t month = (int32_t)((digits >> 32 & 0xFF) * 10 + (digits >> 48) / 10), day = 10 * tens + ones;
    if (year < 1 || month < 1 || month > 12) return NONE;
    const int16_t *before = BEFORE[year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)] + month;
    if (day < 1 || day > before[1] - before[0]) return NONE;
    return FIRST_DAY + 365 * past + past / 4 - past / 100 + past / 400 + before[0] + day - 1;
}

/* The microseconds of HH:MM:SS, with a point and up to six digits or without; -1 where that is no time of a day. */
static inline int64_t read_time(const uint8_t *buffer, int64_t at, int64_t length) {
    static const uint64_t COLONS = 0x0000FF0000FF0000;
    uint64_t digits, parts = 0;
    if (length != 8 && (length < 10 || length > 15)) return ELSEWHERE;
    digits = little8(buffer + at) ^ 0x30303A30303A3030;
    if (!all_digits(digits) || digits & COLONS) return ELSEWHERE;
    int64_t hours = (int64_t)((digits & 15) * 10 + (digits >> 8 & 15));
    int64_t minutes = (int64_t)((digits >> 24 & 15) * 10 + (digits >> 32 & 15));
    int64_t seconds = (int64_t)((digits >> 48 & 15) * 10 + (digits >> 56));
    if (hours > 23 || minutes > 59 || seconds > 59) return ELSEWHERE;
    if (length > 8 && (buffer[at + 8] != '.' || !read_number(buffer, at + length, length - 9, &parts))) return ELSEWHERE;
    return ((hours * 60 + minutes) * 60 + seconds) * 1000000 + (int64_t)parts * POWERS[length > 8 ? 15 - length : 0];
}

/* Dates, as days since 1970. */
EXPORT int64_t mysql_dates(const uint8_t *buffer, int64_t size, const int64_t *at, const int64_t *length,
                           const uint8_t *null, int64_t rows, int32_t *out) {
    for (int64_t row = 0; row < rows; row++) {
        out[row] = FIRST_DAY;
        if (null && null[row]) continue;
        if (length[row] != 10 || !inside(at[row], 10, size)) return ELSEWHERE;
        if ((out[row] = read_day(buffer + at[row])) == NONE) return ELSEWHERE;
    }
    return 0;
}

/* Dates with a time, as microseconds since 1970. */
EXPORT int64_t mysql_moments(const uint8_t *buffer, int64_t size, const int64_t *at, const int64_t *length,
                             const uint8_t *null, int64_t rows, int64_t *out) {
    for (int64_t row = 0; row < rows; row++) {
        out[row] = FIRST_DAY * DAY;
        if (null && null[row]) continue;
        if (length[row] < 19 || !inside(at[row], length[row], size) || buffer[at[row] + 10] != ' ') return ELSEWHERE;
        int64_t day = read_day(buffer + at[row]), time = read_time(buffer, at[row] + 11, length[row] - 11);
        if (day == NONE || time < 0) return ELSEWHERE;
        out[row] = day * DAY + time;
    }
    return 0;
}

/* Times of a day, as microseconds. */
EXPORT int64_t mysql_times(const uint8_t *buffer, int64_t size, const int64_t *at, const int64_t *length,
                           const uint8_t *null, int64_t rows, int64_t *out) {
    for (int64_t row = 0; row < rows; row++) {
        out[row] = 0;
        if (null && null[row]) continue;
        if (!readable(at[row], length[row], size)) return ELSEWHERE;
        if ((out[row] = read_time(buffer, at[row], length[row])) < 0) return ELSEWHERE;
    }
    return 0;
}
