// What csrc/bind/cuda.cpp asks of a CUDA torch and of the CUDA runtime, when its tensors are emulated on the CPU.
extern "C" {
int aoti_torch_get_current_cuda_stream(int, void** stream) {
  *stream = nullptr;
  return 0;
}
int aoti_torch_create_device_guard(int, void** guard) {
  static int any;
  *guard = &any;
  return 0;
}
int aoti_torch_delete_device_guard(void*) { return 0; }
const char* cudaGetErrorString(int) { return "as the emulator says"; }
}
