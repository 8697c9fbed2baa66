// A page's bytes, the vocabulary of html_words.py, and what classes and ids say by it.
// The words come in as a table of 64-bit FNV-1a hashes. Needs 64 bits, little-endian.

#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace {


using Byte = uint8_t;

// As in html_words.py.
constexpr uint32_t
    RAW = 1u << 0, SKIPPED = 1u << 1, SKIPPED_MAIN = 1u << 2, VOID = 1u << 3, BLOCK = 1u << 4, BIG = 1u << 5,
    NEVER = 1u << 6, NOT_MAIN = 1u << 7, CLOSES_P = 1u << 8, SCOPE = 1u << 9, ITEM = 1u << 10, TERM = 1u << 11,
    LIST = 1u << 12, CELL = 1u << 13, ROW = 1u << 14, ROWS = 1u << 15, TABLE = 1u << 16, HEADING = 1u << 17,
    PARAGRAPH = 1u << 18, LINK = 1u << 19, DIVISION = 1u << 20, BULLETS = 1u << 21, NUMBERED = 1u << 22,
    ARTICLE = 1u << 23, PRE = 1u << 24, TITLE = 1u << 25, LINE_BREAK = 1u << 26, META = 1u << 27,
    FRAME = 1u << 28, KEPT = 1u << 29, ITEM_LIKE = LINK | DIVISION | ITEM;
enum : uint32_t { CLASS = 1, ID, STYLE, VALUED, PRESENT, META_NAME, META_CONTENT, META_CHARSET, META_EQUIVALENT };
constexpr uint32_t
    EXCLUDED = 1u << 0, EXCLUDED_ITEM = 1u << 1, EXCLUDED_BLOCK = 1u << 2, WANTED = 1u << 3, ROOT = 1u << 4,
    CALLED_SO = 1u << 5, NAMED = 1u << 6, SAID = (1u << 7) - 1,
    AT_START = 1u << 8, AT_END = 1u << 9, IN_CLASS = 1u << 10, IN_ID = 1u << 11, PREFIX = 1u << 12;
enum : int64_t { ROBOTS = 1, RESERVATION, CHARSET, HTTP_FIELD };
enum : int64_t { OPEN = -1, CLOSE = -2, BREAK = -3 };
constexpr int32_t MAIN = 1, HIDE = 2, NO_LISTS = 4, NO_TABLES = 8, NO_CODE = 16;
constexpr int64_t MAX_METAS = 64, SEARCHED = 256, MAX_INDENTS = 8, NONE = -1;
constexpr const char* CALLED[] = {"comment", "cookie", "footer", "caption", "byline", "promo", "newsletter", "copyright"};
constexpr int N_CALLED = 8, N_CALLED_IN_ID = 3;

bool is_space(Byte c) { return c <= ' ' && ((1ull << c) & 0x100003600ull) != 0; }  // HTML's, without \v
bool is_letter(Byte c) { return static_cast<Byte>((c | 32) - 'a') < 26; }
Byte lower(Byte c) { return static_cast<Byte>(c - 'A') < 26 ? c | 32 : c; }
bool ends_name(Byte c) { return is_space(c) || c == '/' || c == '>'; }
bool is_in_reference(Byte c) { return is_letter(c) || (c >= '0' && c <= '9') || c == '#'; }
bool is_dash(Byte c) { return c == '-' || c == '_'; }

constexpr uint64_t FNV_START = 0xcbf29ce484222325ull, FNV_PRIME = 0x100000001b3ull;
uint64_t mixed(uint64_t hash, Byte c) { return (hash ^ c) * FNV_PRIME; }

struct Span {
    int64_t start = 0, end = 0;
    int64_t size() const { return end - start; }
};
struct Words {
    const uint64_t* keys;
    const uint32_t* bits;
    uint64_t mask;
    uint32_t at(uint64_t hash) const {
        for (uint64_t slot = hash & mask; keys[slot]; slot = (slot + 1) & mask)
            if (keys[slot] == hash) return bits[slot];
        return 0;
    }
};
struct Event {
    int64_t kind, value;  // a text's start and end, or what happens and to which node
};
struct Element {
    uint64_t name;
    int64_t node;
    uint32_t flags;
};
struct Node {
    int64_t depth, opened, closed, text, links;
    uint32_t flags, said;
};

// Rows that grow; `ok` turns false when there is no memory, and then nothing more is added.
template <typename Row> struct Rows {
    Row* rows = nullptr;
    int64_t size = 0, capacity = 0;
    bool ok = true;

    ~Rows() { std::free(rows); }
    void push(const Row& row) {
        if (size == capacity && !grow()) return;
        rows[size++] = row;
    }
    bool grow() {
        const int64_t wanted = capacity ? 2 * capacity : 512;
        void* larger = ok ? std::realloc(rows, static_cast<size_t>(wanted) * sizeof(Row)) : nullptr;
        ok = larger != nullptr;
        if (!ok) return false;
        rows = static_cast<Row*>(larger);
        capacity = wanted;
        return true;
    }
};

struct Page {
    const Byte* bytes;
    int64_t size;

    int64_t find(Byte byte, int64_t from) const {
        if (from >= size) return NONE;
        const void* found = std::memchr(bytes + from, byte, static_cast<size_t>(size - from));
        return found ? static_cast<const Byte*>(found) - bytes : NONE;
    }
    int64_t after(Byte byte, int64_t from) const {
        const int64_t found = find(byte, from);
        return found == NONE ? size : found + 1;
    }
    bool letter_at(int64_t at) const { return at < size && is_letter(bytes[at]); }
    // Whether the bytes from `at` to `end` start with a word of small letters, in any case.
    bool starts(int64_t at, int64_t end, const char* word) const {
        for (; *word; ++word, ++at)
            if (at >= end || lower(bytes[at]) != static_cast<Byte>(*word)) return false;
        return true;
    }
    Span stripped(Span span) const {
        while (span.start < span.end && is_space(bytes[span.start])) ++span.start;
        while (span.start < span.end && is_space(bytes[span.end - 1])) --span.end;
        return span;
    }
};

// What classes and ids say. Pages repeat them, so the last ones are remembered.
class Classes {
public:
    Classes(const Page& page, const Words& words, bool hide) : page_(page), words_(words), hide_(hide) {}

    uint32_t said(Span value, uint32_t kind) {
        if (value.size() == 0) return 0;
        uint64_t hash = kind;
        int64_t at = value.start;
        for (; at + 8 <= value.end; at += 8) {
            uint64_t eight;
            std::memcpy(&eight, page_.bytes + at, 8);
            hash = (hash ^ eight) * 0x9e3779b97f4a7c15ull;
            hash ^= hash >> 32;
        }
        for (; at < value.end; ++at) hash = mixed(hash, page_.bytes[at]);
        Known& known = known_[(hash * 0x9e3779b97f4a7c15ull) >> 56];
        if (known.kind != kind || known.value.size() != value.size() ||
            std::memcmp(page_.bytes + known.value.start, page_.bytes + value.start, static_cast<size_t>(value.size())) != 0)
            known = {value, kind, judged(value, kind)};
        return known.said;
    }

private:
    struct Known {
        Span value;
        uint32_t kind = 0, said = 0;
    };

    uint32_t judged(Span value, uint32_t kind) const {
        uint32_t said = NAMED;
        if (hide_ && called_so(value, kind == CLASS ? N_CALLED : N_CALLED_IN_ID)) said |= CALLED_SO;
        int64_t at = value.start;
        while (at < value.end) {
            while (at < value.end && is_space(page_.bytes[at])) ++at;
            int64_t end = at;
            while (end < value.end && !is_space(page_.bytes[end])) ++end;
            said |= word_said({at, end}, kind == CLASS ? IN_ID : IN_CLASS);
            at = end;
        }
        return said;
    }

    bool called_so(Span value, int n_words) const {
        for (int64_t at = value.start; at < value.end; ++at) {
            const Byte first = lower(page_.bytes[at]);
            if (first != 'c' && first != 'f' && first != 'b' && first != 'p' && first != 'n') continue;
            for (int i = 0; i < n_words; ++i)
                if (page_.starts(at, value.end, CALLED[i])) return true;
        }
        return false;
    }

    uint32_t word_said(Span word, uint32_t elsewhere) const {
        uint32_t said = 0;
        bool after_prefix = false;
        int64_t n_dashes, n_more;
        int64_t start = past_dashes(word.start, word.end, &n_dashes);
        for (int64_t first = 0; start < word.end; ++first) {
            const bool at_start = first == 0 || n_dashes > 1 || (first == 1 && after_prefix);
            uint64_t hash = mixed(FNV_START, '.');
            int64_t at = start, following = word.end;
            n_more = 0;
            for (int n_parts = 0; n_parts < 3 && at < word.end; ++n_parts) {
                while (at < word.end && !is_dash(page_.bytes[at])) hash = mixed(hash, lower(page_.bytes[at++]));
                const uint32_t rule = words_.at(hash);
                int64_t dashes;
                at = past_dashes(at, word.end, &dashes);
                if (n_parts == 0) {
                    following = at;
                    n_more = dashes;
                    if (first == 0) after_prefix = (rule & PREFIX) != 0;
                }
                if (rule & elsewhere || (rule & AT_START && !at_start)) continue;
                if (!(rule & AT_END) || at == word.end) said |= rule & SAID;
            }
            start = following;
            n_dashes = n_more;
        }
        return said;
    }

    int64_t past_dashes(int64_t at, int64_t end, int64_t* n_dashes) const {
        const int64_t start = at;
        while (at < end && is_dash(page_.bytes[at])) ++at;
        *n_dashes = at - start;
        return at;
    }

    const Page& page_;
    const Words& words_;
    bool hide_;
    Known known_[256];
};

}  // namespace
