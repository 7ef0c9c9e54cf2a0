// Entry points of the CUDA kernels: raw device pointers, row-major and dense unless strides are given, no torch type.
// `type` is the element type of the void pointers. Every function returns a cudaError_t; work is queued on `stream`.
// Pointers of any alignment and rows of any length are right; 16-byte aligned ones of whole 16-byte packs are fast.
#pragma once
#include <cstdint>

enum AixmegType { kAixmegFloat = 0, kAixmegBfloat16 = 1 };

// The backward pass of RMSNorm keeps a row of float sums in shared memory: 160 KiB of the 163 of an A100.
constexpr int64_t kAixmegMaxNormHidden = 40960;
// Blocks of rows whose weight gradients are summed apart: two per multiprocessor of an H100. A constant, so that
// the result is the same on every GPU.
constexpr int64_t kAixmegNormPartials = 264;

// Blocks that share the largest magnitude of a whole tensor, each ending in one atomic maximum.
constexpr int64_t kAixmegAmaxBlocks = 1056;

extern "C" {

// y = x * rstd * weight: x, y[rows, hidden], weight[hidden], rstd[rows]
int aixmeg_cuda_rms_norm_forward(int type, const void* x, const void* weight, void* y, float* rstd, int64_t rows,
                                 int64_t hidden, float eps, void* stream);

// dy, x, dx[rows, hidden], weight, dweight[hidden], rstd[rows], partials[count, hidden] scratch,
// 1 <= count <= rows where rows > 0
int aixmeg_cuda_rms_norm_backward(int type, const void* dy, const void* x, const void* weight, const float* rstd,
                                  void* dx, void* dweight, float* partials, int64_t count, int64_t rows, int64_t hidden,
                                  void* stream);

// total = x + residual, y its norm: x, residual, y, total[rows, hidden]
int aixmeg_cuda_add_rms_norm_forward(int type, const void* x, const void* residual, const void* weight, void* y,
                                     void* total, float* rstd, int64_t rows, int64_t hidden, float eps, void* stream);

// dx, which is the residual's gradient too: dtotal, added to what comes through the norm; as rms_norm_backward
int aixmeg_cuda_add_rms_norm_backward(int type, const void* dy, const void* dtotal, const void* total,
                                      const void* weight, const float* rstd, void* dx, void* dweight, float* partials,
                                      int64_t count, int64_t rows, int64_t hidden, void* stream);

// x[rows, 2 * width] = gate | up, y[rows, width]
int aixmeg_cuda_swiglu_forward(int type, const void* x, void* y, int64_t rows, int64_t width, void* stream);

// dy[rows, width], x, dx[rows, 2 * width]
int aixmeg_cuda_swiglu_backward(int type, const void* dy, const void* x, void* dx, int64_t rows, int64_t width,
                                void* stream);

// x[sequence, batch, heads, head_size] with strides[3] in elements for the first three dimensions and 1 for the last;
// cosine, sine[sequence, head_size / 2]; y dense; inverse != 0 turns backwards
int aixmeg_cuda_rotary(int type, const void* x, const float* cosine, const float* sine, void* y, int64_t sequence,
                       int64_t batch, int64_t heads, int64_t head_size, const int64_t* strides, int inverse,
                       void* stream);

// mixed[sequence * batch, groups, heads + 2, head_size], of each group its queries, its key, its value; q, k, v dense.
// cosine, sine[table_rows, head_size / 2]; a token's row is positions[token], or its place in the sequence where
// positions is null; queries and keys of a row outside the tables are NaN.
int aixmeg_cuda_rotary_qkv(int type, const void* mixed, const float* cosine, const float* sine,
                           const int64_t* positions, void* q, void* k, void* v, int64_t sequence, int64_t batch,
                           int64_t groups, int64_t heads, int64_t head_size, int64_t table_rows, void* stream);

// The other way: dq, dk, dv with strides[9], in elements, for the first three dimensions of each; dmixed dense
int aixmeg_cuda_rotary_qkv_backward(int type, const void* dq, const void* dk, const void* dv, const float* cosine,
                                    const float* sine, const int64_t* positions, void* dmixed, int64_t sequence,
                                    int64_t batch, int64_t groups, int64_t heads, int64_t head_size, int64_t table_rows,
                                    const int64_t* strides, void* stream);

// logits[rows, columns], target[rows] in [0, vocabulary) or ignore_index, maximum, total, picked, shifted[rows];
// the shard holds the columns first ... first + columns - 1. shifted may be null. picked is NaN for a target outside
// the vocabulary that is not ignore_index.
int aixmeg_cuda_cross_entropy_statistics(int type, const void* logits, const int64_t* target, float* maximum,
                                         float* total, float* picked, float* shifted, int64_t rows, int64_t columns,
                                         int64_t first, int64_t vocabulary, int64_t ignore_index, void* stream);

// dlogits[rows, columns], which may be logits: the gradient of options.h's loss, times grad;
// maximum, log_total, grad[rows] of the whole vocabulary
int aixmeg_cuda_cross_entropy_backward(int type, const void* logits, const int64_t* target, const float* maximum,
                                       const float* log_total, const float* grad, void* dlogits, int64_t rows,
                                       int64_t columns, int64_t first, int64_t vocabulary, int64_t ignore_index,
                                       float smoothing, float z_loss, void* stream);

// x[rows, columns], or gate | up [rows, 2 * columns] where gated != 0; a scale's step is 1 for one per row or column, 0
// for one of all; q[rows, columns], transposed[columns, rows]: null for a layout that is not wanted; amax[1] is raised,
// or null
int aixmeg_cuda_fp8_quantize(int type, const void* x, const float* row_scale, int64_t row_step,
                             const float* column_scale, int64_t column_step, void* q, void* transposed, float* amax,
                             int64_t rows, int64_t columns, int e5m2, int gated, void* stream);

// Largest magnitudes: row_amax[rows], written, or null; amax[1], raised from what it holds, or null
int aixmeg_cuda_fp8_amax_rows(int type, const void* x, float* row_amax, float* amax, int64_t rows, int64_t columns,
                              void* stream);
// amax[columns], raised from what they hold
int aixmeg_cuda_fp8_amax_columns(int type, const void* x, float* amax, int64_t rows, int64_t columns, void* stream);

// amax, scale, scale_inv[count]
int aixmeg_cuda_fp8_scale(const float* amax, float* scale, float* scale_inv, int64_t count, int e5m2, int64_t margin,
                          void* stream);

// history[count, window], amax, scale, scale_inv, e5m2[count]
int aixmeg_cuda_fp8_update_history(float* history, float* amax, float* scale, float* scale_inv, const bool* e5m2,
                                   int64_t count, int64_t window, int64_t position, int64_t margin, void* stream);

}  // extern "C"
