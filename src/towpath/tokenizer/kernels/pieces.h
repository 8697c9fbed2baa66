// Cuts UTF-8 text into the pieces that byte-level BPE merges within, as the patterns in
// hf_format.RANKED_PATTERNS do, alternative by alternative; safe on any bytes (a byte that starts no
// valid form is a character of its own, of kind OTHER).
#pragma once

#include <cstdint>

namespace pieces {

enum Kind : uint8_t { OTHER, LETTER, NUMBER, SPACE, NEWLINE };

enum Apostrophe : int32_t { LOWER_CASE, ANY_ASCII_CASE, ANY_CASE };

// Mirrors the array that pieces.py passes.
struct Rules {
    int32_t prefixed;    // 0: GPT-2's pattern, 1: GPT-4's
    int32_t digits;      // of a piece at most (GPT-4's pattern)
    int32_t apostrophe;  // which cases 's, 'll, … are taken in; ANY_CASE knows the long s too
};

class Cutter {
   public:
    Cutter(const uint8_t* kinds, const int32_t* rules) : kinds_(kinds), rules_{rules[0], rules[1], rules[2]} {}

    // Where the piece ends that starts at `at` (< end).
    const uint8_t* piece_end(const uint8_t* at, const uint8_t* end) const {
        if (*at == '\'') {
            const uint8_t* after = apostrophe_end(at, end);
            if (after != at) return after;
        }
        return rules_.prefixed ? gpt4_end(at, end) : gpt2_end(at, end);
    }

    // The kind of the character at `at` (< end) and where the next one starts.
    Kind kind(const uint8_t* at, const uint8_t* end, const uint8_t** next) const {
        const uint8_t first = *at;
        if (first < 0x80) {
            *next = at + 1;
            return static_cast<Kind>(kinds_[first]);
        }
        return long_kind(at, end, next);
    }

   private:
    Kind long_kind(const uint8_t* at, const uint8_t* end, const uint8_t** next) const {
        const uint8_t first = *at;
        *next = at + 1;
        const int more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
        if (first < 0xC2 || first > 0xF4 || end - at <= more) return OTHER;
        uint32_t code = first & (0x3Fu >> more);
        for (int place = 1; place <= more; ++place) {
            if ((at[place] & 0xC0) != 0x80) return OTHER;
            code = code << 6 | (at[place] & 0x3Fu);
        }
        if (code > 0x10FFFF) return OTHER;
        *next = at + more + 1;
        return static_cast<Kind>(kinds_[code]);
    }

    const uint8_t* run_end(const uint8_t* at, const uint8_t* end, Kind wanted) const {
        const uint8_t* next;
        while (at < end && kind(at, end, &next) == wanted) at = next;
        return at;
    }

    const uint8_t* apostrophe_end(const uint8_t* at, const uint8_t* end) const {
        const uint8_t fold = rules_.apostrophe == LOWER_CASE ? 0 : 0x20;
        if (end - at < 2) return at;
        const uint8_t one = at[1] | fold;
        if (one == 's' || one == 'd' || one == 'm' || one == 't') return at + 2;
        if (end - at < 3) return at;
        const uint8_t two = at[2] | fold;
        if ((one == 'l' && two == 'l') || (one == 'v' && two == 'e') || (one == 'r' && two == 'e')) return at + 3;
        if (rules_.apostrophe == ANY_CASE && at[1] == 0xC5 && at[2] == 0xBF) return at + 3;
        return at;
    }

    const uint8_t* gpt4_end(const uint8_t* at, const uint8_t* end) const {
        const uint8_t *next, *after;
        const Kind first = kind(at, end, &next);
        if (first == LETTER) return run_end(next, end, LETTER);
        if (first == NUMBER) {
            for (int32_t taken = 1; taken < rules_.digits && next < end; ++taken) {
                if (kind(next, end, &after) != NUMBER) break;
                next = after;
            }
            return next;
        }
        const Kind second = next < end ? kind(next, end, &after) : NEWLINE;
        if (first != NEWLINE && second == LETTER) return run_end(after, end, LETTER);
        if (first == OTHER || (*at == ' ' && second == OTHER))
            return run_end(run_end(next, end, OTHER), end, NEWLINE);
        return space_end(at, end);
    }

    const uint8_t* gpt2_end(const uint8_t* at, const uint8_t* end) const {
        const uint8_t *next, *after;
        Kind wanted = kind(at, end, &next);
        if (*at == ' ' && next < end) {
            const Kind second = kind(next, end, &after);
            if (second < SPACE) {
                wanted = second;
                next = after;
            }
        }
        return wanted < SPACE ? run_end(next, end, wanted) : space_end(at, end);
    }

    // \s*[\r\n]+ (not in GPT-2's), \s+(?!\S), \s+
    const uint8_t* space_end(const uint8_t* at, const uint8_t* end) const {
        const uint8_t *position = at, *last = at, *newline = nullptr, *next;
        while (position < end) {
            const Kind found = kind(position, end, &next);
            if (found < SPACE) break;
            if (found == NEWLINE) newline = next;
            last = position;
            position = next;
        }
        if (rules_.prefixed && newline != nullptr) return newline;
        return position == end || last == at ? position : last;
    }

    const uint8_t* kinds_;
    Rules rules_;
};

}  // namespace pieces
