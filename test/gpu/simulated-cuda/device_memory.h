// Device memory: a memfd that the streams reach through a hidden mapping, and programs know by an address at which
// there is nothing to read or write (PROT_NONE), so that a processor that dereferences it faults, as it would with a
// GPU. Lock() is held by the callers of all of this.
#pragma once

#include <cstddef>
#include <string>

#include "cuda_types.h"

namespace simulated {

struct Allocation {
  DevicePointer address = 0;
  size_t bytes = 0;
  // The physical device, whatever its ordinal is in this process.
  int device = 0;
  int fd = -1;
  char* hidden = nullptr;
  // Of memory of another process: its handle, and how often it is open here.
  std::string opened_with;
  int opened = 0;
};

// kOutOfMemory beyond SIMULATED_CUDA_MEMORY_MIB, which is per process and device.
Result Allocate(int device, size_t bytes, Allocation** allocation);
// Leaves poison to those who still have the memory open (which they must not, says NVIDIA).
void Free(Allocation* allocation);
size_t AllocatedBytes(int device);
size_t MemoryBytes();

// The allocation that has all of the range; null: none does.
Allocation* Find(DevicePointer address, size_t bytes);
char* HiddenAddress(const Allocation& allocation, DevicePointer address);

IpcHandle ToHandle(const Allocation& allocation);
// kInvalidContext for memory of this process, and of another PID namespace; as the driver does.
Result Open(const IpcHandle& handle, int device, Allocation** allocation);
// Unmaps when it is the last close.
void CloseOpened(Allocation* allocation);

}  // namespace simulated
