// The CPU kernels of the optimizer, as a table per instruction set and element type (see kernels.h). Every function
// works on elements [begin, end) of one tensor; no element depends on another.
#pragma once
#include "../common/adamw.h"
#include "kernels.h"

namespace aixmeg::cpu {

template <class T>
struct OptimizerKernels {
  // One step: grad of T; exp_avg and exp_avg_sq are float or bfloat16, which picks the entry
  // [exp_avg is bfloat16][exp_avg_sq is bfloat16]; copy is the updated parameter in bfloat16, or null
  void (*adamw[2][2])(float* param, const T* grad, void* exp_avg, void* exp_avg_sq, bfloat16* copy, Rows,
                      const AdamwOptions&);
  double (*sum_of_squares)(const T* x, Rows);
  // y = x * scale; whether every result is finite
  bool (*scale_to_float)(const T* x, float* y, Rows, float scale);
  bool (*scale_to_bfloat16)(const T* x, bfloat16* y, Rows, float scale);
};

}  // namespace aixmeg::cpu
