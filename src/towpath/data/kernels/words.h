// English words and symbols by spaCy's rules: the same as words.py, which says where they are from.
// Safe on any bytes; a byte that starts no character counts as U+FFFD. Little-endian, 64 bit.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace towpath {

// Bits of text_classes.py, in its order.
enum Class : uint32_t {
    SPACE = 1, LETTER = 2, SYMBOL = 4, TERMINAL = 8, ALPHA = 16, LOWER = 32, UPPER = 64, AFFIX = 128,
    PREFIX = 256, CURRENCY = 512, ICON = 1024, QUOTE = 2048, PUNCTUATION = 4096, SENTENCE_END = 8192,
    LINE_BREAK = 16384, BEFORE_DOT = 32768,
};

struct Character {
    uint32_t code;
    uint32_t bytes;
};

inline bool continues(uint8_t byte) { return (byte & 0xC0) == 0x80; }

// The character at `at`, which is before `end`.
inline Character decode(const uint8_t* at, const uint8_t* end) {
    const uint32_t lead = *at;
    if (lead < 0x80) return {lead, 1};
    const auto left = end - at;
    if (lead >= 0xC2 && lead < 0xE0 && left > 1 && continues(at[1])) {
        return {(lead & 0x1F) << 6 | (at[1] & 0x3Fu), 2};
    }
    if ((lead & 0xF0) == 0xE0 && left > 2 && continues(at[1]) && continues(at[2])) {
        return {(lead & 0x0F) << 12 | (at[1] & 0x3Fu) << 6 | (at[2] & 0x3Fu), 3};
    }
    if (lead >= 0xF0 && lead < 0xF5 && left > 3 && continues(at[1]) && continues(at[2]) && continues(at[3])) {
        const uint32_t code =
            (lead & 7) << 18 | (at[1] & 0x3Fu) << 12 | (at[2] & 0x3Fu) << 6 | (at[3] & 0x3Fu);
        if (code < 0x110000) return {code, 4};
    }
    return {0xFFFD, 1};
}

inline uint64_t eight_bytes(const uint8_t* at) {
    uint64_t value;
    std::memcpy(&value, at, 8);
    return value;
}

// 64 bits of a string, by two rounds of a wide multiplication for each eight bytes (after wyhash). Never 0.
inline uint64_t hash_of(const uint8_t* at, size_t size) {
    uint64_t hash = size * 0x9E3779B97F4A7C15ull;
    for (; size >= 8; at += 8, size -= 8) {
        const auto wide = static_cast<unsigned __int128>(eight_bytes(at) ^ hash) * 0xa0761d6478bd642full;
        hash = static_cast<uint64_t>(wide) ^ static_cast<uint64_t>(wide >> 64);
    }
    uint64_t rest = 0;
    for (size_t i = 0; i < size; i++) rest |= static_cast<uint64_t>(at[i]) << (8 * i);
    const auto wide = static_cast<unsigned __int128>(rest ^ hash ^ 0x8bb84b93962eacc9ull) * 0xe7037ed1a0b428dbull;
    hash = static_cast<uint64_t>(wide) ^ static_cast<uint64_t>(wide >> 64);
    return hash ? hash : 1;
}

// Strings known beforehand; a space in one marks where it is split.
class Strings {
public:
    Strings(const int64_t* offsets, const uint8_t* data, int64_t n) {
        size_t places = 16;
        while (places < static_cast<size_t>(n) * 4) places *= 2;
        keys_.assign(places, 0);
        splits_.assign(places, Split{});
        std::vector<uint8_t> whole;
        for (int64_t i = 0; i < n; i++) {
            whole.clear();
            Split split{};
            for (int64_t j = offsets[i]; j < offsets[i + 1]; j++) {
                if (data[j] != ' ') whole.push_back(data[j]);
                else if (split.n_cuts < 3) split.cuts[split.n_cuts++] = static_cast<uint8_t>(whole.size());
            }
            longest_ = std::max(longest_, whole.size());
            size_t place = hash_of(whole.data(), whole.size()) & (places - 1);
            while (keys_[place]) place = (place + 1) & (places - 1);
            keys_[place] = hash_of(whole.data(), whole.size());
            splits_[place] = split;
        }
    }

    struct Split {
        uint8_t n_cuts = 0;
        uint8_t cuts[3] = {0, 0, 0};  // bytes before each cut
    };

    const Split* find(uint64_t hash) const {
        for (size_t place = hash & (keys_.size() - 1); keys_[place]; place = (place + 1) & (keys_.size() - 1)) {
            if (keys_[place] == hash) return &splits_[place];
        }
        return nullptr;
    }

    const Split* find(const uint8_t* at, size_t size) const {
        return size > longest_ ? nullptr : find(hash_of(at, size));
    }

private:
    std::vector<uint64_t> keys_;
    std::vector<Split> splits_;
    size_t longest_ = 0;
};

// What a text's words add up to.
struct Words {
    std::vector<uint64_t> hashes;  // of each word or symbol
    std::vector<uint32_t> chars;
    int64_t n_words = 0, word_chars = 0, n_alphabetic = 0;  // words are what is not all symbols
    int64_t n_sentences = 0;                                // since sentences_anew()
    bool ended = true;

    void clear() {
        hashes.clear();
        chars.clear();
        n_words = word_chars = n_alphabetic = 0;
        sentences_anew();
    }

    void sentences_anew() {
        n_sentences = 0;
        ended = true;
    }

    // `any` and `all`: classes of some and of every character.
    void add(uint64_t hash, uint32_t n_chars, uint32_t any, uint32_t all) {
        hashes.push_back(hash);
        chars.push_back(n_chars);
        if (!(all & SYMBOL)) {
            n_words++;
            word_chars += n_chars;
        }
        n_alphabetic += (any & LETTER) != 0;
        if (n_chars == 1 && (all & SENTENCE_END)) {
            n_sentences = std::max<int64_t>(n_sentences, 1);
            ended = true;
        } else if ((ended && !(all & PUNCTUATION)) || !n_sentences) {
            n_sentences++;
            ended = false;
        }
    }
};

class Splitter {
public:
    Splitter(const uint16_t* classes, const Strings& exceptions, const Strings& units)
        : classes_(classes), exceptions_(exceptions), units_(units) {}

    int64_t n_chunks = 0;       // between white space, in the last line
    int64_t longest_chunk = 0;  // characters

    void split(const uint8_t* at, const uint8_t* end, Words& words) {
        n_chunks = longest_chunk = 0;
        while (at < end) {
            const Character character = decode(at, end);
            if (classes_[character.code] & SPACE) {
                at += character.bytes;
                continue;
            }
            const uint8_t* stop = at;
            while (stop < end && is_ascii_letter(*stop)) stop++;
            const int64_t size = stop - at;
            if (stop == end || is_ascii_space(*stop)) {
                plain(at, static_cast<size_t>(size), words);
                chunk_of(size);
            } else if (size && *stop < 128 && (stop + 1 == end || is_ascii_space(stop[1])) && closes(at, stop)) {
                plain(at, static_cast<size_t>(size), words);
                const uint32_t bits = classes_[*stop];
                words.add(hash_of(stop, 1), 1, bits, bits);
                chunk_of(size + 1);
                stop++;
            } else {
                stop = read_chunk(at, end);
                general(words);
                chunk_of(static_cast<int64_t>(code_.size()));
            }
            at = stop;
        }
    }

private:
    const uint16_t* classes_;
    const Strings& exceptions_;
    const Strings& units_;
    std::vector<uint32_t> code_, class_;
    std::vector<const uint8_t*> byte_;  // where each character starts, and the end
    std::vector<std::pair<size_t, size_t>> ends_;

    static bool is_ascii_letter(uint8_t byte) { return static_cast<uint8_t>((byte | 32) - 'a') < 26; }
    bool is_ascii_space(uint8_t byte) const { return byte < 128 && (classes_[byte] & SPACE); }
    static bool is_digit(uint32_t code) { return code - '0' < 10; }

    void chunk_of(int64_t n_chars) {
        n_chunks++;
        longest_chunk = std::max(longest_chunk, n_chars);
    }

    // ASCII letters alone: whole, or a known exception.
    void plain(const uint8_t* at, size_t size, Words& words) {
        const uint64_t hash = hash_of(at, size);
        const Strings::Split* split = exceptions_.find(hash);
        if (split == nullptr || split->n_cuts == 0) {
            words.add(hash, static_cast<uint32_t>(size), LETTER, LETTER);
            return;
        }
        pieces(at, at + size, *split, words);
    }

    void pieces(const uint8_t* at, const uint8_t* end, const Strings::Split& split, Words& words) {
        const uint8_t* start = at;
        for (int i = 0; i <= split.n_cuts; i++) {
            const uint8_t* stop = i < split.n_cuts ? at + split.cuts[i] : end;
            uint32_t any = 0, all = ~0u, n_chars = 0;
            for (const uint8_t* p = start; p < stop; n_chars++) {
                const Character character = decode(p, stop);
                any |= classes_[character.code];
                all &= classes_[character.code];
                p += character.bytes;
            }
            words.add(hash_of(start, static_cast<size_t>(stop - start)), n_chars, any, all);
            start = stop;
        }
    }

    // Whether the letters [at, stop) and the one character after them are two tokens.
    bool closes(const uint8_t* at, const uint8_t* stop) const {
        if (exceptions_.find(at, static_cast<size_t>(stop + 1 - at))) return false;
        if (*stop != '.') return classes_[*stop] & AFFIX;
        const bool two_upper = stop - at > 1 && (classes_[stop[-1]] & classes_[stop[-2]] & UPPER);
        return (classes_[stop[-1]] & BEFORE_DOT) || two_upper;
    }

    const uint8_t* read_chunk(const uint8_t* at, const uint8_t* end) {
        code_.clear();
        class_.clear();
        byte_.clear();
        while (at < end) {
            const Character character = decode(at, end);
            const uint32_t bits = classes_[character.code];
            if (bits & SPACE) break;
            code_.push_back(character.code);
            class_.push_back(bits);
            byte_.push_back(at);
            at += character.bytes;
        }
        byte_.push_back(at);
        return at;
    }

    const Strings::Split* exception(size_t low, size_t high) const {
        return exceptions_.find(byte_[low], static_cast<size_t>(byte_[high] - byte_[low]));
    }

    void emit(size_t low, size_t high, Words& words) const {
        uint32_t any = 0, all = ~0u;
        for (size_t i = low; i < high; i++) {
            any |= class_[i];
            all &= class_[i];
        }
        const auto size = static_cast<size_t>(byte_[high] - byte_[low]);
        words.add(hash_of(byte_[low], size), static_cast<uint32_t>(high - low), any, all);
    }

    void general(Words& words) {
        size_t low = 0, high = code_.size();
        ends_.clear();
        const Strings::Split* known = nullptr;
        while (low < high && (known = exception(low, high)) == nullptr) {
            size_t before = prefix(low, high);
            size_t after = suffix(low + before, high);
            if (!before && !after) break;
            if (before && low + before < high && exception(low + before, high)) after = 0;
            else if (after && low + after < high && exception(low, high - after)) before = 0;
            if (before) emit(low, low + before, words);
            if (after) ends_.emplace_back(high - after, high);
            low += before;
            high -= after;
        }
        if (low < high && known) pieces(byte_[low], byte_[high], *known, words);
        else if (low < high) at_infixes(low, high, words);
        for (size_t i = ends_.size(); i-- > 0;) emit(ends_[i].first, ends_[i].second, words);
    }

    size_t dots(size_t low, size_t high) const {
        size_t stop = low;
        while (stop < high && code_[stop] == '.') stop++;
        return stop - low;
    }

    size_t prefix(size_t low, size_t high) const {
        const uint32_t first = code_[low];
        if (class_[low] & PREFIX) return 1;
        if (first == '+') return !(low + 1 < high && is_digit(code_[low + 1]));
        if (first == '.') return dots(low, high) > 1 ? dots(low, high) : 0;
        if ((first == 'C' || first == 'A') && low + 1 < high && code_[low + 1] == '$') return 2;
        return first == 'U' && high - low > 2 && code_[low + 1] == 'S' && code_[low + 2] == '$' ? 3 : 0;
    }

    size_t suffix(size_t low, size_t high) const {
        if (low >= high) return 0;
        const uint32_t last = code_[high - 1];
        const size_t n = high - low;
        size_t found = unit(low, high);
        if (class_[high - 1] & AFFIX) found = std::max<size_t>(found, 1);
        if (n > 1 && (last | 32) == 's' && (code_[high - 2] == '\'' || code_[high - 2] == 0x2019)) {
            found = std::max<size_t>(found, 2);
        }
        if (n > 1 && is_digit(code_[high - 2]) && (last == '+' || (class_[high - 1] & CURRENCY))) {
            found = std::max<size_t>(found, 1);
        }
        return last == '.' ? std::max(found, final_dots(low, high)) : found;
    }

    size_t final_dots(size_t low, size_t high) const {
        size_t start = high;
        while (start > low && code_[start - 1] == '.') start--;
        if (high - start > 1) return high - start;
        if (start == low) return 0;
        const uint32_t before = code_[start - 1];
        if (class_[start - 1] & BEFORE_DOT) return 1;
        if (start - low < 2) return 0;
        const uint32_t letter = before | 32;
        if (code_[start - 2] == 0xB0 && (letter == 'f' || letter == 'c' || letter == 'k')) return 1;
        return (class_[start - 1] & class_[start - 2] & UPPER) != 0;
    }

    // Characters after the last digit, if they are a unit.
    size_t unit(size_t low, size_t high) const {
        const size_t longest = 6;
        for (size_t size = 1; size <= longest && low + size < high; size++) {
            if (!is_digit(code_[high - size - 1])) continue;
            const uint8_t* at = byte_[high - size];
            return units_.find(at, static_cast<size_t>(byte_[high] - at)) ? size : 0;
        }
        return 0;
    }

    void at_infixes(size_t low, size_t high, Words& words) const {
        if (is_url(low, high)) return emit(low, high, words);
        size_t start = low;
        for (size_t i = low; i < high;) {
            const size_t size = infix(low, i, high);
            if (size && i > low) {
                if (i > start) emit(start, i, words);
                emit(i, i + size, words);
                start = i + size;
            }
            i += size ? size : 1;
        }
        if (start < high) emit(start, high, words);
    }

    size_t infix(size_t low, size_t at, size_t high) const {
        const uint32_t code = code_[at];
        if ((class_[at] & ICON) || code == 0x2026) return 1;
        if (code == '.' && at + 1 < high && code_[at + 1] == '.') return dots(at, high);
        if (at == low || at + 1 >= high || (class_[at] & LETTER)) return 0;
        const uint32_t before = class_[at - 1], after = class_[at + 1], next = code_[at + 1];
        if (code == '.') return (before & (LOWER | QUOTE)) && (after & (UPPER | QUOTE));
        const bool digit = is_digit(code_[at - 1]);
        if (digit && (code == '+' || code == '-' || code == '*' || code == '^') && (is_digit(next) || next == '-')) return 1;
        if (code == ',') return (before & ALPHA) && (after & ALPHA);
        if (!digit && !(before & ALPHA)) return 0;
        if (code == ':' || code == '<' || code == '>' || code == '=' || code == '/') return (after & ALPHA) != 0;
        if (code == '-') return hyphens(at, high, 3);
        if (code == 0x2014) return hyphens(at, high, 2);
        return (code == 0x2013 || code == '~') && (after & ALPHA);
    }

    // Up to `most` of the same hyphen, with a letter after them.
    size_t hyphens(size_t at, size_t high, size_t most) const {
        size_t stop = at;
        while (stop < high && stop - at <= most && code_[stop] == code_[at]) stop++;
        return stop - at <= most && stop < high && (class_[stop] & ALPHA) ? stop - at : 0;
    }

    static bool is_host(uint32_t code) {
        return is_digit(code) || (code | 32) - 'a' < 26 || (code >= 0xA1 && code <= 0xFFFF);
    }

    bool is_url(size_t low, size_t high) const {
        if (std::find(code_.begin() + low, code_.begin() + high, '.') == code_.begin() + high) return false;
        if (is_host_and_path(low, high)) return true;
        size_t stop = low;
        for (; stop < high; stop++) {
            const uint32_t code = code_[stop];
            const bool letter = code < 128 && is_ascii_letter(static_cast<uint8_t>(code));
            if (!letter && !is_digit(code) && code != '_' && code != '+' && code != '-' && code != '.') break;
        }
        if (stop - low > 1 && high - stop > 3 && code_[stop] == ':' && code_[stop + 1] == '/' && code_[stop + 2] == '/' &&
            is_host_and_path(stop + 3, high)) {
            return true;
        }
        for (size_t i = low + 1; i + 1 < high; i++) {
            if (code_[i] == '@' && is_host_and_path(i + 1, high)) return true;
        }
        return false;
    }

    bool is_host_and_path(size_t low, size_t high) const {
        if (is_address(low, high)) return true;
        for (size_t start = low, n_labels = 0; start < high; n_labels++) {
            size_t stop = start;
            while (stop < high && (is_host(code_[stop]) || code_[stop] == '_' || code_[stop] == '-')) stop++;
            if (stop == high || code_[stop] != '.') return n_labels && is_top_level(start, stop) && is_path(stop, high);
            const bool fits = stop > start && stop - start <= 64 && is_host(code_[start]) && is_host(code_[stop - 1]);
            if (!fits) return false;
            start = stop + 1;
        }
        return false;
    }

    bool is_top_level(size_t start, size_t stop) const {
        if (stop < start + 2 || stop > start + 63) return false;
        for (size_t i = start; i < stop; i++) {
            if (!(class_[i] & LOWER)) return false;
        }
        return true;
    }

    bool is_address(size_t low, size_t high) const {
        for (int part = 0; part < 4; part++) {
            size_t stop = low;
            while (stop < high && stop - low < 3 && is_digit(code_[stop])) stop++;
            if (stop == low) return false;
            if (part == 3) return is_path(stop, high);
            if (stop == high || code_[stop] != '.') return false;
            low = stop + 1;
        }
        return false;
    }

    bool is_path(size_t at, size_t high) const {
        if (at < high && code_[at] == ':') {
            size_t stop = at + 1;
            while (stop < high && stop - at <= 5 && is_digit(code_[stop])) stop++;
            if (stop - at - 1 < 2) return false;
            at = stop;
        }
        return at == high || code_[at] == '/' || code_[at] == '?' || code_[at] == '#';
    }
};

}  // namespace towpath
