// Names and texts of results. These take no lock and cannot fail by injection: who asks has a failure already.
#include <array>

#include "api.h"

namespace simulated {

namespace {

struct Text {
  Result result;
  const char* name;
  const char* text;
};

constexpr std::array<Text, 17> kTexts = {{
    {kSuccess, "CUDA_SUCCESS", "no error"},
    {kInvalidValue, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {kOutOfMemory, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {kNotInitialized, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {kNoDevice, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {kInvalidDevice, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {kInvalidContext, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {kPeerAccessUnsupported, "CUDA_ERROR_PEER_ACCESS_UNSUPPORTED",
     "peer access is not supported between these two devices"},
    {kInvalidHandle, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {kNotReady, "CUDA_ERROR_NOT_READY", "device not ready"},
    {kIllegalAddress, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {kHostMemoryAlreadyRegistered, "CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED",
     "part or all of the requested memory range is already mapped"},
    {kHostMemoryNotRegistered, "CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED",
     "pointer does not correspond to a registered memory region"},
    {719, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {kNotSupported, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {214, "CUDA_ERROR_ECC_UNCORRECTABLE", "uncorrectable ECC error encountered"},
    {999, "CUDA_ERROR_UNKNOWN", "unknown error"},
}};

Result Say(Result result, const char* Text::*member, const char** into) {
  for (const Text& text : kTexts) {
    if (text.result != result) continue;
    *into = text.*member;
    return kSuccess;
  }
  *into = nullptr;
  return kInvalidValue;
}

}  // namespace

SIMULATED_CUDA_API Result cuGetErrorName(Result result, const char** name) { return Say(result, &Text::name, name); }
SIMULATED_CUDA_API Result cuGetErrorString(Result result, const char** text) { return Say(result, &Text::text, text); }

}  // namespace simulated
