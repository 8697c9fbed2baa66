// Signatures of texts for near duplicates; minhash.py says what they are and is the same in Python.
#include <cstdint>
#include <vector>

#include "words.h"

namespace {

struct Range {
    uint32_t first, last;
};

// Characters that part words, beyond ASCII. In order, as in minhash.py.
constexpr Range PARTING[] = {
    {0x80, 0xBF},     {0xD7, 0xD7},     {0xF7, 0xF7},     {0x60C, 0x60C},   {0x61B, 0x61B},     {0x61F, 0x61F},
    {0x6D4, 0x6D4},   {0x964, 0x965},   {0x2000, 0x206F}, {0x20A0, 0x20CF}, {0x2190, 0x2BFF},   {0x2E00, 0x2E7F},
    {0x3000, 0x3004}, {0x3008, 0x3020}, {0x3030, 0x3030}, {0xFE10, 0xFE1F}, {0xFE30, 0xFE6F},   {0xFF00, 0xFF0F},
    {0xFF1A, 0xFF20}, {0xFF3B, 0xFF40}, {0xFF5B, 0xFF65}, {0xFFFD, 0xFFFD}, {0x1F000, 0x1FAFF},
};

// Characters of scripts that put no space between words: each is a word.
constexpr Range ALONE[] = {
    {0xE00, 0xEFF},   {0x1000, 0x109F}, {0x1780, 0x17FF}, {0x3040, 0x30FF},
    {0x3400, 0x4DBF}, {0x4E00, 0x9FFF}, {0xF900, 0xFAFF}, {0x20000, 0x3134F},
};

template <size_t N>
bool in(const Range (&ranges)[N], uint32_t code) {
    for (const Range& range : ranges) {
        if (code <= range.last) return code >= range.first;
    }
    return false;
}

enum Kind : uint8_t { PART, WORD, SINGLE };

Kind kind_of(uint32_t code) {
    if (in(PARTING, code)) return PART;
    return in(ALONE, code) ? SINGLE : WORD;
}

struct Ascii {
    uint8_t lower[256];
    bool word[256];
    constexpr Ascii() : lower(), word() {
        for (int c = 0; c < 256; c++) {
            lower[c] = static_cast<uint8_t>(c >= 'A' && c <= 'Z' ? c + 32 : c);
            word[c] = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
        }
    }
};
constexpr Ascii ASCII;

uint64_t mixed(uint64_t x) {
    x = (x ^ x >> 33) * 0xFF51AFD7ED558CCDull;
    x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53ull;
    return x ^ x >> 33;
}

// The hashes of the words of a text.
void words_of(const uint8_t* at, const uint8_t* end, std::vector<uint8_t>& word, std::vector<uint64_t>& hashes) {
    hashes.clear();
    word.clear();
    const auto close = [&] {
        if (!word.empty()) hashes.push_back(towpath::hash_of(word.data(), word.size()));
        word.clear();
    };
    while (at < end) {
        if (*at < 0x80) {
            if (ASCII.word[*at]) word.push_back(ASCII.lower[*at]);
            else close();
            at++;
            continue;
        }
        const towpath::Character character = towpath::decode(at, end);
        const Kind kind = kind_of(character.code);
        if (kind != WORD) close();
        if (kind != PART) word.insert(word.end(), at, at + character.bytes);
        if (kind == SINGLE) close();
        at += character.bytes;
    }
    close();
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
    std::vector<uint8_t> word, filled;
    std::vector<uint64_t> words, shingles;
    for (int64_t row = 0; row < n; row++) {
        words_of(data + offsets[row], data + offsets[row + 1], word, words);
        shingles_of(words, static_cast<size_t>(shingle_words), shingles);
        uint32_t* bins = signatures + row * n_bins;
        known[row] = !shingles.empty();
        if (shingles.empty()) std::fill(bins, bins + n_bins, 0u);
        else sketch(shingles, static_cast<uint32_t>(n_bins), bins, filled);
    }
}
}
