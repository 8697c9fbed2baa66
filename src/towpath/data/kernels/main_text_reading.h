// A page, read once: its events, the elements that count, its title and metas.
// main_text_reference.py says what is done and why.

#pragma once

#include "html_page.h"

namespace {

class Reading {
public:
    Reading(const Page& page, const Words& words, int32_t switches, int64_t* found)
        : page_(page), words_(words), main_((switches & MAIN) != 0), classes_(page, words, (switches & HIDE) != 0), found_(found) {}

    bool read() {
        int64_t position = 0, at = 0, start;
        while ((start = page_.find('<', at)) != NONE) {
            const Byte next = start + 1 < page_.size ? page_.bytes[start + 1] : 0;
            if (!is_letter(next) && next != '/' && next != '!' && next != '?') {
                at = start + 1;
                continue;
            }
            text(position, start);
            position = at = markup(start);
        }
        text(position, page_.size);
        close_to(0);
        return events.ok && nodes.ok && stack_.ok;
    }

    Rows<Event> events;
    Rows<Node> nodes;

private:
    int64_t markup(int64_t start) {
        if (page_.size - start >= 4 && std::memcmp(page_.bytes + start, "<!--", 4) == 0) return comment(start + 2);
        const bool closing = page_.bytes[start + 1] == '/';
        const int64_t name = closing ? start + 2 : start + 1;
        if (!page_.letter_at(name)) return page_.after('>', name);
        uint64_t hash = mixed(FNV_START, '<');
        int64_t end = name;
        for (; end < page_.size && !ends_name(page_.bytes[end]); ++end) hash = mixed(hash, lower(page_.bytes[end]));
        const uint32_t flags = words_.at(hash);
        if (!closing && flags & (RAW | SKIPPED | SKIPPED_MAIN | TITLE)) {
            const int64_t position = passed_over({name, end}, hash, flags);
            if (position != NONE) return position;
        }
        return tag(hash, flags, end, closing);
    }

    int64_t comment(int64_t from) const {
        for (int64_t at = from; (at = page_.find('-', at)) != NONE; ++at)
            if (page_.size - at >= 3 && page_.bytes[at + 1] == '-' && page_.bytes[at + 2] == '>') return at + 3;
        return page_.size;
    }

    int64_t passed_over(Span name, uint64_t hash, uint32_t flags) {
        if (flags & SKIPPED_MAIN && !main_) return NONE;
        for (int64_t i = 0; i < n_unclosed_; ++i)
            if (unclosed_[i] == hash) return NONE;
        const int64_t closing = closing_of(name);
        if (closing == NONE) {
            if (n_unclosed_ < 32) unclosed_[n_unclosed_++] = hash;
            return flags & RAW ? page_.size : NONE;
        }
        if (flags & TITLE && found_[0] < 0) {
            found_[0] = page_.after('>', name.end);
            found_[1] = found_[0] > closing ? found_[0] : closing;
        }
        return page_.after('>', closing + 2 + name.size());
    }

    int64_t closing_of(Span name) const {
        for (int64_t at = name.end; (at = page_.find('<', at)) != NONE; ++at) {
            const int64_t end = at + 2 + name.size();
            if (end >= page_.size || page_.bytes[at + 1] != '/' || !ends_name(page_.bytes[end])) continue;
            int64_t i = 0;
            while (i < name.size() && lower(page_.bytes[at + 2 + i]) == lower(page_.bytes[name.start + i])) ++i;
            if (i == name.size()) return at;
        }
        return NONE;
    }

    int64_t tag(uint64_t name, uint32_t flags, int64_t at, bool closing) {
        const bool reads = !closing && !(flags & FRAME) && (main_ || flags & META);
        uint32_t said = 0;
        Span meta[META_EQUIVALENT + 1];
        uint32_t stated = 0;
        while (true) {
            while (at < page_.size && (is_space(page_.bytes[at]) || page_.bytes[at] == '/')) ++at;
            if (at >= page_.size) return page_.size;
            if (page_.bytes[at] == '>') break;
            uint64_t hash = mixed(mixed(FNV_START, '@'), lower(page_.bytes[at]));
            const int64_t word = at++;
            for (; at < page_.size && !ends_name(page_.bytes[at]) && page_.bytes[at] != '='; ++at)
                hash = mixed(hash, lower(page_.bytes[at]));
            const int64_t word_end = at;
            Span value;
            if (!read_value(&at, &value)) return page_.size;
            if (!reads) continue;
            const uint32_t kind = words_.at(hash);
            if (!(flags & META)) {
                said |= said_by(kind, {word, word_end}, value);
            } else if (!(stated >> kind & 1)) {
                stated |= 1u << kind;
                meta[kind] = value;
            }
        }
        if (closing) {
            close(name, flags);
        } else if (flags & META) {
            read_meta(meta, stated);
        } else {
            open(name, flags, said);
        }
        return at + 1;
    }

    // The value after an attribute's name, if there is one; false where the page ends inside.
    bool read_value(int64_t* position, Span* value) const {
        int64_t at = *position;
        while (at < page_.size && is_space(page_.bytes[at])) ++at;
        if (at >= page_.size) return false;
        if (page_.bytes[at] != '=') return true;
        ++at;
        while (at < page_.size && is_space(page_.bytes[at])) ++at;
        if (at >= page_.size) return false;
        const Byte quote = page_.bytes[at];
        if (quote == '"' || quote == '\'') {
            const int64_t end = page_.find(quote, at + 1);
            if (end == NONE) return false;
            *value = {at + 1, end};
            *position = end + 1;
            return true;
        }
        value->start = at;
        while (at < page_.size && !is_space(page_.bytes[at]) && page_.bytes[at] != '>') ++at;
        value->end = at;
        *position = at;
        return at < page_.size;
    }

    uint32_t said_by(uint32_t kind, Span name, Span value) {
        switch (kind) {
            case CLASS:
            case ID: return classes_.said(value, kind);
            case PRESENT: return EXCLUDED;
            case STYLE: return hides(value, "display:none") || hides(value, "visibility:hidden") ? EXCLUDED : 0;
            case VALUED: {
                uint64_t hash = FNV_START;
                for (int64_t at = name.start; at < name.end; ++at) hash = mixed(hash, lower(page_.bytes[at]));
                hash = mixed(hash, '=');
                value = page_.stripped(value);
                for (int64_t at = value.start; at < value.end; ++at) hash = mixed(hash, lower(page_.bytes[at]));
                return words_.at(hash);
            }
        }
        return 0;
    }

    // Whether a style, without its spaces, has the words.
    bool hides(Span style, const char* words) const {
        for (int64_t start = style.start; start < style.end; ++start) {
            const char* word = words;
            for (int64_t at = start; at < style.end && *word; ++at) {
                if (is_space(page_.bytes[at]) && at > start) continue;
                if (lower(page_.bytes[at]) != static_cast<Byte>(*word)) break;
                ++word;
            }
            if (!*word) return true;
        }
        return false;
    }

    void read_meta(const Span* meta, uint32_t stated) {
        if (stated >> META_CHARSET & 1) found_meta(CHARSET, meta[META_CHARSET]);
        if (stated >> META_EQUIVALENT & 1) found_meta(HTTP_FIELD, meta[META_CONTENT]);
        const Span name = meta[META_NAME];
        if (name.size() == 6 && page_.starts(name.start, name.end, "robots")) found_meta(ROBOTS, meta[META_CONTENT]);
        if (name.size() == 15 && page_.starts(name.start, name.end, "tdm-reservation"))
            found_meta(RESERVATION, meta[META_CONTENT]);
    }

    void found_meta(int64_t kind, Span value) {
        if (found_[3] == MAX_METAS) return;
        int64_t* row = found_ + 4 + 3 * found_[3]++;
        row[0] = kind;
        row[1] = value.start;
        row[2] = value.end;
    }

    void text(int64_t start, int64_t end) {
        if (start == end) return;
        int64_t n_spaces = 0;
        for (int64_t at = start; at + 1 < end; ++at)
            n_spaces += is_space(page_.bytes[at]) & is_space(page_.bytes[at + 1]);
        const int64_t length = end - start - n_spaces - in_references(start, end);
        n_text_ += length;
        if (in_link_) n_links_ += length;
        events.push({start, end});
    }

    // Bytes of character references (&nbsp;) beyond one each.
    int64_t in_references(int64_t start, int64_t end) const {
        int64_t n_bytes = 0;
        while (const void* found = std::memchr(page_.bytes + start, '&', static_cast<size_t>(end - start))) {
            const int64_t at = static_cast<const Byte*>(found) - page_.bytes;
            start = at + 1;
            while (start < end && start - at <= 10 && is_in_reference(page_.bytes[start])) ++start;
            if (start < end && start - at > 1 && page_.bytes[start] == ';') n_bytes += start - at;
        }
        return n_bytes;
    }

    void open(uint64_t name, uint32_t flags, uint32_t said) {
        if (flags & FRAME) return;
        close_implied(flags);
        if (flags & VOID) {
            if (flags & (LINE_BREAK | BLOCK)) events.push({BREAK, flags & LINE_BREAK ? 1 : 0});
            return;
        }
        int64_t node = NONE;
        if (flags & (BLOCK | CELL | NEVER | NOT_MAIN) || said & ~NAMED) {
            node = nodes.size;
            nodes.push({stack_.size + 1, events.size, 0, n_text_, n_links_, flags, said});
            events.push({OPEN, node});
        }
        stack_.push({name, node, flags});
        if (flags & PARAGRAPH) ++n_paragraphs_;
        if (flags & LINK) in_link_ = true;
    }

    void close_implied(uint32_t flags) {
        if (flags & CLOSES_P && n_paragraphs_) close_nearest(PARAGRAPH, SCOPE);
        if (flags & HEADING && stack_.size && stack_.rows[stack_.size - 1].flags & HEADING) close_to(stack_.size - 1);
        if (flags & (ITEM | TERM)) close_nearest(flags & (ITEM | TERM), LIST | SCOPE);
        if (flags & LINK && in_link_) {
            in_link_ = false;
            close_nearest(LINK, BLOCK | SCOPE);
        }
        if (flags & ROWS && close_nearest(ROWS, TABLE)) return;
        if (flags & (ROWS | ROW) && close_nearest(ROW, TABLE)) return;
        if (flags & (ROWS | ROW | CELL)) close_nearest(CELL, TABLE);
    }

    bool close_nearest(uint32_t wanted, uint32_t stop) {
        for (int64_t at = stack_.size - 1; at >= 0 && at >= stack_.size - SEARCHED; --at) {
            const uint32_t flags = stack_.rows[at].flags;
            if (flags & wanted) {
                close_to(at);
                return true;
            }
            if (flags & stop) return false;
        }
        return false;
    }

    void close(uint64_t name, uint32_t flags) {
        if (flags & (FRAME | VOID)) {
            if (flags & LINE_BREAK) events.push({BREAK, 1});
            return;
        }
        if (flags & LINK) in_link_ = false;
        if (flags & PARAGRAPH) {
            if (!close_nearest(PARAGRAPH, SCOPE)) events.push({BREAK, 0});
        } else if (flags & HEADING) {
            close_nearest(HEADING, SCOPE);
        } else {
            close_same(name, flags);
        }
    }

    void close_same(uint64_t name, uint32_t flags) {
        const uint32_t stop = flags & (TABLE | ROWS | ROW | CELL) ? TABLE
            : flags & BLOCK ? SCOPE | (flags & ITEM ? LIST : 0)
                            : BLOCK | SCOPE;
        for (int64_t at = stack_.size - 1; at >= 0 && at >= stack_.size - SEARCHED; --at) {
            if (stack_.rows[at].name == name) return close_to(at);
            if (stack_.rows[at].flags & stop) return;
        }
    }

    void close_to(int64_t size) {
        while (stack_.size > size) {
            const Element element = stack_.rows[--stack_.size];
            if (element.flags & PARAGRAPH) --n_paragraphs_;
            if (element.flags & LINK) in_link_ = false;
            if (element.node < 0 || element.node >= nodes.size) continue;
            Node& node = nodes.rows[element.node];
            node.closed = events.size;
            node.text = n_text_ - node.text;
            node.links = n_links_ - node.links;
            events.push({CLOSE, element.node});
        }
    }

    const Page& page_;
    const Words& words_;
    const bool main_;
    Classes classes_;
    int64_t* found_;  // title's start and end, whether something is hidden, how many metas, their kind, start, end
    Rows<Element> stack_;
    int64_t n_text_ = 0, n_links_ = 0, n_paragraphs_ = 0, n_unclosed_ = 0;
    bool in_link_ = false;
    uint64_t unclosed_[32];
};

}  // namespace
