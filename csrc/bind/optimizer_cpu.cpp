// The optimizer's ops: their signatures for every device, and their CPU kernels over torch's thread pool.
#include <tuple>

#include "../cpu/optimizer.h"
#include "optimizer.h"

STABLE_TORCH_LIBRARY_FRAGMENT(aixmeg, m) {
  // A step for every parameter, in place: params float; grads, exp_avgs, exp_avg_sqs float or bfloat16; copies, empty
  // or one bfloat16 tensor each, get the updated parameter. step counts from 1. See common/adamw.h for the formula.
  m.def(
      "multi_tensor_adamw(Tensor(a!)[] params, Tensor[] grads, Tensor(b!)[] exp_avgs, Tensor(c!)[] exp_avg_sqs,"
      " Tensor(d!)[] copies, float lr, float beta1, float beta2, float eps, float weight_decay, int step,"
      " bool bias_correction, bool decoupled) -> ()");
  // -> sqrt(sum of squares) of all tensors together [1], and of each [n] where asked, else [0]; float
  m.def("multi_tensor_l2_norm(Tensor[] tensors, bool per_tensor) -> (Tensor, Tensor)");
  // targets = sources * scale; found_inf (one int32) becomes 1 where a result is not finite, else it stays
  m.def("multi_tensor_scale(Tensor[] sources, Tensor(a!)[] targets, Tensor(b!) found_inf, float scale) -> ()");
}

namespace {
using namespace aixmeg;
using namespace aixmeg::bind;

// Elements that one task works on. A constant, because the norm is summed per chunk: results depend on the tensors
// alone, not on the number of threads.
constexpr int64_t kChunk = 32768;

// Part of one tensor of a list.
struct Chunk {
  size_t tensor;
  cpu::Rows range;
};

std::vector<Chunk> cut(const Tensors& list) {
  std::vector<Chunk> chunks;
  for (size_t i = 0; i < list.size(); ++i) {
    const int64_t count = list[i].numel();
    for (int64_t begin = 0; begin < count; begin += kChunk)
      chunks.push_back({i, {begin, begin + kChunk < count ? begin + kChunk : count}});
  }
  return chunks;
}

// Calls f(index, chunk) for every chunk, from torch's threads.
template <class F>
void over_chunks(const std::vector<Chunk>& chunks, const F& f) {
  if (chunks.empty()) return;
  torch::stable::parallel_for(0, static_cast<int64_t>(chunks.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) f(i, chunks[i]);
  });
}

template <class T>
std::vector<const T*> readable(const Tensors& list) {
  std::vector<const T*> pointers;
  for (const Tensor& tensor : list) pointers.push_back(read<T>(tensor));
  return pointers;
}
template <class T>
std::vector<T*> writable(Tensors& list) {
  std::vector<T*> pointers;
  for (Tensor& tensor : list) pointers.push_back(write<T>(tensor));
  return pointers;
}

bool is_bfloat16(const Tensors& list) { return list[0].scalar_type() == ScalarType::BFloat16; }

// Calls f with a value of the list's element type.
template <class F>
void by_type(const Tensors& list, const F& f) {
  if (is_bfloat16(list))
    f(bfloat16{});
  else
    f(float{});
}

void multi_tensor_adamw(Tensors params, Tensors grads_in, Tensors exp_avgs, Tensors exp_avg_sqs, Tensors copies,
                        double lr, double beta1, double beta2, double eps, double weight_decay, int64_t step,
                        bool bias_correction, bool decoupled) {
  check_adamw(params, grads_in, exp_avgs, exp_avg_sqs, copies);
  const AdamwOptions options = adamw_options(lr, beta1, beta2, eps, weight_decay, step, bias_correction, decoupled);
  if (params.empty()) return;
  const Tensors grads = all_dense(grads_in);
  const std::vector<Chunk> chunks = cut(params);
  const bool m_bf16 = is_bfloat16(exp_avgs), v_bf16 = is_bfloat16(exp_avg_sqs);
  const auto ps = writable<float>(params);
  const auto ms = writable<void>(exp_avgs), vs = writable<void>(exp_avg_sqs);
  const auto cs = writable<bfloat16>(copies);
  by_type(grads, [&](auto type) {
    using T = decltype(type);
    const auto gs = readable<T>(grads);
    const auto kernel = cpu::kernels<T>().optimizer->adamw[m_bf16][v_bf16];
    over_chunks(chunks, [&](int64_t, const Chunk& chunk) {
      const size_t i = chunk.tensor;
      kernel(ps[i], gs[i], ms[i], vs[i], cs.empty() ? nullptr : cs[i], chunk.range, options);
    });
  });
}

std::tuple<Tensor, Tensor> multi_tensor_l2_norm(Tensors tensors_in, bool per_tensor) {
  STD_TORCH_CHECK(!tensors_in.empty(), "multi_tensor_l2_norm: no tensors");
  check_list("multi_tensor_l2_norm", "tensors", tensors_in, tensors_in);
  const Tensors tensors = all_dense(tensors_in);
  const int64_t count = static_cast<int64_t>(tensors.size());
  const std::vector<Chunk> chunks = cut(tensors);
  std::vector<double> partials(chunks.size());
  by_type(tensors, [&](auto type) {
    using T = decltype(type);
    const auto xs = readable<T>(tensors);
    over_chunks(chunks, [&](int64_t i, const Chunk& chunk) {
      partials[i] = cpu::kernels<T>().optimizer->sum_of_squares(xs[chunk.tensor], chunk.range);
    });
  });
  std::vector<double> sums(tensors.size());
  double total = 0.0;
  for (size_t i = 0; i < chunks.size(); ++i) {
    sums[chunks[i].tensor] += partials[i];
    total += partials[i];
  }
  Tensor norm = new_tensor(tensors[0], {1}, ScalarType::Float),
         norms = new_tensor(tensors[0], {per_tensor ? count : 0}, ScalarType::Float);
  *write<float>(norm) = static_cast<float>(std::sqrt(total));
  for (int64_t i = 0; per_tensor && i < count; ++i) write<float>(norms)[i] = static_cast<float>(std::sqrt(sums[i]));
  return {norm, norms};
}

void multi_tensor_scale(Tensors sources_in, Tensors targets, Tensor found_inf, double scale) {
  check_scale(sources_in, targets, found_inf);
  if (sources_in.empty()) return;
  const Tensors sources = all_dense(sources_in);
  const std::vector<Chunk> chunks = cut(sources);
  std::vector<char> finite(chunks.size());
  const float factor = static_cast<float>(scale);
  const bool to_bf16 = is_bfloat16(targets);
  const auto ys = writable<void>(targets);
  by_type(sources, [&](auto type) {
    using T = decltype(type);
    const auto xs = readable<T>(sources);
    const auto& kernels = *cpu::kernels<T>().optimizer;
    over_chunks(chunks, [&](int64_t i, const Chunk& chunk) {
      const T* x = xs[chunk.tensor];
      void* y = ys[chunk.tensor];
      finite[i] = to_bf16 ? kernels.scale_to_bfloat16(x, static_cast<bfloat16*>(y), chunk.range, factor)
                          : kernels.scale_to_float(x, static_cast<float*>(y), chunk.range, factor);
    });
  });
  for (const char good : finite)
    if (!good) *write<int32_t>(found_inf) = 1;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(aixmeg, CPU, m) {
  m.impl("multi_tensor_adamw", TORCH_BOX(&multi_tensor_adamw));
  m.impl("multi_tensor_l2_norm", TORCH_BOX(&multi_tensor_l2_norm));
  m.impl("multi_tensor_scale", TORCH_BOX(&multi_tensor_scale));
}
