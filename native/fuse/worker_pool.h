// A few threads that run jobs which may wait for the disk.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <vector>

#include "fuse/thread.h"

namespace podfs {

class WorkerPool {
 public:
  using Job = std::function<void()>;

  WorkerPool(const char* name, size_t threads_max) : name_(name), threads_max_(threads_max) {}
  ~WorkerPool() { Stop(); }

  // Threads start when there is work for them. False after Stop(): the job was dropped.
  bool Post(Job job);
  // Runs what is queued, then joins. Not from a job.
  void Stop();

 private:
  void Run();

  const char* const name_;
  const size_t threads_max_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> jobs_;        // GUARDED BY mutex_
  std::deque<Thread> threads_;  // GUARDED BY mutex_ (a deque: a Thread cannot move)
  size_t idle_ = 0;             // GUARDED BY mutex_
  bool stopping_ = false;       // GUARDED BY mutex_
};

}  // namespace podfs
