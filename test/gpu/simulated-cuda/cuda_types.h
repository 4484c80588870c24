// The types and numbers of the CUDA driver API that the simulated driver has, as NVIDIA documents them
// (https://docs.nvidia.com/cuda/cuda-driver-api/).
#pragma once

#include <cstddef>
#include <cstdint>

namespace simulated {

using Result = int;              // CUresult
using DevicePointer = uint64_t;  // CUdeviceptr

enum : Result {
  kSuccess = 0,
  kInvalidValue = 1,
  kOutOfMemory = 2,
  kNotInitialized = 3,
  kNoDevice = 100,
  kInvalidDevice = 101,
  kInvalidContext = 201,
  kPeerAccessUnsupported = 217,
  kInvalidHandle = 400,
  kNotReady = 600,
  kIllegalAddress = 700,
  kHostMemoryAlreadyRegistered = 712,
  kHostMemoryNotRegistered = 713,
  kNotSupported = 801,
};

struct Uuid {
  unsigned char bytes[16];
};

// CUipcMemHandle.
struct IpcHandle {
  unsigned char bytes[64];
};

}  // namespace simulated
