// Direct I/O between rings and files: opens files, picks the engine, and has the threads for what else may wait.
#pragma once

#include <memory>
#include <string>

#include "fuse/worker_pool.h"
#include "staging/io_engine.h"
#include "staging/staged_file.h"
#include "staging/thread_engine.h"
#include "staging/transfer.h"
#include "staging/uring_engine.h"

namespace podfs::staging {

// Any thread, but for Stop.
class StagingIo {
 public:
  struct Options {
    bool threads_only = false;
    Disturbance* disturbance = nullptr;
  };

  explicit StagingIo(const Options& options);
  StagingIo(const StagingIo&) = delete;
  StagingIo& operator=(const StagingIo&) = delete;
  ~StagingIo() { Stop(); }

  bool has_uring() const { return uring_ != nullptr; }
  // Why there is no io_uring; empty if there is.
  const std::string& reason() const { return reason_; }

  // Pads what does not fill the last block with zeros, in the memory too. False after Stop(), and `done` is not called.
  bool Start(const std::shared_ptr<Transfer>& transfer);
  // For StagedFile's calls. False after Stop(): the job is dropped.
  bool Post(WorkerPool::Job job) { return jobs_.Post(std::move(job)); }
  // Waits for all of it, then ends the threads. Not from a job, nor from `done`.
  void Stop();

 private:
  // An fsync of each of eight ranks at once.
  static constexpr size_t kJobThreadsMax = 8;

  std::string reason_;
  std::unique_ptr<UringEngine> uring_;
  // Files that are not direct are written back piece by piece, and that waits: they are the threads' in any case.
  ThreadEngine threads_;
  WorkerPool jobs_{"podfs-stage-job", kJobThreadsMax};
};

}  // namespace podfs::staging
