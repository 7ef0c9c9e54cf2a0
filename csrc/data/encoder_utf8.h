// Strict UTF-8, as Python's decoder and SentencePiece see it: no surrogates, no overlong forms, nothing past U+10FFFF.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace aixmeg::encoder {

constexpr size_t kValid = SIZE_MAX;

struct Utf8Check {
  size_t bad = kValid;    // offset of the first character that is none, kValid if all are
  bool boundary = false;  // whether U+2581 occurs before `bad`
};

// Length of the character at `s`, 0 where none is; `size` bytes are there.
inline size_t utf8_char(const uint8_t* s, size_t size) {
  const auto continues = [&](size_t i, uint8_t low, uint8_t high) { return i < size && s[i] >= low && s[i] <= high; };
  if (s[0] < 0x80) return 1;
  if (s[0] < 0xC2) return 0;
  if (s[0] < 0xE0) return continues(1, 0x80, 0xBF) ? 2 : 0;
  if (s[0] < 0xF0) {
    const uint8_t low = s[0] == 0xE0 ? 0xA0 : 0x80, high = s[0] == 0xED ? 0x9F : 0xBF;
    return continues(1, low, high) && continues(2, 0x80, 0xBF) ? 3 : 0;
  }
  if (s[0] > 0xF4) return 0;
  const uint8_t low = s[0] == 0xF0 ? 0x90 : 0x80, high = s[0] == 0xF4 ? 0x8F : 0xBF;
  return continues(1, low, high) && continues(2, 0x80, 0xBF) && continues(3, 0x80, 0xBF) ? 4 : 0;
}

inline bool is_boundary(const uint8_t* s) { return s[0] == 0xE2 && s[1] == 0x96 && s[2] == 0x81; }

inline Utf8Check check_utf8(const uint8_t* s, size_t size) {
  Utf8Check found;
  for (size_t i = 0; i < size;) {
    uint64_t word;
    if (i + 8 <= size && (std::memcpy(&word, s + i, 8), (word & 0x8080808080808080u) == 0)) {
      i += 8;
      continue;
    }
    const size_t length = utf8_char(s + i, size - i);
    if (length == 0) {
      found.bad = i;
      return found;
    }
    found.boundary |= length == 3 && is_boundary(s + i);
    i += length;
  }
  return found;
}

}  // namespace aixmeg::encoder
