// Fuzz target of csrc/data/encoder*: random vocabularies, texts and slices. Nothing may crash, read outside, lose a
// byte or depend on the cuts or on what was remembered.
//
//   clang++ -fsanitize=fuzzer,address,undefined -std=c++17 -Icsrc/data csrc/data/encoder*.cpp
//   tests/fuzz/encoder_target.cpp g++ -DSEEDED -fsanitize=address,undefined …   and then ./a.out SEED RUNS: random
//   inputs of its own, without coverage
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "encoder_utf8.h"
#include "encoder_vocabulary.h"

extern "C" void* aixmeg_encoder_new(const uint8_t*, const int64_t*, const float*, const uint8_t*, int32_t, int32_t,
                                    int32_t);
extern "C" void aixmeg_encoder_free(void*);
extern "C" int64_t aixmeg_encoder_encode(void*, const uint8_t*, int64_t, const int64_t*, int64_t, int32_t*, int64_t,
                                         int64_t*, int64_t*);

namespace {

using namespace aixmeg::encoder;

#define REQUIRE(condition) \
  if (!(condition)) std::fprintf(stderr, "line %d: %s\n", __LINE__, #condition), std::abort()

struct Input {
  const uint8_t* data;
  size_t size;
  uint8_t byte() { return size ? --size, *data++ : 0; }
  // So many bytes as characters of a small alphabet, so that pieces and texts have something in common; a few as they
  // are.
  std::string take(size_t length) {
    static const char* const kAlphabet[] = {"a", "b", "c", "a", " ", "\xE2\x96\x81", "\xC3\xA9", "\xF0\x9F\x98\x80"};
    std::string text;
    for (length = std::min(length, size); length; --length) {
      const uint8_t value = byte();
      if (value == 255 && length > 1) {
        text += static_cast<char>(byte());
        --length;
      } else if (value % 10 == 9) {
        text += '\0';
      } else {
        text += kAlphabet[value % 10 % 8];
      }
    }
    return text;
  }
};

struct Model {
  std::string blob;
  std::vector<int64_t> ends;
  std::vector<float> scores;
  std::vector<uint8_t> types;
  std::vector<std::string> texts;

  void add(const std::string& text, float score, uint8_t type) {
    texts.push_back(text);
    blob += text;
    ends.push_back(static_cast<int64_t>(blob.size()));
    scores.push_back(score);
    types.push_back(type);
  }
  explicit Model(Input& input) {
    const uint8_t flags = input.byte();
    if (flags & 1) add("\xE2\x96\x81", -1, kNormal);
    for (int value = 0; flags & 2 && value < 256; ++value) {
      char name[8];
      std::snprintf(name, sizeof name, "<0x%02X>", value);
      add(name, 0, kByte);
    }
    for (int left = input.byte() % 48; left; --left) {
      const uint8_t kind = input.byte(), length = 1 + kind % 7;
      const uint8_t type = kind > 253 ? input.byte() % 8 : kind > 230 ? kUserDefined : kNormal;
      const float score = static_cast<float>(input.byte() % 16);
      add(input.take(length), score, type);
    }
  }
  Pieces pieces() const {
    return {reinterpret_cast<const uint8_t*>(blob.data()), ends.data(), scores.data(), types.data(),
            static_cast<int32_t>(texts.size())};
  }
};

std::string blanks_for_boundaries(std::string text) {
  for (size_t at; (at = text.find("\xE2\x96\x81")) != std::string::npos;) text.replace(at, 3, " ");
  return text;
}

// Bytes that the ids stand for.
std::string spell(const Model& model, const std::vector<int32_t>& ids) {
  std::string text;
  for (const int32_t id : ids) {
    REQUIRE(id >= 0 && id < static_cast<int32_t>(model.texts.size()));
    const std::string& piece = model.texts[id];
    if (model.types[id] == kByte) {
      text += static_cast<char>(std::strtol(piece.c_str() + 1, nullptr, 16));
    } else {
      text += blanks_for_boundaries(piece);
    }
  }
  return text;
}

// SentencePiece's algorithm as it is described, on strings: join the best pair of neighbours, the leftmost of equals,
// and begin again.
std::vector<int32_t> encode_plainly(const Model& model, const std::string& text) {
  std::map<std::string, int32_t> normal, user_defined, bytes;
  for (size_t id = 0; id < model.texts.size(); ++id) {
    if (model.texts[id].find(' ') != std::string::npos) continue;  // no text has one once blanks are U+2581
    auto& kind = model.types[id] == kNormal ? normal : model.types[id] == kUserDefined ? user_defined : bytes;
    kind[blanks_for_boundaries(model.texts[id])] = static_cast<int32_t>(id);
  }
  std::vector<std::string> symbols;
  std::vector<bool> frozen;
  for (size_t at = 0; at < text.size(); at += symbols.back().size()) {
    size_t length = 0;
    for (const auto& [symbol, id] : user_defined) {
      if (text.compare(at, symbol.size(), symbol) == 0) length = std::max(length, symbol.size());
    }
    frozen.push_back(length > 0);
    symbols.push_back(text.substr(at, length ? length : char_length(static_cast<uint8_t>(text[at]))));
  }
  for (;;) {
    size_t best = symbols.size();
    float score = 0;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto found = frozen[i] || frozen[i + 1] ? normal.end() : normal.find(symbols[i] + symbols[i + 1]);
      if (found == normal.end() || (best < symbols.size() && model.scores[found->second] <= score)) continue;
      score = model.scores[found->second];
      best = i;
    }
    if (best == symbols.size()) break;
    symbols[best] += symbols[best + 1];
    symbols.erase(symbols.begin() + best + 1);
    frozen.erase(frozen.begin() + best + 1);
  }
  std::vector<int32_t> ids;
  for (size_t i = 0; i < symbols.size(); ++i) {
    const auto& kind = frozen[i] ? user_defined : normal;
    if (const auto found = kind.find(symbols[i]); found != kind.end()) {
      ids.push_back(found->second);
      continue;
    }
    for (const char c : symbols[i]) {
      char name[8];
      std::snprintf(name, sizeof name, "<0x%02X>", static_cast<uint8_t>(c));
      ids.push_back(bytes.at(name));
    }
  }
  return ids;
}

void check(const Model& model, const std::string& text, const std::vector<int64_t>& bounds, bool split, int bits) {
  const Pieces pieces = model.pieces();
  void* encoder = aixmeg_encoder_new(pieces.blob, pieces.ends, pieces.scores, pieces.types, pieces.count, split, bits);
  if (!encoder) return;
  const auto slices = static_cast<int64_t>(bounds.size() / 2);
  int64_t room = 15;
  for (int64_t i = 0; i < slices; ++i) room += std::max<int64_t>(bounds[2 * i + 1] - bounds[2 * i], 0);
  const std::vector<uint8_t> data(text.begin(), text.end());  // of exactly this size, so that reading past is seen
  std::vector<int32_t> ids[2];
  std::vector<int64_t> ends(slices + 1);
  for (auto& pass : ids) {
    pass.resize(room);
    int64_t where = -1;
    const int64_t count = aixmeg_encoder_encode(encoder, data.data(), text.size(), bounds.data(), slices, pass.data(),
                                                room, ends.data(), &where);
    REQUIRE(count >= -2);
    REQUIRE(count != -2 || (where >= 0 && where < static_cast<int64_t>(text.size())));
    pass.resize(std::max<int64_t>(count, 0));
  }
  REQUIRE(ids[0] == ids[1]);  // the second time everything is remembered
  int64_t where = -1;
  std::vector<int64_t> unused(slices + 1);
  const int64_t cramped = aixmeg_encoder_encode(encoder, data.data(), text.size(), bounds.data(), slices, ids[1].data(),
                                                room - 1, unused.data(), &where);
  REQUIRE(slices == 0 || cramped < 0);
  aixmeg_encoder_free(encoder);
  if (ids[0].empty()) return;
  const bool twice = std::set<std::string>(model.texts.begin(), model.texts.end()).size() < model.texts.size();
  for (int64_t i = 0, begin = 0; i < slices; begin = ends[i++]) {
    std::string slice = text.substr(bounds[2 * i], bounds[2 * i + 1] - bounds[2 * i]);
    const std::vector<int32_t> own(ids[0].begin() + begin, ids[0].begin() + ends[i]);
    if (!split) slice = blanks_for_boundaries(slice);
    REQUIRE(spell(model, own) == slice);
    if (twice || slice.size() > 700) continue;  // SentencePiece refuses models with a piece twice
    if (slice.find("\xE2\x96\x81") == std::string::npos) REQUIRE(own == encode_plainly(model, slice));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input{data, size};
  const Model model(input);
  const uint8_t flags = input.byte();
  std::vector<int64_t> bounds;
  for (int left = flags % 4; left; --left) {
    const int64_t start = input.byte() - 2, length = input.byte() - 2;
    bounds.insert(bounds.end(), {start, start + length});
  }
  const std::string text = input.take(input.size);
  check(model, text, bounds, flags & 4, flags >> 4 & 3);
  check(model, text, {0, static_cast<int64_t>(text.size())}, flags & 4, flags >> 4 & 3);
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
    std::vector<uint8_t> input(random(50) ? random(400) : random(8000));
    const size_t letters = 1 + random(10);  // few, so that long runs have no place to cut
    for (uint8_t& value : input)
      value = static_cast<uint8_t>(random(30) ? 10 * random(25) + random(letters) : random(256));
    if (input.size() > 1 && random(8)) {
      input[0] = 3;                                 // all that a model needs, so that most are taken
      input[1] = static_cast<uint8_t>(random(30));  // pieces
    }
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  std::puts("no fault");
}
#endif
