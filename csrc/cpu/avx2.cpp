// Kernels for x86-64 with AVX2 and FMA. The pragma stands after every standard header, so that none of their
// functions is compiled for a machine that may lack the instructions.
#if defined(__x86_64__)
#if defined(__clang__)
#error "clang ignores #pragma GCC target; build with g++ (CXX=g++)"
#endif
#define AIXMEG_ISA avx2
#include "kernels.h"
#pragma GCC target("avx2,fma,f16c,bmi2")
#include "../common/formulas.h"
#include "../common/fp8.h"
#include "table.inc"
#endif
