/* Rows of CSV (https://www.rfc-editor.org/rfc/rfc4180) from the buffers of Arrow's arrays
   (https://arrow.apache.org/docs/format/Columnar.html): numbers with all digits of their scale, times as ISO 8601. */
#include "kernels.h"

enum { TEXT, TRUTH, SIGNED, UNSIGNED, DECIMAL, DATE, TIME, MOMENT };
enum { QUOTE_NONE, QUOTE_NEEDY, QUOTE_ALL };

enum { ISO, ISO_UTC, SQL };
/* Times as 01:02:03.5, moments as 2026-01-31T01:02:03.5, with a Z in UTC; in SQL as 2026-01-31 01:02:03.500000. */

/* A column: its kind, the bytes of a value, the digits behind a point, the style of times, which values are quoted;
   `first` is where its first value stands in its buffers, of which each has its size in bytes. */
typedef struct {
    int64_t kind, width, digits, style, quoted, first;
    const uint8_t *valid;
    int64_t valid_size;
    const uint8_t *values;
    int64_t values_size;
    const uint8_t *data;
    int64_t data_size;
} Column;

enum { MARGIN = 64 };
/* More bytes than are written at once for a value that is no text, or for a text besides its own and those doubled. */

static const uint64_t EIGHT = 100000000, ZEROS = 0x3030303030303030;

/* The digits of a number below 10 to the 8, the first of them in the lowest byte: it becomes two numbers of four
   digits, four of two, then eight of one, each time all at once. */
static inline uint64_t eight_digits(uint64_t value) {
    uint64_t fours = value / 10000 | value % 10000 << 32;
    uint64_t high = (fours * 10486) >> 20 & 0x0000007F0000007F, twos = high | (fours - 100 * high) << 16;
    uint64_t tens = (twos * 103) >> 10 & 0x000F000F000F000F;
    return tens | (twos - 10 * tens) << 8;
}

/* What puts characters somewhere returns what is behind them; up to 15 bytes there may be written too. */
static inline uint8_t *put_eight(uint8_t *out, uint64_t digits, int64_t zeros) {
    digits = (digits | ZEROS) >> 8 * zeros;
    memcpy(out, &digits, 8);
    return out + 8 - zeros;
}

static uint8_t *put_number(uint8_t *out, uint64_t value) {
    if (value >= EIGHT) return put_eight(put_number(out, value / EIGHT), eight_digits(value % EIGHT), 0);
    uint64_t digits = eight_digits(value);
    return put_eight(out, digits, __builtin_ctzll(digits | UINT64_C(1) << 56) / 8);
}

/* Write a point and the last `count` digits of a number; nothing if there are none. */
static inline uint8_t *put_part(uint8_t *out, uint64_t value, int64_t count) {
    if (!count) return out;
    *out++ = '.';
    if (count > 16) out = put_eight(out, eight_digits(value / EIGHT / EIGHT % EIGHT), 24 - count);
    if (count > 8) out = put_eight(out, eight_digits(value / EIGHT % EIGHT), count > 16 ? 0 : 16 - count);
    return put_eight(out, eight_digits(value % EIGHT), count > 8 ? 0 : 8 - count);
}

static inline uint8_t *put_decimal(uint8_t *out, int64_t value, int64_t scale) {
    uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value, one = (uint64_t)POWERS[scale];
    if (value < 0) *out++ = '-';
    return scale ? put_part(put_number(out, size / one), size % one, scale) : put_number(out, size);
}

enum { FIRST_DAY = -719162, LAST_DAY = 2932896 };

/* Write three numbers, each of two digits at least, with a mark before the second and the third. */
static inline uint8_t *put_three(uint8_t *out, uint32_t one, uint32_t two, uint32_t three, uint8_t mark, int64_t zeros) {
    uint64_t digits = eight_digits(one * 10000 + two * 100 + three) | ZEROS, first = digits >> 8 * zeros;
    memcpy(out, &first, 8);
    out += 4 - zeros;
    digits = mark | (digits >> 32 & 0xFFFF) << 8 | (uint64_t)mark << 24 | (digits >> 48) << 32;
    memcpy(out, &digits, 8);
    return out + 6;
}

/* Write the date of a day since 1970, of the years 1 to 9999. From C. Neri and L. Schneider, "Euclidean affine functions
   and their application to calendar algorithms", https://doi.org/10.1002/spe.3172: years begin in March. */
static inline uint8_t *put_day(uint8_t *out, int64_t day) {
    uint32_t quarters = 4 * (uint32_t)(day + 719468) + 3, century = quarters / 146097;
    uint64_t of_century = UINT64_C(2939745) * (quarters % 146097 | 3);
    uint32_t of_year = (uint32_t)of_century / 2939745 / 4, months = 2141 * of_year + 197913, next = of_year >= 306;
    uint32_t year = 100 * century + (uint32_t)(of_century >> 32) + next, month = (months >> 16) - (next ? 12 : 0);
    return put_three(out, year, month, (months & 0xFFFF) / 2141 + 1, '-', 0);
}

/* Write a time of a day in parts of a second that have so many digits; ISO 8601 without zeros at the end. */
static inline uint8_t *put_time(uint8_t *out, uint64_t time, int64_t digits, int64_t style) {
    uint64_t one = (uint64_t)POWERS[digits], part = time % one;
    uint32_t seconds = (uint32_t)(time / one);
    out = put_three(out, seconds / 3600, seconds / 60 % 60, seconds % 60, ':', 2);
    if (style == SQL) return put_part(out, part, digits);
    if (!part) return out;
    for (; part % 10 == 0; part /= 10) digits--;
    return put_part(out, part, digits);
}

typedef int8_t Bytes __attribute__((vector_size(16)));

static const Bytes PLACES = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/* Read 16 bytes, of which those that are not there are 0. */
static inline Bytes load_bytes(const uint8_t *text, int64_t length, int64_t readable) {
    Bytes bytes = {0};
    if (readable >= 16) memcpy(&bytes, text, 16);
    else memcpy(&bytes, text, (size_t)(length < 16 ? length : 16));
    return bytes;
}

/* Tells whether one of the first bytes is marked. */
static inline int any(Bytes marked, int64_t length) {
    uint64_t halves[2];
    if (length < 16) marked &= PLACES < (int8_t)length;
    memcpy(halves, &marked, 16);
    return (halves[0] | halves[1]) != 0;
}

/* Write a text in quotes, and each quote within it twice; up to `readable` bytes of it can be read. */
static uint8_t *put_quoted(uint8_t *out, const uint8_t *text, int64_t length, int64_t readable) {
    *out++ = '"';
    for (; length > 0; text += 16, length -= 16, readable -= 16) {
        Bytes bytes = load_bytes(text, length, readable);
        int64_t count = length < 16 ? length : 16;
        memcpy(out, &bytes, 16);
        if (!any(bytes == '"', length)) {
            out += count;
            continue;
        }
        for (int64_t index = 0; index < count; index++) {
            *out++ = text[index];
            if (text[index] == '"') *out++ = '"';
        }
    }
    *out++ = '"';
    return out;
}

/* Write a text of which up to `readable` bytes can be read. It must be quoted if it is empty, begins like a byte order
   mark, or has a delimiter, a quote or a line's end. */
static inline uint8_t *put_text(uint8_t *out, const uint8_t *text, int64_t length, int64_t readable, int64_t quoted,
                                uint8_t delimiter) {
    int special = length >= 3 && text[0] == 0xEF && text[1] == 0xBB && text[2] == 0xBF;
    if (quoted == QUOTE_ALL || !length) return quoted ? put_quoted(out, text, length, readable) : out;
    for (int64_t index = 0; index < length; index += 16) {
        Bytes bytes = load_bytes(text + index, length - index, readable - index);
        memcpy(out + index, &bytes, 16);
        special |= any((bytes == (int8_t)delimiter) | (bytes == '"') | (bytes == '\r') | (bytes == '\n'), length - index);
    }
    return quoted && special ? put_quoted(out, text, length, readable) : out + length;
}

/* Write dates with a time of a day, in parts of a second that have so many digits; NULL outside of the years 1 to 9999. */
static inline uint8_t *put_moment(uint8_t *out, int64_t moment, int64_t digits, int64_t style) {
    int64_t a_day = 86400 * POWERS[digits], day = moment / a_day, time = moment % a_day;
    if (time < 0) day--, time += a_day;
    if (day < FIRST_DAY || day > LAST_DAY) return NULL;
    out = put_day(out, day);
    *out++ = style == SQL ? ' ' : 'T';
    out = put_time(out, (uint64_t)time, digits, style);
    if (style == ISO_UTC) *out++ = 'Z';
    return out;
}

static inline int bit(const uint8_t *bits, int64_t at) { return bits[at >> 3] >> (at & 7) & 1; }

/* The whole number that stands in so many bytes: the lower word of a decimal's two. */
static inline int64_t load(const uint8_t *place, int64_t width, int is_signed) {
    uint16_t two;
    uint32_t four;
    int64_t eight;
    switch (width) {
    case 1: return is_signed ? (int8_t)*place : *place;
    case 2: memcpy(&two, place, 2); return is_signed ? (int16_t)two : two;
    case 4: memcpy(&four, place, 4); return is_signed ? (int32_t)four : (int64_t)four;
    default: memcpy(&eight, place, 8); return eight;
    }
}

static inline int64_t text_place(const Column *column, int64_t at) { return load(column->values + 4 * at, 4, 1); }

/* Write a value other than a text; NULL where it has no spelling here. */
static inline uint8_t *put_value(uint8_t *out, const Column *column, int64_t at) {
    const uint8_t *place = column->values + at * column->width;
    if (column->kind == TRUTH) {
        int64_t size = bit(column->values, at) ? 4 : 5;
        memcpy(out, size == 4 ? "true" : "false", (size_t)size);
        return out + size;
    }
    int64_t value = load(place, column->width, column->kind != UNSIGNED);
    switch (column->kind) {
    case SIGNED: return put_decimal(out, value, 0);
    case UNSIGNED: return put_number(out, (uint64_t)value);
    case DECIMAL: return load(place + 8, 8, 1) == value >> 63 ? put_decimal(out, value, column->digits) : NULL;
    case DATE: return value < FIRST_DAY || value > LAST_DAY ? NULL : put_day(out, value);
    case TIME: return value < 0 || value >= 86400 * POWERS[column->digits] ? NULL
                                                                           : put_time(out, (uint64_t)value, column->digits,
                                                                                    column->style);
    default: return put_moment(out, value, column->digits, column->style);
    }
}

/* A short text, and its bytes. */
typedef struct {
    const uint8_t *text;
    int64_t size;
} Word;

static inline uint8_t *put_word(uint8_t *out, const Word *word) {
    for (int64_t index = 0; index < word->size; index++) *out++ = word->text[index];
    return out;
}

/* Write what is in a place of a column; NULL where that is not plain, or does not fit before `end`. */
static inline uint8_t *put_cell(uint8_t *out, const uint8_t *end, const Column *column, int64_t at, uint8_t delimiter,
                                const Word *null) {
    int64_t room = end - out;
    if (column->valid && !bit(column->valid, at)) return room < null->size ? NULL : put_word(out, null);
    if (column->kind == TEXT) {
        int64_t from = text_place(column, at), to = text_place(column, at + 1);
        if (from < 0 || to < from || to > column->data_size || room < 2 * (to - from) + MARGIN) return NULL;
        return put_text(out, column->data + from, to - from, column->data_size - from, column->quoted, delimiter);
    }
    if (room < MARGIN) return NULL;
    if (!column->quoted) return put_value(out, column, at);
    *out++ = '"';
    if (!(out = put_value(out, column, at))) return NULL;
    *out++ = '"';
    return out;
}

/* Tells whether a column is one that is written here, and its buffers have so many rows. */
static int is_plain(const Column *column, int64_t rows) {
    int64_t most = column->first + rows;
    if (column->first < 0 || most > INT64_C(1) << 40 || (column->valid && most > 8 * column->valid_size)) return 0;
    if (column->kind == TEXT) return 4 * (most + 1) <= column->values_size;
    if (column->kind == TRUTH) return column->quoted != QUOTE_NEEDY && most <= 8 * column->values_size;
    int64_t digits = column->kind == DECIMAL ? 18 : column->kind >= TIME ? 9 : 0;
    int64_t bytes = column->width;
    int fits = column->kind == DECIMAL ? bytes == 16 : bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8;
    return fits && column->kind > TRUTH && column->kind <= MOMENT && column->quoted != QUOTE_NEEDY && column->digits >= 0 &&
           column->digits <= digits && most * column->width <= column->values_size;
}

enum { LONGEST = 34 };

/* How many bytes so many rows have at most: of values that are no texts each LONGEST, and of texts twice as many as they
   have, besides quotes and marks. */
EXPORT int64_t csv_room(const Column *columns, int64_t width, int64_t rows, int64_t end_size) {
    int64_t room = MARGIN + rows * (LONGEST * width + end_size);
    for (const Column *column = columns; column < columns + width; column++) {
        if (!is_plain(column, rows)) return ELSEWHERE;
        if (column->kind != TEXT || !rows) continue;
        int64_t from = text_place(column, column->first), to = text_place(column, column->first + rows);
        if (from < 0 || to < from || to > column->data_size) return ELSEWHERE;
        room += 2 * (to - from);
    }
    return room;
}

/* Rows with their ends, and a word for NULL. Returns how many bytes they are. */
EXPORT int64_t csv_rows(const Column *columns, int64_t width, int64_t rows, int64_t delimiter, const uint8_t *end,
                        int64_t end_size, const uint8_t *null, int64_t null_size, uint8_t *out, int64_t room) {
    uint8_t *place = out, *limit = out + room;
    Word the_end = {end, end_size}, the_null = {null, null_size};
    for (int64_t column = 0; column < width; column++)
        if (!is_plain(columns + column, rows)) return ELSEWHERE;
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t column = 0; column < width; column++) {
            if (limit - place < 1) return ELSEWHERE;
            if (column) *place++ = (uint8_t)delimiter;
            place = put_cell(place, limit, columns + column, columns[column].first + row, (uint8_t)delimiter, &the_null);
            if (!place) return ELSEWHERE;
        }
        if (limit - place < end_size) return ELSEWHERE;
        place = put_word(place, &the_end);
    }
    return place - out;
}

enum { BLANK = 1, FORMULA };

static const uint8_t LEADS[256] = {[' '] = BLANK,   ['\t'] = BLANK,   ['\n'] = BLANK,   ['\f'] = BLANK,   ['\r'] = BLANK,
                                   ['='] = FORMULA, ['+'] = FORMULA, ['-'] = FORMULA, ['@'] = FORMULA};

/* Tells whether a text is a sign, digits, and perhaps a point and digits. */
static int is_number(const uint8_t *text, int64_t size) {
    int64_t points = 0;
    for (int64_t at = 1; at < size; at++) {
        if (text[at] == '.' && at > 1 && at + 1 < size && !points++) continue;
        if (text[at] < '0' || text[at] > '9') return 0;
    }
    return size > 1;
}

/* Which texts a spreadsheet takes for formulas: those that begin with a tab, with a return, or, behind blanks, with one
   of =+-@ and are no number. Characters that begin like a mark or one of full width are left to others. Returns how
   many they are. */
EXPORT int64_t csv_formulas(const Column *column, int64_t rows, int64_t *out) {
    int64_t found = 0;
    const uint8_t *data = column->data;
    if (column->kind != TEXT || !is_plain(column, rows)) return ELSEWHERE;
    for (int64_t row = 0; row < rows; row++) {
        int64_t place = column->first + row, from = text_place(column, place), to = text_place(column, place + 1), at = from;
        if (from < 0 || to < from || to > column->data_size) return ELSEWHERE;
        if (column->valid && !bit(column->valid, place)) continue;
        while (at < to && LEADS[data[at]] == BLANK) at++;
        uint8_t lead = at < to ? data[at] : 0;
        if (lead == 0xEF) return ELSEWHERE;
        int is_formula = LEADS[lead] == FORMULA && !((lead == '+' || lead == '-') && is_number(data + from, to - from));
        if (is_formula || (at > from && (data[from] == '\t' || data[from] == '\r'))) out[found++] = row;
    }
    return found;
}
