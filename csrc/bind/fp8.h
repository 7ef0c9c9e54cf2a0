// Checks and outputs of the FP8 ops, the same for every device.
#pragma once
#include <optional>
#include <tuple>

#include "checks.h"

namespace aixmeg::bind {

inline void check_fp8_input(const char* op, const Tensor& x, bool gated = false) {
  check_float(op, x);
  STD_TORCH_CHECK(x.dim() == 2, op, ": x is not [rows, columns] but has ", x.dim(), " dimensions");
  STD_TORCH_CHECK(!gated || x.size(1) % 2 == 0, op, ": x is gate | up, but its last size ", x.size(1), " is odd");
}

// One scale of all, or one for each of `count` rows or columns.
inline void check_fp8_scale(const char* op, const char* name, const Tensor& scale, const Tensor& x, int64_t count) {
  check_rows(op, name, scale, x, scale.numel() == 1 ? 1 : count);
}

inline void check_fp8_amax(const char* op, const Tensor& amax, const Tensor& x) { check_rows(op, "amax", amax, x, 1); }

inline void check_fp8_history(const char* op, const Tensor& history, const Tensor& amax, const Tensor& scale,
                              const Tensor& scale_inv, const Tensor& e5m2, int64_t position) {
  STD_TORCH_CHECK(history.dim() == 2 && history.size(1) > 0, op, ": history is not [tensors, window]");
  const int64_t count = history.size(0);
  check_rows(op, "history", history, history, history.numel());
  for (const Tensor* tensor : {&amax, &scale, &scale_inv}) check_rows(op, "amax or a scale", *tensor, history, count);
  check_rows(op, "e5m2", e5m2, history, count, ScalarType::Bool);
  for (const Tensor* tensor : {&history, &amax, &scale, &scale_inv, &e5m2})
    STD_TORCH_CHECK(tensor->is_contiguous(), op, ": a tensor is not contiguous");
  STD_TORCH_CHECK(position >= 0 && position < history.size(1), op, ": position ", position,
                  " is outside the window of ", history.size(1));
}

// What quantisation reads and writes. An output that is not asked for is an empty tensor.
struct Fp8Quantization {
  Tensor x;
  std::optional<Tensor> row_scale, column_scale;
  int64_t rows, columns;
  Tensor q, transposed;

  const float* row() const { return row_scale ? read<float>(*row_scale) : nullptr; }
  const float* column() const { return column_scale ? read<float>(*column_scale) : nullptr; }
  int64_t row_step() const { return row_scale && row_scale->numel() != 1 ? 1 : 0; }
  int64_t column_step() const { return column_scale && column_scale->numel() != 1 ? 1 : 0; }
  uint8_t* rows_out() { return row_scale ? write<uint8_t>(q) : nullptr; }
  uint8_t* transposed_out() { return column_scale ? write<uint8_t>(transposed) : nullptr; }
};

inline Fp8Quantization fp8_quantization(const char* op, const Tensor& x_in, const std::optional<Tensor>& row_scale,
                                        const std::optional<Tensor>& column_scale, bool e5m2, bool gated,
                                        const std::optional<Tensor>& amax) {
  check_fp8_input(op, x_in, gated);
  const Tensor x = dense(x_in);
  const int64_t rows = x.size(0), columns = gated ? x.size(1) / 2 : x.size(1);
  if (row_scale) check_fp8_scale(op, "row_scale", *row_scale, x, rows);
  if (column_scale) check_fp8_scale(op, "column_scale", *column_scale, x, columns);
  if (amax) check_fp8_amax(op, *amax, x);
  const ScalarType type = e5m2 ? ScalarType::Float8_e5m2 : ScalarType::Float8_e4m3fn;
  const auto dense_or_none = [](const std::optional<Tensor>& tensor) {
    return tensor ? std::optional<Tensor>(dense(*tensor)) : std::nullopt;
  };
  return {x,
          dense_or_none(row_scale),
          dense_or_none(column_scale),
          rows,
          columns,
          row_scale ? new_tensor(x, {rows, columns}, type) : new_tensor(x, {0}, type),
          column_scale ? new_tensor(x, {columns, rows}, type) : new_tensor(x, {0}, type)};
}

}  // namespace aixmeg::bind
