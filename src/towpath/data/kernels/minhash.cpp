// Signatures of texts for near duplicates; minhash.py says what they are and is the same in Python.
#include <cstdint>
#include <vector>

#include "plain_words.h"

namespace {

uint64_t mixed(uint64_t x) {
    x = (x ^ x >> 33) * 0xFF51AFD7ED558CCDull;
    x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53ull;
    return x ^ x >> 33;
}

// Hashes of runs of n words; of a shorter text, of all its words.
void shingles_of(const std::vector<uint64_t>& words, size_t n, std::vector<uint64_t>& shingles) {
    shingles.clear();
    if (words.empty()) return;
    const size_t width = words.size() < n ? words.size() : n;
    for (size_t start = 0; start + width <= words.size(); start++) {
        uint64_t hash = 0;
        for (size_t i = start; i < start + width; i++) {
            hash = (hash ^ words[i]) * 0x9E3779B97F4A7C15ull;
            hash ^= hash >> 29;
        }
        shingles.push_back(mixed(hash));
    }
}

// Fast similarity sketching: bins are filled round by round, the least value of a round stays.
void sketch(const std::vector<uint64_t>& shingles, uint32_t n_bins, uint32_t* bins, std::vector<uint8_t>& filled) {
    filled.assign(n_bins, 0);
    uint32_t n_filled = 0;
    for (uint32_t round = 0; n_filled < n_bins; round++) {
        const uint64_t seed = mixed(round + 1);
        for (const uint64_t shingle : shingles) {
            const uint64_t drawn = round == 0 ? shingle : mixed(shingle ^ seed);
            const uint32_t value = static_cast<uint32_t>(drawn);
            const auto bin = round < n_bins ? static_cast<uint32_t>((drawn >> 32) * n_bins >> 32) : round - n_bins;
            if (filled[bin] == 0) {
                filled[bin] = 1;
                bins[bin] = value;
                n_filled++;
            } else if (filled[bin] == 1 && value < bins[bin]) {
                bins[bin] = value;
            }
        }
        for (uint8_t& state : filled) state = state ? 2 : 0;  // bins of earlier rounds are closed
    }
}

}  // namespace

extern "C" {

// signatures: (n, n_bins); known: (n,), 0 for texts without words, whose signature is all 0.
__attribute__((visibility("default"))) void minhash_signatures(
    const int64_t* offsets, const uint8_t* data, int64_t n, int64_t shingle_words, int64_t n_bins,
    uint32_t* signatures, uint8_t* known) {
    std::vector<uint8_t> lower, filled;
    std::vector<uint64_t> words, shingles;
    for (int64_t row = 0; row < n; row++) {
        words.clear();
        towpath::each_word(data + offsets[row], data + offsets[row + 1], lower,
                           [&](const uint8_t*, const uint8_t*, uint64_t hash) { words.push_back(hash); });
        shingles_of(words, static_cast<size_t>(shingle_words), shingles);
        uint32_t* bins = signatures + row * n_bins;
        known[row] = !shingles.empty();
        if (shingles.empty()) std::fill(bins, bins + n_bins, 0u);
        else sketch(shingles, static_cast<uint32_t>(n_bins), bins, filled);
    }
}
}
