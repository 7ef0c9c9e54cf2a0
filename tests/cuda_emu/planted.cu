// Kernels with planted mistakes: the tests show that the emulator notices each, and passes the same kernel without it.
#include "device.h"

namespace {
using namespace aixmeg::cuda;

// total[block] = sum of the block's threads' values; the mistake: nobody waits before reading what others wrote.
__global__ void sum_kernel(const float* values, float* total, bool forget_barrier) {
  float* seen = shared_floats();
  seen[threadIdx.x] = values[blockIdx.x * blockDim.x + threadIdx.x];
  if (!forget_barrier) __syncthreads();
  float sum = 0.0f;
  for (unsigned i = 0; i < blockDim.x; ++i) sum += seen[i];
  if (threadIdx.x == 0) total[blockIdx.x] = sum;
}

// copy[i] = values[i]; the mistake: `count` rounds up to whole blocks.
__global__ void copy_kernel(const float* values, float* copy, int count, bool forget_bound) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count || forget_bound) copy[i] = values[i];
}

// The mistake: only half of the block reaches the barrier.
__global__ void diverge_kernel() {
  if (threadIdx.x < blockDim.x / 2) __syncthreads();
}

// The mistake: one element more than the shared memory holds.
__global__ void shared_kernel(float* out, bool one_too_many) {
  float* memory = shared_floats();
  if (threadIdx.x < blockDim.x - 1 || one_too_many) memory[threadIdx.x] = 1.0f;
  if (threadIdx.x == 0) out[0] = memory[0];
}

}  // namespace

extern "C" int planted_sum(const float* values, float* total, int blocks, int threads, int forget_barrier) {
  return launch(sum_kernel, dim3(blocks), threads, threads * sizeof(float), nullptr, values, total,
                forget_barrier != 0);
}

extern "C" int planted_copy(const float* values, float* copy, int count, int forget_bound) {
  return launch(copy_kernel, dim3((count + 31) / 32), 32u, 0, nullptr, values, copy, count, forget_bound != 0);
}

extern "C" int planted_divergence() { return launch(diverge_kernel, dim3(1), 64u, 0, nullptr); }

extern "C" int planted_shared(float* out, int one_too_many) {
  return launch(shared_kernel, dim3(1), 32u, 31 * sizeof(float), nullptr, out, one_too_many != 0);
}

extern "C" int planted_launch(unsigned grid_y, unsigned threads, size_t shared_bytes) {
  return launch(diverge_kernel, dim3(1, grid_y), threads, shared_bytes, nullptr);
}
