// Product of two matrices of floats in 8-bit integers, for processors with AVX2 and no instruction for it.
//
// Codes are kept as 16 bits: one instruction multiplies 16 pairs and adds neighbours, exactly, so the sums are
// those of any other way to add integers, in whatever order. Left in panels of 6 rows, right of 16 columns; in
// a panel two terms of the sum stand side by side. What the number of threads changes is time alone.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "vectors.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define HAS_TILE 1
#endif

const int64_t ROWS = 6, COLUMNS = 16;  // as in int8.py
const float LARGEST = 127.0f, LEAST = 1e-12f;

struct Factor {  // numbers[line * along + term * apart]: lines are rows of the left, columns of the right
    const float *numbers;
    int64_t lines, along, apart;
    int16_t *codes;  // (panels, pairs of terms, lines of a panel, 2)
    float *scales;   // (lines), whole panels
};

struct Call {
    int64_t terms, threads;
    Factor left, right;
    const float *bias;  // (lines of the right), or none
    float *out;         // (lines of the left, lines of the right)
    int16_t *room;      // (threads, room_size)
    int64_t room_size;  // at least two lines of whole pairs, and two terms of whole panels
};

static inline __attribute__((always_inline)) int16_t code(float x, float scale) {
    const float rounded = x / scale + 12582912.0f;  // 1.5 * 2^23: to the nearest, and the low bits are the number
    uint32_t bits;
    std::memcpy(&bits, &rounded, 4);
    return int16_t(bits);
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

static VECTORS void codes_of(const float *__restrict x, int64_t count, float scale, int16_t *__restrict out) {
    for (int64_t i = 0; i < count; ++i) out[i] = code(x[i], scale);
}

static VECTORS void raise(const float *__restrict x, int64_t count, float *__restrict tops) {
    for (int64_t i = 0; i < count; ++i) {
        const int32_t bits = std::max(size_bits(tops[i]), size_bits(x[i]));
        std::memcpy(tops + i, &bits, 4);
    }
}

static VECTORS void codes_each(const float *__restrict x, int64_t count, const float *__restrict scales,
                               int16_t *__restrict out) {
    for (int64_t i = 0; i < count; ++i) out[i] = code(x[i], scales[i]);
}

// One panel whose lines lie along the terms.
template <int64_t WIDTH>
static void pack_lines(const Factor &f, int64_t terms, int64_t panel, int16_t *room) {
    const int64_t pairs = (terms + 1) / 2, first = panel * WIDTH;
    int16_t *out = f.codes + panel * pairs * WIDTH * 2;
    for (int64_t line = 0; line < WIDTH; ++line) {
        room[2 * pairs - 1] = 0;
        if (first + line < f.lines) {
            const float *numbers = f.numbers + (first + line) * f.along;
            f.scales[first + line] = scale_of(largest_of(numbers, terms));
            codes_of(numbers, terms, f.scales[first + line], room);
        } else {
            std::memset(room, 0, 4 * pairs);
            f.scales[first + line] = 0;
        }
        for (int64_t pair = 0; pair < pairs; ++pair)
            std::memcpy(out + (pair * WIDTH + line) * 2, room + 2 * pair, 4);
    }
}

// Panels `from` to `until` of a factor whose terms lie apart and its lines side by side; all its rows in order.
template <int64_t WIDTH>
static void pack_terms(const Factor &f, int64_t terms, int64_t from, int64_t until, int16_t *room) {
    const int64_t pairs = (terms + 1) / 2, first = from * WIDTH, width = (until - from) * WIDTH;
    const int64_t count = std::min(f.lines - first, width);
    float *scales = f.scales + first;
    std::memset(scales, 0, 4 * width);
    for (int64_t term = 0; term < terms; ++term) raise(f.numbers + term * f.apart + first, count, scales);
    for (int64_t i = 0; i < count; ++i) scales[i] = scale_of(scales[i]);
    int16_t *even = room, *odd = room + width;
    std::memset(room, 0, 4 * width);
    for (int64_t pair = 0; pair < pairs; ++pair) {
        const float *numbers = f.numbers + 2 * pair * f.apart + first;
        codes_each(numbers, count, scales, even);
        if (2 * pair + 1 < terms)
            codes_each(numbers + f.apart, count, scales, odd);
        else
            std::memset(odd, 0, 2 * width);
        for (int64_t panel = from; panel < until; ++panel) {
            int16_t *out = f.codes + (panel * pairs + pair) * WIDTH * 2;
            const int16_t *a = even + (panel - from) * WIDTH, *b = odd + (panel - from) * WIDTH;
            for (int64_t line = 0; line < WIDTH; ++line) {
                out[2 * line] = a[line];
                out[2 * line + 1] = b[line];
            }
        }
    }
}

#ifdef HAS_TILE
#define STEP(ROW)                                                                                                \
    {                                                                                                            \
        __m256i pair, product;                                                                                   \
        asm("vpbroadcastd %6, %2\n\tvpmaddwd %4, %2, %3\n\tvpmaddwd %5, %2, %2\n\t"                              \
            "vpaddd %3, %0, %0\n\tvpaddd %2, %1, %1"                                                             \
            : "+x"(low##ROW), "+x"(high##ROW), "=&x"(pair), "=&x"(product)                                       \
            : "x"(b0), "x"(b1), "m"(*(const int32_t(*))(a + 2 * ROW)));                                          \
    }
#define START(ROW) \
    __m256i low##ROW = _mm256_setzero_si256(), high##ROW = _mm256_setzero_si256();
#define KEEP(ROW)                                                         \
    _mm256_storeu_si256((__m256i *)(sums + ROW * COLUMNS), low##ROW);     \
    _mm256_storeu_si256((__m256i *)(sums + ROW * COLUMNS + 8), high##ROW);

// The sums of `pairs` pairs of terms of 6 rows and 16 columns. Written out, as compilers find no way to
// keep 12 sums, 2 columns and 2 temporaries in the 16 registers: half the speed was lost.
static __attribute__((target("avx2"))) void tile(const int16_t *a, const int16_t *b, int64_t pairs, int32_t *sums) {
    START(0) START(1) START(2) START(3) START(4) START(5)
    for (int64_t pair = 0; pair < pairs; ++pair) {
        const __m256i b0 = _mm256_loadu_si256((const __m256i *)b), b1 = _mm256_loadu_si256((const __m256i *)(b + 16));
        STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5)
        a += 2 * ROWS;
        b += 2 * COLUMNS;
    }
    KEEP(0) KEEP(1) KEEP(2) KEEP(3) KEEP(4) KEEP(5)
}
#else
static void tile(const int16_t *, const int16_t *, int64_t, int32_t *) {}
#endif

// One panel of columns of the result.
static VECTORS void multiply(const Call &c, int64_t panel) {
    const int64_t pairs = (c.terms + 1) / 2, column = panel * COLUMNS;
    const int64_t columns = std::min(COLUMNS, c.right.lines - column);
    const int16_t *right = c.right.codes + panel * pairs * COLUMNS * 2;
    const float *scales = c.right.scales + column;
    for (int64_t row = 0; row < c.left.lines; row += ROWS) {
        int32_t sums[ROWS * COLUMNS];
        tile(c.left.codes + row * pairs * 2, right, pairs, sums);
        const int64_t rows = std::min(ROWS, c.left.lines - row);
        for (int64_t r = 0; r < rows; ++r) {
            const float scale = c.left.scales[row + r];
            float numbers[COLUMNS];
            for (int64_t i = 0; i < COLUMNS; ++i) numbers[i] = float(sums[r * COLUMNS + i]) * scale * scales[i];
            if (c.bias)
                for (int64_t i = 0; i < columns; ++i) numbers[i] += c.bias[column + i];
            float *out = c.out + (row + r) * c.right.lines + column;
            if (columns == COLUMNS)
                std::memcpy(out, numbers, sizeof numbers);
            else
                std::memcpy(out, numbers, sizeof(float) * columns);
        }
    }
}

template <int64_t WIDTH>
static void pack(const Call &c, const Factor &f, int64_t share) {
    const int64_t panels = (f.lines + WIDTH - 1) / WIDTH;
    const int64_t from = panels * share / c.threads, until = panels * (share + 1) / c.threads;
    int16_t *room = c.room + share * c.room_size;
    if (f.apart == 1)
        for (int64_t panel = from; panel < until; ++panel) pack_lines<WIDTH>(f, c.terms, panel, room);
    else if (from < until)
        pack_terms<WIDTH>(f, c.terms, from, until, room);
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
        pack<ROWS>(c, c.left, share);
        pack<COLUMNS>(c, c.right, share);
    }
#pragma omp parallel for num_threads(c.threads) schedule(static)
    for (int64_t panel = 0; panel < (c.right.lines + COLUMNS - 1) / COLUMNS; ++panel) multiply(c, panel);
}
