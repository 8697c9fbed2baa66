// Counts the pieces of texts. See word_counts.py for what goes in and out.
#include <vector>

#include "pieces.h"
#include "word_table.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

struct Counter {
    words::Table table;
    std::vector<const uint8_t*> cuts;  // of the text at hand
};

// Where runs of at least `longest` characters, all white space or all not, are cut: where such a run
// starts and after each `longest` characters of it.
void find_cuts(Counter& counter, const pieces::Cutter& cutter, const uint8_t* at, const uint8_t* end,
               int64_t longest) {
    counter.cuts.clear();
    const uint8_t *run = at, *next;
    bool spaces = false;
    for (int64_t taken = 0; at < end; at = next) {
        const bool space = cutter.kind(at, end, &next) >= pieces::SPACE;
        if (space != spaces || taken == 0) {
            run = at;
            taken = 0;
            spaces = space;
        }
        if (taken >= longest && taken % longest == 0) counter.cuts.push_back(at);
        if (++taken == longest) counter.cuts.push_back(run);
    }
}

void count(Counter& counter, const pieces::Cutter& cutter, const uint8_t* at, const uint8_t* end) {
    while (at < end) {
        const uint8_t* next = cutter.piece_end(at, end);
        counter.table.add(at, static_cast<size_t>(next - at));
        at = next;
    }
}

}  // namespace

EXPORT void* word_counts_new() { return new Counter; }

EXPORT void word_counts_free(void* handle) { delete static_cast<Counter*>(handle); }

EXPORT void word_counts_add(void* handle, const uint8_t* kinds, const int32_t* rules, int64_t longest,
                            const int64_t* offsets, const uint8_t* data, int64_t n_texts) {
    Counter& counter = *static_cast<Counter*>(handle);
    const pieces::Cutter cutter(kinds, rules);
    for (int64_t text = 0; text < n_texts; ++text) {
        const uint8_t *at = data + offsets[text], *end = data + offsets[text + 1];
        counter.cuts.clear();
        if (end - at >= longest) find_cuts(counter, cutter, at, end, longest);
        for (const uint8_t* cut : counter.cuts) {
            count(counter, cutter, at, cut);
            at = cut;
        }
        count(counter, cutter, at, end);
    }
}

// (distinct words, their bytes in all)
EXPORT void word_counts_size(const void* handle, int64_t* sizes) {
    const words::Table& table = static_cast<const Counter*>(handle)->table;
    sizes[0] = table.size();
    sizes[1] = static_cast<int64_t>(table.bytes().size());
}

EXPORT void word_counts_take(const void* handle, int64_t* starts, uint8_t* bytes, int64_t* counts) {
    const words::Table& table = static_cast<const Counter*>(handle)->table;
    std::memcpy(starts, table.starts().data(), table.starts().size() * sizeof(int64_t));
    if (table.size() == 0) return;
    std::memcpy(bytes, table.bytes().data(), table.bytes().size());
    std::memcpy(counts, table.counts().data(), table.counts().size() * sizeof(int64_t));
}
