// Runs every kernel on buffers of exactly the right size, over sizes around the pack and warp widths: built with
// AddressSanitizer and UndefinedBehaviorSanitizer, which end the program at a stray or misaligned access, and, with a
// thread for each thread, with ThreadSanitizer, which ends it where two touch one address without a barrier between.
// With an argument, runs one planted mistake instead.
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "../../csrc/cuda/kernels.h"
#include "../../csrc/cuda/optimizer.h"

extern "C" int planted_copy(const float* values, float* copy, int count, int forget_bound);
extern "C" int planted_sum(const float* values, float* total, int blocks, int threads, int forget_barrier);
extern "C" int planted_shared(float* out, int one_too_many);

namespace {

// Threads of the process take a hundred times as long as fibers, and a race does not depend on the sizes.
#if defined(AIXMEG_EMULATOR_THREADS)
constexpr bool kThreads = true;
const std::vector<int64_t> kColumns = {72};
#else
constexpr bool kThreads = false;
const std::vector<int64_t> kColumns = {1, 4, 7, 8, 72, 257};
#endif

int failures = 0;

void expect_success(const char* what, int error) {
  if (error == 0) return;
  std::fprintf(stderr, "%s returned %d\n", what, error);
  ++failures;
}

// Elements of a type, starting `offset` elements after an aligned address and ending where the allocation ends.
class Buffer {
 public:
  Buffer(int type, int64_t count, int64_t offset)
      : bytes_((type == kAixmegFloat ? 4 : 2)), memory_(new unsigned char[(count + offset) * bytes_]), offset_(offset) {
    std::memset(memory_.get(), 0, (count + offset) * bytes_);
  }
  void* data() const { return memory_.get() + offset_ * bytes_; }
  float* floats() const { return static_cast<float*>(data()); }

 private:
  int64_t bytes_;
  std::unique_ptr<unsigned char[]> memory_;
  int64_t offset_;
};

void run_rows(int type, int64_t rows, int64_t columns, int64_t offset) {
  const Buffer x(type, rows * columns, offset), y(type, rows * columns, offset), grad(type, rows * columns, offset),
      weight(type, columns, offset), dweight(type, columns, offset);
  const Buffer per_row(kAixmegFloat, rows, 0), another(kAixmegFloat, rows, 0), third(kAixmegFloat, rows, 0),
      fourth(kAixmegFloat, rows, 0);
  const int64_t count = rows < 3 ? rows : 3;
  const Buffer partials(kAixmegFloat, count * columns, 0);
  expect_success("rms_norm_forward", aixmeg_cuda_rms_norm_forward(type, x.data(), weight.data(), y.data(),
                                                                  per_row.floats(), rows, columns, 1e-5f, nullptr));
  expect_success("rms_norm_backward",
                 aixmeg_cuda_rms_norm_backward(type, grad.data(), x.data(), weight.data(), per_row.floats(), y.data(),
                                               dweight.data(), partials.floats(), count, rows, columns, nullptr));
  const Buffer residual(type, rows * columns, offset), total(type, rows * columns, offset);
  expect_success("add_rms_norm_forward",
                 aixmeg_cuda_add_rms_norm_forward(type, x.data(), residual.data(), weight.data(), y.data(),
                                                  total.data(), per_row.floats(), rows, columns, 1e-5f, nullptr));
  expect_success("add_rms_norm_backward",
                 aixmeg_cuda_add_rms_norm_backward(type, grad.data(), residual.data(), total.data(), weight.data(),
                                                   per_row.floats(), y.data(), dweight.data(), partials.floats(), count,
                                                   rows, columns, nullptr));
  const std::vector<int64_t> target(rows, columns - 1);
  expect_success(
      "cross_entropy_statistics",
      aixmeg_cuda_cross_entropy_statistics(type, x.data(), target.data(), per_row.floats(), another.floats(),
                                           third.floats(), fourth.floats(), rows, columns, 0, columns, -100, nullptr));
  expect_success("cross_entropy_backward",
                 aixmeg_cuda_cross_entropy_backward(type, x.data(), target.data(), per_row.floats(), another.floats(),
                                                    third.floats(), y.data(), rows, columns, 0, columns, -100, 0.1f,
                                                    0.1f, nullptr));
}

void run_swiglu(int type, int64_t rows, int64_t width, int64_t offset) {
  const Buffer x(type, rows * 2 * width, offset), dx(type, rows * 2 * width, offset), y(type, rows * width, offset);
  expect_success("swiglu_forward", aixmeg_cuda_swiglu_forward(type, x.data(), y.data(), rows, width, nullptr));
  expect_success("swiglu_backward",
                 aixmeg_cuda_swiglu_backward(type, y.data(), x.data(), dx.data(), rows, width, nullptr));
}

// `gap` elements lie between heads: with 1, no head after the first is aligned.
void run_rotary(int type, int64_t heads, int64_t half, int64_t offset, int64_t gap) {
  const int64_t sequence = 3, batch = 2, size = 2 * half, tokens = sequence * batch;
  const Buffer x(type, tokens * heads * (size + gap), offset), y(type, tokens * heads * size, offset),
      cosine(kAixmegFloat, sequence * half, 0), sine(kAixmegFloat, sequence * half, 0);
  const int64_t strides[3] = {batch * heads * (size + gap), heads * (size + gap), size + gap};
  expect_success("rotary", aixmeg_cuda_rotary(type, x.data(), cosine.floats(), sine.floats(), y.data(), sequence, batch,
                                              heads, size, strides, 1, nullptr));
}

struct Pair {
  Buffer first, second;
};

// Two tensors of each list, one `offset` elements after an aligned address.
void run_lists(int type, int64_t size, int64_t offset) {
  const int64_t sizes[2] = {size, size + 1};
  const auto pair = [&](int of, int64_t second) { return Pair{{of, sizes[0], 0}, {of, sizes[1], second}}; };
  const auto params = pair(kAixmegFloat, offset), grads = pair(type, offset), moments = pair(type, offset),
             squares = pair(kAixmegFloat, offset), copies = pair(kAixmegBfloat16, offset);
  const auto addresses = [](const Pair& list) { return std::vector<void*>{list.first.data(), list.second.data()}; };
  const auto p = addresses(params), g = addresses(grads), m = addresses(moments), v = addresses(squares),
             c = addresses(copies);
  const aixmeg::AdamwOptions options = {0.1f, 0.95f, 0.05f, 0.01f, 1.0f, 1e-8f, 0.001f, 0.0f};
  for (bool copied : {false, true})
    expect_success("multi_tensor_adamw",
                   aixmeg_cuda_multi_tensor_adamw(type, type, kAixmegFloat, 2, sizes, p.data(), g.data(), m.data(),
                                                  v.data(), copied ? c.data() : nullptr, &options, nullptr));
  std::vector<double> partials(aixmeg_norm_partials(sizes[0]) + aixmeg_norm_partials(sizes[1]));
  std::vector<float> norm(1), norms(2);
  expect_success("multi_tensor_l2_norm", aixmeg_cuda_multi_tensor_l2_norm(type, 2, sizes, g.data(), partials.data(),
                                                                          norm.data(), norms.data(), nullptr));
  int found_inf = 0;
  expect_success("multi_tensor_scale", aixmeg_cuda_multi_tensor_scale(type, kAixmegFloat, 2, sizes, g.data(), v.data(),
                                                                      2.0f, &found_inf, nullptr));
}

// Every layout alone and together, plain and gated.
void run_fp8(int type, int64_t rows, int64_t columns, int64_t offset) {
  const Buffer x(type, rows * 2 * columns, offset);
  const Buffer of_rows(kAixmegFloat, rows, 0), of_columns(kAixmegFloat, columns, 0), amax(kAixmegFloat, 1, 0);
  std::vector<uint8_t> q(rows * columns), transposed(rows * columns);
  for (int layouts = kThreads ? 3 : 1; layouts < 4; ++layouts)
    for (int gated = kThreads ? 1 : 0; gated < 2; ++gated)
      expect_success("fp8_quantize", aixmeg_cuda_fp8_quantize(type, x.data(), of_rows.floats(), 1, of_columns.floats(),
                                                              1, layouts & 1 ? q.data() : nullptr,
                                                              layouts & 2 ? transposed.data() : nullptr, amax.floats(),
                                                              rows, columns, gated, gated, nullptr));
  expect_success("fp8_amax_rows",
                 aixmeg_cuda_fp8_amax_rows(type, x.data(), of_rows.floats(), amax.floats(), rows, columns, nullptr));
  expect_success("fp8_amax_columns",
                 aixmeg_cuda_fp8_amax_columns(type, x.data(), of_columns.floats(), rows, columns, nullptr));
  const Buffer history(kAixmegFloat, 2 * columns, 0), now(kAixmegFloat, 2, 0), scale(kAixmegFloat, 2, 0),
      inverse(kAixmegFloat, 2, 0);
  const bool e5m2[2] = {false, true};
  expect_success("fp8_scale", aixmeg_cuda_fp8_scale(now.floats(), scale.floats(), inverse.floats(), 2, 1, 0, nullptr));
  expect_success("fp8_update_history",
                 aixmeg_cuda_fp8_update_history(history.floats(), now.floats(), scale.floats(), inverse.floats(), e5m2,
                                                2, columns, columns - 1, 0, nullptr));
}

// Three queries to a key and a value; positions repeat.
void run_rotary_qkv(int type, int64_t half, int64_t offset, int64_t gap) {
  const int64_t sequence = 3, batch = 2, groups = 2, heads = 3, size = 2 * half, tokens = sequence * batch;
  const Buffer mixed(type, tokens * groups * (heads + 2) * size, offset),
      q(type, tokens * groups * heads * size, offset), k(type, tokens * groups * size, offset),
      v(type, tokens * groups * size, offset), cosine(kAixmegFloat, 2 * half, 0), sine(kAixmegFloat, 2 * half, 0);
  const std::vector<int64_t> positions = {0, 1, 0, 1, 1, 0};
  expect_success("rotary_qkv",
                 aixmeg_cuda_rotary_qkv(type, mixed.data(), cosine.floats(), sine.floats(), positions.data(), q.data(),
                                        k.data(), v.data(), sequence, batch, groups, heads, size, 2, nullptr));
  const Buffer dq(type, tokens * groups * heads * (size + gap), offset),
      dk(type, tokens * groups * (size + gap), offset), dv(type, tokens * groups * (size + gap), offset);
  const int64_t wide = size + gap;
  const int64_t strides[9] = {batch * groups * heads * wide, groups * heads * wide, wide,
                              batch * groups * wide,         groups * wide,         wide,
                              batch * groups * wide,         groups * wide,         wide};
  expect_success("rotary_qkv_backward",
                 aixmeg_cuda_rotary_qkv_backward(type, dq.data(), dk.data(), dv.data(), cosine.floats(), sine.floats(),
                                                 positions.data(), mixed.data(), sequence, batch, groups, heads, size,
                                                 2, strides, nullptr));
}

}  // namespace

int main(int count, char** arguments) {
  if (count > 1) {
    const std::vector<float> values(40);
    std::vector<float> out(40);
    if (std::strcmp(arguments[1], "race") == 0) return planted_sum(values.data(), out.data(), 1, 40, 1);
    const bool overrun = std::strcmp(arguments[1], "global") == 0;
    return overrun ? planted_copy(values.data(), out.data(), 40, 1) : planted_shared(out.data(), 1);
  }
  for (int type : {kAixmegFloat, kAixmegBfloat16}) {
    for (int64_t offset : {0, 1}) {
      for (int64_t columns : kColumns) {
        run_rows(type, 4, columns, offset);
        run_swiglu(type, 3, columns, offset);
        if (!kThreads || offset == 1) run_lists(type, columns, offset);  // one aligned tensor, one not
        run_fp8(type, 3, kThreads ? 16 : columns, offset);
        for (int64_t gap : {0, 1}) {
          run_rotary(type, 5, columns, offset, gap);
          run_rotary_qkv(type, columns, offset, gap);
        }
      }
      if (kThreads) continue;
      run_rows(type, 2, 4104, offset);
      run_swiglu(type, 2, 2056, offset);
      run_fp8(type, 80, 144, offset);
    }
  }
  return failures;
}
