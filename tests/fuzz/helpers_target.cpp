// Fuzz target of what csrc/data does to texts and stored syntax trees, the encoder apart: any bytes, in buffers of the
// very size that each function asks for. Nothing may crash, read or write outside, or give more than it can.
//
//   clang++ -fsanitize=fuzzer,address,undefined -std=c++17 -Icsrc/data csrc/data/*.cpp tests/fuzz/helpers_target.cpp
//   g++ -DSEEDED -fsanitize=address,undefined …   and then ./a.out SEED RUNS: random inputs, without coverage
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

struct AixmegComments {
  char line[4], open[4], close[4];
  int32_t triple_quotes;
};

extern "C" {
void aixmeg_line_stats(const uint8_t*, int64_t, int64_t*);
int64_t aixmeg_minhash(const uint8_t*, size_t, int32_t, uint16_t*);
int64_t aixmeg_grams(const uint8_t*, size_t, uint64_t*);
size_t aixmeg_strip_comments(const uint8_t*, size_t, const AixmegComments*, uint8_t*);
int64_t aixmeg_ngrams(const uint8_t*, size_t, size_t, uint64_t*);
int32_t aixmeg_ngram_table(const uint64_t*, size_t, uint64_t*, uint32_t*, uint8_t*, size_t);
int64_t aixmeg_ngram_scan(const uint8_t*, size_t, const AixmegComments*, size_t, const uint64_t*, const uint32_t*,
                          const uint8_t*, size_t, uint32_t*, uint32_t*, size_t);
int64_t aixmeg_term_counts(const uint8_t*, int64_t, uint32_t*, uint16_t*, uint32_t*, int64_t);
int64_t aixmeg_word_grams(const uint8_t*, int64_t, uint32_t*, int64_t);
void aixmeg_tree_pack(int64_t, const uint32_t*, const uint32_t*, const int32_t*, const uint16_t*, const uint16_t*,
                      const uint8_t*, const uint8_t*, int64_t, uint8_t*, int64_t*);
int32_t aixmeg_tree_unpack(const uint8_t*, int64_t, int64_t, const uint8_t*, int64_t, int64_t, uint8_t*);
}

namespace {

#define REQUIRE(condition) \
  if (!(condition)) std::fprintf(stderr, "line %d: %s\n", __LINE__, #condition), std::abort()

using Bytes = std::vector<uint8_t>;

struct Input {
  const uint8_t* data;
  size_t size;
  uint8_t byte() { return size ? --size, *data++ : 0; }
};

// Words, quotes and comments far more often than chance would have them.
Bytes text_of(Input& input) {
  static const char* const kWords[] = {"word ",
                                       "x",
                                       "\"",
                                       "'",
                                       "\"\"\"",
                                       "//",
                                       "/*",
                                       "*/",
                                       "#",
                                       "\n",
                                       "\r\n",
                                       "\\",
                                       " ",
                                       "0f",
                                       "(",
                                       "\xC3\xA9",
                                       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1"};
  constexpr size_t kCount = sizeof kWords / sizeof *kWords;
  Bytes text;
  while (input.size && text.size() < 20000) {
    const uint8_t value = input.byte();
    if (value >= 240) {
      text.push_back(input.byte());
    } else {
      const char* word = kWords[value % kCount];
      text.insert(text.end(), word, word + std::strlen(word));
    }
  }
  text.shrink_to_fit();
  return text;
}

void check_texts(const Bytes& text, Input choice) {
  const size_t size = text.size();
  const auto length = static_cast<int64_t>(size);
  int64_t stats[10] = {};
  aixmeg_line_stats(text.data(), length, stats);
  for (const int64_t value : stats) REQUIRE(value >= 0 && value <= length);
  std::vector<uint16_t> signature(64);
  REQUIRE(aixmeg_minhash(text.data(), size, 6, signature.data()) >= 0);
  std::vector<uint64_t> grams(size);
  REQUIRE(aixmeg_grams(text.data(), size, grams.data()) <= length);
  static const AixmegComments kForms[] = {
      {"//", "/*", "*/", 0}, {"#", "", "", 1}, {"", "", "", 0}, {"--", "{-", "-}", 0}};
  const AixmegComments* form = &kForms[choice.byte() % 4];
  Bytes code(size);
  REQUIRE(aixmeg_strip_comments(text.data(), size, form, code.data()) <= size);
  const size_t words = 1 + choice.byte() % 12;
  std::vector<uint64_t> hashes(size);
  const int64_t count = aixmeg_ngrams(text.data(), size, words, hashes.data());
  REQUIRE(count >= 0 && count <= length);
  hashes.resize(count);
  std::sort(hashes.begin(), hashes.end());
  hashes.erase(std::unique(hashes.begin(), hashes.end()), hashes.end());
  size_t slots = 8;
  while (slots <= 2 * hashes.size()) slots *= 2;
  std::vector<uint64_t> keys(slots);
  std::vector<uint32_t> indices(slots), positions(choice.byte()), found(positions.size());
  Bytes filter(slots);
  REQUIRE(aixmeg_ngram_table(hashes.data(), hashes.size(), keys.data(), indices.data(), filter.data(), slots) == 0);
  const int64_t all = aixmeg_ngram_scan(text.data(), size, nullptr, words, keys.data(), indices.data(), filter.data(),
                                        slots, positions.data(), found.data(), positions.size());
  REQUIRE(all == count);  // every run of the text is in a table of all its runs
  const int64_t some = aixmeg_ngram_scan(text.data(), size, form, words, keys.data(), indices.data(), filter.data(),
                                         slots, positions.data(), found.data(), positions.size());
  REQUIRE(some >= 0 && some <= length);
  static std::vector<uint32_t> scratch(65536);
  std::vector<uint16_t> buckets(choice.byte() % 64);
  std::vector<uint32_t> counts(buckets.size());
  const auto room = static_cast<int64_t>(buckets.size());
  REQUIRE(aixmeg_term_counts(text.data(), length, scratch.data(), buckets.data(), counts.data(), room) <= room);
  REQUIRE(std::count(scratch.begin(), scratch.end(), 0u) == 65536);
  std::vector<uint32_t> out(size / 2);
  const auto half = static_cast<int64_t>(out.size());
  REQUIRE(aixmeg_word_grams(text.data(), length, out.data(), half) <= half);
}

struct Tree {
  std::vector<uint32_t> start, end;
  std::vector<int32_t> parent;
  std::vector<uint16_t> kind, field;
  Bytes flags;

  // Nodes in the order of tree-sitter: parents first, children from left to right inside them.
  void grow(Input& input, uint32_t from, uint32_t to, int32_t above, int depth) {
    const auto self = static_cast<int32_t>(start.size());
    start.push_back(from);
    end.push_back(to);
    parent.push_back(above);
    kind.push_back(input.byte() % 8 ? input.byte() % 9 : input.byte() * 200);
    field.push_back(input.byte() % 4 ? 0 : input.byte());
    flags.push_back(input.byte() % 8);
    for (int left = depth < 12 ? input.byte() % 5 : 0; left && start.size() < 500; --left) {
      const uint32_t first = std::min(from + input.byte() % 4, to);
      const uint32_t last = first + (to - first ? input.byte() % (to - first + 1) : 0);
      grow(input, first, last, self, depth + 1);
      from = last;
    }
  }
};

void check_tree(const Bytes& text, Input input) {
  Tree tree;
  tree.grow(input, 0, static_cast<uint32_t>(text.size()), -1, 0);
  const auto n = static_cast<int64_t>(tree.start.size()), length = static_cast<int64_t>(text.size());
  Bytes streams(27 * n);
  int64_t lengths[2];
  aixmeg_tree_pack(n, tree.start.data(), tree.end.data(), tree.parent.data(), tree.kind.data(), tree.field.data(),
                   tree.flags.data(), text.data(), length, streams.data(), lengths);
  streams.resize(lengths[0] + lengths[1]);
  streams.shrink_to_fit();
  Bytes block(17 * n);
  REQUIRE(aixmeg_tree_unpack(streams.data(), lengths[0], lengths[1], text.data(), length, n, block.data()) == 0);
  REQUIRE(std::memcmp(block.data(), tree.start.data(), 4 * n) == 0);
  REQUIRE(std::memcmp(block.data() + 4 * n, tree.end.data(), 4 * n) == 0);
  REQUIRE(std::memcmp(block.data() + 8 * n, tree.parent.data(), 4 * n) == 0);
  REQUIRE(std::memcmp(block.data() + 12 * n, tree.kind.data(), 2 * n) == 0);
  REQUIRE(std::memcmp(block.data() + 14 * n, tree.field.data(), 2 * n) == 0);
  REQUIRE(std::memcmp(block.data() + 16 * n, tree.flags.data(), n) == 0);
  for (int left = 8; left; --left) {  // damaged: refused or not, but nothing outside is touched
    Bytes bad = streams;
    for (int times = 1 + input.byte() % 3; times && !bad.empty(); --times) {
      bad[(input.byte() << 8 | input.byte()) % bad.size()] = input.byte();
    }
    aixmeg_tree_unpack(bad.data(), lengths[0], lengths[1], text.data(), length, n, block.data());
    const int64_t codes = bad.empty() ? 0 : input.byte() % (bad.size() + 1);
    aixmeg_tree_unpack(bad.data(), codes, bad.size() - codes, text.data(), length, n, block.data());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input{data, size};
  const Input choice = input;
  const Bytes text = text_of(input);
  check_texts(text, choice);
  check_tree(text, choice);
  return 0;
}

#ifdef SEEDED
int main(int, char** arguments) {
  uint64_t state = std::strtoull(arguments[1], nullptr, 10) * 2 + 1;
  const auto random = [&state](uint64_t below) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return static_cast<size_t>((state >> 11) % below);
  };
  for (long left = std::strtol(arguments[2], nullptr, 10); left; --left) {
    Bytes input(random(50) ? random(400) : random(8000));
    for (uint8_t& value : input) value = static_cast<uint8_t>(random(256));
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  std::puts("no fault");
}
#endif
