// Copies between the memory of one GPU and slots of rings.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "fuse/thread.h"
#include "staging/cuda_driver.h"
#include "staging/cuda_pins.h"
#include "staging/ring.h"

namespace podfs::staging {

// A thread with the device's primary context (the one that CUDA's run-time library and PyTorch use too) and a stream of
// its own. Waits sleep (CU_EVENT_BLOCKING_SYNC): 1 % of a core instead of all of it.
//
// The thread queues all copies that it has been given before it waits for the oldest one, so three copies or more that
// are not done keep the device busy without a gap.
class DeviceCopier {
 public:
  struct Piece {
    CudaDevicePointer address = 0;
    uint64_t bytes = 0;
    uint64_t slot_offset = 0;
  };
  enum class Direction { kToSlot, kFromSlot };
  struct Copy {
    Direction direction = Direction::kToSlot;
    std::shared_ptr<Ring> ring;
    uint32_t slot = 0;
    std::vector<Piece> pieces;
  };
  // Called once: on the copier's thread, or on the caller's after Close.
  using Done = std::function<void(const CudaOutcome& outcome)>;
  // Runs on the copier's thread, in turn.
  using Work = std::function<CudaOutcome()>;

  DeviceCopier(std::shared_ptr<const CudaDriver> driver, std::shared_ptr<CudaPins> pins, int ordinal);
  DeviceCopier(const DeviceCopier&) = delete;
  DeviceCopier& operator=(const DeviceCopier&) = delete;
  ~DeviceCopier();

  // --- Any thread.
  // Starts the thread. `opened` says whether the device can be used; `ended` is called last of all, on the thread, when
  // it has let go of everything. Neither is called when the thread itself cannot be started (a negative errno).
  int Start(Done opened, std::function<void()> ended);
  // Done when the bytes are where they belong; in order. Also when it fails: nothing of it is under way any more then,
  // as far as the driver can still tell.
  void Add(Copy copy, Done done);
  void Add(Work work, Done done);
  // Takes no more; the thread ends after what it has. Idempotent.
  void Close();
  // After Close. Not on the copier's thread.
  void Join();

  // --- Within Work only. What is not undone is undone at the end.
  CudaOutcome Pin(const std::shared_ptr<Ring>& ring);
  CudaOutcome Unpin(const Ring* ring);
  // `bytes`: what may be read from `address` on; UINT64_MAX where the driver does not tell.
  CudaOutcome OpenIpc(const CudaIpcHandle& handle, CudaDevicePointer* address, uint64_t* bytes);
  CudaOutcome CloseIpc(CudaDevicePointer address);
  CudaOutcome Allocate(uint64_t bytes, CudaDevicePointer* address);
  CudaOutcome Free(CudaDevicePointer address);
  CudaOutcome IpcHandle(CudaDevicePointer address, CudaIpcHandle* handle, uint64_t* offset);

 private:
  struct InFlight {
    CudaEvent event;
    std::shared_ptr<Ring> ring;
    Done done;
  };

  bool Post(std::function<void()> job);
  void Run();
  CudaOutcome OpenDevice();
  void CloseDevice();
  void StartCopy(const Copy& copy, Done done);
  CudaOutcome Queue(const Copy& copy, CudaEvent* event);
  void FinishOldest();
  // Waits for all copies that are under way.
  void Drain();

  const std::shared_ptr<const CudaDriver> driver_;
  const std::shared_ptr<CudaPins> pins_;
  const int ordinal_;

  // The copier's thread only.
  CudaDeviceHandle device_ = 0;
  CudaContext context_ = nullptr;
  CudaStream stream_ = nullptr;
  std::vector<CudaEvent> spare_events_;
  std::deque<InFlight> in_flight_;
  std::multiset<const Ring*> pinned_;
  std::multiset<CudaDevicePointer> opened_;
  std::set<CudaDevicePointer> allocated_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> jobs_;  // GUARDED BY mutex_
  bool closing_ = true;                     // GUARDED BY mutex_; from Start to Close: false
  Thread thread_;
};

}  // namespace podfs::staging
