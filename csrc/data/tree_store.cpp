// Stored syntax trees (aixmeg/syntax/store.py): the columns of a tree as two byte streams, and back, exactly.
//
// Nodes come in document order, each as a code. A code names a template: everything about a node that repeats from node
// to node. What does not repeat is mostly told by the source itself: a node begins behind the blanks, a name ends where
// its letters end, a line comment at the end of its line, a parent where its last child ends. The rest are varints.
#include <cstring>
#include <memory>
#include <vector>

#include "api.h"

namespace {

// How a leaf's length is known: by the text at its beginning, by the template, or as a varint.
enum LengthRule : uint64_t { kWord, kLine, kFixed, kLengthGiven };
// How far a node begins behind the last place: behind the blanks there, at it, or a varint.
enum GapRule : uint64_t { kBlanks, kNoGap, kGapGiven };

struct Template {
  uint16_t kind, field;
  uint8_t flags, length;  // length: of a leaf under kFixed
  bool leaf, last, tail;  // last: among its siblings; tail: it ends elsewhere than its last child
  uint64_t gap_rule, length_rule;

  uint64_t key() const {
    return kind | uint64_t{field} << 16 | uint64_t{flags} << 32 | uint64_t{length} << 40 | uint64_t{leaf} << 48 |
           uint64_t{last} << 49 | uint64_t{tail} << 50 | gap_rule << 51 | length_rule << 53;
  }

  static Template of(uint64_t key) {
    return {static_cast<uint16_t>(key),
            static_cast<uint16_t>(key >> 16),
            static_cast<uint8_t>(key >> 32),
            static_cast<uint8_t>(key >> 40),
            (key >> 48 & 1) != 0,
            (key >> 49 & 1) != 0,
            (key >> 50 & 1) != 0,
            key >> 51 & 3,
            key >> 53 & 3};
  }
};
constexpr int kKeyBytes = 7;

// Codes: 0 a new template, given in the other stream; 1 to 247 one of the first; 248 to 255 and one more byte the rest.
constexpr uint32_t kShort = 247, kTemplates = kShort + 8 * 256;

constexpr uint8_t kIsWord = 1, kIsBlank = 2;
struct Classes {
  uint8_t of[256] = {};
  constexpr Classes() {
    for (int byte = 0; byte < 256; byte++) {
      bool word = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
                  byte == '_' || byte >= 0x80;
      of[byte] = word ? kIsWord : byte == ' ' || (byte >= 9 && byte <= 13) ? kIsBlank : 0;
    }
  }
};
constexpr Classes kClasses;

class Scanner {
 public:
  Scanner(const uint8_t* source, int64_t length) : source_(source), length_(length) {}

  int64_t blanks_end(int64_t at) const {
    while (at < length_ && kClasses.of[source_[at]] == kIsBlank) at++;
    return at;
  }

  int64_t word_end(int64_t at) const {
    while (at < length_ && kClasses.of[source_[at]] == kIsWord) at++;
    return at;
  }

  int64_t line_end(int64_t at) const {
    if (at >= length_) return at;
    const void* found = std::memchr(source_ + at, '\n', static_cast<size_t>(length_ - at));
    int64_t end = found ? static_cast<const uint8_t*>(found) - source_ : length_;
    return end > at && found && source_[end - 1] == '\r' ? end - 1 : end;
  }

 private:
  const uint8_t* source_;
  int64_t length_;
};

class Writer {
 public:
  Writer(uint8_t* codes, uint8_t* rest) : codes_(codes), rest_(rest), slots_(4096) { keys_.reserve(256); }

  void node(uint64_t key) {
    uint64_t slot = (key * 0x9E3779B97F4A7C15u) >> 52;  // 12 bits
    while (slots_[slot] != 0 && keys_[slots_[slot] - 1] != key) slot = (slot + 1) % slots_.size();
    uint32_t code = slots_[slot];
    if (code == 0) {
      codes_[codes_length++] = 0;
      for (int i = 0; i < kKeyBytes; i++) rest_[rest_length++] = static_cast<uint8_t>(key >> 8 * i);
      if (keys_.size() < kTemplates) {
        keys_.push_back(key);
        slots_[slot] = static_cast<uint16_t>(keys_.size());
      }
    } else if (code <= kShort) {
      codes_[codes_length++] = static_cast<uint8_t>(code);
    } else {
      code -= kShort + 1;
      codes_[codes_length++] = static_cast<uint8_t>(kShort + 1 + (code >> 8));
      codes_[codes_length++] = static_cast<uint8_t>(code);
    }
  }

  void number(int64_t value) {
    uint64_t left = static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63);
    for (; left >= 0x80; left >>= 7) rest_[rest_length++] = static_cast<uint8_t>(left | 0x80);
    rest_[rest_length++] = static_cast<uint8_t>(left);
  }

  int64_t codes_length = 0, rest_length = 0;

 private:
  uint8_t *codes_, *rest_;
  std::vector<uint16_t> slots_;  // codes, by the hash of their keys; 0 is free
  std::vector<uint64_t> keys_;   // of code 1, 2 …
};

class Reader {
 public:
  Reader(const uint8_t* codes, int64_t codes_length, const uint8_t* rest, int64_t rest_length)
      : codes_(codes), codes_end_(codes + codes_length), rest_(rest), rest_end_(rest + rest_length) {}

  bool node(Template* out) {
    if (codes_ == codes_end_) return false;
    uint32_t code = *codes_++;
    if (code == 0) {
      if (rest_end_ - rest_ < kKeyBytes) return false;
      uint64_t key = 0;
      for (int i = 0; i < kKeyBytes; i++) key |= uint64_t{*rest_++} << 8 * i;
      *out = Template::of(key);
      if (known_.size() < kTemplates) known_.push_back(*out);
      return true;
    }
    if (code > kShort) {
      if (codes_ == codes_end_) return false;
      code = kShort + 1 + ((code - kShort - 1) << 8 | *codes_++);
    }
    if (code > known_.size()) return false;
    *out = known_[code - 1];
    return true;
  }

  bool number(int64_t* out) {
    uint64_t value = 0;
    for (int shift = 0; shift < 42; shift += 7) {
      if (rest_ == rest_end_) return false;
      uint8_t byte = *rest_++;
      value |= uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) {
        *out = static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
        return true;
      }
    }
    return false;
  }

  bool done() const { return codes_ == codes_end_ && rest_ == rest_end_; }

 private:
  const uint8_t *codes_, *codes_end_, *rest_, *rest_end_;
  std::vector<Template> known_;
};

}  // namespace

// Writes both streams of a tree of n nodes, one behind the other, into `out`, which has room for 27 n bytes; `lengths`
// gets the bytes of each. Parents come before their children, as tree-sitter gives them.
AIXMEG_API void aixmeg_tree_pack(int64_t n, const uint32_t* start, const uint32_t* end, const int32_t* parent,
                                 const uint16_t* kind, const uint16_t* field, const uint8_t* flags,
                                 const uint8_t* source, int64_t source_length, uint8_t* streams, int64_t* lengths) {
  Scanner scan(source, source_length);
  uint8_t* rest = streams + 2 * n;  // a code has at most two bytes
  Writer out(streams, rest);
  std::vector<int32_t> last_child(static_cast<size_t>(n), -1);
  for (int64_t i = 1; i < n; i++) last_child[parent[i]] = static_cast<int32_t>(i);
  int64_t place = 0;
  for (int64_t i = 0; i < n; i++) {
    int64_t length = static_cast<int64_t>(end[i]) - start[i], gap = start[i] - place, tail = 0;
    Template node{kind[i], field[i], flags[i], 0, last_child[i] < 0, i == 0 || last_child[parent[i]] == i, false, 0, 0};
    node.gap_rule = scan.blanks_end(place) == start[i] ? kBlanks : gap == 0 ? kNoGap : kGapGiven;
    if (node.leaf) {
      if (!(flags[i] & 1) && length >= 0 && length < 256) {
        node.length_rule = kFixed;
        node.length = static_cast<uint8_t>(length);
      } else if (scan.word_end(start[i]) == end[i]) {
        node.length_rule = kWord;
      } else {
        node.length_rule = scan.line_end(start[i]) == end[i] ? kLine : kLengthGiven;
      }
    } else {
      tail = static_cast<int64_t>(end[i]) - end[last_child[i]];
      node.tail = tail != 0;
    }
    out.node(node.key());
    if (node.gap_rule == kGapGiven) out.number(gap);
    if (node.leaf && node.length_rule == kLengthGiven) out.number(length);
    if (node.tail) out.number(tail);
    place = node.leaf ? end[i] : start[i];
    // Behind the last child the place is where the parent ends.
    for (int64_t at = i; node.leaf && at > 0 && last_child[parent[at]] == at;) {
      at = parent[at];
      place = end[at];
    }
  }
  lengths[0] = out.codes_length;
  lengths[1] = out.rest_length;
  std::memmove(streams + out.codes_length, rest, static_cast<size_t>(out.rest_length));
}

// Fills the columns of n nodes from both streams, one behind the other; the columns lie one behind the other: start,
// end, parent, kind, field, flags. Returns 0, or -1 where the streams are not those of a tree of n nodes over this
// source.
AIXMEG_API int32_t aixmeg_tree_unpack(const uint8_t* streams, int64_t codes_length, int64_t rest_length,
                                      const uint8_t* source, int64_t source_length, int64_t n, uint8_t* block) {
  uint32_t* start = reinterpret_cast<uint32_t*>(block);
  uint32_t* end = start + n;
  int32_t* parent = reinterpret_cast<int32_t*>(end + n);
  uint16_t* kind = reinterpret_cast<uint16_t*>(parent + n);
  uint16_t* field = kind + n;
  uint8_t* flags = reinterpret_cast<uint8_t*>(field + n);
  struct Open {
    int32_t node;
    bool last;
    int64_t tail;
  };
  Scanner scan(source, source_length);
  Reader in(streams, codes_length, streams + codes_length, rest_length);
  std::vector<Open> open;
  int64_t place = 0;
  for (int64_t i = 0; i < n; i++) {
    Template node;
    if ((i > 0 && open.empty()) || !in.node(&node)) return -1;
    int64_t gap = 0, length = node.length, tail = 0;
    if (node.gap_rule == kBlanks) gap = scan.blanks_end(place) - place;
    if (node.gap_rule >= kGapGiven && !in.number(&gap)) return -1;
    int64_t from = place + gap;
    if (from < 0 || from > source_length) return -1;
    if (node.leaf && node.length_rule == kLengthGiven && !in.number(&length)) return -1;
    if (node.tail && !in.number(&tail)) return -1;
    if (node.length_rule == kWord) length = scan.word_end(from) - from;
    if (node.length_rule == kLine) length = scan.line_end(from) - from;
    start[i] = static_cast<uint32_t>(from);
    parent[i] = open.empty() ? -1 : open.back().node;
    kind[i] = node.kind;
    field[i] = node.field;
    flags[i] = node.flags;
    place = from;
    if (!node.leaf) {
      open.push_back({static_cast<int32_t>(i), node.last, tail});
      continue;
    }
    place = from + length;
    if (length < 0 || place > source_length) return -1;
    end[i] = static_cast<uint32_t>(place);
    for (bool last = node.last; last && !open.empty();) {
      place += open.back().tail;
      if (place < 0 || place > source_length) return -1;
      end[open.back().node] = static_cast<uint32_t>(place);
      last = open.back().last;
      open.pop_back();
    }
  }
  return open.empty() && in.done() ? 0 : -1;
}

// The index behind the last node inside each node: after[n], of parents that come before their children.
AIXMEG_API void aixmeg_tree_after(int64_t n, const int32_t* parent, int32_t* after) {
  for (int64_t i = 0; i < n; i++) after[i] = static_cast<int32_t>(i + 1);
  for (int64_t i = n - 1; i > 0; i--) {
    int32_t above = parent[i];
    if (above >= 0 && after[above] < after[i]) after[above] = after[i];
  }
}
