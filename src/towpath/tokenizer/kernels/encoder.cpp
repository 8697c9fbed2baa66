// Encodes texts by merges, with a cache of words. See encoder.py for what goes in and out.
//
// A token's number is its rank: bytes first, then merges in order. A word that is not cached is merged
// lowest rank first and leftmost of equal ranks; long ones with a heap, so that no word takes quadratic time.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "pieces.h"
#include "word_table.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

constexpr uint32_t NONE = 0xFFFFFFFFu;
constexpr size_t SHORT_BYTES = 48;  // up to here searching for the lowest rank beats a heap

class Merges {
   public:
    Merges(const uint32_t* pairs, int64_t n_merges) {
        size_t size = 1024;
        while (size < static_cast<size_t>(n_merges) * 3) size *= 2;
        slots_.resize(size);
        for (int64_t merge = 0; merge < n_merges; ++merge) {
            const uint64_t key = static_cast<uint64_t>(pairs[2 * merge]) << 32 | pairs[2 * merge + 1];
            Slot& slot = slots_[slot_of(key)];
            if (slot.rank == NONE) slot = {key, static_cast<uint32_t>(256 + merge)};
        }
    }

    // What two tokens merge into; NONE where they do not.
    uint32_t rank(uint32_t left, uint32_t right) const {
        return slots_[slot_of(static_cast<uint64_t>(left) << 32 | right)].rank;
    }

   private:
    struct Slot {
        uint64_t key = 0;
        uint32_t rank = NONE;
    };

    size_t slot_of(uint64_t key) const {
        const size_t mask = slots_.size() - 1;
        size_t at = words::mix(key * 0xA0761D6478BD642Full) & mask;
        while (slots_[at].rank != NONE && slots_[at].key != key) at = (at + 1) & mask;
        return at;
    }

    std::vector<Slot> slots_;
};

struct Vocabulary {
    Merges merges;
    std::vector<uint32_t> ids;
};

struct Cached {
    static constexpr size_t BYTES = 24, IDS = 7;
    uint64_t hash = 0;
    uint16_t size = 0, n_ids = 0;  // size 0: free
    uint8_t word[BYTES];
    uint32_t ids[IDS];
};

struct Waiting {
    uint32_t rank;
    size_t place;
    bool operator<(const Waiting& other) const {
        return rank != other.rank ? rank > other.rank : place > other.place;
    }
};

class Encoder {
   public:
    explicit Encoder(const Vocabulary& vocabulary) : vocabulary_(vocabulary), cache_(1 << 15) {}

    uint32_t* word(const uint8_t* word, size_t size, uint32_t* out) {
        if (size > Cached::BYTES) return merged(word, size, out);
        const uint64_t hash = words::hash_of(word, size);
        Cached& cached = cache_[hash & (cache_.size() - 1)];
        if (cached.hash == hash && cached.size == size && std::memcmp(cached.word, word, size) == 0) {
            for (size_t id = 0; id < cached.n_ids; ++id) out[id] = cached.ids[id];
            return out + cached.n_ids;
        }
        uint32_t* end = merged(word, size, out);
        const size_t n_ids = static_cast<size_t>(end - out);
        if (n_ids > Cached::IDS) return end;
        cached.hash = hash;
        cached.size = static_cast<uint16_t>(size);
        cached.n_ids = static_cast<uint16_t>(n_ids);
        std::memcpy(cached.word, word, size);
        std::memcpy(cached.ids, out, n_ids * sizeof(uint32_t));
        return end;
    }

   private:
    uint32_t* merged(const uint8_t* word, size_t size, uint32_t* out) {
        return size <= SHORT_BYTES ? merged_short(word, size, out) : merged_long(word, size, out);
    }

    uint32_t* merged_short(const uint8_t* word, size_t size, uint32_t* out) const {
        uint32_t parts[SHORT_BYTES], ranks[SHORT_BYTES];
        for (size_t at = 0; at < size; ++at) parts[at] = word[at];
        for (size_t at = 0; at + 1 < size; ++at) ranks[at] = vocabulary_.merges.rank(parts[at], parts[at + 1]);
        while (size > 1) {
            const size_t best = static_cast<size_t>(std::min_element(ranks, ranks + size - 1) - ranks);
            if (ranks[best] == NONE) break;
            parts[best] = ranks[best];
            --size;
            for (size_t at = best + 1; at < size; ++at) parts[at] = parts[at + 1];
            for (size_t at = best; at + 1 < size; ++at) ranks[at] = ranks[at + 1];
            if (best > 0) ranks[best - 1] = vocabulary_.merges.rank(parts[best - 1], parts[best]);
            if (best + 1 < size) ranks[best] = vocabulary_.merges.rank(parts[best], parts[best + 1]);
        }
        for (size_t at = 0; at < size; ++at) *out++ = vocabulary_.ids[parts[at]];
        return out;
    }

    uint32_t* merged_long(const uint8_t* word, size_t size, uint32_t* out) {
        parts_.assign(word, word + size);
        next_.resize(size + 1);
        before_.resize(size + 1);
        for (size_t at = 0; at <= size; ++at) {
            next_[at] = at + 1;
            before_[at] = at - 1;  // of the first: never read
        }
        waiting_.clear();
        for (size_t at = 0; at + 1 < size; ++at) wait(at, size);
        while (!waiting_.empty()) {
            std::pop_heap(waiting_.begin(), waiting_.end());
            const Waiting best = waiting_.back();
            waiting_.pop_back();
            const size_t right = next_[best.place];
            if (parts_[best.place] == NONE || right >= size) continue;
            if (vocabulary_.merges.rank(parts_[best.place], parts_[right]) != best.rank) continue;
            parts_[best.place] = best.rank;
            parts_[right] = NONE;
            next_[best.place] = next_[right];
            before_[next_[right]] = best.place;
            if (best.place > 0) wait(before_[best.place], size);
            wait(best.place, size);
        }
        for (size_t at = 0; at < size; at = next_[at]) *out++ = vocabulary_.ids[parts_[at]];
        return out;
    }

    void wait(size_t place, size_t size) {
        if (next_[place] >= size) return;
        const uint32_t rank = vocabulary_.merges.rank(parts_[place], parts_[next_[place]]);
        if (rank == NONE) return;
        waiting_.push_back({rank, place});
        std::push_heap(waiting_.begin(), waiting_.end());
    }

    const Vocabulary& vocabulary_;
    std::vector<Cached> cache_;
    std::vector<uint32_t> parts_;
    std::vector<size_t> next_, before_;
    std::vector<Waiting> waiting_;
};

}  // namespace

EXPORT void* vocabulary_new(const uint32_t* merges, int64_t n_merges, const uint32_t* ids) {
    return new Vocabulary{Merges(merges, n_merges), std::vector<uint32_t>(ids, ids + 256 + n_merges)};
}

EXPORT void vocabulary_free(void* handle) { delete static_cast<Vocabulary*>(handle); }

EXPORT void* encoder_new(const void* vocabulary) { return new Encoder(*static_cast<const Vocabulary*>(vocabulary)); }

EXPORT void encoder_free(void* handle) { delete static_cast<Encoder*>(handle); }

// `ids` has room for as many ids as there are bytes; `ends` gets where each text's ids end.
EXPORT void encode(void* handle, const uint8_t* kinds, const int32_t* rules, const int64_t* offsets,
                   const uint8_t* data, int64_t n_texts, uint32_t* ids, int64_t* ends) {
    Encoder& encoder = *static_cast<Encoder*>(handle);
    const pieces::Cutter cutter(kinds, rules);
    uint32_t* out = ids;
    for (int64_t text = 0; text < n_texts; ++text) {
        const uint8_t *at = data + offsets[text], *end = data + offsets[text + 1];
        while (at < end) {
            const uint8_t* next = cutter.piece_end(at, end);
            out = encoder.word(at, static_cast<size_t>(next - at), out);
            at = next;
        }
        ends[text] = out - ids;
    }
}
