// Binds the optimizer's CUDA kernels: host arrays of addresses, launched on torch's current stream.
#include <tuple>

#include "../cuda/optimizer.h"
#include "cuda_device.h"
#include "optimizer.h"

namespace {
using namespace aixmeg;
using namespace aixmeg::bind;

std::vector<void*> addresses(const Tensors& list) {
  std::vector<void*> result;
  for (const Tensor& tensor : list) result.push_back(const_cast<void*>(tensor.const_data_ptr()));
  return result;
}
std::vector<void*> written(Tensors& list) {
  std::vector<void*> result;
  for (Tensor& tensor : list) result.push_back(tensor.mutable_data_ptr());
  return result;
}

std::vector<int64_t> sizes_of(const Tensors& list) {
  std::vector<int64_t> result;
  for (const Tensor& tensor : list) result.push_back(tensor.numel());
  return result;
}

void multi_tensor_adamw(Tensors params, Tensors grads_in, Tensors exp_avgs, Tensors exp_avg_sqs, Tensors copies,
                        double lr, double beta1, double beta2, double eps, double weight_decay, int64_t step,
                        bool bias_correction, bool decoupled) {
  const char* op = "multi_tensor_adamw";
  check_adamw(params, grads_in, exp_avgs, exp_avg_sqs, copies);
  const AdamwOptions options = adamw_options(lr, beta1, beta2, eps, weight_decay, step, bias_correction, decoupled);
  if (params.empty()) return;
  const OnDevice device(params[0]);
  const Tensors grads = all_dense(grads_in);
  const auto ps = written(params), ms = written(exp_avgs), vs = written(exp_avg_sqs), cs = written(copies);
  const auto gs = addresses(grads);
  const auto sizes = sizes_of(params);
  check_launch(op, aixmeg_cuda_multi_tensor_adamw(type_of(grads[0]), type_of(exp_avgs[0]), type_of(exp_avg_sqs[0]),
                                                  static_cast<int64_t>(sizes.size()), sizes.data(), ps.data(),
                                                  gs.data(), ms.data(), vs.data(), cs.empty() ? nullptr : cs.data(),
                                                  &options, device.stream()));
}

std::tuple<Tensor, Tensor> multi_tensor_l2_norm(Tensors tensors_in, bool per_tensor) {
  const char* op = "multi_tensor_l2_norm";
  STD_TORCH_CHECK(!tensors_in.empty(), op, ": no tensors");
  check_list(op, "tensors", tensors_in, tensors_in);
  const OnDevice device(tensors_in[0]);
  const Tensors tensors = all_dense(tensors_in);
  const auto xs = addresses(tensors);
  const auto sizes = sizes_of(tensors);
  const int64_t count = static_cast<int64_t>(sizes.size());
  int64_t slots = 0;
  for (const int64_t size : sizes) slots += aixmeg_norm_partials(size);
  Tensor partials = new_tensor(tensors[0], {slots}, ScalarType::Double),
         norm = new_tensor(tensors[0], {1}, ScalarType::Float),
         norms = new_tensor(tensors[0], {per_tensor ? count : 0}, ScalarType::Float);
  check_launch(op, aixmeg_cuda_multi_tensor_l2_norm(type_of(tensors[0]), count, sizes.data(), xs.data(),
                                                    write<double>(partials), write<float>(norm),
                                                    per_tensor ? write<float>(norms) : nullptr, device.stream()));
  return {norm, norms};
}

void multi_tensor_scale(Tensors sources_in, Tensors targets, Tensor found_inf, double scale) {
  const char* op = "multi_tensor_scale";
  check_scale(sources_in, targets, found_inf);
  if (sources_in.empty()) return;
  const OnDevice device(sources_in[0]);
  const Tensors sources = all_dense(sources_in);
  const auto xs = addresses(sources), ys = written(targets);
  const auto sizes = sizes_of(sources);
  check_launch(op, aixmeg_cuda_multi_tensor_scale(
                       type_of(sources[0]), type_of(targets[0]), static_cast<int64_t>(sizes.size()), sizes.data(),
                       xs.data(), ys.data(), static_cast<float>(scale), write<int>(found_inf), device.stream()));
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(aixmeg, CUDA, m) {
  m.impl("multi_tensor_adamw", TORCH_BOX(&multi_tensor_adamw));
  m.impl("multi_tensor_l2_norm", TORCH_BOX(&multi_tensor_l2_norm));
  m.impl("multi_tensor_scale", TORCH_BOX(&multi_tensor_scale));
}
