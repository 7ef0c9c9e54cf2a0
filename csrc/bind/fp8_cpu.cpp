// The FP8 ops' signatures, and their CPU kernels. `e5m2` picks that format, else e4m3.
#include "../common/fp8.h"
#include "../cpu/kernels.h"
#include "cpu_rows.h"
#include "fp8.h"

namespace {
using namespace aixmeg;
using namespace aixmeg::bind;

// The largest of magnitudes[count] and `start`.
float largest(const float* magnitudes, int64_t count, float start) {
  uint32_t most = magnitude_bits(start);
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t bits = magnitude_bits(magnitudes[i]);
    most = bits > most ? bits : most;
  }
  return float_from_bits(most);
}

Tensor fp8_amax_rows(const Tensor& x_in) {
  check_fp8_input("fp8_amax_rows", x_in);
  const Tensor x = dense(x_in);
  Tensor amax = new_tensor(x, {x.size(0)}, ScalarType::Float);
  by_type(x, [&](auto type) {
    using T = decltype(type);
    over_rows(x.size(0), x.size(1), [&, xp = read<T>(x), out = write<float>(amax)](cpu::Rows range) {
      cpu::kernels<T>().fp8_amax_rows(xp, out, range, x.size(1));
    });
  });
  return amax;
}

Tensor fp8_amax_columns(const Tensor& x_in) {
  check_fp8_input("fp8_amax_columns", x_in);
  const Tensor x = dense(x_in);
  Tensor amax = new_tensor(x, {x.size(1)}, ScalarType::Float);
  by_type(x, [&](auto type) {
    using T = decltype(type);
    over_rows(x.size(1), x.size(0), [&, xp = read<T>(x), out = write<float>(amax)](cpu::Rows columns) {
      cpu::kernels<T>().fp8_amax_columns(xp, out, columns, x.size(0), x.size(1));
    });
  });
  return amax;
}

Tensor fp8_amax(const Tensor& x) {
  check_fp8_input("fp8_amax", x);
  const Tensor rows = fp8_amax_rows(x);
  Tensor amax = new_tensor(rows, IntHeaderOnlyArrayRef(), ScalarType::Float);
  *write<float>(amax) = largest(read<float>(rows), rows.numel(), 0.0f);
  return amax;
}

std::tuple<Tensor, Tensor> fp8_scale(const Tensor& amax_in, bool e5m2, int64_t margin) {
  check_rows("fp8_scale", "amax", amax_in, amax_in, amax_in.numel());
  const Tensor amax = dense(amax_in);
  Tensor scale = new_dense_like(amax), inverse = new_dense_like(amax);
  const Fp8Format format = fp8_format(e5m2);
  const float* in = read<float>(amax);
  float *out = write<float>(scale), *out_inverse = write<float>(inverse);
  for (int64_t i = 0; i < amax.numel(); ++i)
    fp8_scale_from_amax(in[i], format, static_cast<int>(margin), out[i], out_inverse[i]);
  return {scale, inverse};
}

std::tuple<Tensor, Tensor> fp8_quantize(const Tensor& x, std::optional<Tensor> row_scale,
                                        std::optional<Tensor> column_scale, bool e5m2, bool gated,
                                        std::optional<Tensor> amax) {
  Fp8Quantization work = fp8_quantization("fp8_quantize", x, row_scale, column_scale, e5m2, gated, amax);
  Tensor row_amax = new_tensor(work.x, {amax && work.columns > 0 ? work.rows : 0}, ScalarType::Float);
  const cpu::Fp8Job job{work.rows_out(),
                        work.transposed_out(),
                        work.row(),
                        work.column(),
                        work.row_step(),
                        work.column_step(),
                        amax ? write<float>(row_amax) : nullptr,
                        work.rows,
                        work.columns,
                        e5m2,
                        gated};
  by_type(work.x, [&](auto type) {
    using T = decltype(type);
    over_rows(work.columns == 0 ? 0 : work.rows, (gated ? 8 : 2) * work.columns,
              [&, xp = read<T>(work.x)](cpu::Rows range) { cpu::kernels<T>().fp8_quantize(xp, job, range); });
  });
  if (amax) *write<float>(*amax) = largest(read<float>(row_amax), row_amax.numel(), *read<float>(*amax));
  return {work.q, work.transposed};
}

void fp8_update_history(Tensor history, Tensor amax, Tensor scale, Tensor scale_inv, Tensor e5m2, int64_t position,
                        int64_t margin) {
  check_fp8_history("fp8_update_history", history, amax, scale, scale_inv, e5m2, position);
  const int64_t window = history.size(1);
  for (int64_t i = 0; i < history.size(0); ++i) {
    float* past = write<float>(history) + i * window;
    past[position] = write<float>(amax)[i];
    write<float>(amax)[i] = 0.0f;
    fp8_scale_from_amax(largest(past, window, 0.0f), fp8_format(read<bool>(e5m2)[i]), static_cast<int>(margin),
                        write<float>(scale)[i], write<float>(scale_inv)[i]);
  }
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(aixmeg, m) {
  // x[rows, columns] -> largest magnitude [], [rows], [columns] float; NaN where one is among them
  m.def("fp8_amax(Tensor x) -> Tensor");
  m.def("fp8_amax_rows(Tensor x) -> Tensor");
  m.def("fp8_amax_columns(Tensor x) -> Tensor");
  // amax of any shape, float -> scale, 1 / scale of that shape: powers of two
  m.def("fp8_scale(Tensor amax, bool e5m2, int margin) -> (Tensor, Tensor)");
  // x[rows, columns], or gate | up [rows, 2 * columns]; row_scale [1] or [rows], column_scale [1] or [columns], float
  //   -> q[rows, columns] of x * row_scale, its transposed [columns, rows] of x * column_scale; [0] without that scale.
  // amax, one float, is raised to the largest magnitude of what is quantised.
  m.def(
      "fp8_quantize(Tensor x, Tensor? row_scale, Tensor? column_scale, bool e5m2, bool gated, Tensor(a!)? amax)"
      " -> (Tensor, Tensor)");
  // history[n, window], amax, scale, scale_inv[n] float, e5m2[n] bool: history[:, position] = amax, amax = 0, scales
  // from the largest of each history
  m.def(
      "fp8_update_history(Tensor(a!) history, Tensor(b!) amax, Tensor(c!) scale, Tensor(d!) scale_inv, Tensor e5m2,"
      " int position, int margin) -> ()");
}

STABLE_TORCH_LIBRARY_IMPL(aixmeg, CPU, m) {
  m.impl("fp8_amax", TORCH_BOX(&fp8_amax));
  m.impl("fp8_amax_rows", TORCH_BOX(&fp8_amax_rows));
  m.impl("fp8_amax_columns", TORCH_BOX(&fp8_amax_columns));
  m.impl("fp8_scale", TORCH_BOX(&fp8_scale));
  m.impl("fp8_quantize", TORCH_BOX(&fp8_quantize));
  m.impl("fp8_update_history", TORCH_BOX(&fp8_update_history));
}
