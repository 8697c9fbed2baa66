// Winnowing (Schleimer, Wilkerson and Aiken 2003): of every window of neighbouring k-grams the smallest.
// Little-endian, 64 bits. Which gram is smallest depends on the window's bytes alone.
#pragma once

#include <cstdint>
#include <cstring>

namespace winnowing {

constexpr int64_t kBlock = 1 << 13;
constexpr int64_t kMaxWindow = 1 << 12;

inline uint64_t rotated(uint64_t value, unsigned by) { return value << (by & 63) | value >> ((64 - by) & 63); }

// Calls ``selected(place, hash)`` once for each window of ``window`` grams of ``k`` bytes, first to last, with
// where its smallest gram starts, the last of equal ones, and that gram's rolling hash. ``numbers`` has one for
// each byte. False as soon as ``selected`` is; a text with less than one window has none.
template <class Selected>
bool winnow(const uint8_t* data, int64_t size, int64_t k, int64_t window, const uint64_t* numbers,
            const Selected& selected) {
    static thread_local uint64_t hashes[kBlock + kMaxWindow];
    static thread_local uint32_t orders[kBlock + kMaxWindow];
    const int64_t n = size - k + 1;
    if (n < window) return true;
    uint64_t hash = 0;
    for (int64_t i = 0; i < k; i++) hash = rotated(hash, 1) ^ numbers[data[i]];
    uint64_t leaving[256];
    for (int i = 0; i < 256; i++) leaving[i] = rotated(numbers[i], static_cast<unsigned>(k & 63));
    int64_t carried = 0, smallest = -1;
    for (int64_t done = 0; done < n;) {
        const int64_t count = n - done < kBlock ? n - done : kBlock;
        for (int64_t i = 0; i < count; i++) {
            const uint64_t mixed = hash * 0x9E3779B97F4A7C15ULL;
            hashes[carried + i] = mixed;
            orders[carried + i] = static_cast<uint32_t>((mixed ^ mixed >> 29) * 0xbf58476d1ce4e5b9ULL >> 32);
            if (done + i + 1 < n) hash = rotated(hash, 1) ^ leaving[data[done + i]] ^ numbers[data[done + i + k]];
        }
        const int64_t base = done - carried, total = carried + count;
        for (int64_t i = window - 1; i < total; i++) {
            const int64_t from = i - window + 1;
            if (smallest >= from) {
                if (orders[i] > orders[smallest]) continue;
                smallest = i;
            } else {
                smallest = from;
                for (int64_t j = from + 1; j <= i; j++)
                    if (orders[j] <= orders[smallest]) smallest = j;
            }
            if (!selected(base + smallest, hashes[smallest])) return false;
        }
        const int64_t kept = total < window - 1 ? total : window - 1;
        memmove(hashes, hashes + total - kept, kept * sizeof *hashes);
        memmove(orders, orders + total - kept, kept * sizeof *orders);
        smallest -= total - kept;
        if (smallest < 0) smallest = -1;
        carried = kept;
        done += count;
    }
    return true;
}

}  // namespace winnowing
