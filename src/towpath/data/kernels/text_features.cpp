// What the rules of Gopher, C4 and FineWeb ask of a text, in one pass: the same numbers as text_features.py,
// which names the papers. Texts are Arrow large strings; safe on any bytes.

#include "words.h"

namespace {

using namespace towpath;

const uint32_t NONE = 0xFFFFFFFFu;
const int SHORT_LINE_CHARS = 30, C4_MIN_LINE_WORDS = 3, C4_MAX_WORD_CHARS = 1000;

// Places in NAMES of text_features.py.
enum Column {
    N_WORDS, N_WORDS_AND_SYMBOLS, N_STOP_WORDS, MEAN_WORD_CHARS, HASHES_PER_WORD, ELLIPSES_PER_WORD,
    BULLET_LINE_SHARE, ELLIPSIS_LINE_SHARE, ALPHABETIC_WORD_SHARE, DUPLICATE_PARAGRAPH_SHARE,
    DUPLICATE_PARAGRAPH_CHAR_SHARE, DUPLICATE_LINE_SHARE, DUPLICATE_LINE_CHAR_SHARE, TOP_2GRAM_CHAR_SHARE,
    DUPLICATE_5GRAM_CHAR_SHARE = TOP_2GRAM_CHAR_SHARE + 3, TERMINAL_LINE_SHARE = DUPLICATE_5GRAM_CHAR_SHARE + 6,
    SHORT_LINE_SHARE, REPEATED_LINE_CHAR_SHARE, NEWLINES_PER_WORD, C4, C4_ANY_END = C4 + 3, N_COLUMNS = C4_ANY_END + 3,
};

double share(double part, double whole) { return whole > 0 ? part / whole : 0; }

int64_t count_chars(const uint8_t* at, const uint8_t* end) {
    int64_t count = 0;
    for (; at < end; at++) count += !continues(*at);
    return count;
}

const uint8_t* find_byte(const uint8_t* at, const uint8_t* end, int byte) {
    const void* found = at < end ? std::memchr(at, byte, static_cast<size_t>(end - at)) : nullptr;
    return found ? static_cast<const uint8_t*>(found) : end;
}

bool contains(const uint8_t* at, const uint8_t* end, const char* phrase) {
    const size_t size = std::strlen(phrase);
    for (; static_cast<size_t>(end - at) >= size; at++) {
        at = find_byte(at, end - size + 1, phrase[0]);
        if (at > end - size) return false;
        if (std::memcmp(at, phrase, size) == 0) return true;
    }
    return false;
}

bool starts_with(const uint8_t* at, const uint8_t* end, const char* phrase) {
    const size_t size = std::strlen(phrase);
    return static_cast<size_t>(end - at) >= size && std::memcmp(at, phrase, size) == 0;
}

bool ends_with(const uint8_t* at, const uint8_t* end, const char* phrase) {
    const size_t size = std::strlen(phrase);
    return static_cast<size_t>(end - at) >= size && std::memcmp(end - size, phrase, size) == 0;
}

// Keys that are never 0, each with a number in the order of arrival.
class Numbering {
public:
    void clear(size_t n) {
        size_t places = 16;
        while (places < n * 2) places *= 2;
        if (keys_.size() < places) {
            keys_.resize(places);
            numbers_.resize(places);
        }
        mask_ = places - 1;
        std::memset(keys_.data(), 0, places * sizeof(uint64_t));
        size_ = 0;
    }

    // The key's number; it is new when that is the size before.
    uint32_t of(uint64_t key) {
        size_t place = ((key * 0x9E3779B97F4A7C15ull) >> 29) & mask_;
        while (keys_[place] && keys_[place] != key) place = (place + 1) & mask_;
        if (!keys_[place]) {
            keys_[place] = key;
            numbers_[place] = size_++;
        }
        return numbers_[place];
    }

    uint32_t size() const { return size_; }

private:
    std::vector<uint64_t> keys_;
    std::vector<uint32_t> numbers_;
    size_t mask_ = 0;
    uint32_t size_ = 0;
};

class Features {
public:
    Features(const uint16_t* classes, const Strings& exceptions, const Strings& units)
        : classes_(classes), splitter_(classes, exceptions, units) {
        const char* stop_words[] = {"the", "be", "to", "of", "and", "that", "have", "with"};
        for (int i = 0; i < 8; i++) {
            stop_hashes_[i] = hash_of(reinterpret_cast<const uint8_t*>(stop_words[i]), std::strlen(stop_words[i]));
        }
    }

    void of(const uint8_t* at, const uint8_t* end, double* row) {
        if (at == end) return;
        row_ = row;
        n_chars_ = count_chars(at, end);
        words_.clear();
        seek_phrases(at, end);
        lines(at, end);
        signs(at, end);
        stop_words();
        paragraphs(at, end);
        newline_lines(at, end);
        ngrams();
    }

private:
    const uint16_t* classes_;
    Splitter splitter_;
    Words words_, kept_words_;
    Numbering numbering_;
    double* row_ = nullptr;
    int64_t n_chars_ = 0;
    uint64_t stop_hashes_[8];
    bool has_phrase_ = false;  // whether any line may hold a phrase that C4 knows
    std::vector<uint8_t> lower_, kept_;
    std::vector<uint32_t> group_, count_, first_, candidates_;
    std::vector<int64_t> chars_before_;

    bool has_class(const uint8_t* at, const uint8_t* end, uint32_t bit) const {
        return (classes_[decode(at, end).code] & bit) != 0;
    }

    const uint8_t* strip_left(const uint8_t* at, const uint8_t* end) const {
        while (at < end && has_class(at, end, SPACE)) at += decode(at, end).bytes;
        return at;
    }

    const uint8_t* last_character(const uint8_t* at, const uint8_t* end) const {
        const uint8_t* last = end - 1;
        while (last > at && continues(*last) && end - last < 4) last--;
        return last + decode(last, end).bytes == end ? last : end - 1;
    }

    const uint8_t* strip_right(const uint8_t* at, const uint8_t* end) const {
        while (at < end && has_class(last_character(at, end), end, SPACE)) end = last_character(at, end);
        return end;
    }

    void lower(const uint8_t* at, const uint8_t* end) {
        lower_.resize(static_cast<size_t>(end - at));
        for (size_t i = 0; i < lower_.size(); i++) {
            const uint8_t byte = at[i];
            lower_[i] = static_cast<uint8_t>(byte | (static_cast<uint8_t>(byte - 'A') < 26 ? 32 : 0));
        }
    }

    bool lower_has(const char* phrase) const { return contains(lower_.data(), lower_.data() + lower_.size(), phrase); }

    bool lower_has_policy() const {
        return lower_has("terms of use") || lower_has("privacy policy") || lower_has("cookie policy") ||
               lower_has("uses cookies") || lower_has("use of cookies") || lower_has("use cookies");
    }

    void seek_phrases(const uint8_t* at, const uint8_t* end) {
        lower(at, end);
        has_phrase_ = find_byte(at, end, '{') != end || find_byte(at, end, '[') != end || lower_has("javascript") ||
                      lower_has("lorem ipsum") || lower_has("terms of use") || lower_has("policy") || lower_has("cookies");
    }

    // Lines as Python's splitlines has them: Gopher's shares, the words, and C4.
    void lines(const uint8_t* at, const uint8_t* end) {
        int64_t n_lines = 0, bullets = 0, ellipses = 0;
        while (at < end) {
            const uint8_t* stop = at;
            uint32_t width = 0;
            for (; stop < end; stop++) {
                if (*stop > 0x1E && *stop != 0xC2 && *stop != 0xE2) continue;
                const Character character = decode(stop, end);
                if (classes_[character.code] & LINE_BREAK) {
                    width = character.code == '\r' && stop + 1 < end && stop[1] == '\n' ? 2 : character.bytes;
                    break;
                }
            }
            n_lines++;
            const uint8_t* first = strip_left(at, stop);
            const uint8_t* last = strip_right(first, stop);
            bullets += starts_with(first, last, "-") || starts_with(first, last, "\u2022");
            ellipses += ends_with(first, last, "...") || ends_with(first, last, "\u2026");
            words_.sentences_anew();
            splitter_.split(first, last, words_);
            c4(first, last);
            at = stop + width;
        }
        row_[BULLET_LINE_SHARE] = share(bullets, n_lines);
        row_[ELLIPSIS_LINE_SHARE] = share(ellipses, n_lines);
        const auto all = static_cast<double>(words_.hashes.size());
        row_[N_WORDS] = static_cast<double>(words_.n_words);
        row_[N_WORDS_AND_SYMBOLS] = all;
        row_[MEAN_WORD_CHARS] = share(words_.word_chars, words_.n_words);
        row_[ALPHABETIC_WORD_SHARE] = share(words_.n_alphabetic, all);
    }

    // A line that was just split: what C4 makes of it.
    void c4(const uint8_t* at, const uint8_t* end) {
        if (splitter_.n_chunks < C4_MIN_LINE_WORDS || splitter_.longest_chunk > C4_MAX_WORD_CHARS) return;
        int64_t n_sentences = words_.n_sentences;
        if (has_phrase_ && find_byte(at, end, '[') != end && without_citations(at, end)) {
            at = kept_.data();
            end = at + kept_.size();
            kept_words_.clear();
            splitter_.split(at, end, kept_words_);
            n_sentences = kept_words_.n_sentences;
        }
        const bool mark = at < end && std::strchr(".?!\"'", end[-1]) != nullptr && end[-1] && !ends_with(at, end, "...");
        int column = 0;
        if (has_phrase_) {
            lower(at, end);
            if (lower_has("lorem ipsum")) column = 1;
            else if (lower_has("javascript")) return;
            else if (find_byte(at, end, '{') != end) column = 2;
            else if (lower_has_policy()) return;
        }
        const auto amount = static_cast<double>(column ? 1 : n_sentences);
        row_[C4_ANY_END + column] += amount;
        if (mark) row_[C4 + column] += amount;
    }

    // Fills kept_ with the line less "[12]", "[edit]" and "[citation needed]"; false when there are none.
    bool without_citations(const uint8_t* at, const uint8_t* end) {
        kept_.clear();
        const size_t size = static_cast<size_t>(end - at);
        while (at < end) {
            const uint8_t* stop = at + 1;
            if (*at == '[') {
                while (stop < end && *stop >= '0' && *stop <= '9') stop++;
                if (stop < end && *stop == ']') {
                    at = stop + 1;
                    continue;
                }
                if (starts_with(at, end, "[edit]")) {
                    at += 6;
                    continue;
                }
                if (starts_with(at, end, "[citation needed]")) {
                    at += 17;
                    continue;
                }
            }
            kept_.push_back(*at++);
        }
        return kept_.size() < size;
    }

    void signs(const uint8_t* at, const uint8_t* end) {
        const auto all = row_[N_WORDS_AND_SYMBOLS];
        int64_t ellipses = 0;
        for (const uint8_t* p = find_byte(at, end, '.'); p < end; p = find_byte(p, end, '.')) {
            const uint8_t* start = p;
            while (p < end && *p == '.') p++;
            ellipses += (p - start) / 3;
        }
        for (const uint8_t* p = find_byte(at, end, 0xE2); p < end; p = find_byte(p + 1, end, 0xE2)) {
            ellipses += starts_with(p, end, "\u2026");
        }
        row_[HASHES_PER_WORD] = share(static_cast<double>(std::count(at, end, '#')), all);
        row_[ELLIPSES_PER_WORD] = share(static_cast<double>(ellipses), all);
    }

    void stop_words() {
        uint32_t found = 0;
        for (size_t i = 0; i < words_.hashes.size(); i++) {
            if (words_.chars[i] > 4) continue;
            for (int j = 0; j < 8; j++) found |= static_cast<uint32_t>(words_.hashes[i] == stop_hashes_[j]) << j;
        }
        row_[N_STOP_WORDS] = __builtin_popcount(found);
    }

    // Parts between two newlines or more.
    void paragraphs(const uint8_t* at, const uint8_t* end) {
        at = strip_left(at, end);
        end = strip_right(at, end);
        const size_t most = static_cast<size_t>(end - at) / 3 + 2;
        int64_t n_parts = 0, again = 0, chars = 0;
        numbering_.clear(std::min<size_t>(most, static_cast<size_t>(std::count(at, end, '\n')) / 2 + 2));
        while (true) {
            const uint8_t* stop = find_byte(at, end, '\n');
            while (stop + 1 < end && stop[1] != '\n') stop = find_byte(stop + 1, end, '\n');
            n_parts++;
            const uint32_t size = numbering_.size();
            if (numbering_.of(hash_of(at, static_cast<size_t>(stop - at))) < size) {
                again++;
                chars += count_chars(at, stop);
            }
            if (stop >= end) break;
            for (at = stop; at < end && *at == '\n';) at++;
        }
        row_[DUPLICATE_PARAGRAPH_SHARE] = share(again, n_parts);
        row_[DUPLICATE_PARAGRAPH_CHAR_SHARE] = share(chars, n_chars_);
    }

    // Lines between newlines: Gopher counts those that are not empty, and an empty first and last one;
    // FineWeb those that are not blank.
    void newline_lines(const uint8_t* at, const uint8_t* end) {
        const auto newlines = std::count(at, end, '\n');
        const int64_t n_outer = (*at == '\n') + (end[-1] == '\n');
        int64_t n_lines = n_outer, again = n_outer == 2, again_chars = 0;
        int64_t n_full = 0, n_terminal = 0, n_short = 0, full_chars = 0;
        numbering_.clear(static_cast<size_t>(newlines) + 1);
        for (const uint8_t* stop; at < end; at = stop + 1) {
            stop = find_byte(at, end, '\n');
            if (stop == at) continue;
            n_lines++;
            const uint32_t size = numbering_.size();
            const bool repeated = numbering_.of(hash_of(at, static_cast<size_t>(stop - at))) < size;
            const int64_t n_chars = repeated || stop - at <= 4 * SHORT_LINE_CHARS ? count_chars(at, stop) : stop - at;
            again += repeated;
            again_chars += repeated ? n_chars : 0;
            if (strip_left(at, stop) == stop) continue;
            n_full++;
            full_chars += repeated ? n_chars : 0;
            n_short += n_chars <= SHORT_LINE_CHARS;
            n_terminal += has_class(last_character(at, stop), stop, TERMINAL);
        }
        row_[DUPLICATE_LINE_SHARE] = share(again, n_lines);
        row_[DUPLICATE_LINE_CHAR_SHARE] = share(again_chars, n_chars_);
        row_[TERMINAL_LINE_SHARE] = share(n_terminal, n_full);
        row_[SHORT_LINE_SHARE] = share(n_short, n_full);
        row_[REPEATED_LINE_CHAR_SHARE] = share(full_chars, n_chars_ - newlines);
        row_[NEWLINES_PER_WORD] = share(newlines, row_[N_WORDS_AND_SYMBOLS]);
    }

    // An n-gram can only come twice where both of its (n-1)-grams do: only those are looked at, by the
    // numbers of these two.
    void ngrams() {
        const size_t n_words = words_.hashes.size();
        chars_before_.resize(n_words + 1);
        group_.resize(n_words + 1);
        candidates_.resize(n_words);
        chars_before_[0] = 0;
        numbering_.clear(n_words);
        for (size_t i = 0; i < n_words; i++) {
            chars_before_[i + 1] = chars_before_[i] + words_.chars[i];
            group_[i] = numbering_.of(words_.hashes[i]);
            candidates_[i] = static_cast<uint32_t>(i);
        }
        group_[n_words] = NONE;
        count_groups();
        for (size_t n = 2; n <= 10; n++) {
            extend();
            if (n <= 4) row_[TOP_2GRAM_CHAR_SHARE + n - 2] = share(top_chars(n), n_chars_);
            else row_[DUPLICATE_5GRAM_CHAR_SHARE + n - 5] = share(duplicate_chars(n), n_chars_);
        }
    }

    // Leaves those candidates whose group has two or more.
    void count_groups() {
        count_.assign(numbering_.size(), 0);
        first_.assign(numbering_.size(), NONE);
        for (const uint32_t place : candidates_) {
            const uint32_t group = group_[place];
            if (count_[group]++ == 0) first_[group] = place;
        }
        size_t left = 0;
        for (const uint32_t place : candidates_) {
            if (count_[group_[place]] > 1) candidates_[left++] = place;
            else group_[place] = NONE;
        }
        candidates_.resize(left);
    }

    // From the groups of (n-1)-grams to those of n-grams.
    void extend() {
        size_t left = 0;
        numbering_.clear(candidates_.size());
        for (const uint32_t place : candidates_) {
            const uint32_t next = group_[place + 1];
            if (next == NONE) {
                group_[place] = NONE;
                continue;
            }
            group_[place] = numbering_.of((static_cast<uint64_t>(group_[place]) << 32 | next) + 1);
            candidates_[left++] = place;
        }
        candidates_.resize(left);
        count_groups();
    }

    int64_t chars_of(size_t place, size_t n) const { return chars_before_[place + n] - chars_before_[place]; }

    int64_t top_chars(size_t n) const {
        if (words_.hashes.size() < n) return 0;
        uint32_t best = 1, place = 0;
        for (size_t group = 0; group < count_.size(); group++) {
            const bool better = count_[group] > best || (count_[group] == best && best > 1 && first_[group] < place);
            if (better) {
                best = count_[group];
                place = first_[group];
            }
        }
        return (chars_of(place, n) + static_cast<int64_t>(n) - 1) * best;
    }

    // Characters of n-grams that came before; each word counts once.
    int64_t duplicate_chars(size_t n) {
        int64_t chars = 0;
        size_t next = 0;
        first_.assign(count_.size(), NONE);
        for (const uint32_t place : candidates_) {
            if (place < next) continue;
            if (first_[group_[place]] == NONE) {
                first_[group_[place]] = place;
            } else {
                chars += chars_of(place, n);
                next = place + n;
            }
        }
        return chars;
    }
};

}  // namespace

// `columns`: n_columns rows of n zeros, filled column by column; `classes`: 0x110000 entries.
extern "C" __attribute__((visibility("default"))) void text_features(
    const int64_t* offsets, const uint8_t* data, int64_t n, const uint16_t* classes, const int64_t* exception_offsets,
    const uint8_t* exceptions, int64_t n_exceptions, const int64_t* unit_offsets, const uint8_t* units, int64_t n_units,
    double* columns, int64_t n_columns) {
    if (n_columns != N_COLUMNS) return;
    const Strings known(exception_offsets, exceptions, n_exceptions);
    const Strings known_units(unit_offsets, units, n_units);
    Features features(classes, known, known_units);
    for (int64_t i = 0; i < n; i++) {
        double row[N_COLUMNS] = {};
        features.of(data + offsets[i], data + offsets[i + 1], row);
        for (int column = 0; column < N_COLUMNS; column++) columns[column * n + i] = row[column];
    }
}
