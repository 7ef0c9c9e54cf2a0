#include "encoder_bpe.h"

#include <algorithm>
#include <functional>

namespace aixmeg::encoder {
namespace {

constexpr size_t kShort = 32;              // bytes up to which a scan for the best pair beats a heap
constexpr size_t kKept = size_t{1} << 20;  // scratch entries that stay allocated between calls

}  // namespace

size_t Bpe::encode(const uint8_t* text, size_t size, int32_t* ids) {
  if (!vocabulary_.has_user_defined()) return encode_plain(text, size, ids);
  // A user-defined symbol is taken whole wherever the scan from the left meets it, the longest first.
  size_t count = 0, start = 0;
  for (size_t i = 0; i < size;) {
    int32_t id = kNone;
    const size_t length = vocabulary_.match_user_defined(text + i, size - i, &id);
    if (length == 0) {
      i += char_length(text[i]);
      continue;
    }
    const size_t before = encode_plain(text + start, i - start, ids + count);
    if (before == kTooLong) return kTooLong;
    count += before;
    ids[count++] = id;
    start = i += length;
  }
  const size_t rest = encode_plain(text + start, size - start, ids + count);
  return rest == kTooLong ? kTooLong : count + rest;
}

size_t Bpe::encode_plain(const uint8_t* text, size_t size, int32_t* ids) {
  if (size <= kShort) return encode_short(text, size, ids);
  if (size > INT32_MAX) return kTooLong;
  return encode_long(text, size, ids);
}

size_t Bpe::encode_short(const uint8_t* text, size_t size, int32_t* ids) {
  int32_t symbols[kShort], joined[kShort];
  uint32_t ranks[kShort];  // of what a symbol and the next one join to
  uint8_t lengths[kShort];
  int n = 0;
  const auto pair = [&](int at) {
    const Vocabulary::Join join = vocabulary_.join(symbols[at], symbols[at + 1]);
    joined[at] = join.symbol;
    ranks[at] = join.rank;
  };
  for (size_t i = 0; i < size; ++n) {
    const size_t length = char_length(text[i]);
    lengths[n] = static_cast<uint8_t>(length);
    symbols[n] = vocabulary_.symbol_of(text + i, length);
    if (n && (text[i - 1] | text[i]) < 0x80) {
      const Vocabulary::Join join = vocabulary_.join_ascii(text[i - 1], text[i]);
      joined[n - 1] = join.symbol;
      ranks[n - 1] = join.rank;
    } else if (n) {
      pair(n - 1);
    }
    i += length;
  }
  for (;;) {
    int best = 0;
    uint32_t rank = kNoRank;
    for (int i = 0; i + 1 < n; ++i) {
      if (ranks[i] < rank) rank = ranks[best = i];
    }
    if (rank == kNoRank) break;
    symbols[best] = joined[best];
    lengths[best] = static_cast<uint8_t>(lengths[best] + lengths[best + 1]);
    --n;
    for (int i = best + 1; i < n; ++i) {
      symbols[i] = symbols[i + 1];
      lengths[i] = lengths[i + 1];
      joined[i - 1] = joined[i];
      ranks[i - 1] = ranks[i];
    }
    if (best > 0) pair(best - 1);
    if (best + 1 < n) pair(best);
  }
  size_t count = 0;
  for (int i = 0; i < n; ++i) {
    count += vocabulary_.emit(symbols[i], text, lengths[i], ids + count);
    text += lengths[i];
  }
  return count;
}

void Bpe::pair(int32_t at) {
  Node& node = nodes_[at];
  const Vocabulary::Join join =
      node.next < 0 ? Vocabulary::Join{} : vocabulary_.join(node.symbol, nodes_[node.next].symbol);
  node.joined = join.symbol;
  node.rank = join.rank;
}

size_t Bpe::encode_long(const uint8_t* text, size_t size, int32_t* ids) {
  nodes_.resize(size);
  agenda_.clear();
  const auto entry = [this](int32_t at) { return uint64_t{nodes_[at].rank} << 32 | static_cast<uint32_t>(at); };
  int32_t previous = -1;
  for (size_t i = 0; i < size;) {
    const size_t length = char_length(text[i]);
    const auto next = static_cast<int32_t>(i + length);
    nodes_[i] = {previous, next < static_cast<int32_t>(size) ? next : -1, vocabulary_.symbol_of(text + i, length),
                 kNone, kNoRank};
    previous = static_cast<int32_t>(i);
    i = next;
  }
  for (int32_t at = 0; at >= 0; at = nodes_[at].next) {
    pair(at);
    if (nodes_[at].joined >= 0) agenda_.push_back(entry(at));
  }
  std::make_heap(agenda_.begin(), agenda_.end(), std::greater<>());
  while (!agenda_.empty()) {
    std::pop_heap(agenda_.begin(), agenda_.end(), std::greater<>());
    const uint64_t top = agenda_.back();
    agenda_.pop_back();
    const auto at = static_cast<int32_t>(top & UINT32_MAX);
    Node& node = nodes_[at];
    if (node.joined < 0 || node.rank != top >> 32) continue;  // joined meanwhile, or its neighbour was
    Node& absorbed = nodes_[node.next];
    node.symbol = node.joined;
    node.next = absorbed.next;
    absorbed.joined = kNone;
    if (node.next >= 0) nodes_[node.next].previous = at;
    for (const int32_t left : {node.previous, at}) {
      if (left < 0) continue;
      pair(left);
      if (nodes_[left].joined < 0) continue;
      agenda_.push_back(entry(left));
      std::push_heap(agenda_.begin(), agenda_.end(), std::greater<>());
    }
  }
  size_t count = 0;
  for (int32_t at = 0, next = 0; at >= 0; at = next) {
    next = nodes_[at].next;
    const size_t end = next < 0 ? size : next;
    count += vocabulary_.emit(nodes_[at].symbol, text + at, end - at, ids + count);
  }
  if (size > kKept) {
    nodes_ = {};
    agenda_ = {};
  }
  return count;
}

}  // namespace aixmeg::encoder
