// Product of two matrices of floats in small integers, for processors with AVX2 and no instruction for it (VNNI).
//
// Codes have 7 bits: -63 to 63 on the left, and moved to 1 to 127 on the right. So one instruction multiplies 32
// pairs of bytes and adds neighbours, and two such sums fit 16 bits: none saturates, and all are exact. Left in
// panels of 4 rows, right of 16 columns. What the number of threads changes is time alone.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "vectors.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define HAS_TILE 1
#endif

const int64_t ROWS = 4, COLUMNS = 16, STEP = 8;  // of a tile, and terms at a time; as in int8.py
const int64_t ROW_RUN = 8, COLUMN_RUN = 4;       // terms of one line that stand side by side
const int64_t BLOCK_BYTES = 192 << 10;           // of the right's codes that stay near while the left's go by
const int64_t BLOCK_ROWS = 32;                   // that a panel of columns meets while it is nearest
const int SHIFT = 64;                            // of the right's codes
const float LARGEST = 63.0f, LEAST = 1e-12f;

struct Factor {  // numbers[line * along + term * apart]: lines are rows of the left, columns of the right
    const float *numbers;
    int64_t lines, along, apart;
    uint8_t *codes;   // (panels, runs of terms, lines of a panel, terms of a run)
    float *scales;    // (lines), whole panels
    int32_t *totals;  // (lines), whole panels: sums of codes; none for the right
};

struct Call {
    int64_t terms, threads;
    Factor left, right;
    const float *bias;  // (lines of the right), or none
    float *out;         // (lines of the left, lines of the right)
    uint8_t *room;      // (threads, room_size)
    int64_t room_size;  // at least a line of whole steps, and a run of whole panels
};

static inline int64_t steps_of(int64_t terms) { return (terms + STEP - 1) / STEP; }

// Rounded to the nearest: beside 1.5 * 2^23 the low bits are the number.
static inline __attribute__((always_inline)) int32_t code(float x, float scale) {
    const float rounded = x / scale + 12582912.0f;
    int32_t bits;
    std::memcpy(&bits, &rounded, 4);
    return bits;
}

static inline __attribute__((always_inline)) float scale_of(float largest) {
    return (largest < LEAST ? LEAST : largest) / LARGEST;
}

// A size as an integer: in the order of sizes, and NaN is larger than all.
static inline __attribute__((always_inline)) int32_t size_bits(float x) {
    int32_t bits;
    std::memcpy(&bits, &x, 4);
    return bits & 0x7fffffff;
}

static VECTORS float largest_of(const float *__restrict x, int64_t count) {
    int32_t tops[16] = {0};
    int64_t i = 0;
    for (; i + 16 <= count; i += 16)
        for (int l = 0; l < 16; ++l) tops[l] = std::max(tops[l], size_bits(x[i + l]));
    for (; i < count; ++i) tops[0] = std::max(tops[0], size_bits(x[i]));
    float largest;
    std::memcpy(&largest, std::max_element(tops, tops + 16), 4);
    return largest;
}

static VECTORS void codes_of(const float *__restrict x, int64_t count, float scale, int shift,
                             uint8_t *__restrict out) {
    for (int64_t i = 0; i < count; ++i) out[i] = uint8_t(code(x[i], scale) + shift);
}

static VECTORS int32_t total_of(const uint8_t *__restrict codes, int64_t count) {
    int32_t total = 0;
    for (int64_t i = 0; i < count; ++i) total += int8_t(codes[i]);
    return total;
}

static VECTORS void raise(const float *__restrict x, int64_t count, float *__restrict tops) {
    for (int64_t i = 0; i < count; ++i) {
        const int32_t bits = std::max(size_bits(tops[i]), size_bits(x[i]));
        std::memcpy(tops + i, &bits, 4);
    }
}

static VECTORS void codes_each(const float *__restrict x, int64_t count, const float *__restrict scales, int shift,
                               uint8_t *__restrict out) {
    for (int64_t i = 0; i < count; ++i) out[i] = uint8_t(code(x[i], scales[i]) + shift);
}

static VECTORS void add_each(const uint8_t *__restrict codes, int64_t count, int32_t *__restrict totals) {
    for (int64_t i = 0; i < count; ++i) totals[i] += int8_t(codes[i]);
}

// One panel whose lines lie along the terms.
template <int64_t WIDTH, int64_t RUN>
static void pack_lines(const Factor &f, int64_t terms, int64_t panel, uint8_t *room) {
    const int64_t whole = steps_of(terms) * STEP, first = panel * WIDTH;
    const int shift = f.totals ? 0 : SHIFT;
    uint8_t *out = f.codes + panel * whole * WIDTH;
    for (int64_t line = 0; line < WIDTH; ++line) {
        std::memset(room + whole - STEP, shift, STEP);
        if (first + line < f.lines) {
            const float *numbers = f.numbers + (first + line) * f.along;
            f.scales[first + line] = scale_of(largest_of(numbers, terms));
            codes_of(numbers, terms, f.scales[first + line], shift, room);
        } else {
            std::memset(room, shift, whole);
            f.scales[first + line] = 0;
        }
        if (f.totals) f.totals[first + line] = total_of(room, whole);
        for (int64_t run = 0; run < whole / RUN; ++run)
            std::memcpy(out + (run * WIDTH + line) * RUN, room + run * RUN, RUN);
    }
}

#ifdef HAS_TILE
// 16 lines of a run of terms, a term `width` after the other, with each line's terms side by side.
template <int64_t RUN>
static inline void side_by_side(const uint8_t *codes, int64_t width, __m128i *out) {
    if constexpr (RUN == 1) {
        *out = _mm_loadu_si128((const __m128i *)codes);
    } else {
        __m128i left[RUN / 2], right[RUN / 2];
        side_by_side<RUN / 2>(codes, width, left);
        side_by_side<RUN / 2>(codes + RUN / 2 * width, width, right);
        for (int64_t i = 0; i < RUN / 2; ++i) {
            const __m128i a = left[i], b = right[i];
            out[2 * i] = RUN == 2 ? _mm_unpacklo_epi8(a, b) : RUN == 4 ? _mm_unpacklo_epi16(a, b) : _mm_unpacklo_epi32(a, b);
            out[2 * i + 1] = RUN == 2 ? _mm_unpackhi_epi8(a, b) : RUN == 4 ? _mm_unpackhi_epi16(a, b) : _mm_unpackhi_epi32(a, b);
        }
    }
}
#endif

// A run of terms of some panels: (RUN, panels, WIDTH) to (panels, WIDTH, RUN), the panels `apart` from each other.
template <int64_t WIDTH, int64_t RUN>
static void turn(const uint8_t *codes, int64_t panels, int64_t apart, uint8_t *out) {
    int64_t panel = 0;
#ifdef HAS_TILE
    for (const int64_t some = 16 / WIDTH; panel + some <= panels; panel += some) {
        __m128i lines[RUN];
        side_by_side<RUN>(codes + panel * WIDTH, panels * WIDTH, lines);
        for (int64_t i = 0; i < some; ++i)
            std::memcpy(out + (panel + i) * apart, lines + i * RUN / some, WIDTH * RUN);
    }
#endif
    for (; panel < panels; ++panel)
        for (int64_t line = 0; line < WIDTH; ++line)
            for (int64_t term = 0; term < RUN; ++term)
                out[panel * apart + line * RUN + term] = codes[(term * panels + panel) * WIDTH + line];
}

// Panels `from` to `until` of a factor whose terms lie apart and its lines side by side; all its rows in order.
template <int64_t WIDTH, int64_t RUN>
static void pack_terms(const Factor &f, int64_t terms, int64_t from, int64_t until, uint8_t *room) {
    const int64_t whole = steps_of(terms) * STEP, first = from * WIDTH, width = (until - from) * WIDTH;
    const int64_t count = std::min(f.lines - first, width);
    const int shift = f.totals ? 0 : SHIFT;
    float *scales = f.scales + first;
    std::memset(scales, 0, 4 * width);
    for (int64_t term = 0; term < terms; ++term) raise(f.numbers + term * f.apart + first, count, scales);
    for (int64_t i = 0; i < count; ++i) scales[i] = scale_of(scales[i]);
    if (f.totals) std::memset(f.totals + first, 0, 4 * width);
    std::memset(room, shift, RUN * width);
    for (int64_t run = 0; run < whole / RUN; ++run) {
        for (int64_t t = 0; t < RUN; ++t) {
            const int64_t term = run * RUN + t;
            uint8_t *codes = room + t * width;
            if (term < terms)
                codes_each(f.numbers + term * f.apart + first, count, scales, shift, codes);
            else
                std::memset(codes, shift, width);
            if (f.totals) add_each(codes, width, f.totals + first);
        }
        turn<WIDTH, RUN>(room, until - from, whole * WIDTH, f.codes + (from * whole + run * RUN) * WIDTH);
    }
}

#ifdef HAS_TILE
// `steps` steps of terms of 4 rows and 16 columns, brought back to floats: (4, 16), rows `apart` from each other.
// The shift of the right's codes is taken off by the sums of the left's.
static __attribute__((target("avx2"))) void tile(const uint8_t *a, const uint8_t *b, int64_t steps,
                                                 const int32_t *totals, const float *row_scales,
                                                 const float *column_scales, float *out, int64_t apart) {
    __m256i sums[ROWS][2];
    for (int64_t r = 0; r < ROWS; ++r) sums[r][0] = sums[r][1] = _mm256_set1_epi32(-SHIFT * totals[r]);
    const __m256i ones = _mm256_set1_epi16(1);
    for (int64_t step = 0; step < steps; ++step) {
        __m256i right[4];
        for (int i = 0; i < 4; ++i) right[i] = _mm256_loadu_si256((const __m256i *)(b + 32 * i));
#pragma GCC unroll 4
        for (int64_t r = 0; r < ROWS; ++r) {
            int32_t terms[2];
            std::memcpy(terms, a + STEP * r, 8);
            const __m256i low = _mm256_set1_epi32(terms[0]), high = _mm256_set1_epi32(terms[1]);
#pragma GCC unroll 2
            for (int half = 0; half < 2; ++half) {
                const __m256i both = _mm256_add_epi16(_mm256_maddubs_epi16(right[half], low),
                                                      _mm256_maddubs_epi16(right[2 + half], high));
                sums[r][half] = _mm256_add_epi32(sums[r][half], _mm256_madd_epi16(both, ones));
            }
        }
        a += STEP * ROWS;
        b += STEP * COLUMNS;
    }
    for (int64_t r = 0; r < ROWS; ++r)
        for (int half = 0; half < 2; ++half) {
            const __m256 of_row = _mm256_mul_ps(_mm256_cvtepi32_ps(sums[r][half]), _mm256_set1_ps(row_scales[r]));
            _mm256_storeu_ps(out + apart * r + 8 * half,
                             _mm256_mul_ps(of_row, _mm256_loadu_ps(column_scales + 8 * half)));
        }
}
#else
static void tile(const uint8_t *, const uint8_t *, int64_t, const int32_t *, const float *, const float *, float *,
                 int64_t) {}
#endif

// Rows `from` to `until` of one panel of columns of the result.
static void multiply_rows(const Call &c, int64_t panel, int64_t from, int64_t until) {
    const int64_t steps = steps_of(c.terms), column = panel * COLUMNS, apart = c.right.lines;
    const int64_t columns = std::min(COLUMNS, apart - column);
    const uint8_t *right = c.right.codes + column * steps * STEP;
    for (int64_t row = from; row < until; row += ROWS) {
        const int64_t rows = std::min(ROWS, until - row);
        const bool is_whole = rows == ROWS && columns == COLUMNS;
        float part[ROWS * COLUMNS], *out = c.out + row * apart + column;
        tile(c.left.codes + row * steps * STEP, right, steps, c.left.totals + row, c.left.scales + row,
             c.right.scales + column, is_whole ? out : part, is_whole ? apart : COLUMNS);
        for (int64_t r = 0; r < rows; ++r) {
            if (!is_whole) std::memcpy(out + r * apart, part + r * COLUMNS, sizeof(float) * columns);
            if (c.bias)
                for (int64_t i = 0; i < columns; ++i) out[r * apart + i] += c.bias[column + i];
        }
    }
}

// A share of the panels of columns.
static void multiply(const Call &c, int64_t share) {
    const int64_t panels = (c.right.lines + COLUMNS - 1) / COLUMNS, until = panels * (share + 1) / c.threads;
    const int64_t near = std::max(int64_t(1), BLOCK_BYTES / (steps_of(c.terms) * STEP * COLUMNS));
    for (int64_t first = panels * share / c.threads; first < until; first += near)
        for (int64_t row = 0; row < c.left.lines; row += BLOCK_ROWS)
            for (int64_t panel = first; panel < std::min(first + near, until); ++panel)
                multiply_rows(c, panel, row, std::min(row + BLOCK_ROWS, c.left.lines));
}

template <int64_t WIDTH, int64_t RUN>
static void pack(const Call &c, const Factor &f, int64_t share) {
    const int64_t panels = (f.lines + WIDTH - 1) / WIDTH;
    const int64_t from = panels * share / c.threads, until = panels * (share + 1) / c.threads;
    uint8_t *room = c.room + share * c.room_size;
    if (f.apart == 1)
        for (int64_t panel = from; panel < until; ++panel) pack_lines<WIDTH, RUN>(f, c.terms, panel, room);
    else if (from < until)
        pack_terms<WIDTH, RUN>(f, c.terms, from, until, room);
}

PUBLIC int32_t int8_here() {
#ifdef HAS_TILE
    return __builtin_cpu_supports("avx2");
#else
    return 0;
#endif
}

PUBLIC void int8_product(const Call *call) {
    const Call &c = *call;
#pragma omp parallel for num_threads(c.threads) schedule(static)
    for (int64_t share = 0; share < c.threads; ++share) {
        pack<ROWS, ROW_RUN>(c, c.left, share);
        pack<COLUMNS, COLUMN_RUN>(c, c.right, share);
    }
#pragma omp parallel for num_threads(c.threads) schedule(static)
    for (int64_t share = 0; share < c.threads; ++share) multiply(c, share);
}
