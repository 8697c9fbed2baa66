// Counts of listed words and phrases in texts: the same as reference_counts in word_list.py.
// Texts are Arrow large strings; safe on any bytes. The trie was made by word_list.py.

#include "words.h"

namespace {

using namespace towpath;

struct Trie {  // as _Trie in word_list.py
    const uint32_t* characters;  // (65536,): lower case in the low 16 bits, then whether it is of a word
    const uint8_t* byte_classes;
    const int32_t* children;  // (n_nodes, n_classes), 0 for none
    const uint32_t* lists;    // (n_nodes,): a bit for each list that has what ends here
    int64_t n_classes, n_lists, bounded;
};

const uint32_t WORD = 1u << 16;

class Counter {
public:
    explicit Counter(const Trie& trie) : trie_(trie) {}

    // Adds to `counts`: of each list, of all, and the characters of all.
    void count(const uint8_t* at, const uint8_t* end, int64_t* counts) const {
        bool inside = false;
        while (at < end) {
            const Character character = decode(at, end);
            uint32_t lists = 0;
            int64_t n_chars = 0;
            const uint8_t* stop = inside && trie_.bounded ? at : longest(at, end, lists, n_chars);
            if (stop > at) {
                for (int64_t i = 0; i < trie_.n_lists; i++) counts[i] += lists >> i & 1;
                counts[trie_.n_lists]++;
                counts[trie_.n_lists + 1] += n_chars;
                inside = false;
                at = stop;
            } else {
                inside = is_word(character.code);
                at += character.bytes;
            }
        }
    }

private:
    const Trie& trie_;

    int32_t step(int32_t node, uint8_t byte) const {
        return trie_.children[node * trie_.n_classes + trie_.byte_classes[byte]];
    }

    int32_t step(int32_t node, const Character& character, const uint8_t* at) const {
        const uint32_t code = character.code < 0x10000 ? trie_.characters[character.code] & 0xFFFF : character.code;
        if (code < 0x80) return step(node, static_cast<uint8_t>(code));
        if (code >= 0x10000) {
            for (uint32_t i = 0; i < character.bytes && (i == 0 || node); i++) node = step(node, at[i]);
            return node;
        }
        if (code < 0x800) {
            node = step(node, static_cast<uint8_t>(0xC0 | code >> 6));
        } else {
            node = step(node, static_cast<uint8_t>(0xE0 | code >> 12));
            if (node) node = step(node, static_cast<uint8_t>(0x80 | (code >> 6 & 0x3F)));
        }
        return node ? step(node, static_cast<uint8_t>(0x80 | (code & 0x3F))) : 0;
    }

    // The end of the longest listed phrase that starts at `at`; `at` itself for none.
    const uint8_t* longest(const uint8_t* at, const uint8_t* end, uint32_t& lists, int64_t& n_chars) const {
        const uint8_t* found = at;
        int32_t node = 0;
        int64_t size = 0;
        for (const uint8_t* p = at; p < end;) {
            const Character character = decode(p, end);
            node = step(node, character, p);
            if (!node) break;
            p += character.bytes;
            size++;
            if (!trie_.lists[node]) continue;
            if (trie_.bounded && p < end && is_word(decode(p, end).code)) continue;
            found = p;
            lists = trie_.lists[node];
            n_chars = size;
        }
        return found;
    }

    bool is_word(uint32_t code) const { return code < 0x10000 && (trie_.characters[code] & WORD); }
};

}  // namespace

// `counts`: (n, n_lists + 2), added to.
extern "C" __attribute__((visibility("default"))) void word_list(const int64_t* offsets, const uint8_t* data, int64_t n,
                                                                 const Trie* trie, int64_t* counts) {
    const Counter counter(*trie);
    for (int64_t i = 0; i < n; i++) {
        counter.count(data + offsets[i], data + offsets[i + 1], counts + i * (trie->n_lists + 2));
    }
}
