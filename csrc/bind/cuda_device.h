// What every CUDA binding does around a launch. Host C++ only, compiled by the host compiler: no CUDA header, so that a
// binding builds beside a CPU torch too.
#pragma once
#if !defined(USE_CUDA)
#define USE_CUDA  // makes the stable headers declare what asks for the current CUDA stream
#endif
#include <torch/csrc/stable/accelerator.h>

#include "../cuda/kernels.h"
#include "tensor.h"

extern "C" const char* cudaGetErrorString(int error);  // from the CUDA runtime, linked statically

namespace aixmeg::bind {

// Makes a tensor's device current while kernels are launched on it.
class OnDevice {
 public:
  explicit OnDevice(const Tensor& tensor) : guard_(tensor.get_device_index()) {
    TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(tensor.get_device_index(), &stream_));
  }
  void* stream() const { return stream_; }

 private:
  torch::stable::accelerator::DeviceGuard guard_;
  void* stream_ = nullptr;
};

inline void check_launch(const char* op, int error) {
  STD_TORCH_CHECK(error == 0, op, ": CUDA error ", error, " (", cudaGetErrorString(error), ")");
}

inline int type_of(const Tensor& tensor) {
  return tensor.scalar_type() == ScalarType::BFloat16 ? kAixmegBfloat16 : kAixmegFloat;
}

}  // namespace aixmeg::bind
