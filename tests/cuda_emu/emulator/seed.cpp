// Chooses the schedule of the emulated threads.
#include "cuda_runtime.h"

extern "C" void emulator_seed(unsigned seed) { emulator::random.seed(seed); }
