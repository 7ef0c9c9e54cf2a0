// Byte-pair joining as SentencePiece does it: always the neighbours whose piece has the highest score, the leftmost of
// equals, until none join.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "encoder_vocabulary.h"

namespace aixmeg::encoder {

class Bpe {
 public:
  explicit Bpe(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {}

  // Ids of text[0, size), whole characters of valid UTF-8; `ids` has room for `size`. Returns how many, kTooLong above
  // 2^31 - 1 bytes. O(size log size).
  static constexpr size_t kTooLong = SIZE_MAX;
  size_t encode(const uint8_t* text, size_t size, int32_t* ids);

 private:
  struct Node {
    int32_t previous, next;  // offsets of the neighbouring symbols, -1 for none
    int32_t symbol;
    int32_t joined;  // what it and the next one join to, kNone for nothing
    uint32_t rank;
  };
  size_t encode_plain(const uint8_t* text, size_t size, int32_t* ids);
  size_t encode_short(const uint8_t* text, size_t size, int32_t* ids);
  size_t encode_long(const uint8_t* text, size_t size, int32_t* ids);
  void pair(int32_t at);

  const Vocabulary& vocabulary_;
  std::vector<Node> nodes_;       // one per byte; a symbol lives at the offset of its first byte
  std::vector<uint64_t> agenda_;  // min-heap of rank << 32 | offset; stale entries are skipped
};

}  // namespace aixmeg::encoder
