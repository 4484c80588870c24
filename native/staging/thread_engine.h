// The engine of threads that sit in pwrite(2) and pread(2): for machines without io_uring, and for files that are not
// direct. Those are on the disk, and out of the page cache, before a write is done: else a checkpoint would push out of
// memory what the training needs, and the disk would begin when memory is full.
#pragma once

#include "fuse/worker_pool.h"
#include "staging/io_engine.h"
#include "staging/transfer_queue.h"

namespace podfs::staging {

class ThreadEngine final : public IoEngine {
 public:
  explicit ThreadEngine(Disturbance* disturbance) : queue_(disturbance) {}

  bool Start(const std::shared_ptr<Transfer>& transfer) override;
  void Stop() override;

 private:
  // As many as it takes to keep a fast disk busy; each has one piece in the kernel.
  static constexpr uint32_t kThreadsMax = 16;

  void Drain();

  TransferQueue queue_;
  WorkerPool threads_{"podfs-stage", kThreadsMax};
};

}  // namespace podfs::staging
