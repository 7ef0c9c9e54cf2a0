// What every file of csrc/data exports: plain C functions, called by ctypes (aixmeg/native), which releases the GIL.
// No torch, no Python. Sizes are bytes, buffers are the caller's, and nothing is kept between calls but what a
// *_new function returned.
#pragma once

#include <cstddef>
#include <cstdint>

#define AIXMEG_API extern "C" __attribute__((visibility("default")))
