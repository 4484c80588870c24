#include "fuse/worker_pool.h"

#include <utility>

namespace podfs {

bool WorkerPool::Post(Job job) {
  std::unique_lock lock(mutex_);
  if (stopping_) return false;
  jobs_.push_back(std::move(job));
  if (idle_ < jobs_.size() && threads_.size() < threads_max_) {
    threads_.emplace_back();
    const int status = threads_.back().Start(name_, [this] { Run(); });
    if (status != 0) {
      threads_.pop_back();
      // With no thread at all the caller's is the only one there is: slow is better than never.
      if (threads_.empty()) {
        Job own = std::move(jobs_.back());
        jobs_.pop_back();
        lock.unlock();
        own();
        return true;
      }
    }
  }
  lock.unlock();
  wake_.notify_one();
  return true;
}

void WorkerPool::Run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    wake_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    --idle_;
    if (jobs_.empty()) return;
    {
      const Job job = std::exchange(jobs_.front(), nullptr);
      jobs_.pop_front();
      lock.unlock();
      job();
    }  // What the job holds on to goes before the lock is taken again.
    lock.lock();
  }
}

void WorkerPool::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (Thread& thread : threads_) thread.Join();
  threads_.clear();
}

}  // namespace podfs
