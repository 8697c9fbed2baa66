// How many places of a text look wrongly decoded. The places are those of `SUSPICIOUS` in
// mojibake_gate.py, which is the oracle.
//
// Nearly all bytes of nearly all texts are innocent, so 64 at a time are tested together with
// the vector types of GCC and Clang, which every processor has or the compiler makes of scalars.

#include <cstdint>
#include <cstring>

namespace {

constexpr int64_t kBlock = 64;

inline bool is_entity_letter(uint8_t c) {
  return static_cast<uint8_t>((c | 0x20) - 'a') < 26 || static_cast<uint8_t>(c - '0') < 10;
}

// Where a suspicious place can start: C2, C3, EF, & and control characters but tab and line ends.
inline bool may_start(uint8_t c) {
  return c == 0xC2 || c == 0xC3 || c == 0xEF || c == '&' || c == 0x7F ||
         (c < 0x20 && static_cast<uint8_t>(c - 9) > 4);
}

struct Text {
  const uint8_t* data;
  int64_t size;
  uint8_t byte(int64_t at) const { return at < size ? data[at] : 0; }
};

// The bytes of a character that a continuation byte 80-BF becomes when read as Latin-1 or
// Windows-1252; 0 when there is none.
int64_t continuation(const Text& text, int64_t at) {
  const uint8_t a = text.byte(at), b = text.byte(at + 1), c = text.byte(at + 2);
  if (a == 0xC2) return b >= 0x80 && b <= 0xBF ? 2 : 0;
  if (a == 0xC5) return b == 0x92 || b == 0x93 || b == 0xA0 || b == 0xA1 || b == 0xB8 || b == 0xBD || b == 0xBE ? 2 : 0;
  if (a == 0xC6) return b == 0x92 ? 2 : 0;
  if (a == 0xCB) return b == 0x86 || b == 0x9C ? 2 : 0;
  if (a != 0xE2) return 0;
  if (b == 0x82) return c == 0xAC ? 3 : 0;
  if (b == 0x84) return c == 0xA2 ? 3 : 0;
  if (b != 0x80) return 0;
  const bool known = c == 0x93 || c == 0x94 || (c >= 0x98 && c <= 0x9A) || (c >= 0x9C && c <= 0x9E) ||
                     (c >= 0xA0 && c <= 0xA2) || c == 0xA6 || c == 0xB0 || c == 0xB9 || c == 0xBA;
  return known ? 3 : 0;
}

// A lead byte C2-F4 read as Latin-1 (here C3 82 to C3 B4) and as many continuations as it announces.
bool misread_sequence(const Text& text, int64_t at) {
  const uint8_t lead = static_cast<uint8_t>(text.byte(at + 1) + 0x40);
  if (lead < 0xC2 || lead > 0xF4) return false;
  if (lead == 0xC2 && text.byte(at + 2) == ' ') return true;  // its no-break space became a space
  const int wanted = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
  int64_t next = at + 2;
  for (int i = 0; i < wanted; ++i) {
    const int64_t size = continuation(text, next);
    if (size == 0) return false;
    next += size;
  }
  return true;
}

// & and 2 to 10 letters, digits or a # at their start, then a semicolon.
bool entity(const Text& text, int64_t at) {
  int64_t next = at + 1;
  if (text.byte(next) == '#') ++next;
  const int64_t start = next;
  while (next - start <= 10 && is_entity_letter(text.byte(next))) ++next;
  return next - start >= 2 && next - start <= 10 && text.byte(next) == ';';
}

bool suspicious(const Text& text, int64_t at) {
  const uint8_t next = text.byte(at + 1);
  switch (text.data[at]) {
    case 0xC2: return next >= 0x80 && next <= 0x9F;
    case 0xC3: return misread_sequence(text, at);
    case 0xEF: return (next == 0xBF && text.byte(at + 2) == 0xBD) || (next == 0xBB && text.byte(at + 2) == 0xBF);
    case '&': return entity(text, at);
    default: return true;
  }
}

typedef uint8_t Sixteen __attribute__((vector_size(16)));

// Whether one of 64 bytes may start something: the same test on sixteen at a time.
bool any_may_start(const uint8_t* block) {
  Sixteen any = {};
  for (int64_t i = 0; i < kBlock; i += 16) {
    Sixteen bytes;
    std::memcpy(&bytes, block + i, sizeof bytes);
    const auto lead = ((bytes & 0xFE) == 0xC2) | (bytes == 0xEF);
    const auto control = (bytes < 0x20) & ((bytes - 9) > 4);
    any |= (Sixteen)(lead | control | (bytes == '&') | (bytes == 0x7F));
  }
  uint64_t halves[2];
  std::memcpy(halves, &any, sizeof halves);
  return halves[0] | halves[1];
}

int32_t count(const Text& text) {
  int32_t found = 0;
  int64_t at = 0;
  while (at < text.size) {
    if (at + kBlock <= text.size) {
      if (!any_may_start(text.data + at)) {
        at += kBlock;
        continue;
      }
    }
    const int64_t end = at + kBlock < text.size ? at + kBlock : text.size;
    for (; at < end; ++at)
      if (may_start(text.data[at]) && suspicious(text, at)) found += found < INT32_MAX;
  }
  return found;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) void mojibake_gate(const int64_t* offsets, const uint8_t* data,
                                                                     int64_t n, int32_t* counts) {
  for (int64_t i = 0; i < n; ++i) counts[i] = count({data + offsets[i], offsets[i + 1] - offsets[i]});
}
