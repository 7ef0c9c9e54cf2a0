// The CPU kernels as a table of functions: one table per instruction set and element type, picked at run time.
// Every function works on a range of rows, so that any thread pool may share the work; no row depends on another.
#pragma once
#include <cstdint>
#include <string>

#include "../common/options.h"
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

// Packed queries, keys and values: per token `groups` of `heads` queries, a key and a value.
struct QkvShape {
  int64_t batch, groups, heads, head_size;
};

// x[sequence, batch, heads, head_size] of any strides, in elements; the last dimension is dense.
template <class T>
struct StridedHeads {
  const T* data;
  int64_t sequence_stride, batch_stride, head_stride;
  const T* at(int64_t s, int64_t b, int64_t head) const {
    return data + s * sequence_stride + b * batch_stride + head * head_stride;
  }
};

template <class T>
struct QkvGradients {
  StridedHeads<T> parts[3];  // of q, k, v
};

// This rank's slice [first, first + columns) of the vocabulary.
struct VocabularyShard {
  int64_t first, columns;
};

// FP8 quantisation of x[rows, columns]; with `gated`, of the SwiGLU of x[rows, 2 * columns]. A layout whose pointer is
// null is not made. A step is 1 for one scale per row or column, 0 for one scale of all.
struct Fp8Job {
  uint8_t *q, *transposed;  // [rows, columns], [columns, rows]
  const float *row_scale, *column_scale;
  int64_t row_step, column_step;
  float* row_amax;  // [rows], or null
  int64_t rows, columns;
  bool e5m2, gated;
};

template <class T>
struct OptimizerKernels;  // optimizer.h

template <class T>
struct Kernels {
  const char* isa;
  const OptimizerKernels<T>* optimizer;

  // x, y[rows, hidden], weight[hidden], rstd[rows]
  void (*rms_norm_forward)(const T* x, const T* weight, T* y, float* rstd, Rows, int64_t hidden, float eps);
  // x, residual, y, total[rows, hidden]: total = x + residual, y its norm
  void (*add_rms_norm_forward)(const T* x, const T* residual, const T* weight, T* y, T* total, float* rstd, Rows,
                               int64_t hidden, float eps);
  // dy, x, dtotal or null, dx[rows, hidden]; adds these rows' part of the weight gradient to partial[hidden]
  void (*rms_norm_backward)(const T* dy, const T* x, const T* weight, const float* rstd, const T* dtotal, T* dx,
                            float* partial, Rows, int64_t hidden);
  // dweight[column] = sum over partials[count, hidden], for the columns of the range
  void (*rms_norm_sum_partials)(const float* partials, int64_t count, T* dweight, Rows columns, int64_t hidden);

  // x[rows, 2 * width] = gate | up, y[rows, width]
  void (*swiglu_forward)(const T* x, T* y, Rows, int64_t width);
  // dy[rows, width], x, dx[rows, 2 * width]
  void (*swiglu_backward)(const T* dy, const T* x, T* dx, Rows, int64_t width);

  // cosine, sine[sequence, head_size / 2]; y is dense; rows count sequence positions; inverse turns backwards
  void (*rotary)(const T* x, const float* cosine, const float* sine, T* y, Rows, const RotaryShape&, bool inverse);

  // mixed[tokens, groups, heads + 2, head_size], tokens = sequence * batch; q, k, v dense; cosine, sine[any,
  // head_size / 2], whose row for a token is positions[token], or its place in the sequence where positions is null
  void (*rotary_qkv)(const T* mixed, const float* cosine, const float* sine, const int64_t* positions, T* q, T* k, T* v,
                     Rows tokens, const QkvShape&);
  void (*rotary_qkv_backward)(const QkvGradients<T>&, const float* cosine, const float* sine, const int64_t* positions,
                              T* dmixed, Rows tokens, const QkvShape&);

  // logits[rows, columns], target[rows] in the whole vocabulary; maximum, total, picked, shifted[rows]:
  // picked is the target's logit where this shard holds it, else 0; shifted, if not null, sum(logit - maximum)
  void (*cross_entropy_statistics)(const T* logits, const int64_t* target, float* maximum, float* total, float* picked,
                                   float* shifted, Rows, VocabularyShard);
  // dlogits, which may be logits, from the whole vocabulary's maximum and log_total
  void (*cross_entropy_backward)(const T* logits, const int64_t* target, const float* maximum, const float* log_total,
                                 const float* grad, T* dlogits, Rows, VocabularyShard, const CrossEntropyOptions&);

  // amax[rows] or amax[width], largest magnitudes of x[rows, width]
  void (*fp8_amax_rows)(const T* x, float* amax, Rows, int64_t width);
  void (*fp8_amax_columns)(const T* x, float* amax, Rows columns, int64_t rows, int64_t width);
  // the rows of the range, in multiples of 64 from the first
  void (*fp8_quantize)(const T* x, const Fp8Job&, Rows);
};

// The fastest set this machine runs, or the one that the environment variable AIXMEG_CPU_ISA names.
// Throws std::runtime_error, naming the choices, when that value is unknown or this machine lacks it.
template <class T>
const Kernels<T>& kernels();

}  // namespace aixmeg::cpu
