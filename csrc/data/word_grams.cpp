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

}  // namespace

// Writes at most `room` hashes, in the order of the text, and returns how many; `room` >= length / 2 is always enough.
AIXMEG_API int64_t aixmeg_word_grams(const uint8_t* text, int64_t length, uint32_t* out, int64_t room) {
  uint64_t words[kGram] = {};
  int64_t count = 0, written = 0;
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
    if (written == room) return written;
    out[written++] = static_cast<uint32_t>(mix(gram) >> 32);
  }
  return written;
}
