#include "staging/cuda_driver.h"

#include <dlfcn.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <fstream>

namespace podfs::staging {

namespace {

constexpr int kTextBytesMax = 256;

// Of the loader's complaint, what it is about is known: the rest is the reason.
std::string LoaderReason(const char* library) {
  const char* const complaint = dlerror();
  std::string reason = complaint != nullptr ? complaint : "it cannot be loaded";
  const std::string prefix = std::string(library) + ": ";
  if (reason.starts_with(prefix)) reason.erase(0, prefix.size());
  return reason;
}

// The name of the first symbol that the library lacks; empty: it has them all.
std::string Resolve(void* handle, CudaFunctions* functions) {
#define PODFS_CUDA_RESOLVE(name, symbol, ...)                                           \
  functions->name = reinterpret_cast<CudaFunction<__VA_ARGS__>>(dlsym(handle, symbol)); \
  if (functions->name == nullptr) return symbol;
  PODFS_CUDA_FUNCTIONS(PODFS_CUDA_RESOLVE)
#undef PODFS_CUDA_RESOLVE
  return "";
}

// "GPU-" and the 16 bytes as RFC 4122 writes them.
std::string FormatUuid(const CudaUuid& uuid) {
  std::string text = "GPU";
  for (size_t i = 0; i < sizeof(uuid.bytes); ++i) {
    if (i == 0 || i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    char digits[3];
    snprintf(digits, sizeof(digits), "%02x", uuid.bytes[i]);
    text += digits;
  }
  return text;
}

// What the kernel says of the device at "0000:5F:00.0"; not of the driver, whose attribute for it is as young as
// CUDA 12.
int NumaNodeOf(std::string bus_id) {
  std::transform(bus_id.begin(), bus_id.end(), bus_id.begin(), [](unsigned char c) { return std::tolower(c); });
  std::ifstream file("/sys/bus/pci/devices/" + bus_id + "/numa_node");
  int node = -1;
  return file >> node ? node : -1;
}

}  // namespace

std::shared_ptr<const CudaDriver> CudaDriver::Load(const char* library, std::string* reason) {
  void* const handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    *reason = std::string("no CUDA driver: ") + library + ": " + LoaderReason(library);
    return nullptr;
  }
  CudaFunctions functions;
  const std::string lacking = Resolve(handle, &functions);
  if (!lacking.empty()) {
    *reason = std::string("the CUDA driver is too old: ") + library + " has no " + lacking;
    dlclose(handle);
    return nullptr;
  }
  // From here on the library stays: a driver that has been initialised has threads of its own.
  auto driver = std::make_shared<const CudaDriver>(functions);
  const CudaResult result = functions.init(0);
  if (result != 0) {
    *reason = "the CUDA driver does not start: " + driver->Describe(result) + ", cuInit";
    return nullptr;
  }
  return driver;
}

int CudaDriver::Version() const {
  int version = 0;
  return functions_.driver_get_version(&version) == 0 ? version : 0;
}

std::vector<CudaDeviceInfo> CudaDriver::Devices() const {
  int count = 0;
  if (functions_.device_get_count(&count) != 0) return {};
  std::vector<CudaDeviceInfo> devices;
  for (int ordinal = 0; ordinal < count; ++ordinal) {
    CudaDeviceInfo info;
    if (Examine(ordinal, &info)) devices.push_back(std::move(info));
  }
  return devices;
}

bool CudaDriver::Examine(int ordinal, CudaDeviceInfo* info) const {
  CudaDeviceHandle device = 0;
  CudaUuid uuid = {};
  char name[kTextBytesMax] = {};
  size_t bytes = 0;
  if (functions_.device_get(&device, ordinal) != 0) return false;
  if (functions_.device_get_uuid(&uuid, device) != 0) return false;
  if (functions_.device_get_name(name, sizeof(name), device) != 0) return false;
  if (functions_.device_total_mem(&bytes, device) != 0) return false;
  char bus_id[kTextBytesMax] = {};
  const bool has_bus_id = functions_.device_get_pci_bus_id(bus_id, sizeof(bus_id), device) == 0;
  *info = {ordinal, FormatUuid(uuid), name, bytes, has_bus_id ? NumaNodeOf(bus_id) : -1};
  return true;
}

std::string CudaDriver::Describe(CudaResult result) const {
  const char* name = nullptr;
  const char* text = nullptr;
  if (functions_.get_error_name(result, &name) != 0 || name == nullptr) name = "CUDA error";
  if (functions_.get_error_string(result, &text) != 0 || text == nullptr) text = "unknown to this driver";
  return std::string(name) + " (" + std::to_string(result) + "): " + text;
}

}  // namespace podfs::staging
