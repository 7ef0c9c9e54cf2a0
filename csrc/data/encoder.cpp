// SentencePiece-exact BPE encoding of many slices of one buffer.
//
// Text is cut wherever no piece holds the two neighbouring bytes: what lies between two cuts is encoded on its own and
// remembered in a table of fixed size, one cache line per entry. What was remembered changes the speed, never the ids.
#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

#include "api.h"
#include "encoder_bpe.h"
#include "encoder_cache.h"
#include "encoder_utf8.h"
#include "encoder_vocabulary.h"

namespace aixmeg::encoder {
namespace {

enum Failure : int64_t { kBadArguments = -1, kBadUtf8 = -2, kNoMemory = -3, kSegmentTooLong = -4 };

using Short = Cache<1, 5>;  // most segments are words of up to 8 bytes
using Long = Cache<4, 7>;
using Wide = Cache<8, 15>;      // mostly indentation and the word behind it
constexpr size_t kBlock = 256;  // bytes that are looked at before their segments are encoded
constexpr size_t kRoom = 15;    // ids that are copied from an entry, used or not

class Encoder {
 public:
  Encoder(std::unique_ptr<Vocabulary> vocabulary, bool split_boundary, int cache_bits)
      : vocabulary_(std::move(vocabulary)),
        bpe_(*vocabulary_),
        split_boundary_(split_boundary),
        short_(cache_bits),
        long_(std::max(cache_bits - 1, 0)),
        wide_(std::max(cache_bits - 5, 0)) {
    for (int byte = 0; byte < 0x80; ++byte) {
      const auto text = static_cast<uint8_t>(byte);
      single_[byte] = kNone;
      bpe_.encode(&text, 1, &single_[byte]);
    }
  }

  std::mutex& mutex() { return mutex_; }

  // Ids of data[start, stop) to `ids`, which has room for its bytes and kRoom more; returns how many, or a Failure.
  // *where is the offset in `data` of what is not UTF-8.
  int64_t encode(const uint8_t* data, size_t start, size_t stop, size_t size, int32_t* ids, int64_t* where) {
    const Utf8Check check = check_utf8(data + start, stop - start);
    if (check.bad != kValid) {
      *where = static_cast<int64_t>(start + check.bad);
      return kBadUtf8;
    }
    if (!check.boundary) return run(data + start, stop - start, size - start, ids);
    return split_boundary_ ? split(data + start, stop - start, size - start, ids)
                           : blank(data + start, stop - start, ids);
  }

 private:
  // U+2581 as its three bytes, between texts that are encoded apart.
  int64_t split(const uint8_t* text, size_t size, size_t readable, int32_t* ids) {
    int64_t count = 0;
    size_t start = 0;
    for (size_t i = 0; i < size; i += char_length(text[i])) {
      if (text[i] != 0xE2 || !is_boundary(text + i)) continue;
      const int64_t part = run(text + start, i - start, readable - start, ids + count);
      if (part < 0) return part;
      count += part;
      for (size_t k = 0; k < 3; ++k) ids[count++] = vocabulary_->byte_ids()[text[i + k]];
      start = i + 3;
    }
    const int64_t part = run(text + start, size - start, readable - start, ids + count);
    return part < 0 ? part : count + part;
  }

  // U+2581 as a blank, which is what SentencePiece itself makes of it.
  int64_t blank(const uint8_t* text, size_t size, int32_t* ids) {
    std::vector<uint8_t> copy;
    copy.reserve(size);
    for (size_t i = 0; i < size;) {
      const size_t length = char_length(text[i]);
      if (length == 3 && is_boundary(text + i)) {
        copy.push_back(' ');
      } else {
        copy.insert(copy.end(), text + i, text + i + length);
      }
      i += length;
    }
    return run(copy.data(), copy.size(), copy.size(), ids);
  }

  // A segment whose entry is on its way from memory.
  struct Pending {
    const uint8_t* text;
    size_t length;
    Short::Key key;  // of a short one
    void* set;
  };

  int64_t run(const uint8_t* text, size_t size, size_t readable, int32_t* ids) {
    Pending pending[kBlock];
    int64_t count = 0;
    size_t start = 0;
    for (size_t at = 1; at <= size; at += kBlock) {
      const size_t waiting = collect(text, size, readable, at, &start, pending);
      for (const Pending* one = pending; one != pending + waiting; ++one) {
        const int64_t part = segment(*one, readable - (one->text - text), ids + count);
        if (part < 0) return part;
        count += part;
      }
    }
    return count;
  }

  // Segments that end at one of the kBlock places from `at` on; the first begins at *start. Their entries are fetched
  // while the rest of the block is looked at, since most of the time would pass waiting for them.
  size_t collect(const uint8_t* text, size_t size, size_t readable, size_t at, size_t* start, Pending* pending) {
    Pending* next = pending;
    for (const size_t stop = std::min(at + kBlock, size + 1); at < stop; at += 64) {
      // Bit k says that text may be cut before byte at + k. No branch depends on the text until the cuts are known.
      const size_t places = std::min<size_t>(64, size - at);
      uint64_t cuts = 0;
      for (size_t k = 0; k < places; ++k) {
        cuts |= static_cast<uint64_t>(!vocabulary_->holds(text[at + k - 1], text[at + k])) << k;
      }
      if (places < 64) cuts |= uint64_t{1} << places;  // the end
      for (; cuts; cuts &= cuts - 1) {
        const size_t end = at + __builtin_ctzll(cuts);
        next->text = text + *start;
        next->length = end - *start;
        const size_t left = readable - *start;
        if (next->length > Short::kBytes) {
          if (next->length <= Long::kBytes) {
            next->set = fetch(long_, *next, Long::key(next->text, next->length, left));
          } else if (next->length <= Wide::kBytes) {
            next->set = fetch(wide_, *next, Wide::key(next->text, next->length, left));
          }
        } else if (next->length > 1) {
          next->key = Short::key(next->text, next->length, left);
          next->set = fetch(short_, *next, next->key);
        }
        ++next;
        *start = end;
      }
    }
    return next - pending;
  }

  template <class Table>
  void* fetch(Table& table, const Pending& one, const typename Table::Key& key) {
    auto* const set = table.set_of(key, one.length);
    Table::fetch(set);
    return set;
  }

  int64_t segment(const Pending& one, size_t readable, int32_t* ids) {
    if (one.length == 1) {  // a third of all; more than one byte where it is not ASCII
      *ids = single_[one.text[0]];
      return 1;
    }
    if (one.length <= Short::kBytes) return cached<Short>(one, one.key, ids);
    if (one.length <= Long::kBytes) return cached<Long>(one, Long::key(one.text, one.length, readable), ids);
    if (one.length <= Wide::kBytes) return cached<Wide>(one, Wide::key(one.text, one.length, readable), ids);
    const size_t count = bpe_.encode(one.text, one.length, ids);
    return count == Bpe::kTooLong ? kSegmentTooLong : static_cast<int64_t>(count);
  }

  template <class Table>
  int64_t cached(const Pending& one, const typename Table::Key& key, int32_t* ids) {
    auto* const set = static_cast<typename Table::Entry*>(one.set);
    if (const auto* found = Table::find(set, key, one.length)) {
      std::memcpy(ids, found->ids, sizeof found->ids);
      return found->count;
    }
    const size_t count = bpe_.encode(one.text, one.length, ids);
    Table::put(set, key, one.length, ids, count);
    return static_cast<int64_t>(count);
  }

  const std::unique_ptr<Vocabulary> vocabulary_;
  Bpe bpe_;
  const bool split_boundary_;
  Short short_;
  Long long_;
  Wide wide_;
  int32_t single_[128];  // ids of the ASCII characters alone
  std::mutex mutex_;     // two threads with one encoder take turns
};

}  // namespace
}  // namespace aixmeg::encoder

using aixmeg::encoder::Encoder;

// An encoder of `count` pieces (see Pieces), or null: the vocabulary is one that SentencePiece itself has to encode, or
// memory is short. split_boundary: U+2581 in text becomes its three byte pieces; else it is a blank.
// cache_bits: log2 of the number of sets that segments are remembered in, 0 to 24; 128 bytes each.
AIXMEG_API void* aixmeg_encoder_new(const uint8_t* blob, const int64_t* ends, const float* scores, const uint8_t* types,
                                    int32_t count, int32_t split_boundary, int32_t cache_bits) {
  if (count < 1 || cache_bits < 0 || cache_bits > 24) return nullptr;
  try {
    auto vocabulary = aixmeg::encoder::Vocabulary::make({blob, ends, scores, types, count});
    return vocabulary ? new Encoder(std::move(vocabulary), split_boundary != 0, cache_bits) : nullptr;
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

AIXMEG_API void aixmeg_encoder_free(void* encoder) { delete static_cast<Encoder*>(encoder); }

// Ids of each slice data[bounds[2 i], bounds[2 i + 1]), one after the other; ends[i] is the number of ids up to the end
// of slice i. `ids` has room for the slices' bytes and 15 more. Returns the number of ids; -1 bounds or room are wrong,
// -2 no UTF-8 at *where, -3 no memory, -4 more than 2^31 - 1 bytes without a place to cut.
AIXMEG_API int64_t aixmeg_encoder_encode(void* encoder, const uint8_t* data, int64_t size, const int64_t* bounds,
                                         int64_t slices, int32_t* ids, int64_t room, int64_t* ends, int64_t* where) {
  using namespace aixmeg::encoder;
  auto* const self = static_cast<Encoder*>(encoder);
  int64_t count = 0, left = room - static_cast<int64_t>(kRoom);
  try {
    const std::lock_guard<std::mutex> lock(self->mutex());
    for (int64_t i = 0; i < slices; ++i) {
      const int64_t start = bounds[2 * i], stop = bounds[2 * i + 1];
      if (start < 0 || stop < start || stop > size || stop - start > left) return kBadArguments;
      left -= stop - start;
      const int64_t part = self->encode(data, start, stop, size, ids + count, where);
      if (part < 0) return part;
      ends[i] = count += part;
    }
  } catch (const std::bad_alloc&) {
    return kNoMemory;
  }
  return count;
}
