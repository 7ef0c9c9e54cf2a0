// Fuzz target of csrc/data/encoder*: random vocabularies, texts and slices. Nothing may crash, read outside, lose a
// byte or depend on the cuts or on what was remembered.
//
//   clang++ -fsanitize=fuzzer,address,undefined -std=c++17 -Icsrc/data csrc/data/encoder*.cpp
//   tests/fuzz/encoder_target.cpp g++ -DSEEDED -fsanitize=address,undefined …   and then ./a.out SEED RUNS: random
//   inputs of its own, without coverage
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "encoder_bpe.h"
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
  std::string take(size_t length) {
    length = std::min(length, size);
    const std::string text(reinterpret_cast<const char*>(data), length);
    data += length, size -= length;
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
      const uint8_t kind = input.byte(), length = kind % 11;
      const uint8_t type = kind > 250 ? kind - 250 : kind > 230 ? kUserDefined : kNormal;
      const float score = static_cast<float>(input.byte() % 8);
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
std::string spell(const Model& model, const int32_t* ids, int64_t count) {
  std::string text;
  for (int64_t i = 0; i < count; ++i) {
    REQUIRE(ids[i] >= 0 && ids[i] < static_cast<int32_t>(model.texts.size()));
    const std::string& piece = model.texts[ids[i]];
    if (model.types[ids[i]] == kByte) {
      text += static_cast<char>(std::strtol(piece.c_str() + 1, nullptr, 16));
    } else {
      text += blanks_for_boundaries(piece);
    }
  }
  return text;
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
  aixmeg_encoder_free(encoder);
  if (ids[0].empty()) return;
  const auto vocabulary = Vocabulary::make(pieces);
  for (int64_t i = 0, begin = 0; i < slices; begin = ends[i++]) {
    std::string slice = text.substr(bounds[2 * i], bounds[2 * i + 1] - bounds[2 * i]);
    const int32_t* own = ids[0].data() + begin;
    const int64_t count = ends[i] - begin;
    if (!split) slice = blanks_for_boundaries(slice);
    REQUIRE(spell(model, own, count) == slice);
    if (slice.find("\xE2\x96\x81") != std::string::npos) continue;
    std::vector<int32_t> whole(slice.size() + 1);  // without any cut
    const auto* bytes = reinterpret_cast<const uint8_t*>(slice.data());
    whole.resize(Bpe(*vocabulary).encode(bytes, slice.size(), whole.data()));
    REQUIRE(whole == std::vector<int32_t>(own, own + count));
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
  const std::vector<std::string> usual = {"a", "b", "ab", " ", "\xE2\x96\x81", "\xC3\xA9", "\xF0\x9F\x98\x80", "aab"};
  for (long left = std::strtol(arguments[2], nullptr, 10); left; --left) {
    std::string input(1, static_cast<char>(random(8) ? 3 : random(256)));
    const size_t wanted = random(50) ? random(300) : random(6000);
    while (input.size() < wanted) {
      const size_t kind = random(40);
      input += kind ? usual[random(usual.size())] : std::string(1, static_cast<char>(random(256)));
    }
    if (input.size() > 1) input[1] = static_cast<char>(random(20));
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
  }
  std::puts("no fault");
}
#endif
