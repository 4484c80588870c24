// A simulated CUDA driver: a libcuda.so.1 with no GPU behind it, for tests. It says nothing about how fast anything is.
//
// It is there to be stricter than a real driver, so that code which would fail on a GPU now and then fails here every
// time:
//  - Device memory is a memfd. Its addresses are mapped PROT_NONE: touched by the processor, they fault.
//  - Copies are done late, on a thread for each stream, and their destination is poisoned (0xA5) as soon as nothing
//  that is
//    queued needs it: a missing wait is seen. They read their source late, too: one that is changed too early is seen.
//    That is so for memory that is not pinned also, for which some drivers wait and others do not.
//  - Streams, events and the null stream are in the order that NVIDIA documents, and in no other.
//  - IPC handles work in other processes of the PID namespace, on the same physical device. A process that opens its
//  own
//    handle gets 201; who frees memory that another one has open leaves poison (0xDD) to it.
//  - Pinned pages are held on to, as by a driver: a copy into memory that was unmapped lands in the pages, not
//  elsewhere.
//  - After fork() every call fails (3). Calls without a current context fail (201).
//
// Environment:
//   SIMULATED_CUDA_DEVICES=1        physical devices; CUDA_VISIBLE_DEVICES="1,0" selects and orders them
//   SIMULATED_CUDA_MEMORY_MIB=1024  of each device, for each process
//   SIMULATED_CUDA_DELAY_MS=2       before each copy
//   SIMULATED_CUDA_FAIL=…           "cuMemHostRegister_v2=2,cuStreamCreate=999@3,cuMemAlloc_v2=2@2+": these calls fail,
//   all of
//                                   them, the third only, from the second on
//   SIMULATED_CUDA_FAIL_LATE=…      the same for copies, which are accepted, and break their context when their turn
//   comes SIMULATED_CUDA_LOG=file         gets a line "pid symbol result" for every call
#pragma once

#include <mutex>
#include <vector>

#include "cuda_types.h"
#include "faults.h"
#include "work.h"

#define SIMULATED_CUDA_API extern "C" __attribute__((visibility("default")))

namespace simulated {

struct Event {
  Context* context = nullptr;
  // What it was recorded behind; null: never recorded.
  Ticket recorded;  // GUARDED BY Lock()
};

enum class Needs { kNothing, kDriver, kContext };

// cuInit; the devices it found are the elements of Contexts(), by ordinal.
Result Initialize();
std::vector<Context>& Contexts();
// The physical device that has this ordinal here.
int PhysicalDevice(int ordinal);
// Of this thread; null: none.
Context*& CurrentContext();

// Why the call may not go on; kSuccess: it may. Lock() is not held.
Result Admit(const char* symbol, Needs needs);

// An entry of the API: `body` gets the held lock, which it may let go of to wait.
template <typename Body>
Result Call(const char* symbol, Needs needs, Body body) {
  Result result = Admit(symbol, needs);
  if (result == kSuccess) {
    std::unique_lock lock(Lock());
    result = body(&lock);
  }
  LogCall(symbol, result);
  return result;
}

}  // namespace simulated
