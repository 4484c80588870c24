// Checks that the simulated driver is as strict as api.h says: `make -C test/gpu/simulated-cuda check`.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "cuda_types.h"

using simulated::DevicePointer;
using simulated::IpcHandle;
using simulated::Result;

extern "C" {
Result cuInit(unsigned flags);
Result cuDevicePrimaryCtxRetain(void** context, int device);
Result cuCtxSetCurrent(void* context);
Result cuMemAlloc_v2(DevicePointer* address, size_t bytes);
Result cuMemFree_v2(DevicePointer address);
Result cuMemHostRegister_v2(void* begin, size_t bytes, unsigned flags);
Result cuMemHostUnregister(void* begin);
Result cuMemcpyDtoHAsync_v2(void* to, DevicePointer from, size_t bytes, void* stream);
Result cuMemcpyHtoDAsync_v2(DevicePointer to, const void* from, size_t bytes, void* stream);
Result cuMemcpyDtoH_v2(void* to, DevicePointer from, size_t bytes);
Result cuMemsetD8_v2(DevicePointer to, unsigned char value, size_t bytes);
Result cuMemsetD8Async(DevicePointer to, unsigned char value, size_t bytes, void* stream);
Result cuStreamCreate(void** stream, unsigned flags);
Result cuStreamSynchronize(void* stream);
Result cuStreamWaitEvent(void* stream, void* event, unsigned flags);
Result cuEventCreate(void** event, unsigned flags);
Result cuEventRecord(void* event, void* stream);
Result cuEventQuery(void* event);
Result cuEventSynchronize(void* event);
Result cuIpcGetMemHandle(IpcHandle* handle, DevicePointer address);
Result cuIpcOpenMemHandle_v2(DevicePointer* address, IpcHandle handle, unsigned flags);
}

namespace {

constexpr size_t kBytes = 1 << 20;
constexpr int kAttempts = 30;

#define CHECK(condition)                                                      \
  do {                                                                        \
    if (!(condition)) {                                                       \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                                \
    }                                                                         \
  } while (false)

DevicePointer Allocate() {
  DevicePointer address = 0;
  CHECK(cuMemAlloc_v2(&address, kBytes) == 0);
  return address;
}

void* MakeStream(unsigned flags) {
  void* stream = nullptr;
  CHECK(cuStreamCreate(&stream, flags) == 0);
  return stream;
}

bool AllAre(const std::vector<unsigned char>& bytes, unsigned char value) {
  for (const unsigned char byte : bytes) {
    if (byte != value) return false;
  }
  return true;
}

// Whether one of several attempts succeeds: what has to be seen before a copy's delay is over is missed by a machine
// that halts at the wrong moment.
template <typename Attempt>
bool SucceedsOnce(Attempt attempt) {
  for (int i = 0; i < kAttempts; ++i) {
    if (attempt()) return true;
  }
  return false;
}

// How a child process that does this ends.
template <typename Body>
int StatusOf(Body body) {
  const pid_t child = fork();
  if (child == 0) {
    body();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

void DeviceMemoryFaults(DevicePointer device) {
  CHECK(WTERMSIG(StatusOf([&] { (void)*reinterpret_cast<volatile char*>(device); })) == SIGSEGV);
}

void ForkedProcessesHaveNoDriver() {
  const int status = StatusOf([] {
    DevicePointer address = 0;
    _exit(cuMemAlloc_v2(&address, 1));
  });
  CHECK(WEXITSTATUS(status) == simulated::kNotInitialized);
}

void ThreadsWithoutAContextAreRefused() {
  std::thread([] {
    DevicePointer address = 0;
    CHECK(cuMemAlloc_v2(&address, 1) == simulated::kInvalidContext);
  }).join();
}

// What is read before the wait is poison.
void CopiesAreLateAndPoisoned(DevicePointer device) {
  CHECK(cuMemsetD8_v2(device, 7, kBytes) == 0);
  void* const stream = MakeStream(1);
  void* event = nullptr;
  CHECK(cuEventCreate(&event, 3) == 0);
  CHECK(cuEventQuery(event) == 0);
  CHECK(SucceedsOnce([&] {
    std::vector<unsigned char> host(kBytes, 7);
    CHECK(cuMemcpyDtoHAsync_v2(host.data(), device, kBytes, stream) == 0);
    const bool poisoned = AllAre(host, 0xA5);
    CHECK(cuEventRecord(event, stream) == 0);
    const bool late = cuEventQuery(event) == simulated::kNotReady;
    CHECK(cuEventSynchronize(event) == 0);
    CHECK(AllAre(host, 7));
    return poisoned && late;
  }));
}

void SourcesAreReadLate(DevicePointer device) {
  void* const stream = MakeStream(1);
  CHECK(SucceedsOnce([&] {
    std::vector<unsigned char> host(kBytes, 1);
    CHECK(cuMemcpyHtoDAsync_v2(device, host.data(), kBytes, stream) == 0);
    memset(host.data(), 2, kBytes);
    CHECK(cuStreamSynchronize(stream) == 0);
    CHECK(cuMemcpyDtoH_v2(host.data(), device, kBytes) == 0);
    return AllAre(host, 2);
  }));
}

// Two streams are in order where an event says so, and poison is not put where queued work still reads.
void EventsOrderStreams(DevicePointer device) {
  void* const first = MakeStream(1);
  void* const second = MakeStream(1);
  void* event = nullptr;
  CHECK(cuEventCreate(&event, 3) == 0);
  std::vector<unsigned char> host(kBytes);
  CHECK(cuMemsetD8Async(device, 3, kBytes, first) == 0);
  CHECK(cuMemcpyDtoHAsync_v2(host.data(), device, kBytes, first) == 0);
  CHECK(cuEventRecord(event, first) == 0);
  CHECK(cuStreamWaitEvent(second, event, 0) == 0);
  CHECK(cuMemsetD8Async(device, 4, kBytes, second) == 0);
  CHECK(cuStreamSynchronize(second) == 0);
  CHECK(AllAre(host, 3));
}

// The null stream waits for a blocking stream, and not for one that is CU_STREAM_NON_BLOCKING.
void NullStreamOrdersBlockingStreams(DevicePointer device) {
  std::vector<unsigned char> host(kBytes);
  CHECK(cuMemsetD8Async(device, 5, kBytes, MakeStream(0)) == 0);
  CHECK(cuMemcpyDtoH_v2(host.data(), device, kBytes) == 0);
  CHECK(AllAre(host, 5));
  // More work than the one copy takes, and an event behind it: what the bytes are meanwhile is a matter of luck.
  void* const free_stream = MakeStream(1);
  void* event = nullptr;
  CHECK(cuEventCreate(&event, 3) == 0);
  CHECK(SucceedsOnce([&] {
    for (int i = 0; i < 4; ++i) CHECK(cuMemsetD8Async(device, 6, kBytes, free_stream) == 0);
    CHECK(cuEventRecord(event, free_stream) == 0);
    CHECK(cuMemcpyDtoH_v2(host.data(), device, kBytes) == 0);
    const bool overtaken = cuEventQuery(event) == simulated::kNotReady;
    CHECK(cuStreamSynchronize(free_stream) == 0);
    return overtaken;
  }));
}

void PinnedPagesOutliveTheirMapping(DevicePointer device) {
  const int fd = memfd_create("check", MFD_CLOEXEC);
  CHECK(ftruncate(fd, kBytes) == 0);
  void* const memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(cuMemHostRegister_v2(memory, kBytes, 1) == 0);
  CHECK(cuMemHostRegister_v2(memory, 1, 1) == simulated::kHostMemoryAlreadyRegistered);
  CHECK(cuMemsetD8_v2(device, 8, kBytes) == 0);
  void* const stream = MakeStream(1);
  CHECK(cuMemcpyDtoHAsync_v2(memory, device, kBytes, stream) == 0);
  munmap(memory, kBytes);
  CHECK(cuStreamSynchronize(stream) == 0);
  std::vector<unsigned char> written(kBytes);
  CHECK(pread(fd, written.data(), kBytes, 0) == kBytes);
  CHECK(AllAre(written, 8));
  CHECK(cuMemHostUnregister(memory) == 0);
  CHECK(cuMemHostUnregister(memory) == simulated::kHostMemoryNotRegistered);
}

void OwnHandlesAreRefused(DevicePointer device) {
  IpcHandle handle;
  CHECK(cuIpcGetMemHandle(&handle, device) == 0);
  DevicePointer opened = 0;
  CHECK(cuIpcOpenMemHandle_v2(&opened, handle, 1) == simulated::kInvalidContext);
  CHECK(cuIpcOpenMemHandle_v2(&opened, handle, 0) == simulated::kInvalidValue);
}

}  // namespace

int main() {
  // Long enough to be looked at meanwhile.
  setenv("SIMULATED_CUDA_DELAY_MS", "100", 1);
  DevicePointer nothing = 0;
  CHECK(cuMemAlloc_v2(&nothing, 1) == simulated::kNotInitialized);
  CHECK(cuInit(0) == 0);
  CHECK(cuMemAlloc_v2(&nothing, 1) == simulated::kInvalidContext);
  void* context = nullptr;
  CHECK(cuDevicePrimaryCtxRetain(&context, 0) == 0);
  CHECK(cuCtxSetCurrent(context) == 0);
  const DevicePointer device = Allocate();
  DeviceMemoryFaults(device);
  ForkedProcessesHaveNoDriver();
  ThreadsWithoutAContextAreRefused();
  CopiesAreLateAndPoisoned(device);
  SourcesAreReadLate(device);
  EventsOrderStreams(device);
  NullStreamOrdersBlockingStreams(device);
  PinnedPagesOutliveTheirMapping(device);
  OwnHandlesAreRefused(device);
  CHECK(cuMemFree_v2(device) == 0);
  CHECK(cuMemFree_v2(device) == simulated::kInvalidValue);
  puts("as strict as it says");
}
