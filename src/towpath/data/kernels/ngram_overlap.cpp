// Runs of words that texts share with records of evaluation sets; ngram_overlap.py is the same in Python.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "plain_words.h"

namespace {

constexpr uint64_t BASE = 0x9E3779B97F4A7C15ull;
constexpr int64_t COLUMNS = 5;

struct Word {
    const uint8_t* start;
    const uint8_t* stop;
};

// Words of a text and, at place i, the hash of the first i of them: that of any run takes one multiplication.
struct Hashed {
    std::vector<Word> words;
    std::vector<uint64_t> prefix;
    std::vector<uint8_t> lower;

    void read(const uint8_t* at, const uint8_t* end) {
        words.clear();
        prefix.assign(1, 0);
        add(at, end);
    }

    void add(const uint8_t* at, const uint8_t* end) {
        towpath::each_word(at, end, lower, [this](const uint8_t* start, const uint8_t* stop, uint64_t hash) {
            words.push_back({start, stop});
            prefix.push_back(prefix.back() * BASE + hash);
        });
    }

    uint64_t run(size_t start, size_t n_words, uint64_t power) const {
        const uint64_t hash = (prefix[start + n_words] - prefix[start] * power) ^ n_words;
        return (hash ^ hash >> 32) * 0xFF51AFD7ED558CCDull;
    }
};

uint64_t power_of(size_t n_words) {
    uint64_t power = 1;
    for (size_t i = 0; i < n_words; i++) power *= BASE;
    return power;
}

bool same(const Word* left, const Word* right, size_t n_words) {
    for (size_t i = 0; i < n_words; i++) {
        if (left[i].stop - left[i].start != right[i].stop - right[i].start) return false;
        for (const uint8_t *a = left[i].start, *b = right[i].start; a < left[i].stop; a++, b++) {
            if (towpath::ASCII.lower[*a] != towpath::ASCII.lower[*b]) return false;
        }
    }
    return true;
}

// Distinct runs of words of all records, numbered by their first place.
class Grams {
public:
    Grams(const int64_t* offsets, const uint8_t* data, int64_t n, const int64_t* most_words,
          const int64_t* least_words, int64_t* lengths) {
        std::vector<size_t> firsts;
        for (int64_t i = 0; i < n; i++) {
            firsts.push_back(records_.words.size());
            if (i == 0) records_.prefix.assign(1, 0);
            records_.add(data + offsets[i], data + offsets[i + 1]);
            const auto found = static_cast<int64_t>(records_.words.size() - firsts.back());
            lengths[i] = found >= most_words[i] ? most_words[i] : found >= least_words[i] ? found : 0;
            const auto length = static_cast<size_t>(lengths[i]);
            const bool known = std::find(lengths_.begin(), lengths_.end(), length) != lengths_.end();
            if (length && !known) lengths_.push_back(length);
        }
        firsts.push_back(records_.words.size());
        std::sort(lengths_.begin(), lengths_.end());
        if (lengths_.empty()) return;
        shortest_power_ = power_of(lengths_[0]);
        size_t places = 64;
        while (places < records_.words.size() * 2) places *= 2;
        slots_.assign(places, Slot{0, -1});
        bits_.assign(places / 8, 0);  // at least 16 bits a word
        for (int64_t i = 0; i < n; i++) {
            const auto length = static_cast<size_t>(lengths[i]);
            if (!length) continue;
            const uint64_t power = power_of(length);
            for (size_t at = firsts[i]; at + length <= firsts[i + 1]; at++) insert(at, length, power);
        }
    }

    const std::vector<size_t>& lengths() const { return lengths_; }

    // False: no run begins as the text does at word `at`. Most places of most texts end here.
    bool may_begin(const Hashed& text, size_t at) const {
        const uint64_t bit = bit_of(text, at);
        return bits_[bit >> 6] >> (bit & 63) & 1;
    }

    // The number of the run of n_words at word `at` of a text, or -1.
    int64_t find(const Hashed& text, size_t at, size_t n_words) const {
        const uint64_t hash = text.run(at, n_words, power_of(n_words));
        return slots_[place_of(hash, &text.words[at], n_words)].gram;
    }

private:
    struct Slot {
        uint64_t hash;
        int64_t gram;  // -1: free
    };
    struct Gram {
        size_t first, n_words;
    };

    Hashed records_;
    std::vector<Gram> grams_;
    std::vector<Slot> slots_;
    std::vector<uint64_t> bits_;  // of the first words of each run, as many as the shortest run has
    std::vector<size_t> lengths_;
    uint64_t shortest_power_ = 1;

    uint64_t bit_of(const Hashed& text, size_t at) const {
        return text.run(at, lengths_[0], shortest_power_) >> 20 & (bits_.size() * 64 - 1);
    }

    void insert(size_t at, size_t n_words, uint64_t power) {
        const uint64_t hash = records_.run(at, n_words, power);
        Slot& slot = slots_[place_of(hash, &records_.words[at], n_words)];
        if (slot.gram >= 0) return;
        slot = {hash, static_cast<int64_t>(grams_.size())};
        grams_.push_back({at, n_words});
        const uint64_t bit = bit_of(records_, at);
        bits_[bit >> 6] |= 1ull << (bit & 63);
    }

    // Where these words are, or the free slot where they would be.
    size_t place_of(uint64_t hash, const Word* words, size_t n_words) const {
        size_t place = (hash ^ hash >> 40) & (slots_.size() - 1);
        for (; slots_[place].gram >= 0; place = (place + 1) & (slots_.size() - 1)) {
            const Gram& gram = grams_[static_cast<size_t>(slots_[place].gram)];
            const bool alike = slots_[place].hash == hash && gram.n_words == n_words;
            if (alike && same(&records_.words[gram.first], words, n_words)) break;
        }
        return place;
    }
};

}  // namespace

// hits: (capacity, 5) of row, start and stop in bytes of its text, number of the run, its words.
// Returns how many there are, which may be more than were written. record_lengths: (n_records,).
extern "C" __attribute__((visibility("default"))) int64_t ngram_overlaps(
    const int64_t* record_offsets, const uint8_t* record_data, int64_t n_records, const int64_t* most_words,
    const int64_t* least_words, const int64_t* offsets, const uint8_t* data, int64_t n_texts, int64_t capacity,
    int64_t* record_lengths, int64_t* hits) {
    const Grams grams(record_offsets, record_data, n_records, most_words, least_words, record_lengths);
    const std::vector<size_t>& lengths = grams.lengths();
    if (lengths.empty()) return 0;
    Hashed text;
    int64_t n_hits = 0;
    for (int64_t row = 0; row < n_texts; row++) {
        const uint8_t* start = data + offsets[row];
        text.read(start, data + offsets[row + 1]);
        for (size_t at = 0; at + lengths[0] <= text.words.size(); at++) {
            if (!grams.may_begin(text, at)) continue;
            for (const size_t n_words : lengths) {
                if (at + n_words > text.words.size()) break;
                const int64_t gram = grams.find(text, at, n_words);
                if (gram < 0) continue;
                if (n_hits++ >= capacity) continue;
                int64_t* hit = hits + (n_hits - 1) * COLUMNS;
                hit[0] = row;
                hit[1] = text.words[at].start - start;
                hit[2] = text.words[at + n_words - 1].stop - start;
                hit[3] = gram;
                hit[4] = static_cast<int64_t>(n_words);
            }
        }
    }
    return n_hits;
}
