// A libnvidia-ml.so.1 whose GPUs are what a text file says, read anew for every question: lines of `GPU KEY VALUE`, and
// `gpus N`. A key that is not there is NVML's "not supported". The file is named by FAKE_NVML.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { kSuccess = 0, kNotSupported = 3, kNoPermission = 4, kGpuIsLost = 15, kDriverNotLoaded = 9 };

typedef struct {
  int index;
} Device;
static Device devices[16];

static int look(int gpu, const char* key, unsigned long long* value) {
  FILE* file = fopen(getenv("FAKE_NVML"), "r");
  char line[256], name[64];
  int number, found = kNotSupported;
  while (file && fgets(line, sizeof line, file)) {
    if (gpu < 0 && sscanf(line, "%63s %llu", name, value) == 2 && !strcmp(name, key)) found = kSuccess;
    unsigned long long read;
    if (gpu >= 0 && sscanf(line, "%d %63s %llu", &number, name, &read) == 3 && number == gpu && !strcmp(name, key)) {
      *value = read;
      found = kSuccess;
    }
  }
  if (file) fclose(file);
  return found;
}

#define NUMBER(function, key, type)               \
  int function(Device* device, type* out) {       \
    unsigned long long value = 0;                 \
    int found = look(device->index, key, &value); \
    if (found == kSuccess) *out = (type)value;    \
    return found;                                 \
  }

int nvmlInitWithFlags(unsigned flags) {
  unsigned long long broken;
  (void)flags;
  return look(-1, "broken", &broken) == kSuccess ? kDriverNotLoaded : kSuccess;
}
int nvmlShutdown(void) { return kSuccess; }
const char* nvmlErrorString(int code) { return code == kDriverNotLoaded ? "Driver Not Loaded" : "an error"; }
int nvmlSystemGetDriverVersion(char* out, unsigned length) { return snprintf(out, length, "570.86"), kSuccess; }
int nvmlDeviceGetCount_v2(unsigned* out) {
  unsigned long long value = 0;
  look(-1, "gpus", &value);
  *out = (unsigned)value;
  return kSuccess;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device** out) {
  unsigned long long lost;
  if (look((int)index, "lost", &lost) == kSuccess) return kGpuIsLost;
  devices[index].index = (int)index;
  *out = &devices[index];
  return kSuccess;
}
int nvmlDeviceGetName(Device* device, char* out, unsigned length) {
  (void)device;
  return snprintf(out, length, "NVIDIA H100 80GB HBM3"), kSuccess;
}
int nvmlDeviceGetUUID(Device* device, char* out, unsigned length) {
  return snprintf(out, length, "GPU-0000-%d", device->index), kSuccess;
}
int nvmlDeviceGetUtilizationRates(Device* device, unsigned out[2]) {
  unsigned long long value = 0;
  int found = look(device->index, "utilization", &value);
  out[0] = out[1] = (unsigned)value;
  return found;
}
int nvmlDeviceGetMemoryInfo(Device* device, unsigned long long out[3]) {
  unsigned long long used = 0;
  int found = look(device->index, "memory", &used);
  out[0] = 80ull << 30, out[1] = out[0] - used, out[2] = used;
  return found;
}
NUMBER(nvmlDeviceGetPowerUsage, "milliwatts", unsigned)
NUMBER(nvmlDeviceGetTotalEnergyConsumption, "millijoules", unsigned long long)
NUMBER(nvmlDeviceGetCurrentClocksEventReasons, "reasons", unsigned long long)
NUMBER(nvmlDeviceGetCurrPcieLinkWidth, "width", unsigned)
NUMBER(nvmlDeviceGetMaxPcieLinkWidth, "max_width", unsigned)
int nvmlDeviceGetTemperature(Device* device, int sensor, unsigned* out) {
  unsigned long long value = 0;
  int found = sensor == 0 ? look(device->index, "temperature", &value) : kNotSupported;
  *out = (unsigned)value;
  return found;
}
int nvmlDeviceGetClockInfo(Device* device, int type, unsigned* out) {
  unsigned long long value = 0;
  int found = type == 1 ? look(device->index, "clock", &value) : kNotSupported;
  *out = (unsigned)value;
  return found;
}
int nvmlDeviceGetTotalEccErrors(Device* device, int kind, int counter, unsigned long long* out) {
  return counter == 0 ? look(device->index, kind == 1 ? "uncorrected" : "corrected", out) : kNotSupported;
}
int nvmlDeviceGetRemappedRows(Device* device, unsigned* corrected, unsigned* uncorrected, unsigned* pending,
                              unsigned* failed) {
  unsigned long long p = 0, f = 0;
  int found = look(device->index, "pending", &p);
  look(device->index, "failed", &f);
  *corrected = *uncorrected = 0, *pending = (unsigned)p, *failed = (unsigned)f;
  return found;
}
int nvmlDeviceGetNvLinkState(Device* device, unsigned link, unsigned* out) {
  unsigned long long links = 0;
  int found = look(device->index, "links", &links);
  *out = links >> link & 1;
  return link < 18 ? found : kNotSupported;
}
