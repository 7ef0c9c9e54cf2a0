// The ops' signatures, for every device. s sequence, b batch, h hidden, f feed-forward width, np heads, hn head size,
// n rows, v columns of this rank's vocabulary shard. Outputs are dense; inputs may have any strides and are not
// changed.
#include <torch/csrc/stable/library.h>

#include <string>

#include "../cpu/kernels.h"

namespace {
std::string cpu_isa() { return aixmeg::cpu::kernels<float>().isa; }
}  // namespace

STABLE_TORCH_LIBRARY(aixmeg, m) {
  // x[..., h], weight[h] -> y[..., h], rstd[rows] float
  m.def("rms_norm_forward(Tensor x, Tensor weight, float eps) -> (Tensor, Tensor)");
  // dy, x[..., h], weight[h], rstd[rows] -> dx[..., h], dweight[h]
  m.def("rms_norm_backward(Tensor dy, Tensor x, Tensor weight, Tensor rstd) -> (Tensor, Tensor)");
  // x, residual[..., h], weight[h] -> norm of the sum[..., h], sum[..., h], rstd[rows] float
  m.def("add_rms_norm_forward(Tensor x, Tensor residual, Tensor weight, float eps) -> (Tensor, Tensor, Tensor)");
  // dy, dsum, sum[..., h], weight[h], rstd[rows] -> dx[..., h], which is the residual's gradient too, dweight[h]
  m.def("add_rms_norm_backward(Tensor dy, Tensor dsum, Tensor sum, Tensor weight, Tensor rstd) -> (Tensor, Tensor)");
  // x[..., 2f] -> y[..., f]
  m.def("swiglu_forward(Tensor x) -> Tensor");
  // dy[..., f], x[..., 2f] -> dx[..., 2f]
  m.def("swiglu_backward(Tensor dy, Tensor x) -> Tensor");
  // x[s, b, np, hn], cos, sin[s, hn / 2] float -> y[s, b, np, hn]
  m.def("rotary(Tensor x, Tensor cos, Tensor sin, bool inverse) -> Tensor");
  // mixed_qkv[s, b, ng, (np / ng + 2) * hn], cos, sin[rows, hn / 2] float, positions[s, b] int64, rows of the tables,
  //   or none: 0 ... s - 1 -> q[s, b, np, hn], k, v[s, b, ng, hn]
  m.def("rotary_qkv(Tensor mixed_qkv, Tensor cos, Tensor sin, Tensor? positions) -> (Tensor, Tensor, Tensor)");
  // the gradients of q, k, v -> dmixed_qkv
  m.def(
      "rotary_qkv_backward(Tensor dq, Tensor dk, Tensor dv, Tensor cos, Tensor sin, Tensor? positions)"
      " -> Tensor");
  // logits[n, v], target[n] int64 in [0, vocabulary) or ignore_index, first column of this shard
  //   -> maximum[n], sum of exp(logit - maximum)[n], target's logit or 0 [n], sum of (logit - maximum)[n] if wanted,
  //      else [0]; all float
  m.def(
      "cross_entropy_statistics(Tensor logits, Tensor target, int first, int vocabulary, int ignore_index,"
      " bool want_shifted) -> (Tensor, Tensor, Tensor, Tensor)");
  // maximum, log_total[n] over the whole vocabulary, grad[n] float -> dlogits[n, v]; the loss is that of
  // common/options.h
  m.def(
      "cross_entropy_backward(Tensor logits, Tensor target, int first, Tensor maximum, Tensor log_total, Tensor grad,"
      " int vocabulary, int ignore_index, float label_smoothing, float z_loss) -> Tensor");
  // The same in the memory of the logits
  m.def(
      "cross_entropy_backward_(Tensor(a!) logits, Tensor target, int first, Tensor maximum, Tensor log_total,"
      " Tensor grad, int vocabulary, int ignore_index, float label_smoothing, float z_loss) -> ()");
  // The instruction set of the CPU kernels; an exception when AIXMEG_CPU_ISA names one that cannot be had.
  m.def("cpu_isa() -> str");
}

STABLE_TORCH_LIBRARY_IMPL(aixmeg, CompositeImplicitAutograd, m) { m.impl("cpu_isa", TORCH_BOX(&cpu_isa)); }
