// Binds the weight gradient's product in bfloat16, which the CPU alone needs: cuBLAS has it.
#include "../cpu/products.h"
#include "checks.h"
#include "cpu_rows.h"

STABLE_TORCH_LIBRARY_FRAGMENT(aixmeg, m) {
  // total[o, h] float += dy[n, o] transposed * x[n, h], both bfloat16
  m.def("wgrad_bf16_accum(Tensor x, Tensor dy, Tensor(a!) total) -> ()");
  // Whether this processor has the instructions for it
  m.def("has_wgrad_bf16() -> bool");
}

namespace {
using namespace aixmeg;
using namespace aixmeg::bind;

void wgrad_bf16_accum(const Tensor& x_in, const Tensor& dy_in, Tensor total) {
  const char* op = "wgrad_bf16_accum";
  STD_TORCH_CHECK(x_in.dim() == 2 && dy_in.dim() == 2 && x_in.size(0) == dy_in.size(0), op,
                  ": x and dy are not [n, h] and [n, o]");
  const int64_t tokens = x_in.size(0), width = x_in.size(1), outputs = dy_in.size(1);
  for (const Tensor* factor : {&x_in, &dy_in})
    STD_TORCH_CHECK(factor->is_cpu() && factor->scalar_type() == ScalarType::BFloat16, op,
                    ": x and dy are not bfloat16 on the CPU");
  check_sizes(op, "total", total, {outputs, width});
  check_rows(op, "total", total, x_in, outputs * width);
  STD_TORCH_CHECK(total.is_contiguous(), op, ": a total that is added to must be contiguous");
  cpu::WeightGradient* run = cpu::weight_gradient();
  STD_TORCH_CHECK(run != nullptr, op, ": this processor multiplies no bfloat16; ask has_wgrad_bf16() before");
  const Tensor x = dense(x_in), dy = dense(dy_in);
  if (total.numel() == 0) return;
  over_rows(outputs, tokens * width / 64 + 1,
            [&, xp = read<bfloat16>(x), dyp = read<bfloat16>(dy), tp = write<float>(total)](cpu::Rows rows) {
              run(xp, dyp, tp, rows, tokens, width, outputs);
            });
}

bool has_wgrad_bf16() { return cpu::weight_gradient() != nullptr; }

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(aixmeg, CPU, m) { m.impl("wgrad_bf16_accum", TORCH_BOX(&wgrad_bf16_accum)); }
STABLE_TORCH_LIBRARY_IMPL(aixmeg, CompositeImplicitAutograd, m) {
  m.impl("has_wgrad_bf16", TORCH_BOX(&has_wgrad_bf16));
}
