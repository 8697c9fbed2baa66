// Learns merges from counted words. See merges.py for what goes in and out, and for the order of ties.
//
// Each byte of each word has a cell; words are apart by one. A token's number stands in the first and
// in the last of its cells (cells between hold NONE), so that both neighbours of a token are found
// without links. A pair keeps where it started; places that later merges took are skipped. A pair's
// count only falls once the merge is done that made its younger token, so the heap is corrected lazily.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "word_table.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

constexpr uint32_t NONE = 0xFFFFFFFFu;

struct Pair {
    uint64_t key;
    int64_t count;
    std::vector<uint32_t> places;
};

struct Candidate {
    int64_t count;
    uint64_t key;
    uint32_t pair;
    bool operator<(const Candidate& other) const {
        return count != other.count ? count < other.count : key > other.key;
    }
};

uint64_t key_of(uint32_t left, uint32_t right) { return static_cast<uint64_t>(left) << 32 | right; }

class Trainer {
   public:
    Trainer(const int64_t* starts, const uint8_t* bytes, const int64_t* counts, int64_t n_words, int64_t longest)
        : counts_(counts), longest_(longest), lengths_(256, 1), slots_(1 << 16, 0) {
        const size_t n_cells = static_cast<size_t>(starts[n_words] + n_words + 1);
        cells_.assign(n_cells, NONE);
        word_of_.assign(n_cells, 0);
        size_t cell = 1;
        for (int64_t word = 0; word < n_words; ++word, ++cell)
            for (int64_t at = starts[word]; at < starts[word + 1]; ++at, ++cell) {
                cells_[cell] = bytes[at];
                word_of_[cell] = static_cast<uint32_t>(word);
            }
        for (size_t at = 1; at + 1 < n_cells; ++at)
            if (cells_[at] != NONE && cells_[at + 1] != NONE) add(cells_[at], cells_[at + 1], at);
        push_from(0);
    }

    // How many merges were learnt; each is two token numbers in `merges`.
    int64_t learn(int64_t wanted, int64_t min_count, uint32_t* merges) {
        int64_t done = 0;
        while (done < wanted && !heap_.empty()) {
            std::pop_heap(heap_.begin(), heap_.end());
            Candidate best = heap_.back();
            heap_.pop_back();
            const int64_t count = pairs_[best.pair].count;
            if (best.count != count) {
                best.count = count;
                if (count >= min_count) push(best);
                continue;
            }
            if (count < min_count) break;
            merges[2 * done] = static_cast<uint32_t>(best.key >> 32);
            merges[2 * done + 1] = static_cast<uint32_t>(best.key);
            ++done;
            merge(best.pair);
        }
        return done;
    }

   private:
    void merge(uint32_t number) {
        const uint32_t left = static_cast<uint32_t>(pairs_[number].key >> 32);
        const uint32_t right = static_cast<uint32_t>(pairs_[number].key);
        const uint32_t made = static_cast<uint32_t>(lengths_.size());
        const size_t left_length = lengths_[left], right_length = lengths_[right];
        lengths_.push_back(static_cast<uint32_t>(left_length + right_length));
        std::vector<uint32_t> places;
        places.swap(pairs_[number].places);
        const size_t first_new = pairs_.size();
        for (const uint32_t place : places) {
            const size_t middle = place + left_length, after = middle + right_length;
            if (cells_[place] != left || cells_[middle] != right) continue;
            const uint32_t before = cells_[place - 1], next = cells_[after];
            cells_[middle - 1] = cells_[middle] = NONE;
            cells_[place] = cells_[after - 1] = made;
            if (before != NONE) {
                remove(before, left, place);
                add(before, made, place - lengths_[before]);
            }
            if (next != NONE) {
                remove(right, next, place);
                add(made, next, place);
            }
        }
        push_from(first_new);
    }

    void add(uint32_t left, uint32_t right, size_t place) {
        if (lengths_[left] + static_cast<int64_t>(lengths_[right]) > longest_) return;
        const uint64_t key = key_of(left, right);
        size_t slot = slot_of(key);
        if (slots_[slot] == 0) {
            if (pairs_.size() * 2 >= slots_.size()) {
                grow();
                slot = slot_of(key);
            }
            pairs_.push_back({key, 0, {}});
            slots_[slot] = static_cast<uint32_t>(pairs_.size());
        }
        Pair& pair = pairs_[slots_[slot] - 1];
        pair.count += counts_[word_of_[place]];
        pair.places.push_back(static_cast<uint32_t>(place));
    }

    void remove(uint32_t left, uint32_t right, size_t place) {
        const size_t slot = slot_of(key_of(left, right));
        if (slots_[slot] != 0) pairs_[slots_[slot] - 1].count -= counts_[word_of_[place]];
    }

    size_t slot_of(uint64_t key) const {
        const size_t mask = slots_.size() - 1;
        size_t at = words::mix(key * 0xA0761D6478BD642Full) & mask;
        while (slots_[at] != 0 && pairs_[slots_[at] - 1].key != key) at = (at + 1) & mask;
        return at;
    }

    void grow() {
        slots_.assign(slots_.size() * 2, 0);
        for (size_t pair = 0; pair < pairs_.size(); ++pair)
            slots_[slot_of(pairs_[pair].key)] = static_cast<uint32_t>(pair + 1);
    }

    void push_from(size_t first) {
        for (size_t pair = first; pair < pairs_.size(); ++pair)
            if (pairs_[pair].count > 0) push({pairs_[pair].count, pairs_[pair].key, static_cast<uint32_t>(pair)});
    }

    void push(const Candidate& candidate) {
        heap_.push_back(candidate);
        std::push_heap(heap_.begin(), heap_.end());
    }

    const int64_t* counts_;
    int64_t longest_;
    std::vector<uint32_t> cells_, word_of_, lengths_, slots_;
    std::vector<Pair> pairs_;
    std::vector<Candidate> heap_;
};

}  // namespace

EXPORT int64_t learn_merges(const int64_t* starts, const uint8_t* bytes, const int64_t* counts, int64_t n_words,
                            int64_t wanted, int64_t min_count, int64_t longest, uint32_t* merges) {
    return Trainer(starts, bytes, counts, n_words, longest).learn(wanted, min_count, merges);
}
