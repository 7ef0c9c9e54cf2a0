// Ids of short texts that were met before: a table of fixed size whose older entries give way.
#pragma once

#include <sys/mman.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>

namespace aixmeg::encoder {

// Zeroed memory that costs nothing until it is used, in large pages where the system has them: entries are met at
// random, and with small pages finding the page takes longer than fetching the entry.
struct Pages {
  explicit Pages(size_t size) : size(size), start(mmap(nullptr, size, PROT_READ | PROT_WRITE, kFlags, -1, 0)) {
    if (start == MAP_FAILED) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
    madvise(start, size, MADV_HUGEPAGE);
#endif
#ifdef MADV_WIPEONFORK
    // A forked worker begins with an empty table. Else its first writes would copy every large page as 512 small ones.
    madvise(start, size, MADV_WIPEONFORK);
#endif
  }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  ~Pages() { munmap(start, size); }

  static constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS;
  const size_t size;
  void* const start;
};

// Texts of up to 8 * kWords bytes and kIds ids; sets of two entries.
template <size_t kWords, size_t kIds>
class Cache {
 public:
  static constexpr size_t kBytes = 8 * kWords;
  using Key = std::array<uint64_t, kWords>;  // the text, zeros after it

  struct alignas(kWords == 1 ? 32 : 64) Entry {
    Key key;
    uint8_t length;  // 0: free
    uint8_t count;
    int32_t ids[kIds];
  };
  static_assert(sizeof(Entry) == 32 || sizeof(Entry) % 64 == 0, "half a cache line, or whole ones");

  explicit Cache(int bits) : pages_((size_t{2} << bits) * sizeof(Entry)), shift_(63 - bits) {}

  // `readable` bytes may be read at `text`.
  static Key key(const uint8_t* text, size_t length, size_t readable) {
    Key words{};
    if (readable >= kBytes) {
      std::memcpy(words.data(), text, kBytes);
      for (size_t i = 0; i < kWords; ++i) words[i] &= mask(length, i);
    } else {
      std::memcpy(words.data(), text, length);
    }
    return words;
  }

  Entry* set_of(const Key& key, size_t length) {
    uint64_t hash = length;
    for (const uint64_t word : key) {
      hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
      hash ^= hash >> 32;
    }
    return static_cast<Entry*>(pages_.start) + ((hash * 0xBF58476D1CE4E5B9u) >> shift_ & ~size_t{1});
  }

  // Ask for a set that is soon looked at.
  static void fetch(const Entry* set) {
    for (size_t byte = 0; byte < 2 * sizeof(Entry); byte += 64) {
      __builtin_prefetch(reinterpret_cast<const char*>(set) + byte);
    }
  }

  static const Entry* find(const Entry* set, const Key& key, size_t length) {
    for (const Entry* entry = set; entry != set + 2; ++entry) {
      uint64_t other = entry->length ^ length;
      for (size_t i = 0; i < kWords; ++i) other |= entry->key[i] ^ key[i];  // memcmp is a call, and slower
      if (other == 0) return entry;
    }
    return nullptr;
  }

  static void put(Entry* set, const Key& key, size_t length, const int32_t* ids, size_t count) {
    if (count > kIds) return;
    set[1] = set[0];
    set[0].key = key;
    set[0].length = static_cast<uint8_t>(length);
    set[0].count = static_cast<uint8_t>(count);
    std::memcpy(set[0].ids, ids, count * sizeof *ids);
  }

 private:
  // Bytes of word `i` that a text of `length` bytes fills.
  static uint64_t mask(size_t length, size_t i) {
    if (length >= 8 * i + 8) return UINT64_MAX;
    return length <= 8 * i ? 0 : (uint64_t{1} << (8 * (length - 8 * i))) - 1;
  }

  Pages pages_;
  int shift_;
};

}  // namespace aixmeg::encoder
