// Hashes of runs of n words in a text without its comments, and a scan for those of a given set.
#include <algorithm>
#include <cstring>
#include <memory>
#include <new>

#include "api.h"
#include "words.h"

// What comments look like. An empty string stands for none.
struct AixmegComments {
  char line[4];           // begins a comment that ends with the line
  char open[4];           // begins a comment ...
  char close[4];          // ... that ends here
  int32_t triple_quotes;  // strings in three quotes are dropped too: Python's documentation strings
};

namespace aixmeg::ngrams {
namespace {

class Stripper {
 public:
  Stripper(const uint8_t* text, size_t size, const AixmegComments& form)
      : text_(text), size_(size), form_(form), line_(length(form.line)), open_(length(form.open)) {
    special_['"'] = special_['\''] = true;
    if (line_) special_[static_cast<uint8_t>(form.line[0])] = true;
    if (open_) special_[static_cast<uint8_t>(form.open[0])] = true;
  }

  // Copy the text without comments to `out`, a blank for each; returns the bytes written, at most `size`.
  size_t run(uint8_t* out) const {
    uint8_t* end = out;
    size_t from = 0;
    const auto drop = [&](size_t at, size_t next) {
      std::memcpy(end, text_ + from, at - from);
      end += at - from;
      *end++ = ' ';
      from = next;
    };
    for (size_t at = 0; at < size_;) {
      const uint8_t c = text_[at];
      if (!special_[c]) {
        ++at;
      } else if (line_ && starts(at, form_.line, line_)) {
        drop(at, end_of_line(at));
        at = from;
      } else if (open_ && starts(at, form_.open, open_)) {
        drop(at, behind(at + open_, form_.close, length(form_.close)));
        at = from;
      } else if (c != '"' && c != '\'') {
        ++at;
      } else if (form_.triple_quotes && at + 2 < size_ && text_[at + 1] == c && text_[at + 2] == c) {
        const char quotes[3] = {static_cast<char>(c), static_cast<char>(c), static_cast<char>(c)};
        drop(at, behind(at + 3, quotes, 3));
        at = from;
      } else {
        at = behind_string(at);
      }
    }
    std::memcpy(end, text_ + from, size_ - from);
    return static_cast<size_t>(end - out) + size_ - from;
  }

 private:
  static size_t length(const char (&mark)[4]) { return strnlen(mark, sizeof(mark)); }
  bool starts(size_t at, const char* mark, size_t length) const {
    return size_ - at >= length && std::memcmp(text_ + at, mark, length) == 0;
  }
  size_t end_of_line(size_t at) const {
    const void* found = std::memchr(text_ + at, '\n', size_ - at);
    return found ? static_cast<size_t>(static_cast<const uint8_t*>(found) - text_) : size_;
  }
  size_t behind(size_t at, const char* mark, size_t length) const {
    while (length && at < size_) {
      const void* found = std::memchr(text_ + at, mark[0], size_ - at);
      if (!found) break;
      at = static_cast<size_t>(static_cast<const uint8_t*>(found) - text_);
      if (starts(at, mark, length)) return at + length;
      ++at;
    }
    return size_;
  }
  // A string ends with its line at the latest: an apostrophe in prose, a lifetime in Rust must not swallow the file.
  size_t behind_string(size_t at) const {
    const uint8_t quote = text_[at++];
    for (; at < size_ && text_[at] != '\n'; ++at) {
      if (text_[at] == quote) return at + 1;
      if (text_[at] == '\\' && at + 1 < size_ && text_[at + 1] != '\n') ++at;
    }
    return at;
  }

  const uint8_t* text_;
  size_t size_;
  const AixmegComments& form_;
  size_t line_, open_;
  bool special_[256] = {};
};

constexpr size_t kMostWords = 255;

// Call take(index of the first word, hash) for each run of n words, 1 <= n <= kMostWords.
template <typename Take>
void for_each_run(const uint8_t* text, size_t size, size_t n, Take&& take) {
  uint64_t ring[kMostWords + 1] = {}, power = 1, sum = 0;
  for (size_t i = 1; i < n; ++i) power *= words::kThird;
  size_t count = 0;
  words::for_each_word(text, size, [&](uint64_t word) {
    sum = (sum - ring[(count - n) & kMostWords] * power) * words::kThird + word;
    ring[count & kMostWords] = word;
    if (++count >= n) take(count - n, words::mix(sum));
  });
}

bool is_power_of_two(size_t number) { return number != 0 && (number & (number - 1)) == 0; }

// A filter of 8 bits per slot stays in the first cache where the table does not, and turns nearly all runs away.
size_t filter_bit(uint64_t hash, size_t slots) { return (hash >> 24) & (8 * slots - 1); }

}  // namespace
}  // namespace aixmeg::ngrams

// `out` has room for `size` bytes; returns the bytes written.
AIXMEG_API size_t aixmeg_strip_comments(const uint8_t* text, size_t size, const AixmegComments* form, uint8_t* out) {
  return size == 0 ? 0 : aixmeg::ngrams::Stripper(text, size, *form).run(out);
}

// Hashes of all runs of n words of `text`, 1 <= n <= 255, in order, in `hashes` with room for `size`; returns how many.
// -2: bad arguments.
AIXMEG_API int64_t aixmeg_ngrams(const uint8_t* text, size_t size, size_t n, uint64_t* hashes) {
  if (n == 0 || n > aixmeg::ngrams::kMostWords) return -2;
  size_t count = 0;
  aixmeg::ngrams::for_each_run(text, size, n, [&](size_t, uint64_t hash) { hashes[count++] = hash; });
  return static_cast<int64_t>(count);
}

// Lay different hashes out for aixmeg_ngram_scan: keys and indices have slots = 2^k > count entries, and
// indices[slot] says which of the hashes keys[slot] is, UINT32_MAX for a free slot. `filter` has one byte per slot.
AIXMEG_API int32_t aixmeg_ngram_table(const uint64_t* hashes, size_t count, uint64_t* keys, uint32_t* indices,
                                      uint8_t* filter, size_t slots) {
  if (!aixmeg::ngrams::is_power_of_two(slots) || slots <= count || count >= UINT32_MAX) return -2;
  std::fill_n(keys, slots, 0);
  std::fill_n(indices, slots, UINT32_MAX);
  std::fill_n(filter, slots, 0);
  for (size_t i = 0; i < count; ++i) {
    size_t slot = hashes[i] & (slots - 1);
    while (indices[slot] != UINT32_MAX) slot = (slot + 1) & (slots - 1);
    keys[slot] = hashes[i];
    indices[slot] = static_cast<uint32_t>(i);
    const size_t bit = aixmeg::ngrams::filter_bit(hashes[i], slots);
    filter[bit / 8] |= static_cast<uint8_t>(1 << bit % 8);
  }
  return 0;
}

// Where runs of n words of `text`, without comments unless `form` is null, are in the table: `positions` of their first
// words, ascending, and `found`, which of the hashes, both with room for `capacity`. Returns how many there are, also
// beyond the capacity. -1: no memory, -2: bad arguments.
AIXMEG_API int64_t aixmeg_ngram_scan(const uint8_t* text, size_t size, const AixmegComments* form, size_t n,
                                     const uint64_t* keys, const uint32_t* indices, const uint8_t* filter, size_t slots,
                                     uint32_t* positions, uint32_t* found, size_t capacity) {
  using namespace aixmeg::ngrams;
  if (n == 0 || n > kMostWords || !is_power_of_two(slots)) return -2;
  try {
    std::unique_ptr<uint8_t[]> code;
    if (form != nullptr) {
      code.reset(new uint8_t[size]);
      size = aixmeg_strip_comments(text, size, form, code.get());
      text = code.get();
    }
    size_t count = 0;
    for_each_run(text, size, n, [&](size_t position, uint64_t hash) {
      const size_t bit = filter_bit(hash, slots);
      if ((filter[bit / 8] >> bit % 8 & 1) == 0) return;
      for (size_t slot = hash & (slots - 1); indices[slot] != UINT32_MAX; slot = (slot + 1) & (slots - 1)) {
        if (keys[slot] != hash) continue;
        if (count < capacity) {
          positions[count] = static_cast<uint32_t>(position);
          found[count] = indices[slot];
        }
        ++count;
        return;
      }
    });
    return static_cast<int64_t>(count);
  } catch (const std::bad_alloc&) {
    return -1;
  }
}
