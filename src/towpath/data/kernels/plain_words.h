// Words for comparing texts, as minhash.py says what a word is: letters, digits and underscores.
// Safe on any bytes; a byte that starts no character parts words. Little-endian, 64 bit.
#pragma once

#include <cstdint>
#include <vector>

#include "words.h"

namespace towpath {

struct Range {
    uint32_t first, last;
};

// Characters that part words, beyond ASCII. In order, as in minhash.py.
constexpr Range PARTING[] = {
    {0x80, 0xBF},     {0xD7, 0xD7},     {0xF7, 0xF7},     {0x60C, 0x60C},   {0x61B, 0x61B},     {0x61F, 0x61F},
    {0x6D4, 0x6D4},   {0x964, 0x965},   {0x2000, 0x206F}, {0x20A0, 0x20CF}, {0x2190, 0x2BFF},   {0x2E00, 0x2E7F},
    {0x3000, 0x3004}, {0x3008, 0x3020}, {0x3030, 0x3030}, {0xFE10, 0xFE1F}, {0xFE30, 0xFE6F},   {0xFF00, 0xFF0F},
    {0xFF1A, 0xFF20}, {0xFF3B, 0xFF40}, {0xFF5B, 0xFF65}, {0xFFFD, 0xFFFD}, {0x1F000, 0x1FAFF},
};

// Characters of scripts that put no space between words: each is a word.
constexpr Range ALONE[] = {
    {0xE00, 0xEFF},   {0x1000, 0x109F}, {0x1780, 0x17FF}, {0x3040, 0x30FF},
    {0x3400, 0x4DBF}, {0x4E00, 0x9FFF}, {0xF900, 0xFAFF}, {0x20000, 0x3134F},
};

template <size_t N>
bool in(const Range (&ranges)[N], uint32_t code) {
    for (const Range& range : ranges) {
        if (code <= range.last) return code >= range.first;
    }
    return false;
}

enum Kind : uint8_t { PART, WORD, SINGLE };

inline Kind kind_of(uint32_t code) {
    if (in(PARTING, code)) return PART;
    return in(ALONE, code) ? SINGLE : WORD;
}

struct Ascii {
    uint8_t lower[256];
    bool word[256];
    constexpr Ascii() : lower(), word() {
        for (int c = 0; c < 256; c++) {
            lower[c] = static_cast<uint8_t>(c >= 'A' && c <= 'Z' ? c + 32 : c);
            word[c] = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
        }
    }
};
constexpr Ascii ASCII;

// Calls found(start, stop, hash) for every word of a text; the hash is that of its bytes in lower case.
template <class Found>
void each_word(const uint8_t* at, const uint8_t* end, std::vector<uint8_t>& lower, Found found) {
    const auto close = [&](const uint8_t* start, const uint8_t* stop) {
        if (start == stop) return;
        lower.resize(static_cast<size_t>(stop - start));
        for (size_t i = 0; i < lower.size(); i++) lower[i] = ASCII.lower[start[i]];
        found(start, stop, hash_of(lower.data(), lower.size()));
    };
    const uint8_t* start = at;
    while (at < end) {
        if (*at < 0x80) {
            const bool word = ASCII.word[*at];
            if (!word) close(start, at);
            at++;
            if (!word) start = at;
            continue;
        }
        const Character character = decode(at, end);
        const Kind kind = kind_of(character.code);
        const uint8_t* next = at + character.bytes;
        if (kind != WORD) {
            close(start, at);
            if (kind == SINGLE) close(at, next);
            start = next;
        }
        at = next;
    }
    close(start, end);
}

}  // namespace towpath
