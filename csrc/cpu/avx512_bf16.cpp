// total += dy^T x in bfloat16 by vdpbf16ps, which adds the products of two pairs to a float. Tokens are the inner
// dimension, so pairs are made of two tokens' rows while both factors are packed: x in panels of 32 columns, dy in
// strips of 12 outputs. A tile of 12 x 32 sums stays in 24 registers over a block of tokens.
#include <cstdint>
#include <memory>

#include "products.h"

#if defined(__x86_64__)
#include <immintrin.h>
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")

namespace aixmeg::cpu {
namespace {

constexpr int64_t kOutputs = 12, kColumns = 32;
constexpr int64_t kTokens = 512;  // of a block: a panel of x and a strip of dy share the first-level cache
constexpr int64_t kPanels = 32;   // of a block: 1 MB, about a second-level cache
constexpr int64_t kPairs = kTokens / 2;

int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t blocks(int64_t count, int64_t size) { return (count + size - 1) / size; }

// 32 elements of a row from `at`, zeros past its end; zeros for no row.
__m512i row_of(const bfloat16* row, int64_t at, int64_t width) {
  if (row == nullptr) return _mm512_setzero_si512();
  const int64_t left = width - at;
  const __mmask32 mask = left >= 32 ? 0xffffffffu : (1u << left) - 1;
  return _mm512_maskz_loadu_epi16(mask, row + at);
}

// panels[panel][pair][32]: a pair holds the elements of two tokens, the second 0 behind the last token.
void pack_x(const bfloat16* x, int64_t tokens, int64_t width, int64_t first, int64_t panel_count, uint32_t* panels) {
  alignas(64) uint16_t low[32], high[32];
  for (int i = 0; i < 16; ++i) {
    low[2 * i] = static_cast<uint16_t>(i), low[2 * i + 1] = static_cast<uint16_t>(32 + i);
    high[2 * i] = static_cast<uint16_t>(16 + i), high[2 * i + 1] = static_cast<uint16_t>(48 + i);
  }
  const __m512i order_low = _mm512_load_si512(low), order_high = _mm512_load_si512(high);
  const int64_t pairs = blocks(tokens, 2);
  for (int64_t pair = 0; pair < pairs; ++pair) {
    const bfloat16* even = x + 2 * pair * width;
    const bfloat16* odd = 2 * pair + 1 < tokens ? even + width : nullptr;
    for (int64_t panel = 0; panel < panel_count; ++panel) {
      const int64_t at = first + panel * kColumns;
      const __m512i a = row_of(even, at, width), b = row_of(odd, at, width);
      uint32_t* out = panels + (panel * kPairs + pair) * kColumns;
      _mm512_storeu_si512(out, _mm512_permutex2var_epi16(a, order_low, b));
      _mm512_storeu_si512(out + 16, _mm512_permutex2var_epi16(a, order_high, b));
    }
  }
}

// strip[pair][12] of outputs [first, first + count), zeros behind.
void pack_dy(const bfloat16* dy, int64_t tokens, int64_t stride, int64_t first, int64_t count, uint32_t* strip) {
  const __mmask16 mask = static_cast<__mmask16>((1u << count) - 1), whole = (1u << kOutputs) - 1;
  for (int64_t pair = 0; pair < blocks(tokens, 2); ++pair) {
    const bfloat16* even = dy + 2 * pair * stride + first;
    __m512i both = _mm512_maskz_cvtepu16_epi32(mask, _mm256_maskz_loadu_epi16(mask, even));
    if (2 * pair + 1 < tokens) {
      const __m512i odd = _mm512_maskz_cvtepu16_epi32(mask, _mm256_maskz_loadu_epi16(mask, even + stride));
      both = _mm512_or_si512(both, _mm512_maskz_slli_epi32(mask, odd, 16));
    }
    _mm512_mask_storeu_epi32(strip + pair * kOutputs, whole, both);
  }
}

// total[count, columns] += strip^T * panel
void add_tile(const uint32_t* strip, const uint32_t* panel, int64_t pairs, float* total, int64_t stride, int64_t count,
              int64_t columns) {
  __m512 sums[kOutputs][2];
#pragma GCC unroll 12
  for (int i = 0; i < kOutputs; ++i) sums[i][0] = sums[i][1] = _mm512_setzero_ps();
  for (int64_t pair = 0; pair < pairs; ++pair) {
    const __m512bh left = (__m512bh)_mm512_loadu_si512(panel + pair * kColumns);
    const __m512bh right = (__m512bh)_mm512_loadu_si512(panel + pair * kColumns + 16);
#pragma GCC unroll 12
    for (int i = 0; i < kOutputs; ++i) {
      const __m512bh factor = (__m512bh)_mm512_set1_epi32(static_cast<int>(strip[pair * kOutputs + i]));
      sums[i][0] = _mm512_dpbf16_ps(sums[i][0], factor, left);
      sums[i][1] = _mm512_dpbf16_ps(sums[i][1], factor, right);
    }
  }
  const uint32_t lanes = columns >= kColumns ? 0xffffffffu : (1u << columns) - 1;
  const __mmask16 masks[2] = {static_cast<__mmask16>(lanes), static_cast<__mmask16>(lanes >> 16)};
#pragma GCC unroll 12
  for (int i = 0; i < kOutputs; ++i) {
    if (i >= count) continue;  // not break: the loop stays unrolled, the sums in registers
    for (int half = 0; half < 2; ++half) {
      float* row = total + i * stride + half * 16;
      _mm512_mask_storeu_ps(row, masks[half], _mm512_add_ps(_mm512_maskz_loadu_ps(masks[half], row), sums[i][half]));
    }
  }
}

void run(const bfloat16* x, const bfloat16* dy, float* total, Rows outputs, int64_t tokens, int64_t width,
         int64_t outputs_in_all) {
  const int64_t panels_in_all = blocks(width, kColumns);
  const int64_t panels_at_once = least(panels_in_all, kPanels);
  const std::unique_ptr<uint32_t[]> panels(new uint32_t[panels_at_once * kPairs * kColumns]);
  const std::unique_ptr<uint32_t[]> strip(new uint32_t[kPairs * kOutputs + 16]);
  for (int64_t token = 0; token < tokens; token += kTokens) {
    const int64_t block = least(kTokens, tokens - token), pairs = blocks(block, 2);
    for (int64_t first = 0; first < panels_in_all; first += panels_at_once) {
      const int64_t count = least(panels_at_once, panels_in_all - first);
      pack_x(x + token * width, block, width, first * kColumns, count, panels.get());
      for (int64_t output = outputs.begin; output < outputs.end; output += kOutputs) {
        const int64_t rows = least(kOutputs, outputs.end - output);
        pack_dy(dy + token * outputs_in_all, block, outputs_in_all, output, rows, strip.get());
        for (int64_t panel = 0; panel < count; ++panel) {
          const int64_t column = (first + panel) * kColumns;
          add_tile(strip.get(), panels.get() + panel * kPairs * kColumns, pairs, total + output * width + column, width,
                   rows, width - column);
        }
      }
    }
  }
}

}  // namespace

WeightGradient* weight_gradient() {
  static const bool supported = __builtin_cpu_supports("avx512bf16") && kernels<float>().isa == std::string("avx512");
  return supported ? run : nullptr;
}

}  // namespace aixmeg::cpu

#else

namespace aixmeg::cpu {
WeightGradient* weight_gradient() { return nullptr; }
}  // namespace aixmeg::cpu

#endif
