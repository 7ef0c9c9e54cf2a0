// Picks the instruction set once per process.
#include <cstdlib>
#include <stdexcept>

#include "kernels.h"

namespace aixmeg::cpu {

#define AIXMEG_DECLARE(isa)                        \
  namespace isa {                                  \
  extern const Kernels<float> float_kernels;       \
  extern const Kernels<bfloat16> bfloat16_kernels; \
  }
AIXMEG_DECLARE(generic)
#if defined(__x86_64__)
AIXMEG_DECLARE(avx2)
AIXMEG_DECLARE(avx512)
#endif

namespace {

struct Choice {
  const char* name;
  bool supported;
  const Kernels<float>* float_kernels;
  const Kernels<bfloat16>* bfloat16_kernels;
};

const Choice& choice() {
  // Fastest first.
  static const Choice choices[] = {
#if defined(__x86_64__)
      {"avx512",
       __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma"),
       &avx512::float_kernels, &avx512::bfloat16_kernels},
      {"avx2", __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"),
       &avx2::float_kernels, &avx2::bfloat16_kernels},
#endif
      {"generic", true, &generic::float_kernels, &generic::bfloat16_kernels},
  };
  const char* asked = std::getenv("AIXMEG_CPU_ISA");
  std::string supported;
  for (const Choice& candidate : choices) {
    if (!candidate.supported) continue;
    if (asked == nullptr || asked == std::string(candidate.name)) return candidate;
    supported += std::string(supported.empty() ? "" : ", ") + candidate.name;
  }
  throw std::runtime_error("AIXMEG_CPU_ISA=" + std::string(asked) +
                           " names no instruction set that this machine runs; choose one of: " + supported +
                           ", or unset it to take the first");
}

const Choice& chosen() {
  static const Choice& once = choice();
  return once;
}

}  // namespace

template <>
const Kernels<float>& kernels<float>() {
  return *chosen().float_kernels;
}

template <>
const Kernels<bfloat16>& kernels<bfloat16>() {
  return *chosen().bfloat16_kernels;
}

}  // namespace aixmeg::cpu
