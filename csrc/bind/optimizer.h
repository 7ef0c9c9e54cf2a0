// Lists of tensors as the optimizer's kernels see them, and the checks that both devices share.
#pragma once
#include <cmath>
#include <optional>
#include <string>

#include "../common/adamw.h"
#include "checks.h"

namespace aixmeg::bind {

using Tensors = std::vector<Tensor>;

// Same length, device and sizes as `like`; one dtype for the whole list.
inline void check_list(const char* op, const char* name, const Tensors& list, const Tensors& like) {
  STD_TORCH_CHECK(list.size() == like.size(), op, ": ", name, " has ", list.size(), " tensors, the first list ",
                  like.size());
  for (size_t i = 0; i < list.size(); ++i) {
    check_float(op, list[i]);
    check_device(op, list[i], like[0]);
    check_sizes(op, name, list[i], like[i].sizes());
    STD_TORCH_CHECK(list[i].scalar_type() == list[0].scalar_type(), op, ": ", name, " mixes dtypes");
  }
}

// A list that is written in place.
inline void check_written(const char* op, const char* name, const Tensors& list, const Tensors& like) {
  check_list(op, name, list, like);
  for (const Tensor& tensor : list)
    STD_TORCH_CHECK(tensor.is_contiguous(), op, ": ", name, " holds a tensor that is not contiguous");
}

inline void check_type(const char* op, const char* name, const Tensors& list, ScalarType type) {
  STD_TORCH_CHECK(list.empty() || list[0].scalar_type() == type, op, ": ", name, " has the wrong dtype");
}

inline Tensors all_dense(const Tensors& list) {
  Tensors result;
  result.reserve(list.size());
  for (const Tensor& tensor : list) result.push_back(dense(tensor));
  return result;
}

inline void check_adamw(const Tensors& params, const Tensors& grads, const Tensors& exp_avgs,
                        const Tensors& exp_avg_sqs, const Tensors& copies) {
  const char* op = "multi_tensor_adamw";
  check_written(op, "params", params, params);
  check_list(op, "grads", grads, params);
  check_written(op, "exp_avgs", exp_avgs, params);
  check_written(op, "exp_avg_sqs", exp_avg_sqs, params);
  if (!copies.empty()) check_written(op, "copies", copies, params);
  check_type(op, "params", params, ScalarType::Float);
  check_type(op, "copies", copies, ScalarType::BFloat16);
}

inline AdamwOptions adamw_options(double lr, double beta1, double beta2, double eps, double weight_decay, int64_t step,
                                  bool bias_correction, bool decoupled) {
  const auto in_range = [](double beta) { return beta >= 0.0 && beta < 1.0; };
  STD_TORCH_CHECK(in_range(beta1) && in_range(beta2), "multi_tensor_adamw: beta outside [0, 1)");
  STD_TORCH_CHECK(step >= 1, "multi_tensor_adamw: step ", step, " is below 1, the first");
  const auto correction = [&](double beta) {
    return bias_correction ? 1.0 - std::pow(beta, static_cast<double>(step)) : 1.0;
  };
  AdamwOptions options = {};
  options.gain1 = static_cast<float>(1.0 - beta1);
  options.beta2 = static_cast<float>(beta2);
  options.gain2 = static_cast<float>(1.0 - beta2);
  options.step_size = static_cast<float>(lr / correction(beta1));
  options.root_factor = static_cast<float>(1.0 / std::sqrt(correction(beta2)));
  options.eps = static_cast<float>(eps);
  options.decay = decoupled ? static_cast<float>(lr * weight_decay) : 0.0f;
  options.coupled_decay = decoupled ? 0.0f : static_cast<float>(weight_decay);
  return options;
}

inline void check_scale(const Tensors& sources, const Tensors& targets, const Tensor& found_inf) {
  const char* op = "multi_tensor_scale";
  check_list(op, "sources", sources, sources);
  check_written(op, "targets", targets, sources);
  STD_TORCH_CHECK(found_inf.numel() == 1 && found_inf.scalar_type() == ScalarType::Int, op,
                  ": found_inf is not one int32");
  if (!sources.empty()) check_device(op, found_inf, sources[0]);
}

}  // namespace aixmeg::bind
