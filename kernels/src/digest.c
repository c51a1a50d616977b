/* Digests of rows: docs/decisions/0002-digests.md states every constant and operation. All arithmetic is on unsigned
   words of 64 bits, and wraps around. */
#include "kernels.h"

static const uint64_t STEP = 0x9E3779B97F4A7C15, FIELD = 0xD6E8FEB86659FD93, OF_NULL = 0x6A09E667F3BCC908;

enum { BLOCK = 256, MOST_NODES = 64 };
static const int64_t LARGE = (int64_t)1 << 40;

enum kind { BIT, I1, I2, I4, I8, U1, U2, U4, U8, F4, F8, NARROW, WIDE16, WIDE32, TEXT, LIST, STRUCT, KINDS };
/* The bytes of a value; NARROW is one of 16 bytes of which the lower 8 tell all. */
static const int64_t WIDTHS[KINDS] = {[I1] = 1, [I2] = 2, [I4] = 4, [I8] = 8, [U1] = 1, [U2] = 2, [U4] = 4, [U8] = 8,
                                      [F4] = 4, [F8] = 8, [NARROW] = 16, [WIDE16] = 16, [WIDE32] = 32};

struct buffer { const uint8_t *at; int64_t size; };

/* An array of Arrow (https://arrow.apache.org/docs/format/Columnar.html): its rows begin at `offset` of its buffers.
   Those of its items or fields follow it in the list of nodes; `nodes` is how many it has with them. */
struct node { int64_t kind, offset, rows, nodes; struct buffer valid, offsets, values; };
_Static_assert(sizeof(struct node) == 80, "a node is ten words");

static inline uint64_t load8(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return v; }
static inline int bit(const uint8_t *bits, int64_t at) { return bits[at >> 3] >> (at & 7) & 1; }
static inline int is_null(const struct node *n, int64_t row) {
    return n->valid.at && !bit(n->valid.at, n->offset + row);
}
static inline int64_t bound(const struct node *n, int64_t row) {
    int32_t v;
    memcpy(&v, n->offsets.at + 4 * (n->offset + row), 4);
    return v;
}

/* Where the bytes or the items of a row begin and end; tells whether they lie inside of what there is. */
static inline int bounds(const struct node *n, int64_t row, int64_t size, int64_t *begin, int64_t *end) {
    *begin = bound(n, row);
    *end = bound(n, row + 1);
    return *begin >= 0 && *begin <= *end && *end <= size;
}

/* Tells whether the buffers of an array, and of all inside of it, are as large as its rows need. */
static int is_whole(const struct node *n, int64_t count) {
    if (n->kind < 0 || n->kind >= KINDS || n->nodes < 1 || n->nodes > count || n->nodes > MOST_NODES) return 0;
    if (n->offset < 0 || n->rows < 0 || n->offset > LARGE || n->rows > LARGE) return 0;
    int64_t end = n->offset + n->rows, bytes = (end + 7) / 8;
    if (n->valid.at && bytes > n->valid.size) return 0;
    if ((n->kind == TEXT || n->kind == LIST) && (end + 1) * 4 > n->offsets.size) return 0;
    if (n->kind < TEXT && (n->kind == BIT ? bytes : end * WIDTHS[n->kind]) > n->values.size) return 0;
    if (n->kind < LIST || n->kind > STRUCT) return n->nodes == 1;
    int64_t at = 1, fields = 0;
    for (; at < n->nodes; at += n[at].nodes, fields++)
        if (!is_whole(n + at, n->nodes - at) || (n->kind == STRUCT && n[at].rows < n->rows)) return 0;
    return n->kind == LIST ? fields == 1 : fields > 0;
}

static inline uint64_t mix(uint64_t x) {
    x *= 0xBF58476D1CE4E5B9;
    x ^= x >> 32;
    x *= 0x94D049BB133111EB;
    return x ^ x >> 29;
}

/* The bits of floats, the same for all that SQL takes for equal: all NaN, and both zeros. */
static inline uint64_t bits4(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, 4);
    if ((v & 0x7FFFFFFF) > 0x7F800000) return 0x7FC00000;
    return v == 0x80000000 ? 0 : v;
}
static inline uint64_t bits8(const uint8_t *p) {
    uint64_t v = load8(p);
    if ((v & INT64_MAX) > 0x7FF0000000000000) return 0x7FF8000000000000;
    return v == (uint64_t)1 << 63 ? 0 : v;
}

/* The hash of bytes, behind which there are `behind` more that may be read. */
static inline uint64_t hash_bytes(const uint8_t *p, int64_t size, int64_t behind) {
    uint64_t total = 0, place = STEP, last = 0;
    int64_t rest = size & 7;
    for (const uint8_t *end = p + (size - rest); p < end; p += 8, place += STEP) total += mix(load8(p) + place);
    if (rest + behind >= 8) last = load8(p) & (((uint64_t)1 << 8 * rest) - 1);
    else memcpy(&last, p, (size_t)rest);
    return mix(total + mix((last | (uint64_t)rest << 56) + place));
}

#define EACH(type, word)                                                                                              \
    for (int64_t i = 0; i < count; i++) {                                                                             \
        type v;                                                                                                       \
        memcpy(&v, p + i * (int64_t)sizeof v, sizeof v);                                                              \
        out[i] = mix((uint64_t)(word) + STEP);                                                                        \
    }                                                                                                                 \
    return 0;

static int hash_fixed(const struct node *n, int64_t row, int64_t count, uint64_t *out) {
    int64_t at = n->offset + row, width = WIDTHS[n->kind];
    const uint8_t *p = n->values.at + at * width;
    switch (n->kind) {
    case BIT: for (int64_t i = 0; i < count; i++) out[i] = mix((uint64_t)bit(n->values.at, at + i) + STEP); return 0;
    case I1: EACH(int8_t, (int64_t)v)
    case I2: EACH(int16_t, (int64_t)v)
    case I4: EACH(int32_t, (int64_t)v)
    case U1: EACH(uint8_t, v)
    case U2: EACH(uint16_t, v)
    case U4: EACH(uint32_t, v)
    case I8: case U8: EACH(uint64_t, v)
    case F4: for (int64_t i = 0; i < count; i++) out[i] = mix(bits4(p + i * 4) + STEP); return 0;
    case F8: for (int64_t i = 0; i < count; i++) out[i] = mix(bits8(p + i * 8) + STEP); return 0;
    case NARROW: for (int64_t i = 0; i < count; i++) out[i] = mix(load8(p + i * 16) + STEP); return 0;
    default: for (int64_t i = 0; i < count; i++) out[i] = hash_bytes(p + i * width, width, 0); return 0;
    }
}

static int hash_texts(const struct node *n, int64_t row, int64_t count, uint64_t *out) {
    const uint8_t *bytes = n->values.at ? n->values.at : (const uint8_t *)"";  /* where all texts are empty */
    for (int64_t i = 0, begin, end; i < count; i++) {
        if (!bounds(n, row + i, n->values.size, &begin, &end)) return ELSEWHERE;
        out[i] = hash_bytes(bytes + begin, end - begin, n->values.size - end);
    }
    return 0;
}

static int hash_cells(const struct node *n, int64_t row, int64_t count, uint64_t *out);

static int hash_lists(const struct node *n, int64_t row, int64_t count, uint64_t *out) {
    for (int64_t i = 0, begin, end; i < count; i++) {
        if (!bounds(n, row + i, n[1].rows, &begin, &end)) return ELSEWHERE;
        uint64_t total = 0, place = STEP, items[BLOCK];
        for (int64_t some; begin < end; begin += some) {
            some = end - begin < BLOCK ? end - begin : BLOCK;
            if (hash_cells(n + 1, begin, some, items) < 0) return ELSEWHERE;
            for (int64_t j = 0; j < some; j++, place += STEP) total += mix(items[j] + place);
        }
        out[i] = mix(total + place);
    }
    return 0;
}

static int hash_structs(const struct node *n, int64_t row, int64_t count, uint64_t *out) {
    uint64_t field[BLOCK];
    memset(out, 0, sizeof field[0] * (size_t)count);
    for (int64_t at = 1; at < n->nodes; at += n[at].nodes) {
        if (hash_cells(n + at, row, count, field) < 0) return ELSEWHERE;
        for (int64_t i = 0; i < count; i++) out[i] = out[i] * FIELD + field[i];
    }
    for (int64_t i = 0; i < count; i++) out[i] = mix(out[i]);
    return 0;
}

/* The hashes of up to BLOCK cells; returns how many of them are NULL. */
static int hash_cells(const struct node *n, int64_t row, int64_t count, uint64_t *out) {
    int (*of_kind)(const struct node *, int64_t, int64_t, uint64_t *) =
        n->kind == TEXT ? hash_texts : n->kind == LIST ? hash_lists : n->kind == STRUCT ? hash_structs : hash_fixed;
    if (of_kind(n, row, count, out) < 0) return ELSEWHERE;
    int nulls = 0;
    for (int64_t i = 0; n->valid.at && i < count; i++)
        if (is_null(n, row + i)) { out[i] = OF_NULL; nulls++; }
    return nulls;
}

static void add(uint64_t *sums, const uint64_t *hashes, int64_t count, int64_t nulls) {
    for (int64_t i = 0; i < count; i++) {
        sums[0] += hashes[i];
        sums[1] += hashes[i] * hashes[i];
    }
    sums[1] += (uint64_t)nulls;
}

/* Adds all rows of columns, which have as many each, to two sums for each column, and to two over the whole rows. */
EXPORT int64_t digest_rows(const struct node *nodes, int64_t count, int64_t rows, uint64_t *sums) {
    for (int64_t at = 0; at < count; at += nodes[at].nodes)
        if (!is_whole(nodes + at, count - at) || nodes[at].rows != rows) return ELSEWHERE;
    for (int64_t row = 0, some; row < rows; row += some) {
        uint64_t whole[BLOCK] = {0}, cells[BLOCK], *column = sums;
        int64_t nulls = 0;
        some = rows - row < BLOCK ? rows - row : BLOCK;
        for (int64_t at = 0; at < count; at += nodes[at].nodes, column += 2) {
            int found = hash_cells(nodes + at, row, some, cells);
            if (found < 0) return ELSEWHERE;
            add(column, cells, some, found);
            for (int64_t i = 0; i < some; i++) whole[i] = whole[i] * FIELD + cells[i];
            nulls += found;
        }
        for (int64_t i = 0; i < some; i++) whole[i] = mix(whole[i]);
        add(column, whole, some, nulls);
    }
    return 0;
}

#define PACK(size, put)                                                                                               \
    for (int64_t row = 0; row < n->rows; row++, p += WIDTHS[n->kind]) {                                               \
        put;                                                                                                          \
        out += is_null(n, row) ? 0 : size;                                                                            \
    }                                                                                                                 \
    return out - begin;

/* Puts the canonical bytes of the values that are not NULL one behind the other, and returns how many these are: each
   value is put there, and the next one in its place if it is NULL. */
static int64_t pack(const struct node *n, uint8_t *out) {
    const uint8_t *begin = out, *p = n->values.at + n->offset * WIDTHS[n->kind];
    uint64_t bits;
    switch (n->kind) {
    case BIT: PACK(1, *out = (uint8_t)bit(n->values.at, n->offset + row))
    case I1: case U1: PACK(1, *out = *p)
    case I2: case U2: PACK(2, memcpy(out, p, 2))
    case I4: case U4: PACK(4, memcpy(out, p, 4))
    case I8: case U8: case NARROW: PACK(8, memcpy(out, p, 8))
    case F4: PACK(4, bits = bits4(p); memcpy(out, &bits, 4))
    case F8: PACK(8, bits = bits8(p); memcpy(out, &bits, 8))
    case WIDE16: PACK(16, memcpy(out, p, 16))
    default: PACK(32, memcpy(out, p, 32))
    }
}

/* Puts texts that are not NULL one behind the other, and how long each is. Returns how many bytes they have. */
static int64_t pack_texts(const struct node *n, int32_t *lengths, uint8_t *out, int64_t room) {
    int64_t total = 0;
    for (int64_t row = 0, begin, end; row < n->rows; row++) {
        if (!bounds(n, row, n->values.size, &begin, &end) || total + (end - begin) > room) return ELSEWHERE;
        if (is_null(n, row)) continue;
        *lengths++ = (int32_t)(end - begin);
        if (begin < end) memcpy(out + total, n->values.at + begin, (size_t)(end - begin));
        total += end - begin;
    }
    return total;
}

/* What the three hashes of an ordered digest get of a column of texts, or of values of fixed width: the numbers of the
   rows that are NULL, from `first` on; how long the texts are; and the bytes of those values that are not NULL, for
   which there is `room`. For the other two there is room for as many items as there are rows. Returns how many bytes
   of values there are; `*null` is how many rows are NULL. */
EXPORT int64_t digest_parts(const struct node *n, int64_t first, uint64_t *nulls, int32_t *lengths, uint8_t *out,
                            int64_t room, int64_t *null) {
    *null = 0;
    if (!is_whole(n, 1) || n->kind > TEXT || (n->kind < TEXT && n->rows * 32 > room)) return ELSEWHERE;
    for (int64_t row = 0; row < n->rows; row++) {
        nulls[*null] = (uint64_t)first + (uint64_t)row;
        *null += is_null(n, row);
    }
    return n->kind == TEXT ? pack_texts(n, lengths, out, room) : n->rows ? pack(n, out) : 0;
}
