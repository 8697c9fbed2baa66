// Which kinds of personal data a text could hold: one pass over the bytes, a bit a kind.
// The patterns are those of `PATTERNS` in pii_gate.py, which is the oracle.

#include <cstdint>

namespace {

enum : uint8_t { DIGIT = 1, HEX = 2, UPPER = 4, GAP = 8, WORD = 16, SPECIAL = 32 };
enum : uint8_t { EMAIL = 1, NUMBER = 2, IPV4 = 4, IPV6 = 8, IBAN = 16 };

constexpr int kDigits = 7;   // of the shortest telephone number
constexpr int kMaxGap = 4;   // bytes between two of its digits

struct Classes {
  uint8_t of[256];
  constexpr Classes() : of() {
    for (int c = '0'; c <= '9'; ++c) of[c] |= DIGIT | HEX | WORD;
    for (int c = 'a'; c <= 'z'; ++c) of[c] |= WORD;
    for (int c = 'A'; c <= 'Z'; ++c) of[c] |= WORD | UPPER;
    for (int c = 'a'; c <= 'f'; ++c) of[c] |= HEX;
    for (int c = 'A'; c <= 'F'; ++c) of[c] |= HEX;
    for (int c = 128; c < 256; ++c) of[c] |= WORD | GAP;
    const char gaps[] = {' ', '(', ')', '.', '-', '/'};
    for (char c : gaps) of[static_cast<int>(c)] |= GAP;
    of['@'] |= SPECIAL;
    of['.'] |= SPECIAL;
    of[':'] |= SPECIAL;
  }
};
constexpr Classes kClasses;

struct Text {
  const uint8_t* data;
  int64_t size;
  // The class of byte `at`; nothing beyond the ends.
  uint8_t cls(int64_t at) const { return at >= 0 && at < size ? kClasses.of[data[at]] : 0; }
  bool is(int64_t at, char c) const { return at >= 0 && at < size && data[at] == static_cast<uint8_t>(c); }
};

bool email_at(const Text& text, int64_t at) {
  return at > 0 && text.data[at - 1] > 0x20 && (text.cls(at + 1) & WORD);
}

// From a point: digit . 1-3 digits . 1-3 digits . digit
bool ipv4_at(const Text& text, int64_t at) {
  if (!(text.cls(at - 1) & DIGIT)) return false;
  for (int group = 0; group < 2; ++group) {
    int64_t digits = 0;
    while (digits < 4 && (text.cls(at + 1 + digits) & DIGIT)) ++digits;
    if (digits < 1 || digits > 3 || !text.is(at + 1 + digits, '.')) return false;
    at += digits + 1;
  }
  return text.cls(at + 1) & DIGIT;
}

// From a colon: two colons beside a hexadecimal digit, or three groups of such digits.
bool ipv6_at(const Text& text, int64_t at) {
  const bool before = text.cls(at - 1) & HEX;
  if (text.is(at + 1, ':')) return before || (text.cls(at + 2) & HEX);
  if (!before) return false;
  int64_t digits = 0;
  while (digits < 5 && (text.cls(at + 1 + digits) & HEX)) ++digits;
  if (digits < 1 || digits > 4) return false;
  return text.is(at + 1 + digits, ':') && (text.cls(at + 2 + digits) & HEX);
}

// Two capitals, two digits, perhaps a space or hyphen, four digits or capitals.
bool iban_at(const Text& text, int64_t at) {
  if (!(text.cls(at + 1) & UPPER) || !(text.cls(at + 2) & DIGIT) || !(text.cls(at + 3) & DIGIT)) return false;
  const int64_t next = text.is(at + 4, ' ') || text.is(at + 4, '-') ? at + 5 : at + 4;
  for (int64_t i = next; i < next + 4; ++i)
    if (!(text.cls(i) & (DIGIT | UPPER))) return false;
  return true;
}

uint8_t special_at(const Text& text, int64_t at) {
  switch (text.data[at]) {
    case '@': return email_at(text, at) ? EMAIL : 0;
    case '.': return ipv4_at(text, at) ? IPV4 : 0;
    default: return ipv6_at(text, at) ? IPV6 : 0;
  }
}

uint8_t gate(const Text& text) {
  uint8_t found = 0;
  int digits = 0, gap = 0;
  for (int64_t i = 0; i < text.size; ++i) {
    const uint8_t cls = kClasses.of[text.data[i]];
    if (cls & DIGIT) {
      gap = 0;
      if (++digits >= kDigits) found |= NUMBER;
      continue;
    }
    if (digits && (!(cls & GAP) || ++gap > kMaxGap)) digits = gap = 0;
    if ((cls & UPPER) && !(found & IBAN) && iban_at(text, i)) found |= IBAN;
    if (cls & SPECIAL) found |= special_at(text, i);
  }
  return found;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) void pii_gate(const int64_t* offsets, const uint8_t* data,
                                                                int64_t n, uint8_t* bits) {
  for (int64_t i = 0; i < n; ++i) bits[i] = gate({data + offsets[i], offsets[i + 1] - offsets[i]});
}
