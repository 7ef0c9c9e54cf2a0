// Binds the CUDA kernels of FP8.
#include "cuda_device.h"
#include "fp8.h"

namespace {
using namespace aixmeg::bind;

Tensor fp8_amax(const Tensor& x_in) {
  const char* op = "fp8_amax";
  check_fp8_input(op, x_in);
  const OnDevice device(x_in);
  const Tensor x = dense(x_in);
  Tensor amax = new_tensor(x, IntHeaderOnlyArrayRef(), ScalarType::Float);
  torch::stable::zero_(amax);
  check_launch(op, aixmeg_cuda_fp8_amax_rows(type_of(x), x.const_data_ptr(), nullptr, write<float>(amax), x.size(0),
                                             x.size(1), device.stream()));
  return amax;
}

Tensor fp8_amax_rows(const Tensor& x_in) {
  const char* op = "fp8_amax_rows";
  check_fp8_input(op, x_in);
  const OnDevice device(x_in);
  const Tensor x = dense(x_in);
  Tensor amax = new_tensor(x, {x.size(0)}, ScalarType::Float);
  check_launch(op, aixmeg_cuda_fp8_amax_rows(type_of(x), x.const_data_ptr(), write<float>(amax), nullptr, x.size(0),
                                             x.size(1), device.stream()));
  return amax;
}

Tensor fp8_amax_columns(const Tensor& x_in) {
  const char* op = "fp8_amax_columns";
  check_fp8_input(op, x_in);
  const OnDevice device(x_in);
  const Tensor x = dense(x_in);
  Tensor amax = new_tensor(x, {x.size(1)}, ScalarType::Float);
  torch::stable::zero_(amax);
  check_launch(op, aixmeg_cuda_fp8_amax_columns(type_of(x), x.const_data_ptr(), write<float>(amax), x.size(0),
                                                x.size(1), device.stream()));
  return amax;
}

std::tuple<Tensor, Tensor> fp8_scale(const Tensor& amax_in, bool e5m2, int64_t margin) {
  const char* op = "fp8_scale";
  check_rows(op, "amax", amax_in, amax_in, amax_in.numel());
  const OnDevice device(amax_in);
  const Tensor amax = dense(amax_in);
  Tensor scale = new_dense_like(amax), inverse = new_dense_like(amax);
  check_launch(op, aixmeg_cuda_fp8_scale(read<float>(amax), write<float>(scale), write<float>(inverse), amax.numel(),
                                         e5m2, margin, device.stream()));
  return {scale, inverse};
}

std::tuple<Tensor, Tensor> fp8_quantize(const Tensor& x, std::optional<Tensor> row_scale,
                                        std::optional<Tensor> column_scale, bool e5m2, bool gated,
                                        std::optional<Tensor> amax) {
  const char* op = "fp8_quantize";
  const OnDevice device(x);
  Fp8Quantization work = fp8_quantization(op, x, row_scale, column_scale, e5m2, gated, amax);
  check_launch(op, aixmeg_cuda_fp8_quantize(type_of(work.x), work.x.const_data_ptr(), work.row(), work.row_step(),
                                            work.column(), work.column_step(), work.rows_out(), work.transposed_out(),
                                            amax ? write<float>(*amax) : nullptr, work.rows, work.columns, e5m2, gated,
                                            device.stream()));
  return {work.q, work.transposed};
}

void fp8_update_history(Tensor history, Tensor amax, Tensor scale, Tensor scale_inv, Tensor e5m2, int64_t position,
                        int64_t margin) {
  const char* op = "fp8_update_history";
  check_fp8_history(op, history, amax, scale, scale_inv, e5m2, position);
  const OnDevice device(history);
  check_launch(op, aixmeg_cuda_fp8_update_history(write<float>(history), write<float>(amax), write<float>(scale),
                                                  write<float>(scale_inv), read<bool>(e5m2), history.size(0),
                                                  history.size(1), position, margin, device.stream()));
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(aixmeg, CUDA, m) {
  m.impl("fp8_amax", TORCH_BOX(&fp8_amax));
  m.impl("fp8_amax_rows", TORCH_BOX(&fp8_amax_rows));
  m.impl("fp8_amax_columns", TORCH_BOX(&fp8_amax_columns));
  m.impl("fp8_scale", TORCH_BOX(&fp8_scale));
  m.impl("fp8_quantize", TORCH_BOX(&fp8_quantize));
  m.impl("fp8_update_history", TORCH_BOX(&fp8_update_history));
}
