// The CUDA driver, loaded at run time: the addon builds without NVIDIA's headers, and loads where there is no driver.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace podfs::staging {

// Types of the driver's API (https://docs.nvidia.com/cuda/cuda-driver-api/), which its ABI has fixed.
using CudaResult = int;              // CUresult; 0: success
using CudaDeviceHandle = int;        // CUdevice
using CudaDevicePointer = uint64_t;  // CUdeviceptr
using CudaContext = struct CudaContextTag*;
using CudaStream = struct CudaStreamTag*;
using CudaEvent = struct CudaEventTag*;

struct CudaUuid {
  unsigned char bytes[16];
};
// CUipcMemHandle: passed by value.
struct CudaIpcHandle {
  unsigned char bytes[64];
};

// What is used of the driver. The second name is the exported symbol: headers of NVIDIA map the plain name to the
// version that is meant.
#define PODFS_CUDA_FUNCTIONS(FUNCTION)                                                                              \
  FUNCTION(init, "cuInit", CudaResult(unsigned flags))                                                              \
  FUNCTION(driver_get_version, "cuDriverGetVersion", CudaResult(int* version))                                      \
  FUNCTION(get_error_name, "cuGetErrorName", CudaResult(CudaResult result, const char** name))                      \
  FUNCTION(get_error_string, "cuGetErrorString", CudaResult(CudaResult result, const char** text))                  \
  FUNCTION(device_get_count, "cuDeviceGetCount", CudaResult(int* count))                                            \
  FUNCTION(device_get, "cuDeviceGet", CudaResult(CudaDeviceHandle* device, int ordinal))                            \
  FUNCTION(device_get_name, "cuDeviceGetName", CudaResult(char* name, int length, CudaDeviceHandle device))         \
  FUNCTION(device_get_uuid, "cuDeviceGetUuid_v2", CudaResult(CudaUuid* uuid, CudaDeviceHandle device))              \
  FUNCTION(device_total_mem, "cuDeviceTotalMem_v2", CudaResult(size_t* bytes, CudaDeviceHandle device))             \
  FUNCTION(device_get_pci_bus_id, "cuDeviceGetPCIBusId", CudaResult(char* id, int length, CudaDeviceHandle device)) \
  FUNCTION(primary_context_retain, "cuDevicePrimaryCtxRetain",                                                      \
           CudaResult(CudaContext* context, CudaDeviceHandle device))                                               \
  FUNCTION(primary_context_release, "cuDevicePrimaryCtxRelease_v2", CudaResult(CudaDeviceHandle device))            \
  FUNCTION(context_set_current, "cuCtxSetCurrent", CudaResult(CudaContext context))                                 \
  FUNCTION(mem_alloc, "cuMemAlloc_v2", CudaResult(CudaDevicePointer* address, size_t bytes))                        \
  FUNCTION(mem_free, "cuMemFree_v2", CudaResult(CudaDevicePointer address))                                         \
  FUNCTION(mem_get_address_range, "cuMemGetAddressRange_v2",                                                        \
           CudaResult(CudaDevicePointer* base, size_t* bytes, CudaDevicePointer address))                           \
  FUNCTION(mem_host_register, "cuMemHostRegister_v2", CudaResult(void* begin, size_t bytes, unsigned flags))        \
  FUNCTION(mem_host_unregister, "cuMemHostUnregister", CudaResult(void* begin))                                     \
  FUNCTION(ipc_get_mem_handle, "cuIpcGetMemHandle", CudaResult(CudaIpcHandle* handle, CudaDevicePointer address))   \
  FUNCTION(ipc_open_mem_handle, "cuIpcOpenMemHandle_v2",                                                            \
           CudaResult(CudaDevicePointer* address, CudaIpcHandle handle, unsigned flags))                            \
  FUNCTION(ipc_close_mem_handle, "cuIpcCloseMemHandle", CudaResult(CudaDevicePointer address))                      \
  FUNCTION(memcpy_to_host, "cuMemcpyDtoHAsync_v2",                                                                  \
           CudaResult(void* to, CudaDevicePointer from, size_t bytes, CudaStream stream))                           \
  FUNCTION(memcpy_to_device, "cuMemcpyHtoDAsync_v2",                                                                \
           CudaResult(CudaDevicePointer to, const void* from, size_t bytes, CudaStream stream))                     \
  FUNCTION(stream_create, "cuStreamCreate", CudaResult(CudaStream* stream, unsigned flags))                         \
  FUNCTION(stream_destroy, "cuStreamDestroy_v2", CudaResult(CudaStream stream))                                     \
  FUNCTION(stream_synchronize, "cuStreamSynchronize", CudaResult(CudaStream stream))                                \
  FUNCTION(event_create, "cuEventCreate", CudaResult(CudaEvent* event, unsigned flags))                             \
  FUNCTION(event_destroy, "cuEventDestroy_v2", CudaResult(CudaEvent event))                                         \
  FUNCTION(event_record, "cuEventRecord", CudaResult(CudaEvent event, CudaStream stream))                           \
  FUNCTION(event_synchronize, "cuEventSynchronize", CudaResult(CudaEvent event))

template <typename Signature>
using CudaFunction = Signature*;

// The driver's functions; a test puts its own in their place.
struct CudaFunctions {
#define PODFS_CUDA_MEMBER(name, symbol, ...) CudaFunction<__VA_ARGS__> name = nullptr;
  PODFS_CUDA_FUNCTIONS(PODFS_CUDA_MEMBER)
#undef PODFS_CUDA_MEMBER
};

// How a call ended: by an error of the system, or of the driver.
struct CudaOutcome {
  int error = 0;  // 0 or a negative errno
  CudaResult result = 0;
  // What was tried; a literal.
  const char* what = "";

  bool ok() const { return error == 0 && result == 0; }
};

struct CudaDeviceInfo {
  int ordinal = 0;
  // "GPU-…", as nvidia-smi has it.
  std::string uuid;
  std::string name;
  uint64_t total_bytes = 0;
  // -1: the machine has one node, or does not say.
  int numa_node = -1;
};

// Immutable once it is made. Any thread.
class CudaDriver {
 public:
  // Loads and initialises the library, which takes seconds on a machine with many GPUs. Null where that fails: `reason`
  // then says why in one line. No driver is a normal state.
  static std::shared_ptr<const CudaDriver> Load(const char* library, std::string* reason);

  explicit CudaDriver(const CudaFunctions& functions) : functions_(functions) {}

  const CudaFunctions& functions() const { return functions_; }
  const CudaFunctions* operator->() const { return &functions_; }

  // 13000: CUDA 13.0.
  int Version() const;
  // A device that does not say what it is called, or how large it is, is left out.
  std::vector<CudaDeviceInfo> Devices() const;
  // "CUDA_ERROR_OUT_OF_MEMORY (2): out of memory".
  std::string Describe(CudaResult result) const;

 private:
  bool Examine(int ordinal, CudaDeviceInfo* info) const;

  const CudaFunctions functions_;
};

}  // namespace podfs::staging
