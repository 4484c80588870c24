// Memory of devices and of the host, and IPC.
#include <sys/mman.h>

#include <cstring>
#include <map>

#include "api.h"
#include "device_memory.h"
#include "host_memory.h"

namespace simulated {

namespace {

constexpr unsigned kRegisterFlags = 0x1 | 0x2 | 0x4 | 0x8;  // PORTABLE, DEVICEMAP, IOMEMORY, READ_ONLY
constexpr unsigned kLazyEnablePeerAccess = 1;

// CUpointer_attribute.
enum PointerAttribute {
  kContextAttribute = 1,
  kMemoryType = 2,
  kDevicePointerAttribute = 3,
  kDeviceOrdinal = 9,
  kIsLegacyIpcCapable = 10,
  kRangeStart = 11,
  kRangeSize = 12,
};
constexpr unsigned kMemoryTypeHost = 1;
constexpr unsigned kMemoryTypeDevice = 2;

template <typename T>
Result Store(void* into, T value) {
  memcpy(into, &value, sizeof(value));
  return kSuccess;
}

int OrdinalOf(const Allocation& allocation) {
  for (size_t i = 0; i < Contexts().size(); ++i) {
    if (PhysicalDevice(static_cast<int>(i)) == allocation.device) return static_cast<int>(i);
  }
  return -1;
}

Result DeviceAttribute(void* data, int attribute, const Allocation& allocation) {
  const int ordinal = OrdinalOf(allocation);
  switch (attribute) {
    case kContextAttribute:
      return Store(data, &Contexts()[static_cast<size_t>(ordinal)]);
    case kMemoryType:
      return Store(data, kMemoryTypeDevice);
    case kDeviceOrdinal:
      return Store(data, ordinal);
    case kIsLegacyIpcCapable:
      return Store(data, allocation.opened == 0);
    case kRangeStart:
      return Store(data, allocation.address);
    case kRangeSize:
      return Store(data, allocation.bytes);
    default:
      return kInvalidValue;
  }
}

// What cuMemHostAlloc has mapped, and its size.
std::map<void*, size_t>& HostAllocations() {
  static auto* const allocations = new std::map<void*, size_t>;
  return *allocations;
}

}  // namespace

SIMULATED_CUDA_API Result cuMemGetInfo_v2(size_t* free_bytes, size_t* total_bytes) {
  return Call("cuMemGetInfo_v2", Needs::kContext, [&](auto*) -> Result {
    *total_bytes = MemoryBytes();
    *free_bytes = MemoryBytes() - AllocatedBytes(PhysicalDevice(CurrentContext()->ordinal));
    return kSuccess;
  });
}

SIMULATED_CUDA_API Result cuMemAlloc_v2(DevicePointer* address, size_t bytes) {
  return Call("cuMemAlloc_v2", Needs::kContext, [&](auto*) -> Result {
    if (bytes == 0) return kInvalidValue;
    Allocation* allocation = nullptr;
    const Result result = Allocate(PhysicalDevice(CurrentContext()->ordinal), bytes, &allocation);
    if (result == kSuccess) *address = allocation->address;
    return result;
  });
}

SIMULATED_CUDA_API Result cuMemFree_v2(DevicePointer address) {
  return Call("cuMemFree_v2", Needs::kContext, [&](auto* lock) -> Result {
    if (address == 0) return kSuccess;
    Allocation* const allocation = Find(address, 1);
    if (allocation == nullptr || allocation->address != address || allocation->opened > 0) return kInvalidValue;
    WaitForAll(lock, *CurrentContext());
    Free(allocation);
    return kSuccess;
  });
}

SIMULATED_CUDA_API Result cuMemGetAddressRange_v2(DevicePointer* base, size_t* bytes, DevicePointer address) {
  return Call("cuMemGetAddressRange_v2", Needs::kContext, [&](auto*) -> Result {
    const Allocation* const allocation = Find(address, 1);
    if (allocation == nullptr) return kInvalidValue;
    if (base != nullptr) *base = allocation->address;
    if (bytes != nullptr) *bytes = allocation->bytes;
    return kSuccess;
  });
}

SIMULATED_CUDA_API Result cuPointerGetAttribute(void* data, int attribute, DevicePointer address) {
  return Call("cuPointerGetAttribute", Needs::kDriver, [&](auto*) -> Result {
    if (attribute == kDevicePointerAttribute) return Store(data, address);
    if (const Allocation* const allocation = Find(address, 1)) return DeviceAttribute(data, attribute, *allocation);
    const bool registered = IsRegistered(reinterpret_cast<const char*>(address));
    return registered && attribute == kMemoryType ? Store(data, kMemoryTypeHost) : kInvalidValue;
  });
}

SIMULATED_CUDA_API Result cuMemHostRegister_v2(void* begin, size_t bytes, unsigned flags) {
  return Call("cuMemHostRegister_v2", Needs::kContext, [&](auto*) -> Result {
    if ((flags & ~kRegisterFlags) != 0) return kInvalidValue;
    return RegisterHost(static_cast<char*>(begin), bytes);
  });
}

SIMULATED_CUDA_API Result cuMemHostUnregister(void* begin) {
  return Call("cuMemHostUnregister", Needs::kContext, [&](auto*) { return UnregisterHost(static_cast<char*>(begin)); });
}

SIMULATED_CUDA_API Result cuMemHostAlloc(void** begin, size_t bytes, unsigned) {
  return Call("cuMemHostAlloc", Needs::kContext, [&](auto*) -> Result {
    void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return kOutOfMemory;
    HostAllocations()[memory] = bytes;
    *begin = memory;
    return RegisterHost(static_cast<char*>(memory), bytes);
  });
}

SIMULATED_CUDA_API Result cuMemFreeHost(void* begin) {
  return Call("cuMemFreeHost", Needs::kContext, [&](auto* lock) -> Result {
    const auto allocation = HostAllocations().find(begin);
    if (allocation == HostAllocations().end()) return kInvalidValue;
    WaitForAll(lock, *CurrentContext());
    UnregisterHost(static_cast<char*>(begin));
    munmap(begin, allocation->second);
    HostAllocations().erase(allocation);
    return kSuccess;
  });
}

SIMULATED_CUDA_API Result cuIpcGetMemHandle(IpcHandle* handle, DevicePointer address) {
  return Call("cuIpcGetMemHandle", Needs::kContext, [&](auto*) -> Result {
    const Allocation* const allocation = Find(address, 1);
    if (allocation == nullptr || allocation->opened > 0) return kInvalidValue;
    *handle = ToHandle(*allocation);
    return kSuccess;
  });
}

SIMULATED_CUDA_API Result cuIpcOpenMemHandle_v2(DevicePointer* address, IpcHandle handle, unsigned flags) {
  return Call("cuIpcOpenMemHandle_v2", Needs::kContext, [&](auto*) -> Result {
    if (flags != kLazyEnablePeerAccess) return kInvalidValue;
    Allocation* allocation = nullptr;
    const Result result = Open(handle, PhysicalDevice(CurrentContext()->ordinal), &allocation);
    if (result == kSuccess) *address = allocation->address;
    return result;
  });
}

SIMULATED_CUDA_API Result cuIpcCloseMemHandle(DevicePointer address) {
  return Call("cuIpcCloseMemHandle", Needs::kContext, [&](auto* lock) -> Result {
    Allocation* const allocation = Find(address, 1);
    if (allocation == nullptr || allocation->address != address || allocation->opened == 0) return kInvalidValue;
    WaitForAll(lock, *CurrentContext());
    CloseOpened(allocation);
    return kSuccess;
  });
}

}  // namespace simulated
