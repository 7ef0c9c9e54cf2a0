// MinHash of the word 5-grams of a text, and the hashes of its bands.
//
// Each gram is thrown into one of K bins, a bin keeps its smallest value, and rounds of throws follow until every bin
// holds one (Dahlgaard, Knudsen, Thorup: Fast Similarity Sketching, FOCS 2017). Two texts agree in a bin with a
// probability of exactly the Jaccard index of their grams, as with K permutations, at O(n + K log K) instead of O(n K),
// and with less variance where a text has fewer grams than bins.
#include <algorithm>
#include <new>
#include <vector>

#include "api.h"
#include "words.h"

namespace aixmeg::minhash {
namespace {

constexpr int kGram = 5, kMaxBits = 12;
constexpr uint64_t kValueMask = (uint64_t{1} << 48) - 1, kEmpty = UINT64_MAX;

class Bins {
 public:
  explicit Bins(int bits) : bits_(bits), empty_(size_t{1} << bits) { std::fill_n(bins_, empty_, kEmpty); }

  size_t size() const { return size_t{1} << bits_; }
  size_t empty() const { return empty_; }

  void add_first(uint64_t gram) { put(gram >> (64 - bits_), gram & kValueMask); }

  // One more throw of each gram. Every value of an earlier round is smaller than this round's.
  void add(const std::vector<uint64_t>& grams, uint64_t round) {
    const uint64_t key = words::mix(round), rank = round << 48;
    for (const uint64_t gram : grams) {
      const uint64_t hash = words::fold(gram ^ key, words::kFirst);
      put(round < size() ? hash >> (64 - bits_) : round - size(), rank | (hash & kValueMask));
    }
  }

  // 16 bits of each bin: two different values look equal once in 65,536 times.
  void write(uint16_t* signature) const {
    for (size_t i = 0; i < size(); ++i) signature[i] = static_cast<uint16_t>(bins_[i] * words::kSecond >> 48);
  }

 private:
  void put(size_t bin, uint64_t value) {
    const uint64_t old = bins_[bin];
    empty_ -= old == kEmpty;
    bins_[bin] = std::min(old, value);
  }
  int bits_;
  size_t empty_;
  uint64_t bins_[size_t{1} << kMaxBits];
};

// Each gram once, in order of its first occurrence: later rounds must not repeat the work of equal grams.
void remove_repeats(std::vector<uint64_t>& grams) {
  size_t slots = 64;
  while (slots < 2 * grams.size()) slots *= 2;
  std::vector<uint64_t> table(slots, 0);
  size_t kept = 0;
  for (const uint64_t gram : grams) {
    const uint64_t key = gram | (gram == 0);
    size_t slot = gram & (slots - 1);
    while (table[slot] != 0 && table[slot] != key) slot = (slot + 1) & (slots - 1);
    if (table[slot] == key) continue;
    table[slot] = key;
    grams[kept++] = gram;
  }
  grams.resize(kept);
}

int64_t sketch(const uint8_t* text, size_t size, int bits, uint16_t* signature) {
  std::vector<uint64_t> grams;
  Bins bins(bits);
  grams.reserve(size / 8 + 8);
  words::Grams<kGram> window;
  words::for_each_word(text, size, [&](uint64_t word) {
    if (window.add(word)) grams.push_back(window.value());
  });
  for (const uint64_t gram : grams) bins.add_first(gram);
  const auto count = static_cast<int64_t>(grams.size());
  if (count == 0) {
    std::fill_n(signature, bins.size(), UINT16_MAX);
    return 0;
  }
  if (bins.empty()) remove_repeats(grams);
  for (uint64_t round = 1; bins.empty(); ++round) bins.add(grams, round);
  bins.write(signature);
  return count;
}

}  // namespace
}  // namespace aixmeg::minhash

// Signature of `text`: 2^bits values, 1 <= bits <= 12. Returns the number of word 5-grams, repeats included; with none
// all values are 65,535. -1: no memory, -2: bad arguments.
AIXMEG_API int64_t aixmeg_minhash(const uint8_t* text, size_t size, int32_t bits, uint16_t* signature) {
  if (bits < 1 || bits > aixmeg::minhash::kMaxBits || signature == nullptr) return -2;
  try {
    return aixmeg::minhash::sketch(text, size, bits, signature);
  } catch (const std::bad_alloc&) {
    return -1;
  }
}

// Sketch of a file at once: its signature, and its row of aixmeg/corpus/near/shards.py: hashes of repository, path and
// last part of the path, 16 bytes of a digest, bytes, 5-grams. Returns as aixmeg_minhash.
AIXMEG_API int64_t aixmeg_sketch(const uint8_t* text, size_t size, const uint8_t* path, size_t path_size,
                                 uint64_t repository, const uint8_t* digest, int32_t bits, uint16_t* signature,
                                 uint64_t* row) {
  const int64_t grams = aixmeg_minhash(text, size, bits, signature);
  if (grams < 0) return grams;
  size_t name = path_size;
  while (name > 0 && path[name - 1] != '/') --name;
  row[0] = repository;
  row[1] = aixmeg::words::hash_word(path, path_size, path_size);
  row[2] = aixmeg::words::hash_word(path + name, path_size - name, path_size - name);
  std::memcpy(row + 3, digest, 16);
  row[5] = size;
  row[6] = static_cast<uint64_t>(grams);
  return grams;
}

// The different word 5-grams of `text`, ascending, in `grams` with room for `size` of them; returns how many.
AIXMEG_API int64_t aixmeg_grams(const uint8_t* text, size_t size, uint64_t* grams) {
  size_t count = 0;
  aixmeg::words::Grams<aixmeg::minhash::kGram> window;
  aixmeg::words::for_each_word(text, size, [&](uint64_t word) {
    if (window.add(word)) grams[count++] = window.value();
  });
  std::sort(grams, grams + count);
  return std::unique(grams, grams + count) - grams;
}

// hashes[count][bands]: of rows * bands values at the beginning of each of the signatures [count][values].
AIXMEG_API void aixmeg_band_hashes(const uint16_t* signatures, size_t count, size_t values, size_t bands, size_t rows,
                                   uint64_t* hashes) {
  if (bands == 0 || rows == 0 || values / bands < rows) return;
  for (size_t i = 0; i < count; ++i) {
    const uint16_t* value = signatures + i * values;
    for (size_t band = 0; band < bands; ++band) {
      uint64_t hash = (band + 1) * aixmeg::words::kSecond;  // bands share one sort: equal values must not meet across
      for (size_t row = 0; row < rows; ++row) hash = (hash ^ *value++) * aixmeg::words::kThird;
      hashes[i * bands + band] = aixmeg::words::mix(hash);
    }
  }
}

// equal[count]: in how many of the values the signatures of rows left[i] and right[i] agree.
AIXMEG_API void aixmeg_agreements(const uint16_t* left, const uint16_t* right, size_t count, size_t values,
                                  uint32_t* equal) {
  for (size_t i = 0; i < count; ++i) {
    uint32_t sum = 0;
    for (size_t k = 0; k < values; ++k) sum += left[i * values + k] == right[i * values + k];
    equal[i] = sum;
  }
}

// Go through pairs of documents, worse[i] after better[i], in the order of the worse one: a document is dropped
// because of the first of its betters that is not. state[document]: 0 kept, `dropped` is written; because[document]
// too.
AIXMEG_API void aixmeg_drop_in_order(const uint32_t* better, const uint32_t* worse, size_t count, uint8_t dropped,
                                     uint8_t* state, uint32_t* because) {
  for (size_t i = 0; i < count; ++i) {
    if (state[worse[i]] != 0 || state[better[i]] != 0) continue;
    state[worse[i]] = dropped;
    because[worse[i]] = better[i];
  }
}
