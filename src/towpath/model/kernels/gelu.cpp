// GELU and its gradient in one pass each: see gelu.py.
//
// x Phi(x), Phi(x) = (1 + erf(x / sqrt 2)) / 2. erf by Abramowitz and Stegun 1964, formula 7.1.26 (absolute
// error 1.5e-7), whose exponential is the density that the gradient needs too. The loops are plain, so that
// the compiler makes vectors of them; every number depends on its own input alone.

#include <cstdint>

#include "vectors.h"

static inline __attribute__((always_inline)) float share_below(float x, float density) {
    // Phi(x); density = exp(-x^2 / 2).
    const float z = (x < 0 ? -x : x) * 0.707106781186547524f;
    const float t = 1.0f / (1.0f + 0.3275911f * z);
    float p = 1.061405429f;
    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    const float above = 0.5f * p * t * density;  // of |x|
    return x < 0 ? above : 1.0f - above;
}

PUBLIC VECTORS void gelu(const float *__restrict x, float *__restrict out, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
        const float density = exp_of_negative(-0.5f * x[i] * x[i]);
        out[i] = x[i] * share_below(x[i], density);
    }
}

// out: gelu(x) again; grad: becomes grad * gelu'(x).
PUBLIC VECTORS void gelu_again(const float *__restrict x, float *__restrict out, float *__restrict grad,
                               int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
        const float density = exp_of_negative(-0.5f * x[i] * x[i]);
        const float share = share_below(x[i], density);
        out[i] = x[i] * share;
        grad[i] *= share + x[i] * density * 0.398942280401432678f;
    }
}
