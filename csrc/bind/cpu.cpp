// Binds the CPU kernels: allocates outputs, shares rows over torch's thread pool.
#include <optional>
#include <tuple>

#include "checks.h"
#include "cpu_rows.h"

namespace {
using namespace aixmeg;
using namespace aixmeg::bind;

// Rows of the tables that tokens name: looked at where it costs no waiting, as on a GPU it would.
void check_positions(const char* op, const std::optional<Tensor>& positions, int64_t table_rows) {
  if (!positions) return;
  const int64_t* values = read<int64_t>(*positions);
  for (int64_t token = 0; token < positions->numel(); ++token)
    STD_TORCH_CHECK(values[token] >= 0 && values[token] < table_rows, op, ": position ", values[token], " of token ",
                    token, " is outside the tables' rows [0, ", table_rows, ")");
}

// Weight gradients are summed over this many blocks of rows, whatever the number of threads: the result depends on
// the shape only.
constexpr int64_t kPartials = 32;
std::tuple<Tensor, Tensor> rms_norm_forward(const Tensor& x_in, const Tensor& weight_in, double eps) {
  check_rms_norm("rms_norm_forward", x_in, weight_in);
  const Tensor x = dense(x_in), weight = dense(weight_in);
  const int64_t hidden = weight.numel(), rows = row_count(x);
  Tensor y = new_dense_like(x), rstd = new_tensor(x, {rows}, ScalarType::Float);
  by_type(x, [&](auto type) {
    using T = decltype(type);
    const auto& kernels = cpu::kernels<T>();
    over_rows(rows, hidden,
              [&, xp = read<T>(x), wp = read<T>(weight), yp = write<T>(y), rp = write<float>(rstd)](cpu::Rows range) {
                kernels.rms_norm_forward(xp, wp, yp, rp, range, hidden, static_cast<float>(eps));
              });
  });
  return {y, rstd};
}

std::tuple<Tensor, Tensor, Tensor> add_rms_norm_forward(const Tensor& x_in, const Tensor& residual_in,
                                                        const Tensor& weight_in, double eps) {
  const char* op = "add_rms_norm_forward";
  check_rms_norm(op, x_in, weight_in);
  check_like(op, "residual", residual_in, x_in);
  const Tensor x = dense(x_in), residual = dense(residual_in), weight = dense(weight_in);
  const int64_t hidden = weight.numel(), rows = row_count(x);
  Tensor y = new_dense_like(x), total = new_dense_like(x), rstd = new_tensor(x, {rows}, ScalarType::Float);
  by_type(x, [&](auto type) {
    using T = decltype(type);
    const auto& kernels = cpu::kernels<T>();
    const T *xp = read<T>(x), *ap = read<T>(residual), *wp = read<T>(weight);
    T *yp = write<T>(y), *tp = write<T>(total);
    float* rp = write<float>(rstd);
    over_rows(rows, hidden, [&](cpu::Rows range) {
      kernels.add_rms_norm_forward(xp, ap, wp, yp, tp, rp, range, hidden, static_cast<float>(eps));
    });
  });
  return {y, total, rstd};
}

// `dtotal` is a gradient to add to dx, or null.
std::tuple<Tensor, Tensor> norm_gradients(const Tensor& dy, const Tensor& x, const Tensor& weight, const Tensor& rstd,
                                          const Tensor* dtotal) {
  const int64_t hidden = weight.numel(), rows = row_count(x);
  const int64_t count = rows < kPartials ? rows : kPartials;
  Tensor dx = new_dense_like(x), dweight = new_dense_like(weight);
  Tensor partials = new_tensor(x, {count, hidden}, ScalarType::Float);
  torch::stable::zero_(partials);
  by_type(x, [&](auto type) {
    using T = decltype(type);
    const auto& kernels = cpu::kernels<T>();
    const T *dyp = read<T>(dy), *xp = read<T>(x), *wp = read<T>(weight);
    const T* dtp = dtotal != nullptr ? read<T>(*dtotal) : nullptr;
    const float* rp = read<float>(rstd);
    T *dxp = write<T>(dx), *dwp = write<T>(dweight);
    float* pp = write<float>(partials);
    over_rows(count, rows * hidden / (count > 0 ? count : 1), [&](cpu::Rows blocks) {
      for (int64_t block = blocks.begin; block < blocks.end; ++block)
        kernels.rms_norm_backward(dyp, xp, wp, rp, dtp, dxp, pp + block * hidden,
                                  {rows * block / count, rows * (block + 1) / count}, hidden);
    });
    over_rows(hidden, count,
              [&](cpu::Rows columns) { kernels.rms_norm_sum_partials(pp, count, dwp, columns, hidden); });
  });
  return {dx, dweight};
}

std::tuple<Tensor, Tensor> rms_norm_backward(const Tensor& dy, const Tensor& x, const Tensor& weight,
                                             const Tensor& rstd) {
  check_rms_norm_backward("rms_norm_backward", dy, x, weight, rstd);
  return norm_gradients(dense(dy), dense(x), dense(weight), dense(rstd), nullptr);
}

std::tuple<Tensor, Tensor> add_rms_norm_backward(const Tensor& dy, const Tensor& dtotal_in, const Tensor& total,
                                                 const Tensor& weight, const Tensor& rstd) {
  check_rms_norm_backward("add_rms_norm_backward", dy, total, weight, rstd);
  check_like("add_rms_norm_backward", "dsum", dtotal_in, total);
  const Tensor dtotal = dense(dtotal_in);
  return norm_gradients(dense(dy), dense(total), dense(weight), dense(rstd), &dtotal);
}

Tensor swiglu_forward(const Tensor& x_in) {
  check_swiglu("swiglu_forward", x_in);
  const Tensor x = dense(x_in);
  const int64_t width = x.size(x.dim() - 1) / 2, rows = row_count(x);
  Tensor y = new_with_last(x, width);
  by_type(x, [&](auto type) {
    using T = decltype(type);
    const auto& kernels = cpu::kernels<T>();
    over_rows(rows, 8 * width, [&, xp = read<T>(x), yp = write<T>(y)](cpu::Rows range) {
      kernels.swiglu_forward(xp, yp, range, width);
    });
  });
  return y;
}

Tensor swiglu_backward(const Tensor& dy_in, const Tensor& x_in) {
  check_swiglu_backward("swiglu_backward", dy_in, x_in);
  const Tensor dy = dense(dy_in), x = dense(x_in);
  const int64_t width = x.size(x.dim() - 1) / 2, rows = row_count(x);
  Tensor dx = new_dense_like(x);
  by_type(x, [&](auto type) {
    using T = decltype(type);
    const auto& kernels = cpu::kernels<T>();
    over_rows(rows, 8 * width, [&, dyp = read<T>(dy), xp = read<T>(x), dxp = write<T>(dx)](cpu::Rows range) {
      kernels.swiglu_backward(dyp, xp, dxp, range, width);
    });
  });
  return dx;
}

Tensor rotary(const Tensor& x_in, const Tensor& cos_in, const Tensor& sin_in, bool inverse) {
  check_rotary("rotary", x_in, cos_in, sin_in);
  const Tensor x = dense_last(x_in), cos = dense(cos_in), sin = dense(sin_in);
  const cpu::RotaryShape shape{x.size(1), x.size(2), x.size(3), x.stride(0), x.stride(1), x.stride(2)};
  Tensor y = new_dense_like(x);
  by_type(x, [&](auto type) {
    using T = decltype(type);
    const auto& kernels = cpu::kernels<T>();
    over_rows(x.numel() == 0 ? 0 : x.size(0), shape.batch * shape.heads * shape.head_size,
              [&, xp = read<T>(x), cp = read<float>(cos), sp = read<float>(sin), yp = write<T>(y)](cpu::Rows range) {
                kernels.rotary(xp, cp, sp, yp, range, shape, inverse);
              });
  });
  return y;
}

std::tuple<Tensor, Tensor, Tensor> rotary_qkv(const Tensor& mixed_in, const Tensor& cos_in, const Tensor& sin_in,
                                              const std::optional<Tensor>& positions_in) {
  const char* op = "rotary_qkv";
  const QkvSizes sizes = check_rotary_qkv(op, mixed_in, cos_in, sin_in, positions_in);
  const Tensor mixed = dense(mixed_in), cos = dense(cos_in), sin = dense(sin_in);
  const std::optional<Tensor> positions = dense(positions_in);
  check_positions(op, positions, cos.size(0));
  const int64_t s = mixed.size(0), b = mixed.size(1);
  Tensor q = new_tensor(mixed, {s, b, sizes.groups * sizes.heads, sizes.head_size}, mixed.scalar_type()),
         k = new_tensor(mixed, {s, b, sizes.groups, sizes.head_size}, mixed.scalar_type()), v = new_dense_like(k);
  const cpu::QkvShape shape{b, sizes.groups, sizes.heads, sizes.head_size};
  by_type(mixed, [&](auto type) {
    using T = decltype(type);
    const auto& kernels = cpu::kernels<T>();
    const T* mp = read<T>(mixed);
    const float *cp = read<float>(cos), *sp = read<float>(sin);
    const int64_t* pp = positions ? read<int64_t>(*positions) : nullptr;
    T *qp = write<T>(q), *kp = write<T>(k), *vp = write<T>(v);
    over_rows(mixed.numel() == 0 ? 0 : s * b, mixed.size(2) * mixed.size(3),
              [&](cpu::Rows tokens) { kernels.rotary_qkv(mp, cp, sp, pp, qp, kp, vp, tokens, shape); });
  });
  return {q, k, v};
}

template <class T>
cpu::StridedHeads<T> strided(const Tensor& x) {
  return {read<T>(x), x.stride(0), x.stride(1), x.stride(2)};
}

Tensor rotary_qkv_backward(const Tensor& dq_in, const Tensor& dk_in, const Tensor& dv_in, const Tensor& cos_in,
                           const Tensor& sin_in, const std::optional<Tensor>& positions_in) {
  const char* op = "rotary_qkv_backward";
  const QkvSizes sizes = check_rotary_qkv_backward(op, dq_in, dk_in, dv_in, cos_in, sin_in, positions_in);
  const Tensor dq = dense_last(dq_in), dk = dense_last(dk_in), dv = dense_last(dv_in), cos = dense(cos_in),
               sin = dense(sin_in);
  const std::optional<Tensor> positions = dense(positions_in);
  check_positions(op, positions, cos.size(0));
  const int64_t s = dq.size(0), b = dq.size(1);
  Tensor dmixed = new_tensor(dq, {s, b, sizes.groups, (sizes.heads + 2) * sizes.head_size}, dq.scalar_type());
  const cpu::QkvShape shape{b, sizes.groups, sizes.heads, sizes.head_size};
  by_type(dq, [&](auto type) {
    using T = decltype(type);
    const auto& kernels = cpu::kernels<T>();
    const cpu::QkvGradients<T> gradients{{strided<T>(dq), strided<T>(dk), strided<T>(dv)}};
    const float *cp = read<float>(cos), *sp = read<float>(sin);
    const int64_t* pp = positions ? read<int64_t>(*positions) : nullptr;
    T* out = write<T>(dmixed);
    over_rows(dmixed.numel() == 0 ? 0 : s * b, dmixed.size(2) * dmixed.size(3),
              [&](cpu::Rows tokens) { kernels.rotary_qkv_backward(gradients, cp, sp, pp, out, tokens, shape); });
  });
  return dmixed;
}

std::tuple<Tensor, Tensor, Tensor, Tensor> cross_entropy_statistics(const Tensor& logits_in, const Tensor& target_in,
                                                                    int64_t first, int64_t vocabulary,
                                                                    int64_t ignore_index, bool want_shifted) {
  check_cross_entropy("cross_entropy_statistics", logits_in, target_in);
  const Tensor logits = dense(logits_in), target = dense(target_in);
  const int64_t rows = logits.size(0);
  const cpu::VocabularyShard shard{first, logits.size(1)};
  const int64_t* targets = read<int64_t>(target);
  for (int64_t row = 0; row < rows; ++row)
    STD_TORCH_CHECK((targets[row] >= 0 && targets[row] < vocabulary) || targets[row] == ignore_index,
                    "cross_entropy: target ", targets[row], " at row ", row, " is outside the vocabulary [0, ",
                    vocabulary, ") and is not ignore_index ", ignore_index);
  Tensor maximum = new_tensor(logits, {rows}, ScalarType::Float), total = new_dense_like(maximum),
         picked = new_dense_like(maximum), shifted = new_tensor(logits, {want_shifted ? rows : 0}, ScalarType::Float);
  float *mp = write<float>(maximum), *tp = write<float>(total), *pp = write<float>(picked),
        *sp = want_shifted ? write<float>(shifted) : nullptr;
  by_type(logits, [&](auto type) {
    using T = decltype(type);
    const auto& kernels = cpu::kernels<T>();
    over_rows(rows, 8 * shard.columns, [&, lp = read<T>(logits)](cpu::Rows range) {
      kernels.cross_entropy_statistics(lp, targets, mp, tp, pp, sp, range, shard);
    });
  });
  return {maximum, total, picked, shifted};
}

// `dlogits` is a new tensor, or `logits` itself.
void write_cross_entropy_gradient(const Tensor& logits, Tensor& dlogits, const Tensor& target_in, int64_t first,
                                  const Tensor& maximum_in, const Tensor& log_total_in, const Tensor& grad_in,
                                  const CrossEntropyOptions& options) {
  const Tensor target = dense(target_in), maximum = dense(maximum_in), log_total = dense(log_total_in),
               grad = dense(grad_in);
  const cpu::VocabularyShard shard{first, logits.size(1)};
  by_type(logits, [&](auto type) {
    using T = decltype(type);
    const auto& kernels = cpu::kernels<T>();
    over_rows(logits.size(0), 8 * shard.columns,
              [&, lp = read<T>(logits), tp = read<int64_t>(target), mp = read<float>(maximum),
               sp = read<float>(log_total), gp = read<float>(grad), out = write<T>(dlogits)](cpu::Rows range) {
                kernels.cross_entropy_backward(lp, tp, mp, sp, gp, out, range, shard, options);
              });
  });
}

Tensor cross_entropy_backward(const Tensor& logits_in, const Tensor& target, int64_t first, const Tensor& maximum,
                              const Tensor& log_total, const Tensor& grad, int64_t vocabulary, int64_t ignore_index,
                              double label_smoothing, double z_loss) {
  const char* op = "cross_entropy_backward";
  check_cross_entropy_backward(op, logits_in, target, maximum, log_total, grad);
  const CrossEntropyOptions options = cross_entropy_options(op, vocabulary, ignore_index, label_smoothing, z_loss);
  const Tensor logits = dense(logits_in);
  Tensor dlogits = new_dense_like(logits);
  write_cross_entropy_gradient(logits, dlogits, target, first, maximum, log_total, grad, options);
  return dlogits;
}

void cross_entropy_backward_(Tensor logits, const Tensor& target, int64_t first, const Tensor& maximum,
                             const Tensor& log_total, const Tensor& grad, int64_t vocabulary, int64_t ignore_index,
                             double label_smoothing, double z_loss) {
  const char* op = "cross_entropy_backward_";
  check_cross_entropy_backward(op, logits, target, maximum, log_total, grad);
  STD_TORCH_CHECK(logits.is_contiguous(), op, ": logits that are overwritten must be contiguous");
  const CrossEntropyOptions options = cross_entropy_options(op, vocabulary, ignore_index, label_smoothing, z_loss);
  write_cross_entropy_gradient(logits, logits, target, first, maximum, log_total, grad, options);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(aixmeg, CPU, m) {
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
