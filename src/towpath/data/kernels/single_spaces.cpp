// Runs of white space become one space; single_spaces.py says what that is and is the same in Python.
#include <cstdint>

namespace {

// Bytes of the white space at ``at``, 0 if there is none. Beyond ASCII it is U+0085, A0, 1680, 2000 to 200A,
// 2028, 2029, 202F, 205F and 3000.
int64_t space_at(const uint8_t* at, const uint8_t* end) {
    const uint8_t first = *at;
    if (first < 0x80) return first == ' ' || (first >= 9 && first <= 13) || (first >= 0x1C && first <= 0x1F);
    if (end - at < 2) return 0;
    if (first == 0xC2) return at[1] == 0x85 || at[1] == 0xA0 ? 2 : 0;
    if (end - at < 3) return 0;
    const uint8_t last = at[2];
    bool found = false;
    if (first == 0xE1) found = at[1] == 0x9A && last == 0x80;
    if (first == 0xE2 && at[1] == 0x80) {
        found = (last >= 0x80 && last <= 0x8A) || last == 0xA8 || last == 0xA9 || last == 0xAF;
    }
    if (first == 0xE2 && at[1] == 0x81) found = last == 0x9F;
    if (first == 0xE3) found = at[1] == 0x80 && last == 0x80;
    return found ? 3 : 0;
}

}  // namespace

extern "C" {

// out: room for all bytes; stops: (n,), where each text ends in it.
__attribute__((visibility("default"))) void single_spaces(
    const int64_t* offsets, const uint8_t* data, int64_t n, uint8_t* out, int64_t* stops) {
    uint8_t* to = out;
    for (int64_t row = 0; row < n; row++) {
        const uint8_t *at = data + offsets[row], *const end = data + offsets[row + 1];
        const uint8_t* const start = to;
        bool parted = false;
        while (at < end) {
            const int64_t space = space_at(at, end);
            if (space) {
                parted = true;
                at += space;
                continue;
            }
            if (parted && to > start) *to++ = ' ';
            parted = false;
            *to++ = *at++;
        }
        stops[row] = to - out;
    }
}
}
