// Checks of shapes, dtypes and devices, the same for every device. aixmeg/ops checks first, with friendlier words; a
// wrong call straight through torch.ops must still end in an exception, never in a stray memory access.
#pragma once
#include "../common/options.h"
#include "tensor.h"

namespace aixmeg::bind {

inline void check_float(const char* op, const Tensor& tensor) {
  const ScalarType type = tensor.scalar_type();
  STD_TORCH_CHECK(type == ScalarType::Float || type == ScalarType::BFloat16, op, ": only float32 and bfloat16");
}

inline void check_device(const char* op, const Tensor& a, const Tensor& b) {
  STD_TORCH_CHECK(a.is_cpu() == b.is_cpu() && a.get_device_index() == b.get_device_index(), op,
                  ": the tensors are on different devices");
}

inline void check_same(const char* op, const Tensor& a, const Tensor& b) {
  check_device(op, a, b);
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

// One number per row, of the dtype that the kernels read, where `like` is.
inline void check_rows(const char* op, const char* name, const Tensor& tensor, const Tensor& like, int64_t rows,
                       ScalarType type = ScalarType::Float) {
  check_device(op, tensor, like);
  STD_TORCH_CHECK(tensor.scalar_type() == type, op, ": ", name, " has the wrong dtype");
  STD_TORCH_CHECK(tensor.numel() == rows, op, ": ", name, " has ", tensor.numel(), " elements for ", rows, " rows");
}

// The device, the dtype and the shape of another tensor.
inline void check_like(const char* op, const char* name, const Tensor& tensor, const Tensor& other) {
  check_same(op, tensor, other);
  check_sizes(op, name, tensor, other.sizes());
}

// x[..., h], weight[h]
inline void check_rms_norm(const char* op, const Tensor& x, const Tensor& weight) {
  check_float(op, x);
  check_same(op, x, weight);
  STD_TORCH_CHECK(x.dim() > 0, op, ": x has no dimension");
  check_sizes(op, "weight", weight, {x.size(x.dim() - 1)});
}

inline void check_rms_norm_backward(const char* op, const Tensor& dy, const Tensor& x, const Tensor& weight,
                                    const Tensor& rstd) {
  check_rms_norm(op, x, weight);
  check_same(op, dy, x);
  check_sizes(op, "dy", dy, x.sizes());
  check_rows(op, "rstd", rstd, x, row_count(x));
}

// x[..., 2f]
inline void check_swiglu(const char* op, const Tensor& x) {
  check_float(op, x);
  STD_TORCH_CHECK(x.dim() > 0 && x.size(x.dim() - 1) % 2 == 0, op, ": the last size of x is not even");
}

// dy[..., f], x[..., 2f]
inline void check_swiglu_backward(const char* op, const Tensor& dy, const Tensor& x) {
  check_swiglu(op, x);
  check_same(op, dy, x);
  std::vector<int64_t> sizes(x.sizes().begin(), x.sizes().end());
  sizes.back() /= 2;
  check_sizes(op, "dy", dy, IntHeaderOnlyArrayRef(sizes.data(), sizes.size()));
}

// x[s, b, np, hn], cos, sin[s, hn / 2] float
inline void check_rotary(const char* op, const Tensor& x, const Tensor& cos, const Tensor& sin) {
  check_float(op, x);
  STD_TORCH_CHECK(x.dim() == 4 && x.size(3) % 2 == 0, op, ": x is not [s, b, np, hn] with an even hn");
  for (const Tensor* table : {&cos, &sin}) {
    check_sizes(op, "cos or sin", *table, {x.size(0), x.size(3) / 2});
    check_rows(op, "cos or sin", *table, x, table->numel());
  }
}

struct QkvSizes {
  int64_t groups, heads, head_size;  // heads: queries per group
};

// cos, sin[rows, hn / 2] float on the device of x[s, b, ...]; positions[s, b] int64, or at least s rows
inline void check_rotary_tables(const char* op, const Tensor& x, const Tensor& cos, const Tensor& sin,
                                const std::optional<Tensor>& positions) {
  STD_TORCH_CHECK(cos.dim() == 2 && cos.size(1) > 0, op, ": cos is not [rows, hn / 2] with hn > 0");
  check_sizes(op, "sin", sin, cos.sizes());
  for (const Tensor* table : {&cos, &sin}) check_rows(op, "cos or sin", *table, x, table->numel());
  if (positions) {
    check_rows(op, "positions", *positions, x, x.size(0) * x.size(1), ScalarType::Long);
    check_sizes(op, "positions", *positions, {x.size(0), x.size(1)});
  } else {
    STD_TORCH_CHECK(cos.size(0) >= x.size(0), op, ": cos has ", cos.size(0), " rows for ", x.size(0), " positions");
  }
}

// mixed[s, b, ng, (np / ng + 2) * hn]
inline QkvSizes check_rotary_qkv(const char* op, const Tensor& mixed, const Tensor& cos, const Tensor& sin,
                                 const std::optional<Tensor>& positions) {
  check_float(op, mixed);
  STD_TORCH_CHECK(mixed.dim() == 4 && mixed.size(2) > 0, op, ": mixed_qkv is not [s, b, groups, width]");
  check_rotary_tables(op, mixed, cos, sin, positions);
  const int64_t size = 2 * cos.size(1), blocks = mixed.size(3) / size;
  STD_TORCH_CHECK(mixed.size(3) % size == 0 && blocks >= 3, op, ": a width of ", mixed.size(3),
                  " does not hold queries, a key and a value of head size ", size);
  return {mixed.size(2), blocks - 2, size};
}

// dq[s, b, np, hn], dk, dv[s, b, ng, hn]
inline QkvSizes check_rotary_qkv_backward(const char* op, const Tensor& dq, const Tensor& dk, const Tensor& dv,
                                          const Tensor& cos, const Tensor& sin,
                                          const std::optional<Tensor>& positions) {
  check_float(op, dq);
  STD_TORCH_CHECK(dq.dim() == 4 && dk.dim() == 4 && dk.size(2) > 0, op, ": dq or dk is not [s, b, heads, hn]");
  check_rotary_tables(op, dq, cos, sin, positions);
  const int64_t groups = dk.size(2), heads = dq.size(2) / groups;
  check_same(op, dk, dq);
  check_like(op, "dv", dv, dk);
  check_sizes(op, "dq", dq, {dk.size(0), dk.size(1), heads * groups, 2 * cos.size(1)});
  check_sizes(op, "dk", dk, {dq.size(0), dq.size(1), groups, 2 * cos.size(1)});
  STD_TORCH_CHECK(heads > 0, op, ": dq has fewer heads than dk");
  return {groups, heads, 2 * cos.size(1)};
}

// logits[n, v], target[n] int64
inline void check_cross_entropy(const char* op, const Tensor& logits, const Tensor& target) {
  check_float(op, logits);
  STD_TORCH_CHECK(logits.dim() == 2 && logits.size(1) > 0, op, ": logits are not [n, v] with v > 0");
  check_rows(op, "target", target, logits, logits.size(0), ScalarType::Long);
}

inline CrossEntropyOptions cross_entropy_options(const char* op, int64_t vocabulary, int64_t ignore_index,
                                                 double smoothing, double z_loss) {
  STD_TORCH_CHECK(vocabulary > 0, op, ": vocabulary ", vocabulary, " is not positive");
  STD_TORCH_CHECK(smoothing >= 0 && smoothing <= 1, op, ": label smoothing ", smoothing, " is outside [0, 1]");
  STD_TORCH_CHECK(z_loss >= 0, op, ": z-loss ", z_loss, " is negative");
  return {ignore_index, vocabulary, static_cast<float>(smoothing), static_cast<float>(z_loss)};
}

inline void check_cross_entropy_backward(const char* op, const Tensor& logits, const Tensor& target,
                                         const Tensor& maximum, const Tensor& log_total, const Tensor& grad) {
  check_cross_entropy(op, logits, target);
  check_rows(op, "maximum", maximum, logits, logits.size(0));
  check_rows(op, "log_total", log_total, logits, logits.size(0));
  check_rows(op, "grad", grad, logits, logits.size(0));
}

}  // namespace aixmeg::bind
