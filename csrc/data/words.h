// Words of a text as 64-bit hashes, for MinHash and for n-gram overlap.
//
// A word is a run of letters, digits, '_' and bytes from 0x80 on. A byte from 0xE0 on, which begins a character of
// three or four bytes, begins a new word: Chinese and the like, written without blanks, count by the character, whereas
// accented, Greek and Cyrillic letters stay inside their words. Any bytes are taken; nothing is decoded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace aixmeg::words {

__extension__ typedef unsigned __int128 Wide;

// Both halves of the product: every bit of the result depends on every bit of a and b.
inline uint64_t fold(uint64_t a, uint64_t b) {
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

constexpr uint64_t kFirst = 0x2E9D7C0A5B3F6D17u, kSecond = 0x9E3779B97F4A7C15u, kThird = 0xD6E8FEB86659FD93u;

inline uint64_t mix(uint64_t x) {
  x ^= x >> 32;
  x *= kThird;
  x ^= x >> 29;
  x *= kSecond;
  return x ^ x >> 32;
}

// `readable` bytes may be read at `word`, at least `length`.
inline uint64_t hash_word(const uint8_t* word, size_t length, size_t readable) {
  uint64_t hash = length * kSecond;
  for (; length > 8; word += 8, length -= 8, readable -= 8) {
    uint64_t part;
    std::memcpy(&part, word, 8);
    hash = fold(hash ^ part, kFirst);
  }
  uint64_t part = 0;
  if (length > 0 && readable >= 8) {  // one load and a mask; a copy of variable length is a call
    std::memcpy(&part, word, 8);
    part &= ~uint64_t{0} >> (64 - 8 * length);
  } else {
    std::memcpy(&part, word, length);
  }
  return fold(hash ^ part, kFirst ^ kThird);
}

struct Masks {
  uint64_t word, lead;  // bit i: byte i is of a word; byte i begins a character of three or four bytes
};

#if defined(__SSE2__)
inline Masks classify(const uint8_t* block) {
  Masks masks{0, 0};
  for (int i = 0; i < 4; ++i) {
    const __m128i c = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block) + i);
    const auto within = [](__m128i x, char low, char high) {  // signed: bytes from 0x80 on are below all limits
      return _mm_and_si128(_mm_cmpgt_epi8(x, _mm_set1_epi8(static_cast<char>(low - 1))),
                           _mm_cmpgt_epi8(_mm_set1_epi8(static_cast<char>(high + 1)), x));
    };
    const __m128i letter = within(_mm_or_si128(c, _mm_set1_epi8(0x20)), 'a', 'z');
    const __m128i other = _mm_or_si128(within(c, '0', '9'), _mm_cmpeq_epi8(c, _mm_set1_epi8('_')));
    const __m128i lead = within(c, -32, -1);
    const auto bits = [](__m128i x) { return static_cast<uint64_t>(static_cast<uint32_t>(_mm_movemask_epi8(x))); };
    masks.word |= bits(_mm_or_si128(_mm_or_si128(letter, other), c)) << (16 * i);  // the top bit of c: 0x80 on
    masks.lead |= bits(lead) << (16 * i);
  }
  return masks;
}
#else
inline Masks classify(const uint8_t* block) {
  Masks masks{0, 0};
  for (int i = 0; i < 64; ++i) {
    const uint8_t c = block[i], lower = c | 0x20;
    const bool word = c >= 0x80 || c == '_' || (c >= '0' && c <= '9') || (lower >= 'a' && lower <= 'z');
    masks.word |= static_cast<uint64_t>(word) << i;
    masks.lead |= static_cast<uint64_t>(c >= 0xE0) << i;
  }
  return masks;
}
#endif

// Call `take(hash)` for every word, in order.
template <typename Take>
void for_each_word(const uint8_t* text, size_t size, Take&& take) {
  const auto word = [&](size_t from, size_t to) { take(hash_word(text + from, to - from, size - from)); };
  uint64_t last = 0;  // whether the byte before the block is of a word
  size_t start = 0;   // of that word
  for (size_t base = 0; base < size; base += 64) {
    Masks masks;
    if (size - base >= 64) {
      masks = classify(text + base);
    } else {
      uint8_t block[64] = {};
      std::memcpy(block, text + base, size - base);
      masks = classify(block);
    }
    const uint64_t before = masks.word << 1 | last;
    uint64_t begins = masks.word & (~before | masks.lead);
    uint64_t ends = before & (~masks.word | begins);
    if (last) {
      if (ends == 0) continue;  // the word fills the block
      word(start, base + static_cast<size_t>(__builtin_ctzll(ends)));
      ends &= ends - 1;
    }
    for (; ends; begins &= begins - 1, ends &= ends - 1) {
      word(base + static_cast<size_t>(__builtin_ctzll(begins)), base + static_cast<size_t>(__builtin_ctzll(ends)));
    }
    if (begins) start = base + static_cast<size_t>(__builtin_ctzll(begins));
    last = masks.word >> 63;
  }
  if (last) word(start, size);
}

// Hashes of the runs of `Length` words, each from the one before it in constant time.
template <int Length>
class Grams {
 public:
  // Add a word. True once there are `Length`: value() is then the hash of the last ones.
  bool add(uint64_t word) {
    uint64_t& oldest = ring_[at_];
    sum_ = (sum_ - oldest * kPower) * kThird + word;
    oldest = word;
    at_ = at_ + 1 == Length ? 0 : at_ + 1;
    return ++count_ >= Length;
  }
  uint64_t value() const { return mix(sum_); }

 private:
  static constexpr uint64_t power(int n) { return n == 0 ? 1 : kThird * power(n - 1); }
  static constexpr uint64_t kPower = power(Length - 1);
  uint64_t ring_[Length] = {};
  uint64_t sum_ = 0;
  size_t count_ = 0;
  int at_ = 0;
};

}  // namespace aixmeg::words
