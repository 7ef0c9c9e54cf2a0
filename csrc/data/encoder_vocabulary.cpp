#include "encoder_vocabulary.h"

#include <algorithm>
#include <cmath>

#include "encoder_utf8.h"

namespace aixmeg::encoder {
namespace {

constexpr std::string_view kBoundary = "\xE2\x96\x81";  // U+2581, SentencePiece's blank

std::string with_blanks(std::string_view piece) {
  std::string text;
  for (size_t i = 0; i < piece.size();) {
    if (piece.compare(i, kBoundary.size(), kBoundary) == 0) {
      text += ' ';
      i += kBoundary.size();
    } else {
      text += piece[i++];
    }
  }
  return text;
}

const uint8_t* bytes(std::string_view text) { return reinterpret_cast<const uint8_t*>(text.data()); }

size_t first_length(std::string_view text) { return char_length(static_cast<uint8_t>(text[0])); }

int hex(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

// Value of a byte piece <0x00> to <0xFF>, -1 for other text.
int byte_value(std::string_view text) {
  if (text.size() != 6 || text.substr(0, 3) != "<0x" || text[5] != '>') return -1;
  const int high = hex(text[3]), low = hex(text[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

// Place of each score in the order of joining: highest first, equal scores share one.
std::vector<uint32_t> ranks_of(const float* scores, int32_t count) {
  std::vector<float> sorted(scores, scores + count);
  std::sort(sorted.begin(), sorted.end(), [](float a, float b) { return a > b; });
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  std::vector<uint32_t> ranks(count);
  for (int32_t i = 0; i < count; ++i) {
    const auto place =
        std::lower_bound(sorted.begin(), sorted.end(), scores[i], [](float a, float b) { return a > b; });
    ranks[i] = static_cast<uint32_t>(place - sorted.begin());
  }
  return ranks;
}

}  // namespace

std::unique_ptr<Vocabulary> Vocabulary::make(const Pieces& pieces) {
  std::unique_ptr<Vocabulary> made(new Vocabulary);
  if (!made->read(pieces)) return nullptr;
  return made;
}

bool Vocabulary::read(const Pieces& pieces) {
  count_ = pieces.count;
  ascii_.fill(kNone);
  byte_ids_.fill(kNone);
  for (int a = 0; a < 256; ++a) pairs_[a][2] = UINT64_MAX;  // 0x80 to 0xBF continue a character
  std::vector<std::string> normal(pieces.count);
  int64_t start = 0;
  for (int32_t id = 0; id < pieces.count; ++id) {
    const int64_t end = pieces.ends[id];
    if (end <= start || !std::isfinite(pieces.scores[id])) return false;
    const std::string_view text(reinterpret_cast<const char*>(pieces.blob) + start, end - start);
    start = end;
    if (check_utf8(bytes(text), text.size()).bad != kValid || !add_piece(text, pieces.types[id], id)) return false;
    // A literal blank never reaches a model that escapes blanks, so such a piece is never met.
    if (pieces.types[id] == kNormal && text.find(' ') == std::string_view::npos) normal[id] = with_blanks(text);
  }
  for (const int32_t id : byte_ids_) {
    if (id == kNone) return false;
  }
  if (!add_characters(normal)) return false;
  add_joins(normal, pieces.scores);
  return true;
}

bool Vocabulary::add_piece(std::string_view text, uint8_t type, int32_t id) {
  switch (type) {
    case kNormal:
      return true;
    case kUserDefined:
      if (text.find(' ') != std::string_view::npos) return false;
      add_user_defined(with_blanks(text), id);
      return true;
    case kByte: {
      const int value = byte_value(text);
      if (value >= 0) byte_ids_[value] = id;
      return value >= 0;
    }
    default:
      return type == kUnknown || type == kControl;  // no text has their ids
  }
}

void Vocabulary::hold_pairs(const std::string& text) {
  for (size_t i = 1; i < text.size(); ++i) {
    const auto a = static_cast<uint8_t>(text[i - 1]), b = static_cast<uint8_t>(text[i]);
    pairs_[a][b >> 6] |= uint64_t{1} << (b & 63);
  }
}

void Vocabulary::add_user_defined(const std::string& text, int32_t id) {
  hold_pairs(text);
  uint32_t node = 0;
  for (const char c : text) {
    const auto [place, is_new] = trie_.try_emplace(uint64_t{node} * 256 + static_cast<uint8_t>(c), trie_ids_.size());
    if (is_new) trie_ids_.push_back(kNone);
    node = place->second;
  }
  trie_ids_[node] = id;
}

bool Vocabulary::add_characters(const std::vector<std::string>& normal) {
  normal_.reserve(count_);
  for (int32_t id = 0; id < count_; ++id) {
    if (!normal[id].empty()) normal_.emplace(normal[id], id);
  }
  const auto add = [this](std::string_view character) {
    const auto [place, is_new] = characters_.try_emplace(code(bytes(character), character.size()), kNone);
    if (!is_new) return;
    const auto found = normal_.find(character);
    place->second = found != normal_.end() ? found->second : count_ + extra_++;
    if (character.size() == 1) ascii_[bytes(character)[0]] = place->second;
  };
  for (const std::string& text : normal) {
    for (size_t i = 0; i < text.size(); i += char_length(static_cast<uint8_t>(text[i]))) {
      add(std::string_view(text).substr(i, char_length(static_cast<uint8_t>(text[i]))));
    }
  }
  int32_t id;
  const auto* blank = reinterpret_cast<const uint8_t*>(" ");
  return emit(ascii_[' '], blank, 1, &id) == 1 && (match_user_defined(blank, 1, &id) || id != byte_ids_[' ']);
}

void Vocabulary::add_joins(const std::vector<std::string>& normal, const float* scores) {
  const auto symbol = [this](std::string_view text) {
    if (first_length(text) == text.size()) return symbol_of(bytes(text), text.size());
    const auto found = normal_.find(text);
    return found == normal_.end() ? kNone : found->second;
  };
  const std::vector<uint32_t> ranks = ranks_of(scores, count_);
  std::vector<Entry> joins;
  for (int32_t id = 0; id < count_; ++id) {
    const std::string_view text = normal[id];
    hold_pairs(normal[id]);
    for (size_t cut = text.empty() ? 0 : first_length(text); cut < text.size();) {
      const int32_t left = symbol(text.substr(0, cut));
      const int32_t right = left == kNone ? kNone : symbol(text.substr(cut));
      if (right != kNone) {
        joins.push_back({static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right), {id, ranks[id]}});
      }
      cut += char_length(static_cast<uint8_t>(text[cut]));
    }
  }
  shift_ = 60;
  while ((size_t{1} << (64 - shift_)) < 2 * joins.size()) --shift_;
  table_.resize(size_t{1} << (64 - shift_));
  mask_ = table_.size() - 1;
  for (const Entry& join : joins) {
    const uint64_t hash = mix(join.key);
    known_[hash >> kKnownShift] |= uint64_t{1} << (hash >> (kKnownShift - 6) & 63);
    size_t slot = hash >> shift_;
    while (table_[slot].key != kEmpty) slot = (slot + 1) & mask_;  // two symbols spell one text, so keys differ
    table_[slot] = join;
  }
  normal_ = {};
  for (int left = 0; left < 128; ++left) {
    for (int right = 0; right < 128; ++right) ascii_joins_.push_back(join(ascii_[left], ascii_[right]));
  }
}

size_t Vocabulary::match_user_defined(const uint8_t* text, size_t size, int32_t* id) const {
  size_t longest = 0;
  uint32_t node = 0;
  for (size_t i = 0; i < size; ++i) {
    const auto next = trie_.find(uint64_t{node} * 256 + text[i]);
    if (next == trie_.end()) break;
    node = next->second;
    if (trie_ids_[node] != kNone) {
      longest = i + 1;
      *id = trie_ids_[node];
    }
  }
  return longest;
}

size_t Vocabulary::emit(int32_t symbol, const uint8_t* text, size_t length, int32_t* ids) const {
  if (symbol != kNone && symbol < count_) {
    *ids = symbol;
    return 1;
  }
  for (size_t i = 0; i < length; ++i) ids[i] = byte_ids_[text[i]];
  return length;
}

}  // namespace aixmeg::encoder
