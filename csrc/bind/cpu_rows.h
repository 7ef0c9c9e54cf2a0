// How the CPU bindings choose a kernel by type and share rows over torch's threads.
#pragma once
#include "../cpu/kernels.h"
#include "tensor.h"

namespace aixmeg::bind {

// About as many elements as make a task worth handing to another thread.
constexpr int64_t kGrain = 32768;

// Calls f with a value of the tensor's element type.
template <class F>
void by_type(const Tensor& tensor, const F& f) {
  if (tensor.scalar_type() == ScalarType::Float)
    f(float{});
  else
    f(bfloat16{});
}

// Calls f(Rows) over [0, rows) from torch's threads.
template <class F>
void over_rows(int64_t rows, int64_t elements_per_row, const F& f) {
  if (rows == 0) return;
  const int64_t grain = kGrain / (elements_per_row > 0 ? elements_per_row : 1) + 1;
  torch::stable::parallel_for(0, rows, grain, [&](int64_t begin, int64_t end) { f(cpu::Rows{begin, end}); });
}

}  // namespace aixmeg::bind
