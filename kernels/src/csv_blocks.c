/* CSV text as columns: cells are split, and read in the types of their columns, in one pass. */
#include "kernels.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { LEFT_OUT, TEXT, INTEGER, DECIMAL, DATE };

/* One column of the file: what its cells are, digits before and behind the point of a decimal, and where values go.
   `valid` has one bit for each row, and is all zero before; `nulls` counts those that stay so. */
typedef struct {
    int64_t kind, whole, scale, nulls, room;
    int64_t *values;
    int32_t *offsets;
    uint8_t *data, *valid;
} Column;

#define DIGITS 18
/* So many fit into a word, whatever they are. */

/* Reads 1 to DIGITS digits, the first of them no zero unless it is alone; returns where they end, or null. */
static const uint8_t *digits(const uint8_t *at, const uint8_t *end, int64_t *value) {
    const uint8_t *begin = at;
    int64_t sum = 0;
    while (at < end && at - begin < DIGITS && (uint8_t)(*at - '0') < 10) sum = sum * 10 + (*at++ - '0');
    if (at == begin || (*begin == '0' && at - begin > 1)) return 0;
    *value = sum;
    return at;
}

static int integer(const uint8_t *at, const uint8_t *end, int64_t *value) {
    int negative = *at == '-';
    if (digits(at + negative, end, value) != end || (negative && *value == 0)) return 0;
    if (negative) *value = -*value;
    return 1;
}

/* Reads a decimal that the column holds, and a word: its scaled number. */
static int decimal(const Column *column, const uint8_t *at, const uint8_t *end, int64_t *value) {
    int negative = *at == '-';
    const uint8_t *begin = at + negative, *point = digits(begin, end, value);
    int64_t whole = *value ? point - begin : 0, fraction = 0;
    if (!point || whole > column->whole || whole + column->scale > DIGITS) return 0;
    if (point < end) {
        fraction = end - point - 1;
        if (*point != '.' || fraction < 1 || fraction > column->scale) return 0;
        for (at = point + 1; at < end; at++) {
            if ((uint8_t)(*at - '0') > 9) return 0;
            *value = *value * 10 + (*at - '0');
        }
    }
    if (negative && *value == 0) return 0;
    *value *= POWERS[column->scale - fraction];
    if (negative) *value = -*value;
    return 1;
}

static int two(const uint8_t *at) {
    unsigned tens = at[0] - '0', ones = at[1] - '0';
    return tens > 9 || ones > 9 ? -1 : (int)(tens * 10 + ones);
}

/* Reads YYYY-MM-DD as days since 1970-01-01. */
static int date(const uint8_t *at, const uint8_t *end, int32_t *value) {
    static const int LENGTHS[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (end - at != 10 || at[4] != '-' || at[7] != '-') return 0;
    int century = two(at), year = two(at + 2), month = two(at + 5), day = two(at + 8);
    if (century < 0 || year < 0 || month < 1 || month > 12 || day < 1) return 0;
    year += century * 100;
    int leap = month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (year < 1 || day > LENGTHS[month - 1] + leap) return 0;
    int from_march = year - (month <= 2), era = from_march / 400, of_era = from_march % 400;
    int of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    *value = era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
    return 1;
}

/* Adds a text, of which each quote is written twice if it has `doubled`; `last` is the end of what may be read. */
static int text(Column *column, int64_t row, const uint8_t *at, const uint8_t *end, const uint8_t *last, int doubled) {
    int64_t size = column->offsets[row], length = end - at;
    if (length > column->room - size) return 0;
    if (doubled) {
        while (at < end) {
            column->data[size++] = *at;
            at += *at == '"' ? 2 : 1;
        }
    } else {
        if (length <= 16 && last - at >= 16 && column->room - size >= 16) memcpy(column->data + size, at, 16);
        else memcpy(column->data + size, at, (size_t)length);
        size += length;
    }
    column->offsets[row + 1] = (int32_t)size;
    return 1;
}

/* A cell: its text without quotes around it, and whether it had these, and quotes written twice. */
typedef struct {
    const uint8_t *at, *end;
    int quoted, doubled;
} Cell;

/* Takes one cell, which is NULL if nothing stands between its delimiters. */
static inline int take(Column *column, int64_t row, const Cell *cell, const uint8_t *last) {
    const uint8_t *at = cell->at, *end = cell->end;
    int null = at == end && !cell->quoted, taken = null;
    switch (column->kind) {
    case LEFT_OUT: return 1;
    case TEXT: taken = text(column, row, at, end, last, cell->doubled); break;
    case INTEGER:
        column->values[row] = 0;
        taken = null || (at < end && integer(at, end, column->values + row));
        break;
    case DATE:
        ((int32_t *)column->values)[row] = 0;
        taken = null || date(at, end, (int32_t *)column->values + row);
        break;
    default:
        column->values[2 * row] = 0;
        taken = null || (at < end && decimal(column, at, end, column->values + 2 * row));
        column->values[2 * row + 1] = column->values[2 * row] >> 63;
    }
    if (null) column->nulls++;
    else column->valid[row >> 3] |= (uint8_t)(1 << (row & 7));
    return taken;
}

/* Finds the next delimiter, quote, \n or \r: 64 bytes at a time, of which `found` has one bit each. */
typedef struct {
    const uint8_t *base, *end;
    uint64_t found;
    uint8_t delimiter;
} Marks;

static uint64_t marks(const uint8_t *at, uint8_t delimiter) {
    uint64_t found = 0;
#ifdef __SSE2__
    const __m128i a = _mm_set1_epi8((char)delimiter), b = _mm_set1_epi8('"'), c = _mm_set1_epi8('\n'),
                  d = _mm_set1_epi8('\r');
    for (int part = 0; part < 4; part++) {
        __m128i some = _mm_loadu_si128((const __m128i *)(at + 16 * part));
        __m128i either = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(some, a), _mm_cmpeq_epi8(some, b)),
                                      _mm_or_si128(_mm_cmpeq_epi8(some, c), _mm_cmpeq_epi8(some, d)));
        found |= (uint64_t)(uint16_t)_mm_movemask_epi8(either) << (16 * part);
    }
#else
    for (int byte = 0; byte < 64; byte++)
        found |= (uint64_t)(at[byte] == delimiter || at[byte] == '"' || at[byte] == '\n' || at[byte] == '\r') << byte;
#endif
    return found;
}

static void look(Marks *at) {
    uint8_t tail[64] = {0};
    int64_t left = at->end - at->base;
    if (left < 64) memcpy(tail, at->base, (size_t)left);
    at->found = marks(left < 64 ? tail : at->base, at->delimiter);
    if (left < 64) at->found &= ((uint64_t)1 << left) - 1;
}

/* Returns the place of the next one, or the end. */
static inline const uint8_t *next(Marks *at) {
    while (!at->found) {
        if (at->end - at->base <= 64) return at->end;
        at->base += 64;
        look(at);
    }
    const uint8_t *place = at->base + __builtin_ctzll(at->found);
    at->found &= at->found - 1;
    return place;
}

/* Finds a cell that begins at `begin`; returns the mark behind it, or the end if there is none. */
static inline const uint8_t *split(Marks *at, const uint8_t *begin, Cell *cell) {
    cell->quoted = *begin == '"', cell->doubled = 0, cell->at = begin + cell->quoted;
    const uint8_t *place = next(at);
    if (!cell->quoted) {
        while (place < at->end && *place == '"') place = next(at);
        return cell->end = place;
    }
    for (place = next(at); place < at->end; place = next(at)) {
        if (*place != '"') continue;
        if (place + 1 == at->end || place[1] != '"') break;
        cell->doubled = 1;
        next(at);
    }
    cell->end = place;
    return place < at->end && next(at) == place + 1 ? place + 1 : at->end;
}

/* Splits and reads whole rows of `width` cells each, which end with \n or \r\n. Returns how many there are; leaves it
   to the twin if one has other cells, a cell is not spelled in the most usual way, or a line is empty. */
EXPORT int64_t csv_columns(const uint8_t *buffer, int64_t size, int64_t delimiter, int64_t width, int64_t rows,
                           Column *columns) {
    const uint8_t *begin = buffer, *end = buffer + size;
    Marks at = {buffer, end, 0, (uint8_t)delimiter};
    Cell cell;
    int64_t row = 0;
    look(&at);
    while (begin < end) {
        if (row == rows || *begin == '\n' || *begin == '\r') return ELSEWHERE;
        for (int64_t place = 0; place < width; place++) {
            const uint8_t *behind = begin < end ? split(&at, begin, &cell) : end;
            if (behind == end) return ELSEWHERE;
            if (place + 1 == width && *behind == '\r') behind = next(&at) == behind + 1 ? behind + 1 : end;
            if (behind == end || *behind != (place + 1 < width ? (uint8_t)delimiter : '\n')) return ELSEWHERE;
            if (!take(columns + place, row, &cell, end)) return ELSEWHERE;
            begin = behind + 1;
        }
        row++;
    }
    return row;
}
