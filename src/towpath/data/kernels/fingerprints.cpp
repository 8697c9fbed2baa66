// Fingerprints of texts by winnowing; see fingerprints.py.
// Little-endian, 64 bits. All memory is the caller's; texts may be any bytes.
#include <cstdint>
#include <cstring>

#include "winnowing.h"

namespace {

// All of a gram's bytes, in words of 8 and zeros after the last.
uint64_t fingerprint(const uint8_t* gram, int64_t k) {
    uint64_t hash = static_cast<uint64_t>(k) * 0x9E3779B97F4A7C15ULL;
    for (int64_t i = 0; i < k; i += 8) {
        uint64_t word = 0;
        memcpy(&word, gram + i, k - i < 8 ? k - i : 8);
        hash = (hash ^ word) * 0xff51afd7ed558ccdULL;
        hash ^= hash >> 32;
    }
    hash *= 0xc4ceb9fe1a85ec53ULL;
    return hash ^ hash >> 29;
}

}  // namespace

// Fills ``values`` and, of each, where its first and its last gram starts in ``data``; neighbours with the same
// value are one. Returns how many there are, -1 when there are more than ``capacity``.
extern "C" __attribute__((visibility("default"))) int64_t fingerprints(
    const int64_t* offsets, const uint8_t* data, int64_t n_texts, const uint64_t* numbers, int64_t k, int64_t window,
    int64_t capacity, uint64_t* values, int64_t* firsts, int64_t* lasts) {
    int64_t count = 0;
    for (int64_t i = 0; i < n_texts; i++) {
        const int64_t start = offsets[i], first_of_text = count;
        const bool fits = winnowing::winnow(
            data + start, offsets[i + 1] - start, k, window, numbers, [&](int64_t place, uint64_t) {
                const int64_t here = start + place;
                if (count > first_of_text && lasts[count - 1] == here) return true;
                const uint64_t value = fingerprint(data + here, k);
                if (count > first_of_text && values[count - 1] == value) {
                    lasts[count - 1] = here;
                    return true;
                }
                if (count == capacity) return false;
                values[count] = value;
                firsts[count] = lasts[count] = here;
                count++;
                return true;
            });
        if (!fits) return -1;
    }
    return count;
}
