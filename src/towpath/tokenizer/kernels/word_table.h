// Hashing of words, and a table of distinct words with 64-bit counts.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

namespace words {

inline uint64_t mix(uint64_t value) {
    value ^= value >> 32;
    value *= 0x9E3779B97F4A7C15ull;
    return value ^ value >> 29;
}

// Reads nothing beyond data[size - 1].
inline uint64_t hash_of(const uint8_t* data, size_t size) {
    uint64_t state = size * 0xD6E8FEB86659FD93ull, part;
    for (; size >= 8; data += 8, size -= 8) {
        std::memcpy(&part, data, 8);
        state = mix(state ^ part) * 0xA0761D6478BD642Full;
    }
    part = 0;
    if (size >= 4) {
        uint32_t low, high;
        std::memcpy(&low, data, 4);
        std::memcpy(&high, data + size - 4, 4);
        part = static_cast<uint64_t>(high) << 32 | low;
    } else if (size) {
        part = data[0] | static_cast<uint64_t>(data[size / 2]) << 8 | static_cast<uint64_t>(data[size - 1]) << 16;
    }
    return mix(mix(state ^ part) * 0xE7037ED1A0B428DBull);
}

class Table {
   public:
    Table() : slots_(1 << 14) {}

    void add(const uint8_t* word, size_t size) {
        if (counts_.size() * 2 >= slots_.size()) grow();
        const uint64_t hash = hash_of(word, size);
        Slot& slot = slots_[find(word, size, hash)];
        if (slot.word == 0) {
            bytes_.insert(bytes_.end(), word, word + size);
            starts_.push_back(static_cast<int64_t>(bytes_.size()));
            counts_.push_back(0);
            slot = {static_cast<uint32_t>(hash >> 32), static_cast<uint32_t>(counts_.size())};
            hashes_.push_back(hash);
        }
        ++counts_[slot.word - 1];
    }

    int64_t size() const { return static_cast<int64_t>(counts_.size()); }
    const std::vector<uint8_t>& bytes() const { return bytes_; }
    const std::vector<int64_t>& starts() const { return starts_; }
    const std::vector<int64_t>& counts() const { return counts_; }

   private:
    struct Slot {
        uint32_t tag = 0, word = 0;  // word: its number + 1; 0 where the slot is free
    };

    size_t find(const uint8_t* word, size_t size, uint64_t hash) const {
        const size_t mask = slots_.size() - 1;
        const uint32_t tag = static_cast<uint32_t>(hash >> 32);
        for (size_t at = hash & mask;; at = (at + 1) & mask) {
            const Slot& slot = slots_[at];
            if (slot.word == 0) return at;
            if (slot.tag != tag) continue;
            const int64_t start = starts_[slot.word - 1];
            if (static_cast<size_t>(starts_[slot.word] - start) == size &&
                std::memcmp(&bytes_[static_cast<size_t>(start)], word, size) == 0)
                return at;
        }
    }

    void grow() {
        std::vector<Slot> larger(slots_.size() * 2);
        const size_t mask = larger.size() - 1;
        for (size_t word = 0; word < hashes_.size(); ++word) {
            size_t at = hashes_[word] & mask;
            while (larger[at].word != 0) at = (at + 1) & mask;
            larger[at] = {static_cast<uint32_t>(hashes_[word] >> 32), static_cast<uint32_t>(word + 1)};
        }
        slots_.swap(larger);
    }

    std::vector<Slot> slots_;
    std::vector<uint8_t> bytes_;
    std::vector<int64_t> starts_{0}, counts_;
    std::vector<uint64_t> hashes_;
};

}  // namespace words
