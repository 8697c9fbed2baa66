// What the kernels share: functions compiled for several widths of vectors, and the exponential.

#pragma once

#include <cstdint>
#include <cstring>

#if defined(__x86_64__) && defined(__GNUC__)
#define VECTORS __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default"), optimize("no-trapping-math")))
#else
#define VECTORS
#endif
#define PUBLIC extern "C" __attribute__((visibility("default")))

// exp(x) for x <= 0, to the last digits of fp32; plain, so that the compiler makes vectors of it.
static inline __attribute__((always_inline)) float exp_of_negative(float x) {
    // 2^n * 2^f by a shift of the exponent and the series of 2^f up to f^6, |f| <= 1/2.
    float y = x * 1.44269504088896341f;
    y = y < -126.0f ? -126.0f : y;
    const float rounded = y + 12582912.0f;  // 1.5 * 2^23: the fraction's bits fall off
    uint32_t bits;
    std::memcpy(&bits, &rounded, 4);
    const float f = y - (rounded - 12582912.0f);
    float p = 1.54035304e-4f;
    p = p * f + 1.33335581e-3f;
    p = p * f + 9.61812911e-3f;
    p = p * f + 5.55041087e-2f;
    p = p * f + 2.40226507e-1f;
    p = p * f + 6.93147181e-1f;
    p = p * f + 1.0f;
    const uint32_t power = (bits - 0x4B400000u + 127u) << 23;
    float scale;
    std::memcpy(&scale, &power, 4);
    return p * scale;
}
