// Binds the CUDA kernels: allocates outputs, launches on torch's current stream of the tensors' device.
// Host C++ only, compiled by the host compiler: no CUDA header, so that it builds beside a CPU torch too.
#define USE_CUDA  // for cuda_device.h, before any header of torch
#include <optional>
#include <tuple>

#include "../cuda/kernels.h"
#include "checks.h"
#include "cuda_device.h"

namespace {
using namespace aixmeg::bind;

std::tuple<Tensor, Tensor> rms_norm_forward(const Tensor& x_in, const Tensor& weight_in, double eps) {
  const char* op = "rms_norm_forward";
  check_rms_norm(op, x_in, weight_in);
  const OnDevice device(x_in);
  const Tensor x = dense(x_in), weight = dense(weight_in);
  const int64_t rows = row_count(x);
  Tensor y = new_dense_like(x), rstd = new_tensor(x, {rows}, ScalarType::Float);
  check_launch(op, aixmeg_cuda_rms_norm_forward(type_of(x), x.const_data_ptr(), weight.const_data_ptr(),
                                                y.mutable_data_ptr(), write<float>(rstd), rows, weight.numel(),
                                                static_cast<float>(eps), device.stream()));
  return {y, rstd};
}

std::tuple<Tensor, Tensor, Tensor> add_rms_norm_forward(const Tensor& x_in, const Tensor& residual_in,
                                                        const Tensor& weight_in, double eps) {
  const char* op = "add_rms_norm_forward";
  check_rms_norm(op, x_in, weight_in);
  check_like(op, "residual", residual_in, x_in);
  const OnDevice device(x_in);
  const Tensor x = dense(x_in), residual = dense(residual_in), weight = dense(weight_in);
  const int64_t rows = row_count(x);
  Tensor y = new_dense_like(x), total = new_dense_like(x), rstd = new_tensor(x, {rows}, ScalarType::Float);
  check_launch(op, aixmeg_cuda_add_rms_norm_forward(type_of(x), x.const_data_ptr(), residual.const_data_ptr(),
                                                    weight.const_data_ptr(), y.mutable_data_ptr(),
                                                    total.mutable_data_ptr(), write<float>(rstd), rows, weight.numel(),
                                                    static_cast<float>(eps), device.stream()));
  return {y, total, rstd};
}

// `dtotal` is a gradient to add to dx, or null.
std::tuple<Tensor, Tensor> norm_gradients(const char* op, const Tensor& dy_in, const Tensor& x_in,
                                          const Tensor& weight_in, const Tensor& rstd_in, const Tensor* dtotal) {
  check_rms_norm_backward(op, dy_in, x_in, weight_in, rstd_in);
  const OnDevice device(x_in);
  const Tensor dy = dense(dy_in), x = dense(x_in), weight = dense(weight_in), rstd = dense(rstd_in);
  const int64_t rows = row_count(x), hidden = weight.numel();
  STD_TORCH_CHECK(hidden <= kAixmegMaxNormHidden, op, ": hidden size ", hidden, " is over ", kAixmegMaxNormHidden,
                  ", the most whose weight gradient fits in shared memory");
  const int64_t count = rows < kAixmegNormPartials ? rows : kAixmegNormPartials;
  Tensor dx = new_dense_like(x), dweight = new_dense_like(weight);
  Tensor partials = new_tensor(x, {count, hidden}, ScalarType::Float);
  const void *dyp = dy.const_data_ptr(), *xp = x.const_data_ptr(), *wp = weight.const_data_ptr();
  void *dxp = dx.mutable_data_ptr(), *dwp = dweight.mutable_data_ptr();
  float* pp = write<float>(partials);
  if (dtotal == nullptr) {
    check_launch(op, aixmeg_cuda_rms_norm_backward(type_of(x), dyp, xp, wp, read<float>(rstd), dxp, dwp, pp, count,
                                                   rows, hidden, device.stream()));
  } else {
    check_like(op, "dsum", *dtotal, x_in);
    const Tensor past = dense(*dtotal);
    check_launch(
        op, aixmeg_cuda_add_rms_norm_backward(type_of(x), dyp, past.const_data_ptr(), xp, wp, read<float>(rstd), dxp,
                                              dwp, pp, count, rows, hidden, device.stream()));
  }
  return {dx, dweight};
}

std::tuple<Tensor, Tensor> rms_norm_backward(const Tensor& dy, const Tensor& x, const Tensor& weight,
                                             const Tensor& rstd) {
  return norm_gradients("rms_norm_backward", dy, x, weight, rstd, nullptr);
}

std::tuple<Tensor, Tensor> add_rms_norm_backward(const Tensor& dy, const Tensor& dtotal, const Tensor& total,
                                                 const Tensor& weight, const Tensor& rstd) {
  return norm_gradients("add_rms_norm_backward", dy, total, weight, rstd, &dtotal);
}

Tensor swiglu_forward(const Tensor& x_in) {
  const char* op = "swiglu_forward";
  check_swiglu(op, x_in);
  const OnDevice device(x_in);
  const Tensor x = dense(x_in);
  const int64_t width = x.size(x.dim() - 1) / 2;
  Tensor y = new_with_last(x, width);
  check_launch(op, aixmeg_cuda_swiglu_forward(type_of(x), x.const_data_ptr(), y.mutable_data_ptr(), row_count(x), width,
                                              device.stream()));
  return y;
}

Tensor swiglu_backward(const Tensor& dy_in, const Tensor& x_in) {
  const char* op = "swiglu_backward";
  check_swiglu_backward(op, dy_in, x_in);
  const OnDevice device(x_in);
  const Tensor dy = dense(dy_in), x = dense(x_in);
  Tensor dx = new_dense_like(x);
  check_launch(op,
               aixmeg_cuda_swiglu_backward(type_of(x), dy.const_data_ptr(), x.const_data_ptr(), dx.mutable_data_ptr(),
                                           row_count(x), x.size(x.dim() - 1) / 2, device.stream()));
  return dx;
}

Tensor rotary(const Tensor& x_in, const Tensor& cos_in, const Tensor& sin_in, bool inverse) {
  const char* op = "rotary";
  check_rotary(op, x_in, cos_in, sin_in);
  const OnDevice device(x_in);
  const Tensor x = dense_last(x_in), cos = dense(cos_in), sin = dense(sin_in);
  const int64_t strides[3] = {x.stride(0), x.stride(1), x.stride(2)};
  Tensor y = new_dense_like(x);
  check_launch(
      op, aixmeg_cuda_rotary(type_of(x), x.const_data_ptr(), read<float>(cos), read<float>(sin), y.mutable_data_ptr(),
                             x.size(0), x.size(1), x.size(2), x.size(3), strides, inverse, device.stream()));
  return y;
}

std::tuple<Tensor, Tensor, Tensor> rotary_qkv(const Tensor& mixed_in, const Tensor& cos_in, const Tensor& sin_in,
                                              const std::optional<Tensor>& positions_in) {
  const char* op = "rotary_qkv";
  const QkvSizes sizes = check_rotary_qkv(op, mixed_in, cos_in, sin_in, positions_in);
  const OnDevice device(mixed_in);
  const Tensor mixed = dense(mixed_in), cos = dense(cos_in), sin = dense(sin_in);
  const std::optional<Tensor> positions = dense(positions_in);
  const int64_t s = mixed.size(0), b = mixed.size(1);
  Tensor q = new_tensor(mixed, {s, b, sizes.groups * sizes.heads, sizes.head_size}, mixed.scalar_type()),
         k = new_tensor(mixed, {s, b, sizes.groups, sizes.head_size}, mixed.scalar_type()), v = new_dense_like(k);
  check_launch(op, aixmeg_cuda_rotary_qkv(type_of(mixed), mixed.const_data_ptr(), read<float>(cos), read<float>(sin),
                                          positions ? read<int64_t>(*positions) : nullptr, q.mutable_data_ptr(),
                                          k.mutable_data_ptr(), v.mutable_data_ptr(), s, b, sizes.groups, sizes.heads,
                                          sizes.head_size, cos.size(0), device.stream()));
  return {q, k, v};
}

Tensor rotary_qkv_backward(const Tensor& dq_in, const Tensor& dk_in, const Tensor& dv_in, const Tensor& cos_in,
                           const Tensor& sin_in, const std::optional<Tensor>& positions_in) {
  const char* op = "rotary_qkv_backward";
  const QkvSizes sizes = check_rotary_qkv_backward(op, dq_in, dk_in, dv_in, cos_in, sin_in, positions_in);
  const OnDevice device(dq_in);
  const Tensor dq = dense_last(dq_in), dk = dense_last(dk_in), dv = dense_last(dv_in), cos = dense(cos_in),
               sin = dense(sin_in);
  const std::optional<Tensor> positions = dense(positions_in);
  const int64_t s = dq.size(0), b = dq.size(1);
  Tensor dmixed = new_tensor(dq, {s, b, sizes.groups, (sizes.heads + 2) * sizes.head_size}, dq.scalar_type());
  int64_t strides[9];
  const Tensor* parts[3] = {&dq, &dk, &dv};
  for (int i = 0; i < 9; ++i) strides[i] = parts[i / 3]->stride(i % 3);
  check_launch(op, aixmeg_cuda_rotary_qkv_backward(
                       type_of(dq), dq.const_data_ptr(), dk.const_data_ptr(), dv.const_data_ptr(), read<float>(cos),
                       read<float>(sin), positions ? read<int64_t>(*positions) : nullptr, dmixed.mutable_data_ptr(), s,
                       b, sizes.groups, sizes.heads, sizes.head_size, cos.size(0), strides, device.stream()));
  return dmixed;
}

std::tuple<Tensor, Tensor, Tensor, Tensor> cross_entropy_statistics(const Tensor& logits_in, const Tensor& target_in,
                                                                    int64_t first, int64_t vocabulary,
                                                                    int64_t ignore_index, bool want_shifted) {
  const char* op = "cross_entropy_statistics";
  check_cross_entropy(op, logits_in, target_in);
  const OnDevice device(logits_in);
  const Tensor logits = dense(logits_in), target = dense(target_in);
  const int64_t rows = logits.size(0);
  Tensor maximum = new_tensor(logits, {rows}, ScalarType::Float), total = new_dense_like(maximum),
         picked = new_dense_like(maximum), shifted = new_tensor(logits, {want_shifted ? rows : 0}, ScalarType::Float);
  check_launch(op, aixmeg_cuda_cross_entropy_statistics(
                       type_of(logits), logits.const_data_ptr(), read<int64_t>(target), write<float>(maximum),
                       write<float>(total), write<float>(picked), want_shifted ? write<float>(shifted) : nullptr, rows,
                       logits.size(1), first, vocabulary, ignore_index, device.stream()));
  return {maximum, total, picked, shifted};
}

// `dlogits` is a new tensor, or `logits` itself.
void write_cross_entropy_gradient(const char* op, const Tensor& logits, Tensor& dlogits, const Tensor& target_in,
                                  int64_t first, const Tensor& maximum_in, const Tensor& log_total_in,
                                  const Tensor& grad_in, const aixmeg::CrossEntropyOptions& options) {
  const OnDevice device(logits);
  const Tensor target = dense(target_in), maximum = dense(maximum_in), log_total = dense(log_total_in),
               grad = dense(grad_in);
  check_launch(op, aixmeg_cuda_cross_entropy_backward(type_of(logits), logits.const_data_ptr(), read<int64_t>(target),
                                                      read<float>(maximum), read<float>(log_total), read<float>(grad),
                                                      dlogits.mutable_data_ptr(), logits.size(0), logits.size(1), first,
                                                      options.vocabulary, options.ignore_index, options.smoothing,
                                                      options.z_loss, device.stream()));
}

Tensor cross_entropy_backward(const Tensor& logits_in, const Tensor& target, int64_t first, const Tensor& maximum,
                              const Tensor& log_total, const Tensor& grad, int64_t vocabulary, int64_t ignore_index,
                              double label_smoothing, double z_loss) {
  const char* op = "cross_entropy_backward";
  check_cross_entropy_backward(op, logits_in, target, maximum, log_total, grad);
  const auto options = cross_entropy_options(op, vocabulary, ignore_index, label_smoothing, z_loss);
  const OnDevice device(logits_in);
  const Tensor logits = dense(logits_in);
  Tensor dlogits = new_dense_like(logits);
  write_cross_entropy_gradient(op, logits, dlogits, target, first, maximum, log_total, grad, options);
  return dlogits;
}

void cross_entropy_backward_(Tensor logits, const Tensor& target, int64_t first, const Tensor& maximum,
                             const Tensor& log_total, const Tensor& grad, int64_t vocabulary, int64_t ignore_index,
                             double label_smoothing, double z_loss) {
  const char* op = "cross_entropy_backward_";
  check_cross_entropy_backward(op, logits, target, maximum, log_total, grad);
  STD_TORCH_CHECK(logits.is_contiguous(), op, ": logits that are overwritten must be contiguous");
  const auto options = cross_entropy_options(op, vocabulary, ignore_index, label_smoothing, z_loss);
  write_cross_entropy_gradient(op, logits, logits, target, first, maximum, log_total, grad, options);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(aixmeg, CUDA, m) {
  m.impl("rms_norm_forward", TORCH_BOX(&rms_norm_forward));
  m.impl("rms_norm_backward", TORCH_BOX(&rms_norm_backward));
  m.impl("add_rms_norm_forward", TORCH_BOX(&add_rms_norm_forward));
  m.impl("add_rms_norm_backward", TORCH_BOX(&add_rms_norm_backward));
  m.impl("swiglu_forward", TORCH_BOX(&swiglu_forward));
  m.impl("swiglu_backward", TORCH_BOX(&swiglu_backward));
  m.impl("rotary", TORCH_BOX(&rotary));
  m.impl("rotary_qkv", TORCH_BOX(&rotary_qkv));
  m.impl("rotary_qkv_backward", TORCH_BOX(&rotary_qkv_backward));
  m.impl("cross_entropy_statistics", TORCH_BOX(&cross_entropy_statistics));
  m.impl("cross_entropy_backward", TORCH_BOX(&cross_entropy_backward));
  m.impl("cross_entropy_backward_", TORCH_BOX(&cross_entropy_backward_));
}
