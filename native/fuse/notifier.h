// Sends notifications to the kernel from a thread of its own.
//
// A notification may wait for a page or directory lock that a request holds, and that request for us: whoever
// answers requests must never send one.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <vector>

#include "fuse/device.h"
#include "fuse/thread.h"

namespace podfs {

// Thread-safe.
class Notifier {
 public:
  explicit Notifier(const Device* device) : device_(device) {}
  ~Notifier() { Join(); }

  void InvalidateInode(uint64_t ino, int64_t offset, int64_t length);
  void InvalidateEntry(uint64_t parent, const char* name, size_t bytes);
  void Store(uint64_t ino, uint64_t offset, const void* data, size_t bytes);
  // Drops what is queued. finished() turns true when nothing is being sent any more.
  void RequestStop();
  bool finished() const { return !sending_.load(std::memory_order_acquire); }
  void Join();

 private:
  struct Notification {
    NotifyCode code;
    std::vector<char> body;
  };
  void Post(NotifyCode code, const void* head, size_t head_bytes, const void* data, size_t bytes, size_t zeros);
  void Run();

  const Device* const device_;
  Thread thread_;
  std::atomic<bool> sending_{false};  // While the thread lives.
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Notification> queue_;  // GUARDED BY mutex_
  bool stopping_ = false;           // GUARDED BY mutex_
};

}  // namespace podfs
