// Cuts from a page what the extraction of its text never looks at, in one linear pass.
// html_trim.py says what; its reference gives the same bytes. The output has at most twice the bytes of the input.

#include <cstdint>
#include <cstring>

namespace {

constexpr int64_t kNone = -1;

bool is_space(uint8_t c) { return c <= ' ' && ((1ull << c) & 0x100003600ull) != 0; }  // HTML's, without \v
bool is_letter(uint8_t c) { return static_cast<uint8_t>((c | 32) - 'a') < 26; }
uint8_t lower(uint8_t c) { return static_cast<uint8_t>(c - 'A') < 26 ? c | 32 : c; }

struct Words {
    const char* const* words;
    int count;
    uint32_t initials;  // a bit for each first letter

    constexpr Words(const char* const* some, int how_many) : words(some), count(how_many), initials(0) {
        for (int i = 0; i < how_many; ++i) initials |= 1u << (some[i][0] & 31);
    }
    bool may_start(uint8_t c) const { return is_letter(c) && (initials >> (c & 31) & 1) != 0; }
};

// Which of the words these bytes are in any case, or -1.
int which(const Words& words, const uint8_t* bytes, int64_t length) {
    if (!words.may_start(bytes[0])) return -1;
    for (int i = 0; i < words.count; ++i) {
        const char* word = words.words[i];
        if (static_cast<uint8_t>(word[0]) != lower(bytes[0])) continue;
        int64_t at = 1;
        while (at < length && word[at] && static_cast<uint8_t>(word[at]) == lower(bytes[at])) ++at;
        if (at == length && word[at] == 0) return i;
    }
    return -1;
}

// The first kNeverRead are cut from every page, the others where only the main content is wanted.
constexpr int kNeverRead = 6;
constexpr const char* kCut[] = {"script", "style", "svg", "noscript", "iframe", "template",
                            "nav", "select", "footer", "object", "canvas", "video", "audio"};
constexpr const char* kVerbatim[] = {"pre", "title", "textarea", "xmp"};
constexpr const char* kVoid[] = {"img", "link", "source", "input", "embed", "track", "area", "wbr"};
constexpr const char* kEmptied[] = {"div", "span", "a", "p", "li", "i"};
constexpr const char* kKept[] = {"class", "id", "role", "hidden", "style", "name", "content",
                             "itemprop", "rel", "charset", "http-equiv", "aria-hidden", "aria-expanded", "data-ad", "data-advertisement", "data-text-ad"};
// A meta element that names none of these goes.
constexpr const char* kMeta[] = {"charset", "robots", "tdm-"};
constexpr const char* kHiddenClass[] = {"comment", "cookie", "footer", "caption", "byline", "promo", "newsletter", "copyright"};
constexpr int kClass = 0, kId = 1, kHiddenIds = 3;  // places in kKept; an id is looked at for the first three words
constexpr Words kHiddenWords{kHiddenClass, 8}, kHiddenIdWords{kHiddenClass, kHiddenIds}, kMetaWords{kMeta, 3};
constexpr Words kEmptiedWords{kEmptied, 6};
constexpr Words kCutWords{kCut, 13}, kVerbatimWords{kVerbatim, 4}, kVoidWords{kVoid, 8}, kKeptWords{kKept, 16};

class Trimmer {
public:
    Trimmer(const uint8_t* page, int64_t size, bool main_content, bool slim, bool hide, uint8_t* out)
        : page_(page), size_(size), n_cut_(main_content ? kCutWords.count : kNeverRead), slim_(slim), hide_(hide), out_(out) {}

    int64_t run() {
        int64_t position = 0;
        while (position < size_) {
            const int64_t open = find('<', position);
            copy_text(position, open == kNone ? size_ : open);
            if (open == kNone) break;
            if (markup(open)) {
                position = next_;
            } else {
                out_[n_++] = '<';
                position = open + 1;
            }
        }
        return n_;
    }

private:
    // Whether there is a tag or comment at `open` that was dealt with, up to next_.
    bool markup(int64_t open) {
        const int64_t left = size_ - open;
        if (left >= 4 && std::memcmp(page_ + open, "<!--", 4) == 0) return comment(open);
        const bool closing = left >= 2 && page_[open + 1] == '/';
        const int64_t name = open + 1 + (closing ? 1 : 0);
        if (name >= size_ || !is_letter(page_[name])) return false;
        int64_t name_end = name;
        while (name_end < size_ && !is_space(page_[name_end]) && page_[name_end] != '/' && page_[name_end] != '>')
            ++name_end;
        if (name_end == size_) return false;
        if (!closing && element(open, name, name_end)) return true;
        return slim_ && !cut_short_ && tag(open, name_end, closing);
    }

    bool comment(int64_t open) {
        if (comment_unclosed_) return false;
        for (int64_t at = open + 4; (at = find('-', at)) != kNone; ++at) {
            if (size_ - at >= 3 && page_[at + 1] == '-' && page_[at + 2] == '>') return cut(at + 3);
        }
        comment_unclosed_ = true;
        return false;
    }

    bool cut(int64_t end) {
        out_[n_++] = ' ';
        next_ = end;
        return true;
    }

    // An element that goes, or stays as it is, up to the end of its closing tag.
    bool element(int64_t open, int64_t name, int64_t name_end) {
        const int cut_index = which(kCutWords, page_ + name, name_end - name);
        if (cut_index >= 0 && cut_index < n_cut_) {
            const int64_t end = closed(kCut[cut_index], name_end, 1u << cut_index);
            return end != kNone && cut(end);
        }
        if (!slim_) return false;
        const int index = which(kVerbatimWords, page_ + name, name_end - name);
        if (index < 0) return false;
        const int64_t end = closed(kVerbatim[index], name_end, 1u << (kCutWords.count + index));
        if (end == kNone) return false;
        copy(open, end);
        next_ = end;
        return true;
    }

    int64_t closed(const char* name, int64_t from, uint32_t bit) {
        if (unclosed_ & bit) return kNone;
        const int64_t length = static_cast<int64_t>(std::strlen(name));
        for (int64_t at = from; (at = find('<', at)) != kNone; ++at) {
            int64_t end = at + 2 + length;
            if (end >= size_ || page_[at + 1] != '/' || !same(at + 2, name, length)) continue;
            while (end < size_ && is_space(page_[end])) ++end;
            if (end < size_ && page_[end] == '>') return end + 1;
        }
        unclosed_ |= bit;
        return kNone;
    }

    // A tag with the attributes that count; after one that has no end the rest stays as it is.
    bool tag(int64_t open, int64_t name_end, bool closing) {
        const int64_t start = n_;
        const int64_t name = open + 1 + (closing ? 1 : 0);
        const bool gone = which(kVoidWords, page_ + name, name_end - name) >= 0;
        copy(open, name_end);
        int64_t at = name_end;
        const int64_t attributes = n_;
        bool dropped = false, hidden = hide_ && !closing && same_tag(name, name_end, "figcaption");
        while (true) {
            const int64_t separator = at;
            while (at < size_ && (is_space(page_[at]) || page_[at] == '/')) ++at;
            if (at >= size_) return never_ends(start);
            if (page_[at] == '>') {
                if (at > separator && page_[at - 1] == '/') out_[n_++] = '/';
                break;
            }
            const int64_t attribute = at;
            int64_t word_end;
            at = attribute_end(at, &word_end);
            if (at == kNone) return never_ends(start);
            const int index = closing ? -1 : which(kKeptWords, page_ + attribute, word_end - attribute);
            const bool kept = index >= 0;
            if (kept) {
                if (index == kClass) hidden |= hide_ && holds(word_end, at, kHiddenWords);
                if (index == kId) hidden |= hide_ && holds(word_end, at, kHiddenIdWords);
                if (dropped || attribute > separator) out_[n_++] = ' ';
                copy(attribute, at);
            }
            dropped = !kept;
        }
        if (hidden) {
            n_ = attributes;
            std::memcpy(out_ + n_, " hidden", 7);
            n_ += 7;
        }
        out_[n_++] = '>';
        next_ = at + 1;
        if (gone || (same_tag(name, name_end, "meta") && !holds(name_end, at, kMetaWords))) {
            n_ = start;
            return true;
        }
        const int emptied = which(kEmptiedWords, page_ + name, name_end - name);
        if (!closing) {
            opened_ = emptied;
            opened_start_ = start;
            opened_end_ = n_;
            return true;
        }
        if (emptied >= 0 && emptied == opened_ && is_blank(opened_end_, start)) {
            n_ = opened_start_;
            if (start > opened_end_) out_[n_++] = ' ';
        }
        opened_ = -1;
        return true;
    }

    bool is_blank(int64_t from, int64_t to) const {
        while (from < to && is_space(out_[from])) ++from;
        return from == to;
    }

    bool never_ends(int64_t start) {
        n_ = start;
        cut_short_ = true;
        return false;
    }

    int64_t attribute_end(int64_t at, int64_t* word_end) {
        ++at;  // a name may start with =
        while (at < size_ && !is_space(page_[at]) && page_[at] != '/' && page_[at] != '>' && page_[at] != '=') ++at;
        *word_end = at;
        int64_t equals = at;
        while (equals < size_ && is_space(page_[equals])) ++equals;
        if (equals >= size_) return kNone;
        if (page_[equals] != '=') return at;
        at = equals + 1;
        while (at < size_ && is_space(page_[at])) ++at;
        if (at >= size_) return kNone;
        if (page_[at] == '"' || page_[at] == '\'') {
            const int64_t quote = find(page_[at], at + 1);
            return quote == kNone ? kNone : quote + 1;
        }
        while (at < size_ && !is_space(page_[at]) && page_[at] != '>') ++at;
        return at < size_ ? at : kNone;
    }

    // Whether one of the words is between, in any case.
    bool holds(int64_t from, int64_t to, const Words& words) const {
        for (int64_t at = from; at < to; ++at) {
            if (!words.may_start(page_[at])) continue;
            const uint8_t first = lower(page_[at]);
            for (int i = 0; i < words.count; ++i) {
                const char* word = words.words[i];
                if (first != static_cast<uint8_t>(word[0])) continue;
                const int64_t length = static_cast<int64_t>(std::strlen(word));
                if (at + length <= to && same(at, word, length)) return true;
            }
        }
        return false;
    }

    // `at + length` is within the page.
    bool same(int64_t at, const char* word, int64_t length) const {
        for (int64_t i = 0; i < length; ++i)
            if (lower(page_[at + i]) != static_cast<uint8_t>(word[i])) return false;
        return true;
    }

    bool same_tag(int64_t name, int64_t name_end, const char* word) const {
        const int64_t length = static_cast<int64_t>(std::strlen(word));
        return name_end - name == length && same(name, word, length);
    }

    int64_t find(uint8_t byte, int64_t from) const {
        if (from >= size_) return kNone;
        const void* found = std::memchr(page_ + from, byte, static_cast<size_t>(size_ - from));
        return found ? static_cast<const uint8_t*>(found) - page_ : kNone;
    }

    void copy(int64_t from, int64_t to) {
        std::memcpy(out_ + n_, page_ + from, static_cast<size_t>(to - from));
        n_ += to - from;
    }

    // Text with one space in place of several, unless only elements are cut.
    void copy_text(int64_t from, int64_t to) {
        if (!slim_) return copy(from, to);
        while (from < to) {
            int64_t end = from;
            while (end < to && !(is_space(page_[end]) && end + 1 < to && is_space(page_[end + 1]))) ++end;
            copy(from, end);
            if (end == to) return;
            out_[n_++] = ' ';
            while (end < to && is_space(page_[end])) ++end;
            from = end;
        }
    }

    const uint8_t* page_;
    int64_t size_;
    int n_cut_;
    bool slim_, hide_;
    uint8_t* out_;
    int64_t n_ = 0, next_ = 0;
    int opened_ = -1;  // the last tag written, when it opens one of kEmptied, and where it is in out_
    int64_t opened_start_ = 0, opened_end_ = 0;
    uint32_t unclosed_ = 0;
    bool comment_unclosed_ = false, cut_short_ = false;
};

}  // namespace

extern "C" __attribute__((visibility("default"))) int64_t html_trim(
    const uint8_t* page, int64_t size, int32_t main_content, int32_t slim, int32_t hide, uint8_t* out) {
    return Trimmer(page, size, main_content != 0, slim != 0, hide != 0, out).run();
}
