// Small helpers over torch::stable::Tensor shared by the CPU and the CUDA bindings.
// Shapes and dtypes are checked here too (and with friendlier words in aixmeg/ops): a wrong call through
// torch.ops must end in an exception, never in a stray memory access.
#pragma once
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <initializer_list>
#include <vector>

namespace aixmeg::bind {

using torch::headeronly::IntHeaderOnlyArrayRef;
using torch::headeronly::ScalarType;
using torch::stable::Tensor;

inline Tensor dense(const Tensor& tensor) {
  return tensor.is_contiguous() ? tensor : torch::stable::contiguous(tensor);
}

inline Tensor new_tensor(const Tensor& like, IntHeaderOnlyArrayRef sizes, ScalarType type) {
  return torch::stable::new_empty(like, sizes, type);
}
inline Tensor new_tensor(const Tensor& like, std::initializer_list<int64_t> sizes, ScalarType type) {
  return new_tensor(like, IntHeaderOnlyArrayRef(sizes.begin(), sizes.size()), type);
}
inline Tensor new_dense_like(const Tensor& tensor) { return new_tensor(tensor, tensor.sizes(), tensor.scalar_type()); }

// The sizes of `tensor` with the last one replaced.
inline std::vector<int64_t> with_last(const Tensor& tensor, int64_t last) {
  std::vector<int64_t> sizes(tensor.sizes().begin(), tensor.sizes().end());
  sizes.back() = last;
  return sizes;
}

// Number of rows when the last dimension is a row. With an empty last dimension there is nothing to compute.
inline int64_t row_count(const Tensor& tensor) {
  const int64_t columns = tensor.size(tensor.dim() - 1);
  return columns == 0 ? 0 : tensor.numel() / columns;
}

inline void check_float(const char* op, const Tensor& tensor) {
  const ScalarType type = tensor.scalar_type();
  STD_TORCH_CHECK(type == ScalarType::Float || type == ScalarType::BFloat16, op, ": only float32 and bfloat16");
}

inline void check_same(const char* op, const Tensor& a, const Tensor& b) {
  STD_TORCH_CHECK(a.scalar_type() == b.scalar_type(), op, ": the tensors have different dtypes");
}

inline void check_sizes(const char* op, const char* name, const Tensor& tensor, IntHeaderOnlyArrayRef sizes) {
  bool same = tensor.dim() == static_cast<int64_t>(sizes.size());
  for (int64_t i = 0; same && i < tensor.dim(); ++i) same = tensor.size(i) == sizes[i];
  STD_TORCH_CHECK(same, op, ": ", name, " has the wrong shape");
}
inline void check_sizes(const char* op, const char* name, const Tensor& tensor, std::initializer_list<int64_t> sizes) {
  check_sizes(op, name, tensor, IntHeaderOnlyArrayRef(sizes.begin(), sizes.size()));
}

// A vector of one number per row, in the type that the kernels read.
inline void check_rows(const char* op, const char* name, const Tensor& tensor, int64_t rows, ScalarType type) {
  STD_TORCH_CHECK(tensor.scalar_type() == type, op, ": ", name, " has the wrong dtype");
  STD_TORCH_CHECK(tensor.numel() == rows, op, ": ", name, " has ", tensor.numel(), " elements for ", rows, " rows");
}

}  // namespace aixmeg::bind
