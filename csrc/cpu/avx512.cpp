// Kernels for x86-64 with AVX-512 (F, BW, DQ, VL). See avx2.cpp for the order of the includes.
#if defined(__x86_64__)
#if defined(__clang__)
#error "clang ignores #pragma GCC target; build with g++ (CXX=g++)"
#endif
#define AIXMEG_ISA avx512
#include "kernels.h"
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,bmi2,prefer-vector-width=512")
#include "../common/formulas.h"
#include "../common/fp8.h"
#include "table.inc"
#endif
