// A few threads that run jobs which may wait for the disk.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
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

// The same object, for owners who have better things to do than to destroy it: whoever drops the last copy of this
// reference leaves that to a thread of the pool. After Stop() he does it himself.
template <typename T>
std::shared_ptr<T> DestroyedOn(std::shared_ptr<WorkerPool> pool, std::shared_ptr<T> object) {
  T* const same = object.get();
  return {same, [pool = std::move(pool), object = std::move(object)](T*) mutable {
            pool->Post([last = std::move(object)] {});
          }};
}

}  // namespace podfs
