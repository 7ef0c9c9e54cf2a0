// Small helpers over torch::stable::Tensor shared by the CPU and the CUDA bindings.
#pragma once
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <initializer_list>
#include <optional>
#include <vector>

namespace aixmeg::bind {

using torch::headeronly::IntHeaderOnlyArrayRef;
using torch::headeronly::ScalarType;
using torch::stable::Tensor;

inline Tensor dense(const Tensor& tensor) {
  return tensor.is_contiguous() ? tensor : torch::stable::contiguous(tensor);
}

inline std::optional<Tensor> dense(const std::optional<Tensor>& tensor) {
  return tensor ? std::optional<Tensor>(dense(*tensor)) : std::nullopt;
}
// Only the last dimension is made dense, where it is not.
inline Tensor dense_last(const Tensor& tensor) { return tensor.stride(tensor.dim() - 1) == 1 ? tensor : dense(tensor); }

template <class T>
const T* read(const Tensor& tensor) {
  return static_cast<const T*>(tensor.const_data_ptr());
}
template <class T>
T* write(Tensor& tensor) {
  return static_cast<T*>(tensor.mutable_data_ptr());
}

inline Tensor new_tensor(const Tensor& like, IntHeaderOnlyArrayRef sizes, ScalarType type) {
  return torch::stable::new_empty(like, sizes, type);
}
inline Tensor new_tensor(const Tensor& like, std::initializer_list<int64_t> sizes, ScalarType type) {
  return new_tensor(like, IntHeaderOnlyArrayRef(sizes.begin(), sizes.size()), type);
}
inline Tensor new_dense_like(const Tensor& tensor) { return new_tensor(tensor, tensor.sizes(), tensor.scalar_type()); }

// A new tensor of `like`'s sizes with the last one replaced.
inline Tensor new_with_last(const Tensor& like, int64_t last) {
  std::vector<int64_t> sizes(like.sizes().begin(), like.sizes().end());
  sizes.back() = last;
  return new_tensor(like, IntHeaderOnlyArrayRef(sizes.data(), sizes.size()), like.scalar_type());
}

// Number of rows when the last dimension is a row. With an empty last dimension there is nothing to compute.
inline int64_t row_count(const Tensor& tensor) {
  const int64_t columns = tensor.size(tensor.dim() - 1);
  return columns == 0 ? 0 : tensor.numel() / columns;
}

}  // namespace aixmeg::bind
