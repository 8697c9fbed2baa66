// Groups of near duplicates among signatures; near.py says what they are, dedup/near.py is the same in Python.
#include <algorithm>
#include <cstdint>

namespace {

struct Entry {
    uint64_t key;
    int64_t row;
};

struct Signatures {
    const uint32_t* places;
    int64_t width;  // places in a row
    int64_t min_equal;
};

// Equal where the band is.
uint64_t key_of(const uint32_t* band, const uint64_t* constants, int64_t width) {
    uint64_t key = 0;
    for (int64_t place = 0; place < width; place++) key += band[place] * constants[place];
    key ^= key >> 32;
    return key * 0x9E3779B97F4A7C15ull;
}

__attribute__((target_clones("default", "avx2"))) int64_t n_equal(
    const uint32_t* left, const uint32_t* right, int64_t width) {
    uint32_t count = 0;
    for (int64_t place = 0; place < width; place++) count += left[place] == right[place];
    return count;
}

// A set of rows is known by its first row, which is its own parent.
int64_t find(int64_t* parent, int64_t row) {
    while (parent[row] != row) {
        parent[row] = parent[parent[row]];
        row = parent[row];
    }
    return row;
}

void join(int64_t* parent, int64_t left, int64_t right) {
    left = find(parent, left);
    right = find(parent, right);
    parent[std::max(left, right)] = std::min(left, right);
}

bool are_one(int64_t* parent, const Entry* members, const Entry* end) {
    const int64_t root = find(parent, members->row);
    return std::all_of(members + 1, end, [&](const Entry& member) { return find(parent, member.row) == root; });
}

// Joins the first with those like it, then the first of the others, and so on; the others move to the front.
void join_alike(const Signatures& signatures, Entry* members, Entry* end, int64_t rounds, int64_t* parent) {
    for (; rounds > 0 && end - members > 1; rounds--) {
        const int64_t leader = members->row;
        const uint32_t* of_leader = signatures.places + leader * signatures.width;
        Entry* others = members;
        for (const Entry* member = members + 1; member < end; member++) {
            const uint32_t* of_member = signatures.places + member->row * signatures.width;
            if (n_equal(of_leader, of_member, signatures.width) >= signatures.min_equal) {
                join(parent, leader, member->row);
            } else {
                *others++ = *member;
            }
        }
        end = others;
    }
}

}  // namespace

extern "C" {

// sizes: rows, places in a row, bands, places from which two rows are alike, unlike rows that are followed.
// signatures: (n, width); constants: (width / bands,); entries: room for n; parent: (n,), the answer.
__attribute__((visibility("default"))) void near_first_rows(
    const int64_t* sizes, const uint32_t* signatures, const uint64_t* constants, Entry* entries, int64_t* parent) {
    const int64_t n = sizes[0], bands = sizes[2], per_band = sizes[1] / bands;
    const Signatures all{signatures, sizes[1], sizes[3]};
    for (int64_t row = 0; row < n; row++) parent[row] = row;
    for (int64_t band = 0; band < bands; band++) {
        for (int64_t row = 0; row < n; row++) {
            entries[row] = {key_of(signatures + row * all.width + band * per_band, constants, per_band), row};
        }
        std::sort(entries, entries + n, [](const Entry& left, const Entry& right) {
            return left.key != right.key ? left.key < right.key : left.row < right.row;
        });
        Entry* const end = entries + n;
        for (Entry *first = entries, *last; first < end; first = last) {
            last = first + 1;
            while (last < end && last->key == first->key) last++;
            if (last - first > 1 && !are_one(parent, first, last)) join_alike(all, first, last, sizes[4], parent);
        }
    }
    for (int64_t row = 0; row < n; row++) parent[row] = find(parent, row);
}
}
