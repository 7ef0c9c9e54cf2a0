// The CPU kernels as a table of functions: one table per instruction set and element type, picked at run time.
// Every function works on a range of rows, so that any thread pool may share the work; no row depends on another.
#pragma once
#include <cstdint>
#include <string>

#include "../common/scalar.h"

namespace aixmeg::cpu {

// Rows [begin, end).
struct Rows {
  int64_t begin, end;
};

// x[sequence, batch, heads, head_size] of any strides, in elements; the last dimension is dense.
struct RotaryShape {
  int64_t batch, heads, head_size;
  int64_t sequence_stride, batch_stride, head_stride;
};

// This rank's slice [first, first + columns) of the vocabulary.
struct VocabularyShard {
  int64_t first, columns;
};

template <class T>
struct OptimizerKernels;  // optimizer.h

template <class T>
struct Kernels {
  const char* isa;
  const OptimizerKernels<T>* optimizer;

  // x, y[rows, hidden], weight[hidden], rstd[rows]
  void (*rms_norm_forward)(const T* x, const T* weight, T* y, float* rstd, Rows, int64_t hidden, float eps);
  // dy, x, dx[rows, hidden]; adds these rows' part of the weight gradient to partial[hidden]
  void (*rms_norm_backward)(const T* dy, const T* x, const T* weight, const float* rstd, T* dx, float* partial, Rows,
                            int64_t hidden);
  // dweight[column] = sum over partials[count, hidden], for the columns of the range
  void (*rms_norm_sum_partials)(const float* partials, int64_t count, T* dweight, Rows columns, int64_t hidden);

  // x[rows, 2 * width] = gate | up, y[rows, width]
  void (*swiglu_forward)(const T* x, T* y, Rows, int64_t width);
  // dy[rows, width], x, dx[rows, 2 * width]
  void (*swiglu_backward)(const T* dy, const T* x, T* dx, Rows, int64_t width);

  // cosine, sine[sequence, head_size / 2]; y is dense; rows count sequence positions; inverse turns backwards
  void (*rotary)(const T* x, const float* cosine, const float* sine, T* y, Rows, const RotaryShape&, bool inverse);

  // logits[rows, columns], target[rows] in the whole vocabulary; maximum, total, picked[rows]:
  // picked is the target's logit where this shard holds it, else 0
  void (*cross_entropy_statistics)(const T* logits, const int64_t* target, float* maximum, float* total, float* picked,
                                   Rows, VocabularyShard);
  // dlogits = grad * (softmax - onehot(target)), softmax from the whole vocabulary's maximum and log_total
  void (*cross_entropy_backward)(const T* logits, const int64_t* target, const float* maximum, const float* log_total,
                                 const float* grad, T* dlogits, Rows, VocabularyShard);
};

// The fastest set this machine runs, or the one that the environment variable AIXMEG_CPU_ISA names.
// Throws std::runtime_error, naming the choices, when that value is unknown or this machine lacks it.
template <class T>
const Kernels<T>& kernels();

}  // namespace aixmeg::cpu
