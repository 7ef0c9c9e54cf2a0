// Entry points of the optimizer's CUDA kernels; see kernels.h for the conventions. A list is a host array of `count`
// device pointers, sizes[count] are elements. No limit on count: as many tensors as fit share a launch.
#pragma once
#include "../common/adamw.h"
#include "kernels.h"

// Elements of one tensor that a block works on, a multiple of every pack. A constant: the norm's partial sums, and so
// its rounding, are the same on every GPU.
constexpr int64_t kAixmegOptimizerChunk = 32768;

// Most partial sums that the norm makes for a tensor of that size.
inline int64_t aixmeg_norm_partials(int64_t size) {
  return (size + kAixmegOptimizerChunk - 1) / kAixmegOptimizerChunk + 1;
}

extern "C" {

// One step of every parameter, in place; the types are those of grads, exp_avgs and exp_avg_sqs, params are float,
// copies (null, or the updated parameters) bfloat16
int aixmeg_cuda_multi_tensor_adamw(int grad_type, int exp_avg_type, int exp_avg_sq_type, int64_t count,
                                   const int64_t* sizes, void* const* params, void* const* grads, void* const* exp_avgs,
                                   void* const* exp_avg_sqs, void* const* copies, const aixmeg::AdamwOptions* options,
                                   void* stream);

// norm[1] of all tensors together, norms[count] of each, or null; partials: scratch for the sum of
// aixmeg_norm_partials over the tensors
int aixmeg_cuda_multi_tensor_l2_norm(int type, int64_t count, const int64_t* sizes, void* const* tensors,
                                     double* partials, float* norm, float* norms, void* stream);

// targets = sources * scale; *found_inf becomes 1 where a result is not finite
int aixmeg_cuda_multi_tensor_scale(int source_type, int target_type, int64_t count, const int64_t* sizes,
                                   void* const* sources, void* const* targets, float scale, int* found_inf,
                                   void* stream);

}  // extern "C"
