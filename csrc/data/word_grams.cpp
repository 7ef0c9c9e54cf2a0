// Hashes of the 4-grams of a text's words (aixmeg/corpus/licence/texts.py). A word is a run of ASCII letters and digits
// in lower case, so that comment marks, line breaks, quotes and dashes do not matter.
#include "api.h"

namespace {

constexpr int kGram = 4;

// Finaliser of splitmix64: every bit of the argument reaches every bit of the result.
constexpr uint64_t mix(uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

// Calls use(hash) for each 4-gram, in the order of the text, until it returns false.
template <typename Use>
void each_gram(const uint8_t* text, int64_t length, Use use) {
  uint64_t words[kGram] = {};
  int64_t count = 0;
  uint64_t word = 0;
  for (int64_t at = 0; at <= length; ++at) {
    uint8_t byte = at < length ? text[at] : ' ';
    if (byte >= 'A' && byte <= 'Z') byte += 'a' - 'A';
    if ((byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9')) {
      word = (word ^ byte) * 0x100000001b3u + 1;  // 0 means between words
      continue;
    }
    if (word == 0) continue;
    words[count++ % kGram] = mix(word);
    word = 0;
    if (count < kGram) continue;
    uint64_t gram = 0;
    for (int back = kGram; back > 0; --back) gram = gram * 0x9e3779b97f4a7c15u + words[(count - back) % kGram];
    if (!use(static_cast<uint32_t>(mix(gram) >> 32))) return;
  }
}

}  // namespace

// Writes at most `room` hashes, in the order of the text, and returns how many; `room` >= length / 2 is always enough.
AIXMEG_API int64_t aixmeg_word_grams(const uint8_t* text, int64_t length, uint32_t* out, int64_t room) {
  int64_t written = 0;
  each_gram(text, length, [&](uint32_t gram) {
    if (written == room) return false;
    out[written++] = gram;
    return true;
  });
  return written;
}

// Marks which of the sorted hashes the text holds: found[i] becomes 1, others stay as they are.
// starts[b] is the index of the first hash whose upper 12 bits are b or more, for b = 0 … 4096.
AIXMEG_API void aixmeg_find_grams(const uint8_t* text, int64_t length, const uint32_t* hashes, const int32_t* starts,
                                  uint8_t* found) {
  each_gram(text, length, [&](uint32_t gram) {
    const uint32_t bucket = gram >> 20;
    for (int32_t at = starts[bucket]; at < starts[bucket + 1]; ++at) {
      if (hashes[at] == gram) found[at] = 1;
    }
    return true;
  });
}
