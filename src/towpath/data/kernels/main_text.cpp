// The main text of a page in one pass over its bytes and one over what was found.
// main_text_reference.py says what is done and why; it gives the same bytes.

#include "main_text_reading.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

class Writer {
public:
    Writer(const Page& page, const Reading& reading, int32_t switches, int64_t* found, Byte* out)
        : page_(page), reading_(reading), main_((switches & MAIN) != 0), found_(found), out_(out) {
        unwanted_ = (switches & NO_LISTS ? LIST : 0) | (switches & NO_TABLES ? TABLE : 0) | (switches & NO_CODE ? PRE : 0);
    }

    // How many bytes were written; -1 when there is no memory.
    int64_t write() {
        int64_t at, end;
        chosen(&at, &end);
        while (at < end) {
            const Event event = reading_.events.rows[at++];
            if (event.kind >= 0) {
                text(event.kind, event.value);
            } else if (event.kind == BREAK) {
                margin_ = event.value ? (margin_ < 2 ? margin_ + 1 : 2) : (margin_ ? margin_ : 1);
                at_start_ = true;
            } else {
                const Node& node = reading_.nodes.rows[event.value];
                if (event.kind == OPEN && leaves_out(node)) {
                    at = node.closed + 1;
                } else {
                    block(node.flags, event.kind == OPEN);
                }
            }
        }
        strip();
        return lists_.ok ? n_ : NONE;
    }

private:
    // The events of the only element that says it is the article, or all.
    void chosen(int64_t* at, int64_t* end) const {
        int64_t n_roots = 0;
        *at = 0;
        *end = reading_.events.size;
        for (int64_t i = 0; main_ && i < reading_.nodes.size; ++i) {
            const Node& node = reading_.nodes.rows[i];
            if (!(node.said & ROOT)) continue;
            if (n_roots++ == 0) {
                *at = node.opened + 1;
                *end = node.closed;
            } else {
                *at = 0;
                *end = reading_.events.size;
            }
        }
    }

    bool leaves_out(const Node& node) {
        const uint32_t flags = node.flags, said = node.said;
        if (flags & (NEVER | unwanted_)) return true;
        if (!main_ || flags & KEPT) return false;
        if (flags & NOT_MAIN || said & EXCLUDED || (said & EXCLUDED_ITEM && flags & ITEM_LIKE)) return true;
        if (said & CALLED_SO && !n_pre_) {
            found_[2] = 1;
            return true;
        }
        if (flags & BULLETS && is_links(node, 5, 0)) return true;
        if (flags & ARTICLE && is_links(node, 5, 500)) return true;
        if (flags & (BLOCK | CELL) && said & NAMED) {
            if (said & WANTED) return false;
            if (said & EXCLUDED_BLOCK) return true;
        }
        if (!(flags & DIVISION)) return false;
        return (node.depth > 2 || said & NAMED) && is_links(node, 15, said & NAMED ? 1500 : 800);
    }

    static bool is_links(const Node& node, int64_t of_25, int64_t max_length) {
        if (max_length && node.text > max_length) return false;
        return node.links > 0 && 25 * node.links > of_25 * node.text;
    }

    void block(uint32_t flags, bool opens) {
        if (flags & CELL) {
            in_cell_ = opens;
            at_start_ = true;
            return;
        }
        if (!(flags & BLOCK)) return;
        if (flags & PRE) {
            n_pre_ += opens ? 1 : -1;
            after_pre_ = opens;
        }
        const int64_t lines = flags & BIG && !n_pre_ ? 2 : 1;
        if (margin_ < lines) margin_ = lines;
        at_start_ = true;
        if (flags & LIST) {
            prefix_ = 0;
            if (opens) {
                lists_.push(flags & NUMBERED ? 1 : 0);
            } else if (lists_.size) {
                --lists_.size;
            }
        } else if (flags & ITEM) {
            item(opens);
        }
    }

    void item(bool opens) {
        prefix_ = 0;
        if (!opens) return;
        if (!lists_.size || !lists_.rows[lists_.size - 1]) {
            std::memcpy(prefix_bytes_, "\xe2\x80\xa2 ", 4);
            prefix_ = 4;
            return;
        }
        Byte digits[20];
        int64_t n_digits = 0;
        for (int64_t number = lists_.rows[lists_.size - 1]++; number; number /= 10)
            digits[n_digits++] = static_cast<Byte>('0' + number % 10);
        while (n_digits) prefix_bytes_[prefix_++] = digits[--n_digits];
        prefix_bytes_[prefix_++] = '.';
        prefix_bytes_[prefix_++] = ' ';
    }

    void text(int64_t start, int64_t end) {
        if (is_icon(page_.stripped({start, end}))) return;
        if (n_pre_) return verbatim(start, end);
        if (at_start_ || n_ == 0 || is_space(out_[n_ - 1])) {
            while (start < end && is_space(page_.bytes[start])) ++start;
        }
        if (start == end) return;
        before_text();
        while (start < end) {
            const Byte c = page_.bytes[start++];
            if (!is_space(c)) {
                out_[n_++] = c;
                continue;
            }
            out_[n_++] = ' ';
            while (start < end && is_space(page_.bytes[start])) ++start;
        }
    }

    void verbatim(int64_t start, int64_t end) {
        if (after_pre_) {
            if (page_.bytes[start] == '\r') {
                start += start + 1 < end && page_.bytes[start + 1] == '\n' ? 2 : 1;
            } else if (page_.bytes[start] == '\n') {
                ++start;
            }
        }
        after_pre_ = false;
        if (start == end) return;
        before_text();
        for (; start < end; ++start) {
            const Byte c = page_.bytes[start];
            if (c == '\r' && start + 1 < end && page_.bytes[start + 1] == '\n') continue;
            out_[n_++] = c == '\r' ? '\n' : c;
        }
    }

    void before_text() {
        if (margin_ || in_cell_) strip();
        if (margin_ || n_ == 0) {
            for (int64_t line = 0; n_ && line < margin_; ++line) out_[n_++] = '\n';
            int64_t indents = lists_.size < MAX_INDENTS ? lists_.size : MAX_INDENTS;
            if (lists_.size ? prefix_ == 0 : prefix_ > 0) ++indents;
            std::memset(out_ + n_, ' ', static_cast<size_t>(2 * indents));
            n_ += 2 * indents;
        } else if (in_cell_) {
            out_[n_++] = '\t';
            out_[n_++] = '\t';
        }
        std::memcpy(out_ + n_, prefix_bytes_, static_cast<size_t>(prefix_));
        n_ += prefix_;
        prefix_ = margin_ = 0;
        at_start_ = in_cell_ = false;
    }

    bool is_icon(Span text) const {
        const Byte* bytes = page_.bytes + text.start;
        if (text.size() == 2) return bytes[0] == 0xc2 && bytes[1] == 0xb6;
        if (text.size() != 3) return false;
        const uint32_t code = static_cast<uint32_t>(bytes[0]) << 16 | static_cast<uint32_t>(bytes[1]) << 8 | bytes[2];
        return code >= 0xee8080 && code <= 0xefa3bf;
    }

    void strip() {
        while (n_ && is_space(out_[n_ - 1])) --n_;
    }

    const Page& page_;
    const Reading& reading_;
    const bool main_;
    uint32_t unwanted_;
    int64_t* found_;
    Byte* out_;
    int64_t n_ = 0, margin_ = 0, n_pre_ = 0, prefix_ = 0;
    bool at_start_ = true, in_cell_ = false, after_pre_ = false;
    Rows<int64_t> lists_;
    Byte prefix_bytes_[32] = {};
};

}  // namespace

// `found` has room for 4 + 3 * MAX_METAS numbers, `out` for 10 bytes a byte of the page and 64 more.
EXPORT int64_t main_text(
    const uint8_t* bytes, int64_t size, int32_t switches, const uint64_t* keys, const uint32_t* bits, uint64_t mask,
    int64_t* found, uint8_t* out) {
    const Page page{bytes, size};
    const Words words{keys, bits, mask};
    found[0] = found[1] = NONE;
    found[2] = found[3] = 0;
    Reading reading(page, words, switches, found);
    return reading.read() ? Writer(page, reading, switches, found, out).write() : NONE;
}
