// MinHash signatures of word shingles; see minhash.py. Little-endian, 64 bits; texts may be any bytes.
#include <cstdint>
#include <cstring>

namespace {

constexpr int64_t kBlock = 256;     // shingles at a time
constexpr int64_t kMaxWords = 64;   // of a shingle
constexpr int64_t kMaxHashes = 1024;
enum Class : uint8_t { kSeparator, kPartOfWord, kWordAlone };

struct Shingles {
    uint64_t words[kMaxWords];  // a ring
    int64_t n_words;
    uint32_t keys[kBlock];
    int64_t n_keys;
};

inline uint64_t mixed(uint64_t x) {
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93ULL;
    return x ^ x >> 32;
}

// One code point from ``p``; damaged bytes stand for themselves.
inline uint32_t decoded(const uint8_t*& p, const uint8_t* end) {
    const uint32_t first = *p;
    const int more = first < 0xC0 ? 0 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
    if (more == 0 || end - p <= more) return ++p, first;
    uint32_t code = first & (0x3F >> more);
    for (int i = 1; i <= more; i++) {
        if ((p[i] & 0xC0) != 0x80) return ++p, first;
        code = code << 6 | (p[i] & 0x3Fu);
    }
    p += more + 1;
    return code;
}

__attribute__((target_clones("default", "avx2", "arch=skylake-avx512"))) void take_smallest(
    const uint32_t* keys, int64_t n_keys, const uint64_t* factors, const uint64_t* terms, int64_t n_hashes,
    uint32_t* smallest) {
    for (int64_t i = 0; i < n_keys; i++) {
        const uint64_t key = keys[i];
        for (int64_t j = 0; j < n_hashes; j++) {
            const uint32_t value = static_cast<uint32_t>((factors[j] * key + terms[j]) >> 32);
            smallest[j] = value < smallest[j] ? value : smallest[j];
        }
    }
}

uint32_t shingle_key(const Shingles& found, int64_t n_words) {
    uint64_t hash = 0;
    for (int64_t i = found.n_words - n_words; i < found.n_words; i++) {
        hash = (hash ^ found.words[i % kMaxWords]) * 0x9E3779B97F4A7C15ULL;
        hash ^= hash >> 29;
    }
    return static_cast<uint32_t>(mixed(hash) >> 32);
}

}  // namespace

// ``known[i]``: whether text i has a word. ``lower`` and ``classes``: one for each of 65,536 code points.
extern "C" __attribute__((visibility("default"))) void minhash(
    const int64_t* offsets, const uint8_t* data, int64_t n_texts, const uint16_t* lower, const uint8_t* classes,
    const uint64_t* factors, const uint64_t* terms, int64_t n_hashes, int64_t shingle_words, uint32_t* signatures,
    uint8_t* known) {
    Shingles found;
    for (int64_t text = 0; text < n_texts; text++) {
        uint32_t smallest[kMaxHashes];
        memset(smallest, 0xFF, n_hashes * sizeof *smallest);
        found.n_words = found.n_keys = 0;
        const uint8_t *p = data + offsets[text], *end = data + offsets[text + 1];
        uint64_t word = 0;
        bool inside = false;
        const auto finish = [&] {
            if (!inside) return;
            inside = false;
            found.words[found.n_words++ % kMaxWords] = mixed(word);
            word = 0;
            if (found.n_words < shingle_words) return;
            found.keys[found.n_keys++] = shingle_key(found, shingle_words);
            if (found.n_keys < kBlock) return;
            take_smallest(found.keys, found.n_keys, factors, terms, n_hashes, smallest);
            found.n_keys = 0;
        };
        while (p < end) {
            const uint32_t code = *p < 0x80 ? *p++ : decoded(p, end);
            const uint8_t kind = code > 0xFFFF ? static_cast<uint8_t>(kPartOfWord) : classes[code];
            if (kind != kPartOfWord) finish();
            if (kind == kSeparator) continue;
            word = (word ^ (code > 0xFFFF ? code : lower[code])) * 0x100000001b3ULL + 0x9E3779B97F4A7C15ULL;
            inside = true;
            if (kind == kWordAlone) finish();
        }
        finish();
        if (found.n_words && found.n_words < shingle_words)
            found.keys[found.n_keys++] = shingle_key(found, found.n_words);
        take_smallest(found.keys, found.n_keys, factors, terms, n_hashes, smallest);
        known[text] = found.n_words > 0;
        memcpy(signatures + text * n_hashes, smallest, n_hashes * sizeof *smallest);
    }
}
