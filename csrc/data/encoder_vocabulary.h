// A SentencePiece BPE vocabulary laid out for encoding. Blanks stand as ' ' here (SentencePiece writes U+2581), so that
// text is read as it is.
//
// A symbol is what BPE joins: a piece of the model, by its id, or a single character that no piece spells alone but
// longer pieces contain (ids from the vocabulary's size on). kNone is a character that nothing joins with.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace aixmeg::encoder {

constexpr int32_t kNone = -1;
constexpr uint32_t kNoRank = UINT32_MAX;

// SentencePiece's ModelProto.SentencePiece.Type.
enum PieceType : uint8_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

struct Pieces {
  const uint8_t* blob;   // all pieces, one after the other, UTF-8
  const int64_t* ends;   // [count] where each ends in blob
  const float* scores;   // [count]
  const uint8_t* types;  // [count] PieceType
  int32_t count;
};

// Bytes of the character that `lead` begins; the text is known to be UTF-8.
inline size_t char_length(uint8_t lead) { return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4; }

class Vocabulary {
 public:
  // What two neighbours join to: the piece's symbol and its place in the order of joining, 0 first.
  struct Join {
    int32_t symbol = kNone;
    uint32_t rank = kNoRank;
  };

  // nullptr for what is left to SentencePiece itself: a piece that is empty, not UTF-8, unused, or user-defined with
  // a literal blank; a vocabulary without all byte pieces, or without the blank.
  static std::unique_ptr<Vocabulary> make(const Pieces& pieces);

  // Whether any piece holds byte `b` right after byte `a`. Text may be cut, and its parts encoded apart, where none
  // does: no join and no user-defined symbol reaches over such a place, and joins on its two sides do not see each
  // other. The inside of a character always counts as held.
  bool holds(uint8_t a, uint8_t b) const { return pairs_[a][b >> 6] >> (b & 63) & 1; }

  int32_t symbol_of(const uint8_t* text, size_t length) const {
    if (length == 1) return ascii_[text[0]];
    const auto found = characters_.find(code(text, length));
    return found == characters_.end() ? kNone : found->second;
  }

  Join join(int32_t left, int32_t right) const {
    if ((left | right) < 0) return {};
    const uint64_t key = static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
    const uint64_t hash = mix(key);
    // Most pairs join to nothing, which this small table tells without a look into the large one.
    if (!(known_[hash >> kKnownShift] >> (hash >> (kKnownShift - 6) & 63) & 1)) return {};
    for (size_t slot = hash >> shift_;; slot = (slot + 1) & mask_) {
      const Entry& entry = table_[slot];
      if (entry.key == key) return entry.join;
      if (entry.key == kEmpty) return {};
    }
  }

  // `join` of two ASCII characters: nearly all of the first looks at a text, in a table that stays in the cache.
  Join join_ascii(uint8_t left, uint8_t right) const { return ascii_joins_[left * 128 + right]; }

  bool has_user_defined() const { return !trie_.empty(); }

  // Length in bytes of the longest user-defined symbol that `text` begins with, 0 for none.
  size_t match_user_defined(const uint8_t* text, size_t size, int32_t* id) const;

  // Write the ids of a finished symbol that spells `length` bytes of `text`; returns how many, at most `length`.
  size_t emit(int32_t symbol, const uint8_t* text, size_t length, int32_t* ids) const;

  const std::array<int32_t, 256>& byte_ids() const { return byte_ids_; }

 private:
  struct Entry {
    uint64_t key = kEmpty;
    Join join;
  };
  static constexpr uint64_t kEmpty = UINT64_MAX;

  Vocabulary() = default;
  bool read(const Pieces& pieces);
  bool add_piece(std::string_view text, uint8_t type, int32_t id);
  void hold_pairs(const std::string& text);
  void add_user_defined(const std::string& text, int32_t id);
  bool add_characters(const std::vector<std::string>& normal);
  void add_joins(const std::vector<std::string>& normal, const float* scores);

  static uint32_t code(const uint8_t* text, size_t length) {
    uint32_t value = 0;
    for (size_t i = 0; i < length; ++i) value = value << 8 | text[i];
    return value;
  }
  static uint64_t mix(uint64_t key) {
    key = (key ^ key >> 32) * 0x9E3779B97F4A7C15u;
    return (key ^ key >> 29) * 0xBF58476D1CE4E5B9u;
  }
  static constexpr int kKnownShift = 50;  // 16,384 words: 128 KB

  int32_t count_ = 0;
  std::array<std::array<uint64_t, 4>, 256> pairs_{};
  std::array<int32_t, 256> ascii_{};
  std::array<int32_t, 256> byte_ids_{};
  std::unordered_map<uint32_t, int32_t> characters_;      // UTF-8 bytes of a character to its symbol
  std::unordered_map<std::string_view, int32_t> normal_;  // only while reading
  int32_t extra_ = 0;  // symbols from count_ on: characters that are no piece by themselves
  std::vector<uint64_t> known_ = std::vector<uint64_t>(size_t{1} << (64 - kKnownShift));
  std::vector<Entry> table_;  // open addressing, at most half full
  std::vector<Join> ascii_joins_;
  size_t mask_ = 0;
  int shift_ = 0;
  std::unordered_map<uint64_t, uint32_t> trie_;  // user-defined symbols: node * 256 + byte to node
  std::vector<int32_t> trie_ids_{kNone};         // of each node, kNone inside a symbol
};

}  // namespace aixmeg::encoder
