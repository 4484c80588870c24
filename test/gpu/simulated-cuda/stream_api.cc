// Streams, events, copies, and the text of errors.
#include <set>

#include "api.h"
#include "device_memory.h"
#include "host_memory.h"

namespace simulated {

namespace {

constexpr unsigned kStreamNonBlocking = 1;
constexpr unsigned kEventFlags = 0x1 | 0x2;  // BLOCKING_SYNC, DISABLE_TIMING; INTERPROCESS (4) is not simulated
Stream* const kLegacyStream = reinterpret_cast<Stream*>(1);

std::set<Event*>& Events() {
  static auto* const events = new std::set<Event*>;
  return *events;
}

// The stream of a handle; null for what is none.
Stream* StreamOf(Stream* handle) {
  Context* const current = CurrentContext();
  if (handle == nullptr || handle == kLegacyStream) return current != nullptr ? current->null_stream : nullptr;
  for (Context& context : Contexts()) {
    if (context.streams.contains(handle)) return handle;
  }
  return nullptr;
}

// Adds the copy to the stream; of a device range outside of any allocation says what a driver that checks addresses
// says.
Result Enqueue(const char* symbol, Stream* handle, Copy copy) {
  Stream* const stream = StreamOf(handle);
  if (stream == nullptr) return kInvalidHandle;
  if (stream->context()->broken != kSuccess) return stream->context()->broken;
  copy.late_failure = InjectedLateFailure(symbol);
  stream->Add(copy);
  return kSuccess;
}

char* Hidden(DevicePointer address, size_t bytes) {
  const Allocation* const allocation = Find(address, bytes);
  return allocation != nullptr ? HiddenAddress(*allocation, address) : nullptr;
}

Result ToHost(const char* symbol, void* to, DevicePointer from, size_t bytes, Stream* stream) {
  if (bytes == 0) return kSuccess;
  const char* const hidden = Hidden(from, bytes);
  if (hidden == nullptr || to == nullptr) return kInvalidValue;
  return Enqueue(symbol, stream, {.to = StreamAddress(static_cast<char*>(to), bytes), .from = hidden, .bytes = bytes});
}

Result ToDevice(const char* symbol, DevicePointer to, const void* from, size_t bytes, Stream* stream) {
  if (bytes == 0) return kSuccess;
  char* const hidden = Hidden(to, bytes);
  if (hidden == nullptr || from == nullptr) return kInvalidValue;
  char* const host = StreamAddress(const_cast<char*>(static_cast<const char*>(from)), bytes);
  return Enqueue(symbol, stream, {.to = hidden, .from = host, .bytes = bytes});
}

Result Fill(const char* symbol, DevicePointer to, unsigned char value, size_t bytes, Stream* stream) {
  if (bytes == 0) return kSuccess;
  char* const hidden = Hidden(to, bytes);
  if (hidden == nullptr) return kInvalidValue;
  return Enqueue(symbol, stream, {.to = hidden, .bytes = bytes, .value = value});
}

// Of a copy on the null stream that the caller waits for.
Result Finish(std::unique_lock<std::mutex>* lock, Result enqueued) {
  if (enqueued != kSuccess) return enqueued;
  Context* const context = CurrentContext();
  Wait(lock, context->null_stream->Mark());
  return context->broken;
}

}  // namespace

SIMULATED_CUDA_API Result cuStreamCreate(Stream** stream, unsigned flags) {
  return Call("cuStreamCreate", Needs::kContext, [&](auto*) -> Result {
    if ((flags & ~kStreamNonBlocking) != 0) return kInvalidValue;
    *stream = new Stream(CurrentContext(), (flags & kStreamNonBlocking) == 0);
    return kSuccess;
  });
}

SIMULATED_CUDA_API Result cuStreamDestroy_v2(Stream* handle) {
  return Call("cuStreamDestroy_v2", Needs::kDriver, [&](auto*) -> Result {
    Stream* const stream = StreamOf(handle);
    if (stream == nullptr || stream == stream->context()->null_stream) return kInvalidHandle;
    stream->End();
    return kSuccess;
  });
}

SIMULATED_CUDA_API Result cuStreamSynchronize(Stream* handle) {
  return Call("cuStreamSynchronize", Needs::kDriver, [&](auto* lock) -> Result {
    Stream* const stream = StreamOf(handle);
    if (stream == nullptr) return kInvalidHandle;
    const Context* const context = stream->context();
    Wait(lock, stream->Mark());
    return context->broken;
  });
}

SIMULATED_CUDA_API Result cuStreamQuery(Stream* handle) {
  return Call("cuStreamQuery", Needs::kDriver, [&](auto*) -> Result {
    Stream* const stream = StreamOf(handle);
    if (stream == nullptr) return kInvalidHandle;
    if (stream->context()->broken != kSuccess) return stream->context()->broken;
    return stream->Idle() ? kSuccess : kNotReady;
  });
}

SIMULATED_CUDA_API Result cuStreamWaitEvent(Stream* handle, Event* event, unsigned) {
  return Call("cuStreamWaitEvent", Needs::kDriver, [&](auto*) -> Result {
    Stream* const stream = StreamOf(handle);
    if (stream == nullptr || !Events().contains(event)) return kInvalidHandle;
    if (event->recorded != nullptr) stream->WaitFor(event->recorded);
    return stream->context()->broken;
  });
}

SIMULATED_CUDA_API Result cuEventCreate(Event** event, unsigned flags) {
  return Call("cuEventCreate", Needs::kContext, [&](auto*) -> Result {
    if ((flags & ~kEventFlags) != 0) return kInvalidValue;
    *event = *Events().insert(new Event{CurrentContext(), nullptr}).first;
    return kSuccess;
  });
}

SIMULATED_CUDA_API Result cuEventDestroy_v2(Event* event) {
  return Call("cuEventDestroy_v2", Needs::kDriver, [&](auto*) -> Result {
    if (Events().erase(event) == 0) return kInvalidHandle;
    delete event;
    return kSuccess;
  });
}

SIMULATED_CUDA_API Result cuEventRecord(Event* event, Stream* handle) {
  return Call("cuEventRecord", Needs::kDriver, [&](auto*) -> Result {
    Stream* const stream = StreamOf(handle);
    if (stream == nullptr || !Events().contains(event) || event->context != stream->context()) return kInvalidHandle;
    event->recorded = stream->Mark();
    return stream->context()->broken;
  });
}

SIMULATED_CUDA_API Result cuEventQuery(Event* event) {
  return Call("cuEventQuery", Needs::kDriver, [&](auto*) -> Result {
    if (!Events().contains(event)) return kInvalidHandle;
    if (event->context->broken != kSuccess) return event->context->broken;
    return event->recorded == nullptr || event->recorded->done ? kSuccess : kNotReady;
  });
}

SIMULATED_CUDA_API Result cuEventSynchronize(Event* event) {
  return Call("cuEventSynchronize", Needs::kDriver, [&](auto* lock) -> Result {
    if (!Events().contains(event)) return kInvalidHandle;
    const Context* const context = event->context;
    if (event->recorded != nullptr) Wait(lock, Ticket(event->recorded));
    return context->broken;
  });
}

SIMULATED_CUDA_API Result cuMemcpyDtoHAsync_v2(void* to, DevicePointer from, size_t bytes, Stream* stream) {
  return Call("cuMemcpyDtoHAsync_v2", Needs::kContext,
              [&](auto*) { return ToHost("cuMemcpyDtoHAsync_v2", to, from, bytes, stream); });
}

SIMULATED_CUDA_API Result cuMemcpyHtoDAsync_v2(DevicePointer to, const void* from, size_t bytes, Stream* stream) {
  return Call("cuMemcpyHtoDAsync_v2", Needs::kContext,
              [&](auto*) { return ToDevice("cuMemcpyHtoDAsync_v2", to, from, bytes, stream); });
}

SIMULATED_CUDA_API Result cuMemcpyDtoDAsync_v2(DevicePointer to, DevicePointer from, size_t bytes, Stream* stream) {
  return Call("cuMemcpyDtoDAsync_v2", Needs::kContext, [&](auto*) -> Result {
    if (bytes == 0) return kSuccess;
    const char* const source = Hidden(from, bytes);
    return source != nullptr ? ToDevice("cuMemcpyDtoDAsync_v2", to, source, bytes, stream) : kInvalidValue;
  });
}

SIMULATED_CUDA_API Result cuMemsetD8Async(DevicePointer to, unsigned char value, size_t bytes, Stream* stream) {
  return Call("cuMemsetD8Async", Needs::kContext,
              [&](auto*) { return Fill("cuMemsetD8Async", to, value, bytes, stream); });
}

SIMULATED_CUDA_API Result cuMemcpyDtoH_v2(void* to, DevicePointer from, size_t bytes) {
  return Call("cuMemcpyDtoH_v2", Needs::kContext,
              [&](auto* lock) { return Finish(lock, ToHost("cuMemcpyDtoH_v2", to, from, bytes, nullptr)); });
}

SIMULATED_CUDA_API Result cuMemcpyHtoD_v2(DevicePointer to, const void* from, size_t bytes) {
  return Call("cuMemcpyHtoD_v2", Needs::kContext,
              [&](auto* lock) { return Finish(lock, ToDevice("cuMemcpyHtoD_v2", to, from, bytes, nullptr)); });
}

SIMULATED_CUDA_API Result cuMemsetD8_v2(DevicePointer to, unsigned char value, size_t bytes) {
  return Call("cuMemsetD8_v2", Needs::kContext,
              [&](auto* lock) { return Finish(lock, Fill("cuMemsetD8_v2", to, value, bytes, nullptr)); });
}

}  // namespace simulated
