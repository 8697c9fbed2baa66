// Attention and its gradients, a block of queries of one head at a time: see attention.py.
//
// A block's scores (rows x keys that some of them see) stay in the cache from the product that makes them to
// the one that uses them, and the keys after a causal block are never touched. All products are calls of the
// given Fortran sgemm, which reads a row-major matrix as its transpose. A key-value head with the queries
// that it serves is the work of one thread, in one order, so the number of threads changes no bit.

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "vectors.h"

typedef void (*Sgemm)(const char *, const char *, const int *, const int *, const int *, const float *,
                      const float *, const int *, const float *, const int *, const float *, float *,
                      const int *);

const int64_t BLOCK = 64;  // queries; as BLOCK_QUERIES of attention.py

struct View {  // (batch, heads, tokens, width) of floats; those of a token lie side by side
    float *start;
    int64_t batch, head, token;

    float *at(int64_t b, int64_t h, int64_t t) const { return start + b * batch + h * head + t * token; }
};

struct Call {
    int64_t batches, heads, kv_heads, queries, keys, width, threads, causal;
    float scale;
    Sgemm sgemm;
    float *room;  // (threads, 2, BLOCK, keys)
    float *lse;   // (batches, heads, queries): log of the sum of exponentials
    View q, k, v, out;
    View grad_out, grad_q, grad_k, grad_v;

    int64_t visible(int64_t query) const { return causal ? keys - queries + query + 1 : keys; }
};

// C (rows x columns) = alpha * A * B + beta * C, all row-major; a 'T' reads that factor turned.
static void product(const Call &c, char turn_a, char turn_b, int64_t rows, int64_t columns, int64_t inner,
                    float alpha, const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *out,
                    int64_t ldo) {
    const int m = columns, n = rows, k = inner, la = ldb, lb = lda, lc = ldo;
    c.sgemm(&turn_b, &turn_a, &m, &n, &k, &alpha, b, &la, a, &lb, &beta, out, &lc);
}

const int LANES = 16;

// Scores to exp(score - highest); what lies between `seen` and `count` becomes 0. Gives the sum and the highest.
static VECTORS void exponentials(float *__restrict scores, int64_t seen, int64_t count, float scale, float *sum,
                                 float *highest) {
    float tops[LANES], sums[LANES] = {0};
    for (int l = 0; l < LANES; ++l) tops[l] = -INFINITY;
    int64_t i = 0;
    for (; i + LANES <= seen; i += LANES)
        for (int l = 0; l < LANES; ++l) tops[l] = scores[i + l] > tops[l] ? scores[i + l] : tops[l];
    for (; i < seen; ++i) tops[0] = scores[i] > tops[0] ? scores[i] : tops[0];
    float top = tops[0];
    for (int l = 1; l < LANES; ++l) top = tops[l] > top ? tops[l] : top;
    for (i = 0; i + LANES <= seen; i += LANES)
        for (int l = 0; l < LANES; ++l) {
            const float e = exp_of_negative((scores[i + l] - top) * scale);
            scores[i + l] = e;
            sums[l] += e;
        }
    for (; i < seen; ++i) sums[0] += scores[i] = exp_of_negative((scores[i] - top) * scale);
    for (; i < count; ++i) scores[i] = 0;
    float total = 0;
    for (int l = 0; l < LANES; ++l) total += sums[l];
    *sum = total;
    *highest = top * scale;
}

static VECTORS void multiply(float *__restrict x, int64_t count, float by) {
    for (int64_t i = 0; i < count; ++i) x[i] *= by;
}

// Scores to probabilities, and the gradient of the probabilities to that of the scores.
static VECTORS void soften_back(float *__restrict scores, float *__restrict grad, int64_t seen, int64_t count,
                                float scale, float lse, float delta) {
    for (int64_t i = 0; i < seen; ++i) {
        const float p = exp_of_negative(scores[i] * scale - lse);
        scores[i] = p;
        grad[i] = p * (grad[i] - delta) * scale;
    }
    for (int64_t i = seen; i < count; ++i) scores[i] = grad[i] = 0;
}

static VECTORS float inner(const float *__restrict a, const float *__restrict b, int64_t count) {
    float sums[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int l = 0; l < LANES; ++l) sums[l] += a[i + l] * b[i + l];
    for (; i < count; ++i) sums[0] += a[i] * b[i];
    float total = 0;
    for (int l = 0; l < LANES; ++l) total += sums[l];
    return total;
}

static void gather(const Call &c, int64_t b, int64_t h, float *room) {
    const int64_t kv = h / (c.heads / c.kv_heads);
    for (int64_t first = 0; first < c.queries; first += BLOCK) {
        const int64_t rows = std::min(BLOCK, c.queries - first), count = c.visible(first + rows - 1);
        product(c, 'N', 'T', rows, count, c.width, 1, c.q.at(b, h, first), c.q.token, c.k.at(b, kv, 0), c.k.token, 0,
                room, count);
        float sums[BLOCK];
        for (int64_t r = 0; r < rows; ++r) {
            float highest;
            exponentials(room + r * count, c.visible(first + r), count, c.scale, &sums[r], &highest);
            c.lse[(b * c.heads + h) * c.queries + first + r] = highest + std::log(sums[r]);
        }
        product(c, 'N', 'N', rows, c.width, count, 1, room, count, c.v.at(b, kv, 0), c.v.token, 0,
                c.out.at(b, h, first), c.out.token);
        for (int64_t r = 0; r < rows; ++r) multiply(c.out.at(b, h, first + r), c.width, 1 / sums[r]);
    }
}

// The last block of a causal head sees all keys: it goes first and sets their gradients, the others add.
static void gather_back(const Call &c, int64_t b, int64_t h, float *room) {
    const int64_t each = c.heads / c.kv_heads, kv = h / each, blocks = (c.queries + BLOCK - 1) / BLOCK;
    float *const scores = room, *const grad = room + BLOCK * c.keys;
    for (int64_t number = blocks; number-- > 0;) {
        const int64_t first = number * BLOCK, rows = std::min(BLOCK, c.queries - first);
        const int64_t count = c.visible(first + rows - 1);
        const float beta = h % each || number + 1 < blocks;
        product(c, 'N', 'T', rows, count, c.width, 1, c.q.at(b, h, first), c.q.token, c.k.at(b, kv, 0), c.k.token, 0,
                scores, count);
        product(c, 'N', 'T', rows, count, c.width, 1, c.grad_out.at(b, h, first), c.grad_out.token, c.v.at(b, kv, 0),
                c.v.token, 0, grad, count);
        for (int64_t r = 0; r < rows; ++r) {
            const float delta = inner(c.grad_out.at(b, h, first + r), c.out.at(b, h, first + r), c.width);
            soften_back(scores + r * count, grad + r * count, c.visible(first + r), count, c.scale,
                        c.lse[(b * c.heads + h) * c.queries + first + r], delta);
        }
        product(c, 'T', 'N', count, c.width, rows, 1, scores, count, c.grad_out.at(b, h, first), c.grad_out.token,
                beta, c.grad_v.at(b, kv, 0), c.grad_v.token);
        product(c, 'T', 'N', count, c.width, rows, 1, grad, count, c.q.at(b, h, first), c.q.token, beta,
                c.grad_k.at(b, kv, 0), c.grad_k.token);
        product(c, 'N', 'N', rows, c.width, count, 1, grad, count, c.k.at(b, kv, 0), c.k.token, 0,
                c.grad_q.at(b, h, first), c.grad_q.token);
    }
}

template <void (*work)(const Call &, int64_t, int64_t, float *)> static void all_heads(const Call &c) {
    const int64_t each = c.heads / c.kv_heads, units = c.batches * c.kv_heads;
#pragma omp parallel for schedule(static) num_threads(c.threads) if (c.threads > 1)
    for (int64_t thread = 0; thread < c.threads; ++thread)
        for (int64_t unit = thread; unit < units; unit += c.threads)
            for (int64_t h = unit % c.kv_heads * each; h < (unit % c.kv_heads + 1) * each; ++h)
                work(c, unit / c.kv_heads, h, c.room + thread * 2 * BLOCK * c.keys);
}

PUBLIC void attention(const Call *call) { all_heads<gather>(*call); }

PUBLIC void attention_back(const Call *call) { all_heads<gather_back>(*call); }
