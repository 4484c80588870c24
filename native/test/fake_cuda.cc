#include "fake_cuda.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <map>
#include <mutex>

namespace podfs::test {

using staging::CudaContext;
using staging::CudaDeviceHandle;
using staging::CudaDevicePointer;
using staging::CudaEvent;
using staging::CudaFunctions;
using staging::CudaIpcHandle;
using staging::CudaResult;
using staging::CudaStream;

namespace {

struct Pending {
  void* to;
  const void* from;
  size_t bytes;
};

struct State {
  std::mutex mutex;
  std::vector<std::string> calls;             // GUARDED BY mutex
  std::map<std::string, CudaResult> failing;  // GUARDED BY mutex
  std::vector<Pending> pending;               // GUARDED BY mutex
  uintptr_t handles = 0;                      // GUARDED BY mutex
};

State* state = nullptr;

CudaResult Called(const char* function) {
  const std::lock_guard lock(state->mutex);
  state->calls.push_back(function);
  const auto failing = state->failing.find(function);
  if (failing == state->failing.end()) return 0;
  const CudaResult result = failing->second;
  state->failing.erase(failing);
  return result;
}

CudaResult Later(const char* function, void* to, const void* from, size_t bytes) {
  const CudaResult result = Called(function);
  const std::lock_guard lock(state->mutex);
  if (result == 0) state->pending.push_back({to, from, bytes});
  return result;
}

CudaResult Finish(const char* function) {
  const CudaResult result = Called(function);
  const std::lock_guard lock(state->mutex);
  for (const Pending& copy : state->pending) memcpy(copy.to, copy.from, copy.bytes);
  state->pending.clear();
  return result;
}

template <typename Handle>
CudaResult Make(const char* function, Handle* handle) {
  const CudaResult result = Called(function);
  const std::lock_guard lock(state->mutex);
  if (result == 0) *handle = reinterpret_cast<Handle>(++state->handles);
  return result;
}

void* At(CudaDevicePointer address) { return reinterpret_cast<void*>(address); }

}  // namespace

FakeCuda::FakeCuda() {
  assert(state == nullptr);
  state = new State;
}

FakeCuda::~FakeCuda() {
  delete state;
  state = nullptr;
}

CudaFunctions FakeCuda::Functions() {
  CudaFunctions functions;
  functions.device_get = [](CudaDeviceHandle* device, int ordinal) {
    *device = ordinal;
    return Called("device_get");
  };
  functions.primary_context_retain = [](CudaContext* context, CudaDeviceHandle) {
    return Make("primary_context_retain", context);
  };
  functions.primary_context_release = [](CudaDeviceHandle) { return Called("primary_context_release"); };
  functions.context_set_current = [](CudaContext) { return Called("context_set_current"); };
  functions.stream_create = [](CudaStream* stream, unsigned) { return Make("stream_create", stream); };
  functions.stream_destroy = [](CudaStream) { return Called("stream_destroy"); };
  functions.stream_synchronize = [](CudaStream) { return Finish("stream_synchronize"); };
  functions.event_create = [](CudaEvent* event, unsigned) { return Make("event_create", event); };
  functions.event_destroy = [](CudaEvent) { return Called("event_destroy"); };
  functions.event_record = [](CudaEvent, CudaStream) { return Called("event_record"); };
  functions.event_synchronize = [](CudaEvent) { return Finish("event_synchronize"); };
  functions.memcpy_to_host = [](void* to, CudaDevicePointer from, size_t bytes, CudaStream) {
    return Later("memcpy_to_host", to, At(from), bytes);
  };
  functions.memcpy_to_device = [](CudaDevicePointer to, const void* from, size_t bytes, CudaStream) {
    return Later("memcpy_to_device", At(to), from, bytes);
  };
  functions.mem_host_register = [](void*, size_t, unsigned) { return Called("mem_host_register"); };
  functions.mem_host_unregister = [](void*) { return Called("mem_host_unregister"); };
  functions.mem_alloc = [](CudaDevicePointer* address, size_t) {
    *address = 4096;
    return Called("mem_alloc");
  };
  functions.mem_free = [](CudaDevicePointer) { return Called("mem_free"); };
  functions.ipc_open_mem_handle = [](CudaDevicePointer* address, CudaIpcHandle handle, unsigned) {
    *address = 4096u * handle.bytes[0];
    return Called("ipc_open_mem_handle");
  };
  functions.mem_get_address_range = [](CudaDevicePointer* base, size_t* bytes, CudaDevicePointer address) {
    *base = address - 96;
    *bytes = 4096;
    return Called("mem_get_address_range");
  };
  functions.ipc_close_mem_handle = [](CudaDevicePointer) { return Called("ipc_close_mem_handle"); };
  return functions;
}

void FakeCuda::FailNext(const std::string& function, CudaResult result) {
  const std::lock_guard lock(state->mutex);
  state->failing[function] = result;
}

size_t FakeCuda::Calls(const std::string& function) const {
  const std::lock_guard lock(state->mutex);
  return static_cast<size_t>(std::count(state->calls.begin(), state->calls.end(), function));
}

size_t FakeCuda::LastCall(const std::string& function) const {
  const std::lock_guard lock(state->mutex);
  const auto found = std::find(state->calls.rbegin(), state->calls.rend(), function);
  return static_cast<size_t>(state->calls.rend() - found);
}

}  // namespace podfs::test
