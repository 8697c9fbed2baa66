// Repeated stretches of bytes by winnowing (Schleimer, Wilkerson and Aiken 2003); see winnow.py.
// Little-endian, 64 bits. All memory is the caller's; texts may be any bytes.
#include <cstdint>
#include <cstring>

#include "winnowing.h"

namespace {

constexpr int kMaxCandidates = 64;

struct Table {
    uint32_t* tags;
    int64_t* places;  // -1: free
    uint64_t mask;
    int64_t used;
};

struct Text {
    int64_t start, stop;
};

struct Search {
    const uint8_t* data;
    const int64_t* offsets;
    int64_t n_texts;
    int64_t k, min_bytes;
    Table table;
    int64_t* spans;  // pairs
    int64_t n_spans;
    int64_t inside_start, inside_stop;  // the last match as a whole
};

Text text_at(const Search& search, int64_t place) {
    int64_t low = 0, high = search.n_texts;
    while (high - low > 1) {
        const int64_t middle = low + (high - low) / 2;
        (search.offsets[middle] <= place ? low : high) = middle;
    }
    return {search.offsets[low], search.offsets[low + 1]};
}

int64_t equal_forward(const uint8_t* left, const uint8_t* right, int64_t most) {
    int64_t n = 0;
    for (uint64_t a, b; n + 8 <= most; n += 8) {
        memcpy(&a, left + n, 8);
        memcpy(&b, right + n, 8);
        if (a != b) return n + __builtin_ctzll(a ^ b) / 8;
    }
    while (n < most && left[n] == right[n]) n++;
    return n;
}

int64_t equal_backward(const uint8_t* left, const uint8_t* right, int64_t most) {
    int64_t n = 0;
    while (n < most && left[-n - 1] == right[-n - 1]) n++;
    return n;
}

void add_span(Search& search, int64_t first_of_text, int64_t start, int64_t stop) {
    while (search.n_spans > first_of_text && search.spans[2 * search.n_spans - 1] >= start) {
        const int64_t* last = search.spans + 2 * --search.n_spans;
        if (last[0] < start) start = last[0];
        if (last[1] > stop) stop = last[1];
    }
    search.spans[2 * search.n_spans] = start;
    search.spans[2 * search.n_spans + 1] = stop;
    search.n_spans++;
}

void compare(Search& search, const Text& text, int64_t first_of_text, int64_t here, int64_t there) {
    const uint8_t* data = search.data;
    if (memcmp(data + there, data + here, search.k)) return;
    const Text other = text_at(search, there);
    const int64_t before = there - other.start < here - text.start ? there - other.start : here - text.start;
    const int64_t after = other.stop - there < text.stop - here ? other.stop - there : text.stop - here;
    const int64_t start = here - equal_backward(data + there, data + here, before);
    const int64_t stop = here + equal_forward(data + there, data + here, after);
    if (stop - start < search.min_bytes) return;
    add_span(search, first_of_text, start, stop);
    if (stop - start > search.inside_stop - search.inside_start || stop > search.inside_stop) {
        search.inside_start = start;
        search.inside_stop = stop;
    }
}

// False: the table is full.
bool look_up(Search& search, const Text& text, int64_t first_of_text, int64_t here, uint64_t hash) {
    const int64_t margin = search.min_bytes - search.k;
    // Every stretch of min_bytes around here also stands at the earlier match: nothing new to learn or keep.
    if (here - margin >= search.inside_start && here + search.min_bytes <= search.inside_stop) return true;
    Table& table = search.table;
    const uint64_t mixed = hash * 0xd6e8feb86659fd93ULL;
    const uint32_t tag = static_cast<uint32_t>(mixed >> 16);
    uint64_t slot = (mixed ^ mixed >> 33) & table.mask;
    int candidates = 0;
    for (; table.places[slot] >= 0; slot = (slot + 1) & table.mask) {
        if (table.tags[slot] != tag) continue;
        compare(search, text, first_of_text, here, table.places[slot]);
        if (++candidates == kMaxCandidates) return true;
    }
    if (here - margin >= search.inside_start && here + search.min_bytes <= search.inside_stop) return true;
    if (static_cast<uint64_t>(table.used) * 10 >= (table.mask + 1) * 9) return false;
    table.tags[slot] = tag;
    table.places[slot] = here;
    table.used++;
    return true;
}

// False: the table is full.
bool search_text(Search& search, const Text& text, int64_t window, const uint64_t* numbers) {
    const int64_t first_of_text = search.n_spans;
    search.inside_start = search.inside_stop = -1;
    return winnowing::winnow(
        search.data + text.start, text.stop - text.start, search.k, window, numbers,
        [&](int64_t place, uint64_t hash) {
            return look_up(search, text, first_of_text, text.start + place, hash);
        });
}

}  // namespace

// Spans that stand earlier too, in bytes of ``data``, texts in ``order``; -1 when the table is full.
extern "C" __attribute__((visibility("default"))) int64_t repeated_spans(
    const int64_t* offsets, const uint8_t* data, int64_t n_texts, const int64_t* order, const uint64_t* numbers,
    int64_t k, int64_t min_bytes, int64_t capacity, uint32_t* tags, int64_t* places, int64_t* spans) {
    Search search{data, offsets, n_texts, k, min_bytes,
                  {tags, places, static_cast<uint64_t>(capacity) - 1, 0}, spans, 0, -1, -1};
    for (int64_t i = 0; i < n_texts; i++) {
        const Text text{offsets[order[i]], offsets[order[i] + 1]};
        if (text.stop - text.start < min_bytes) continue;
        if (!search_text(search, text, min_bytes - k + 1, numbers)) return -1;
    }
    return search.n_spans;
}
