// Kernels for any processor: what the compiler's default target allows.
#define AIXMEG_ISA generic
#include "../common/formulas.h"
#include "../common/fp8.h"
#include "kernels.h"
#include "table.inc"
