// What moves transfers. Two do: io_uring, and threads.
#pragma once

#include <memory>

#include "staging/transfer.h"

namespace podfs::staging {

// Pieces that are in the kernel at once, at most.
constexpr uint32_t kInFlightMax = 32;

class IoEngine {
 public:
  virtual ~IoEngine() = default;
  // Any thread. False after Stop(): the transfer is not taken. `done` is called on any thread.
  virtual bool Start(const std::shared_ptr<Transfer>& transfer) = 0;
  // Waits until all transfers are done, then ends the engine's threads. Once, and not from `done`.
  virtual void Stop() = 0;
};

}  // namespace podfs::staging
