// Initialisation, devices, contexts.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>

#include "api.h"
#include "device_memory.h"

namespace simulated {

namespace {

constexpr int kDriverVersion = 13000;
constexpr int64_t kDevicesDefault = 1;
constexpr int kComputeCapabilityMajor = 75;  // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
constexpr int kComputeCapabilityMinor = 76;

struct Driver {
  pid_t process = 0;  // 0: not initialised; another than this: forked since
  std::vector<int> physical;
  std::vector<Context> contexts;
};

Driver& TheDriver() {
  static auto* const driver = new Driver;
  return *driver;
}

// In the order of CUDA_VISIBLE_DEVICES, up to the first that is not there; as the driver does.
std::vector<int> VisibleDevices() {
  const int count = static_cast<int>(Setting("SIMULATED_CUDA_DEVICES", kDevicesDefault));
  std::vector<int> visible;
  if (const char* const text = getenv("CUDA_VISIBLE_DEVICES"); text != nullptr) {
    std::istringstream list(text);
    for (std::string item; std::getline(list, item, ',');) {
      const int device = item.empty() ? -1 : atoi(item.c_str());
      if (device < 0 || device >= count) break;
      visible.push_back(device);
    }
    return visible;
  }
  for (int device = 0; device < count; ++device) visible.push_back(device);
  return visible;
}

bool IsOrdinal(int device) { return device >= 0 && device < static_cast<int>(Contexts().size()); }

Result FillUuid(Uuid* uuid, int device) {
  if (!IsOrdinal(device) || uuid == nullptr) return kInvalidDevice;
  memcpy(uuid->bytes, "simulated GPU \0", sizeof(uuid->bytes));
  uuid->bytes[15] = static_cast<unsigned char>(PhysicalDevice(device));
  return kSuccess;
}

Result FillText(const std::string& text, char* into, int length) {
  if (into == nullptr || length <= 0) return kInvalidValue;
  snprintf(into, static_cast<size_t>(length), "%s", text.c_str());
  return kSuccess;
}

}  // namespace

std::vector<Context>& Contexts() { return TheDriver().contexts; }
int PhysicalDevice(int ordinal) { return TheDriver().physical[static_cast<size_t>(ordinal)]; }

Context*& CurrentContext() {
  thread_local Context* current = nullptr;
  return current;
}

Result Initialize() {
  Driver& driver = TheDriver();
  if (driver.process != 0) return driver.process == getpid() ? kSuccess : kNotInitialized;
  driver.physical = VisibleDevices();
  if (driver.physical.empty()) return kNoDevice;
  driver.contexts = std::vector<Context>(driver.physical.size());
  for (size_t i = 0; i < driver.contexts.size(); ++i) driver.contexts[i].ordinal = static_cast<int>(i);
  driver.process = getpid();
  return kSuccess;
}

Result Admit(const char* symbol, Needs needs) {
  if (const Result injected = InjectedFailure(symbol); injected != kSuccess) return injected;
  if (needs == Needs::kNothing) return kSuccess;
  // Before the lock is touched: after fork() it may be a lost thread's.
  if (TheDriver().process != getpid()) return kNotInitialized;
  if (needs == Needs::kDriver) return kSuccess;
  const Context* const current = CurrentContext();
  if (current == nullptr) return kInvalidContext;
  const std::lock_guard lock(Lock());
  return current->retained > 0 ? current->broken : kInvalidContext;
}

SIMULATED_CUDA_API Result cuInit(unsigned flags) {
  return Call("cuInit", Needs::kNothing, [&](auto*) { return flags == 0 ? Initialize() : kInvalidValue; });
}

SIMULATED_CUDA_API Result cuDriverGetVersion(int* version) {
  return Call("cuDriverGetVersion", Needs::kNothing, [&](auto*) {
    *version = kDriverVersion;
    return kSuccess;
  });
}

SIMULATED_CUDA_API Result cuDeviceGetCount(int* count) {
  return Call("cuDeviceGetCount", Needs::kDriver, [&](auto*) {
    *count = static_cast<int>(Contexts().size());
    return kSuccess;
  });
}

SIMULATED_CUDA_API Result cuDeviceGet(int* device, int ordinal) {
  return Call("cuDeviceGet", Needs::kDriver, [&](auto*) -> Result {
    if (!IsOrdinal(ordinal)) return kInvalidDevice;
    *device = ordinal;
    return kSuccess;
  });
}

SIMULATED_CUDA_API Result cuDeviceGetName(char* name, int length, int device) {
  return Call("cuDeviceGetName", Needs::kDriver, [&](auto*) -> Result {
    if (!IsOrdinal(device)) return kInvalidDevice;
    return FillText("Simulated GPU " + std::to_string(PhysicalDevice(device)) + " (no hardware)", name, length);
  });
}

SIMULATED_CUDA_API Result cuDeviceGetPCIBusId(char* id, int length, int device) {
  return Call("cuDeviceGetPCIBusId", Needs::kDriver, [&](auto*) -> Result {
    if (!IsOrdinal(device)) return kInvalidDevice;
    // A domain that no machine has.
    return FillText("ffff:00:0" + std::to_string(PhysicalDevice(device)) + ".0", id, length);
  });
}

SIMULATED_CUDA_API Result cuDeviceGetUuid(Uuid* uuid, int device) {
  return Call("cuDeviceGetUuid", Needs::kDriver, [&](auto*) { return FillUuid(uuid, device); });
}

SIMULATED_CUDA_API Result cuDeviceGetUuid_v2(Uuid* uuid, int device) {
  return Call("cuDeviceGetUuid_v2", Needs::kDriver, [&](auto*) { return FillUuid(uuid, device); });
}

SIMULATED_CUDA_API Result cuDeviceTotalMem_v2(size_t* bytes, int device) {
  return Call("cuDeviceTotalMem_v2", Needs::kDriver, [&](auto*) -> Result {
    if (!IsOrdinal(device)) return kInvalidDevice;
    *bytes = MemoryBytes();
    return kSuccess;
  });
}

SIMULATED_CUDA_API Result cuDeviceGetAttribute(int* value, int attribute, int device) {
  return Call("cuDeviceGetAttribute", Needs::kDriver, [&](auto*) -> Result {
    if (!IsOrdinal(device)) return kInvalidDevice;
    *value = attribute == kComputeCapabilityMajor ? 9 : attribute == kComputeCapabilityMinor ? 0 : 1;
    return kSuccess;
  });
}

SIMULATED_CUDA_API Result cuDevicePrimaryCtxRetain(Context** context, int device) {
  return Call("cuDevicePrimaryCtxRetain", Needs::kDriver, [&](auto*) -> Result {
    if (!IsOrdinal(device)) return kInvalidDevice;
    Context* const primary = &Contexts()[static_cast<size_t>(device)];
    if (primary->broken != kSuccess) return primary->broken;
    ++primary->retained;
    if (primary->null_stream == nullptr) primary->null_stream = new Stream(primary, true);
    *context = primary;
    return kSuccess;
  });
}

SIMULATED_CUDA_API Result cuDevicePrimaryCtxRelease_v2(int device) {
  return Call("cuDevicePrimaryCtxRelease_v2", Needs::kDriver, [&](auto*) -> Result {
    if (!IsOrdinal(device)) return kInvalidDevice;
    Context* const primary = &Contexts()[static_cast<size_t>(device)];
    if (primary->retained == 0) return kInvalidContext;
    --primary->retained;
    return kSuccess;
  });
}

SIMULATED_CUDA_API Result cuCtxSetCurrent(Context* context) {
  return Call("cuCtxSetCurrent", Needs::kDriver, [&](auto*) -> Result {
    CurrentContext() = context;
    return kSuccess;
  });
}

SIMULATED_CUDA_API Result cuCtxGetCurrent(Context** context) {
  return Call("cuCtxGetCurrent", Needs::kDriver, [&](auto*) -> Result {
    *context = CurrentContext();
    return kSuccess;
  });
}

SIMULATED_CUDA_API Result cuCtxGetDevice(int* device) {
  return Call("cuCtxGetDevice", Needs::kContext, [&](auto*) -> Result {
    *device = CurrentContext()->ordinal;
    return kSuccess;
  });
}

SIMULATED_CUDA_API Result cuCtxSynchronize() {
  return Call("cuCtxSynchronize", Needs::kContext, [&](auto* lock) {
    Context* const context = CurrentContext();
    WaitForAll(lock, *context);
    return context->broken;
  });
}

}  // namespace simulated
