// Wikitext to plain text: the passes of sources/wikitext.py, which is their oracle, over UTF-8 bytes.
//
// Every pass but the last shrinks the text in place; each is linear, whatever is opened and never
// closed. Only ASCII bytes carry meaning, so bytes of longer characters are copied as they are.

#include <cstdint>
#include <cstring>
#include <initializer_list>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

using Byte = unsigned char;

const char* const DROPPED[] = {"ref", "gallery", "math", "chem", "timeline", "imagemap",
                               "score", "graph", "templatedata"};
constexpr int N_DROPPED = 9, MATH = 2, CHEM = 3;
const char HIDDEN_FROM[] = "{}[]|'<>()_=", HIDDEN_TO[] = "\x01\x02\x03\x04\x05\x06\x0e\x0f\x10\x11\x12\x13";

bool is_space(Byte c) { return c == ' ' || (c >= 9 && c <= 13); }
bool is_upper(Byte c) { return c >= 'A' && c <= 'Z'; }
bool is_lower(Byte c) { return c >= 'a' && c <= 'z'; }
bool is_word(Byte c) { return is_upper(c) || is_lower(c) || (c >= '0' && c <= '9') || c == '_'; }
Byte lower(Byte c) { return is_upper(c) ? static_cast<Byte>(c + 32) : c; }

struct Text {
    Byte* data;
    int64_t size;
    bool at(int64_t i, const char* word) const {
        const int64_t n = static_cast<int64_t>(std::strlen(word));
        return i + n <= size && std::memcmp(data + i, word, static_cast<size_t>(n)) == 0;
    }
    // Where `c` stands next; size where it does not.
    int64_t find(Byte c, int64_t from) const {
        if (from >= size) return size;
        const void* found = std::memchr(data + from, c, static_cast<size_t>(size - from));
        return found ? static_cast<const Byte*>(found) - data : size;
    }
    int64_t copy(int64_t write, int64_t from, int64_t to) {
        if (to > from && write != from) std::memmove(data + write, data + from, static_cast<size_t>(to - from));
        return to > from ? write + (to - from) : write;
    }
};

// Cuts what `end_of` recognises at each `first`: it gives the end of the match, or -1.
template <typename EndOf> void cut(Text& text, Byte first, EndOf end_of) {
    int64_t write = 0, read = 0, i = text.find(first, 0);
    while (i < text.size) {
        const int64_t end = end_of(i);
        if (end < 0) {
            i = text.find(first, i + 1);
            continue;
        }
        write = text.copy(write, read, i);
        read = end;
        i = text.find(first, end);
    }
    text.size = text.copy(write, read, text.size);
}

void without_comments(Text& text) {
    cut(text, '<', [&](int64_t i) -> int64_t {
        if (!text.at(i, "<!--")) return -1;
        for (int64_t j = text.find('-', i + 4); j < text.size; j = text.find('-', j + 1))
            if (text.at(j, "-->")) return j + 3;
        return text.size;
    });
}

struct Tag {
    int kind = -1;
    bool closing = false, empty = false;
    int64_t end = 0;
};

Tag tag_at(const Text& text, int64_t i) {
    Tag tag;
    int64_t j = i + 1;
    tag.closing = j < text.size && text.data[j] == '/';
    j += tag.closing;
    for (int kind = 0; kind < N_DROPPED && tag.kind < 0; ++kind) {
        const int64_t n = static_cast<int64_t>(std::strlen(DROPPED[kind]));
        if (j + n >= text.size || is_word(text.data[j + n])) continue;
        int64_t k = 0;
        while (k < n && lower(text.data[j + k]) == static_cast<Byte>(DROPPED[kind][k])) ++k;
        if (k == n) tag.kind = kind, tag.end = j + n;
    }
    if (tag.kind < 0) return tag;
    const int64_t start = tag.end;
    while (tag.end < text.size && text.data[tag.end] != '<' && text.data[tag.end] != '>') ++tag.end;
    if (tag.end == text.size || text.data[tag.end] == '<') return Tag{};
    tag.empty = tag.end > start && text.data[tag.end - 1] == '/';
    ++tag.end;
    return tag;
}

int64_t write_formula(Text& text, int64_t write, int64_t from, int64_t to) {
    while (from < to && is_space(text.data[from])) ++from;
    while (to > from && is_space(text.data[to - 1])) --to;
    if (from == to) return write;
    text.data[write++] = '$';
    for (; from < to; ++from) {
        const Byte c = text.data[from];
        const char* hidden = c ? std::strchr(HIDDEN_FROM, c) : nullptr;
        text.data[write++] = hidden ? static_cast<Byte>(HIDDEN_TO[hidden - HIDDEN_FROM]) : (c == '\n' ? ' ' : c);
    }
    text.data[write++] = '$';
    return write;
}

void without_tags(Text& text) {
    int64_t write = 0, read = 0, open_at = 0, i = text.find('<', 0);
    int open = -1;
    while (i < text.size) {
        const Tag tag = tag_at(text, i);
        if (tag.kind < 0) {
            i = text.find('<', i + 1);
            continue;
        }
        if (open < 0) {
            write = text.copy(write, read, i);
            read = tag.end;
            if (!tag.closing && !tag.empty) open = tag.kind, open_at = tag.end;
        } else if (tag.closing && tag.kind == open) {
            if (open == MATH || open == CHEM) write = write_formula(text, write, open_at, i);
            read = tag.end;
            open = -1;
        }
        i = text.find('<', tag.end);
    }
    text.size = text.copy(write, open < 0 ? read : open_at, text.size);
}

struct Names {  // lower-case names, each with a line feed behind it
    const Byte* data;
    int64_t size;
    bool has(const Byte* name, int64_t n) const {
        for (int64_t start = 0, i = 0; i < size; ++i) {
            if (data[i] != '\n') continue;
            if (i - start == n) {
                int64_t k = 0;
                while (k < n && lower(name[k]) == data[start + k]) ++k;
                if (k == n) return true;
            }
            start = i + 1;
        }
        return false;
    }
};

bool is_language(const Byte* name, int64_t n) {  // [a-z]{2,3}(-[a-z]+)*
    int64_t i = 0;
    while (i < n && is_lower(name[i])) ++i;
    if (i < 2 || i > 3) return false;
    while (i < n) {
        if (name[i] != '-' || i + 1 == n || !is_lower(name[i + 1])) return false;
        for (++i; i < n && is_lower(name[i]);) ++i;
    }
    return true;
}

// The words of the link data[start:end], written at its start; gives where they end.
int64_t link_words(Text& text, int64_t start, int64_t end, const Names& names) {
    Byte* data = text.data;
    int64_t bar = start, last_bar = -1;
    while (bar < end && data[bar] != '|') ++bar;
    for (int64_t i = end; i-- > bar && last_bar < 0;)
        if (data[i] == '|') last_bar = i;
    int64_t from = start, colon = start;
    while (colon < bar && data[colon] != ':') ++colon;
    if (colon < bar) {
        int64_t to = colon;
        while (from < to && is_space(data[from])) ++from;
        while (to > from && is_space(data[to - 1])) --to;
        if (names.has(data + from, to - from) || is_language(data + from, to - from)) return start;
    }
    if (last_bar >= 0 && last_bar + 1 < end) return text.copy(start, last_bar + 1, end);
    from = start;
    int64_t to = bar;
    while (from < to && is_space(data[from])) ++from;
    while (to > from && is_space(data[to - 1])) --to;
    while (from < to && data[from] == ':') ++from;
    for (; from < to; ++from) data[start++] = data[from] == '_' ? ' ' : data[from];
    return start;
}

enum Bracket { BRACES, TABLE, LINK };

// `stack` has room for one bracket for every two bytes.
void without_brackets(Text& text, const Names& names, int64_t* stack) {
    int64_t write = 0, depth = 0, n_open[3] = {0, 0, 0};
    for (int64_t i = 0; i < text.size;) {
        const Byte c = text.data[i], next = i + 1 < text.size ? text.data[i + 1] : 0;
        int opens = -1, closes = -1;
        if (c == '{') opens = next == '{' ? BRACES : next == '|' ? TABLE : -1;
        else if (c == '[') opens = next == '[' ? LINK : -1;
        else if (c == '}') closes = next == '}' ? BRACES : -1;
        else if (c == '|') closes = next == '}' ? TABLE : -1;
        else if (c == ']') closes = next == ']' ? LINK : -1;
        if (opens < 0 && closes < 0) {
            text.data[write++] = c;
            ++i;
            continue;
        }
        i += 2;
        if (opens >= 0) {
            stack[depth++] = write * 4 + opens;
            ++n_open[opens];
        } else if (n_open[closes]) {
            int64_t top;
            do {  // what was opened inside and not closed is text
                top = stack[--depth];
                --n_open[top % 4];
            } while (top % 4 != closes);
            write = closes == LINK ? link_words(text, top / 4, write, names) : top / 4;
        }
    }
    text.size = write;
}

// [https://address words] leaves its words.
void without_external_links(Text& text) {
    int64_t write = 0, read = 0;
    for (int64_t i = text.find('[', 0); i < text.size; i = text.find('[', i)) {
        int64_t j = i + 1;
        for (const char* scheme : {"http:", "https:", "ftp:", "mailto:"})
            if (text.at(i + 1, scheme)) j = i + 1 + static_cast<int64_t>(std::strlen(scheme));
        ++i;
        if (!text.at(j, "//")) continue;
        const int64_t address = j += 2;
        while (j < text.size && !is_space(text.data[j]) && text.data[j] != '[' && text.data[j] != ']') ++j;
        if (j == address) continue;
        int64_t words = j;
        while (words < text.size && (text.data[words] == ' ' || text.data[words] == '\t')) ++words;
        int64_t end = words;
        if (words > j)
            while (end < text.size && text.data[end] != '[' && text.data[end] != ']' && text.data[end] != '\n') ++end;
        if (end == text.size || text.data[end] != ']') continue;
        write = text.copy(write, read, i - 1);
        write = text.copy(write, words, end);
        i = read = end + 1;
    }
    text.size = text.copy(write, read, text.size);
}

void without_emphasis(Text& text) {
    cut(text, '\'', [&](int64_t i) -> int64_t {
        int64_t j = i;
        while (j < text.size && j - i < 5 && text.data[j] == '\'') ++j;
        return j - i >= 2 ? j : -1;
    });
}

void without_other_tags(Text& text) {
    cut(text, '<', [&](int64_t i) -> int64_t {
        int64_t j = i + 1;
        j += j < text.size && text.data[j] == '/';
        if (j >= text.size || !is_lower(lower(text.data[j]))) return -1;
        while (j < text.size && text.data[j] != '<' && text.data[j] != '>' && text.data[j] != '\n') ++j;
        return j < text.size && text.data[j] == '>' ? j + 1 : -1;
    });
}

void without_magic_words(Text& text) {
    cut(text, '_', [&](int64_t i) -> int64_t {
        if (!text.at(i, "__")) return -1;
        int64_t j = i + 2;
        while (j < text.size && is_upper(text.data[j])) ++j;
        return j - i >= 5 && text.at(j, "__") ? j + 2 : -1;
    });
}

// "()" and " ( , )", which templates leave behind.
void without_empty_parentheses(Text& text) {
    int64_t write = 0, read = 0;
    for (int64_t i = text.find('(', 0); i < text.size; i = text.find('(', i)) {
        int64_t j = i + 1;
        while (j < text.size && text.data[j] && std::strchr(" ,;:", text.data[j])) ++j;
        if (j < text.size && text.data[j] == ')') {
            write = text.copy(write, read, i > read && text.data[i - 1] == ' ' ? i - 1 : i);
            read = j + 1;
        }
        i = j;
    }
    text.size = text.copy(write, read, text.size);
}

// Blanks before a comma or a closing parenthesis.
void without_orphaned_blanks(Text& text) {
    int64_t write = 0;
    for (int64_t i = 0; i < text.size;) {
        if (text.data[i] != ' ') {
            text.data[write++] = text.data[i++];
            continue;
        }
        int64_t j = i;
        while (j < text.size && text.data[j] == ' ') ++j;
        const bool orphaned = write > 0 && !is_space(text.data[write - 1]) && j < text.size &&
                              (text.data[j] == ',' || text.data[j] == ')');
        if (!orphaned) write = text.copy(write, i, j);
        i = j;
    }
    text.size = write;
}

struct Line {
    const Byte* data;
    int64_t size;
    Line stripped() const {
        Line line = *this;
        while (line.size && is_space(line.data[0])) ++line.data, --line.size;
        while (line.size && is_space(line.data[line.size - 1])) --line.size;
        return line;
    }
};

int64_t squeeze(Byte* data, int64_t size) {
    int64_t write = 0;
    for (int64_t i = 0; i < size; ++i) {
        const Byte c = data[i] == '\t' ? ' ' : data[i];
        if (c != ' ' || write == 0 || data[write - 1] != ' ') data[write++] = c;
    }
    return write;
}

int64_t heading_level(const Line& line) {  // 0 where it is none
    int64_t level = 0;
    while (level < line.size && line.data[level] == '=') ++level;
    if (level == 0 || level > 6 || line.size < 2 * level + 1) return 0;
    for (int64_t i = 1; i <= level; ++i)
        if (line.data[line.size - i] != '=') return 0;
    return level;
}

bool is_marker(Byte c) { return c == '*' || c == '#' || c == ':' || c == ';'; }

struct Output {
    Byte* data;
    int64_t size = 0;
    bool started = false;
    void line(const char* start, const Line& words) {
        if (started) data[size++] = '\n';
        started = true;
        while (*start) data[size++] = static_cast<Byte>(*start++);
        if (words.size) std::memcpy(data + size, words.data, static_cast<size_t>(words.size));
        size += words.size;
    }
};

int64_t paragraphs(Text& text, Byte* out) {
    Output output{out};
    Line headings[6];
    int64_t levels[6], n_headings = 0;
    bool gap = false;
    for (int64_t start = 0; start <= text.size;) {
        const int64_t end = text.find('\n', start);
        Line line = Line{text.data + start, squeeze(text.data + start, end - start)}.stripped();
        start = end + 1;
        if (const int64_t level = heading_level(line)) {
            while (n_headings && levels[n_headings - 1] >= level) --n_headings;
            levels[n_headings] = level;
            headings[n_headings++] = Line{line.data + level, line.size - 2 * level}.stripped();
            continue;
        }
        const char* dash = "";
        int64_t markers = 0;
        while (markers < line.size && is_marker(line.data[markers])) ++markers;
        if (markers) {
            const Byte last = line.data[markers - 1];
            dash = last == '*' || last == '#' ? "- " : "";
            line = Line{line.data + markers, line.size - markers}.stripped();
        }
        if (line.size == 0 || (line.size == 1 && line.data[0] == '-' && !*dash)) {
            gap = true;
            continue;
        }
        for (int64_t i = 0; i < n_headings; ++i) output.line("", {nullptr, 0}), output.line("", headings[i]);
        if (gap || n_headings) output.line("", {nullptr, 0});
        output.line(dash, line);
        gap = false;
        n_headings = 0;
    }
    return output.size;
}

}  // namespace

// Markup up to character references; gives the size of what is left of data[0:size].
// `stack`: room for size / 2 + 1 numbers. `names`: see Names.
EXPORT int64_t without_markup(Byte* data, int64_t size, const Byte* names, int64_t names_size, int64_t* stack) {
    Text text{data, size};
    without_comments(text);
    without_tags(text);
    without_brackets(text, Names{names, names_size}, stack);
    without_external_links(text);
    without_emphasis(text);
    without_other_tags(text);
    without_magic_words(text);
    return text.size;
}

// Lines tidied, after character references were resolved; `out`: room for 2 * size + 16 bytes.
EXPORT int64_t tidy_lines(Byte* data, int64_t size, Byte* out) {
    Text text{data, size};
    without_empty_parentheses(text);
    without_orphaned_blanks(text);
    Byte shown[256];
    for (int i = 0; i < 256; ++i) shown[i] = static_cast<Byte>(i);
    for (int i = 0; HIDDEN_TO[i]; ++i) shown[static_cast<Byte>(HIDDEN_TO[i])] = static_cast<Byte>(HIDDEN_FROM[i]);
    const int64_t n = paragraphs(text, out);
    for (int64_t i = 0; i < n; ++i) out[i] = shown[out[i]];
    return n;
}
