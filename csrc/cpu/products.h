// The matrix product that no library offers on the CPU: bfloat16 factors, added to a float matrix without rounding.
#pragma once
#include "kernels.h"

namespace aixmeg::cpu {

// total[o, h] += dy[n, o] transposed * x[n, h], for a range of the o rows; all dense. Products are exact and summed in
// float, tokens in order, so that no split of the rows changes a bit. As the instruction has it, factors and sums below
// 2^-126 count as 0.
using WeightGradient = void(const bfloat16* x, const bfloat16* dy, float* total, Rows outputs, int64_t tokens,
                            int64_t width, int64_t outputs_in_all);

// Null where this machine, or the instruction set that AIXMEG_CPU_ISA names, multiplies no bfloat16.
WeightGradient* weight_gradient();

}  // namespace aixmeg::cpu
