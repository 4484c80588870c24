// Hands functions from any thread to the event-loop thread of one JavaScript environment.
#pragma once

#include <uv.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <vector>

namespace podfs {

// Shared by everybody who may post: it outlives the environment, and is silent then.
class Mailbox {
 public:
  using Message = std::function<void()>;

  // Any thread. What the message captures may be destroyed on any thread too, unrun, once the mailbox is closed.
  void Post(Message message);

  // --- The event-loop thread only.
  // `deliver` runs one message; the handle is initialised, and closed after Close by its owner.
  int Open(uv_loop_t* loop, uv_async_t* handle, std::function<void(const Message&)> deliver);
  bool pending() const { return pending_.load(std::memory_order_acquire); }
  void Drain();
  // Drops what has not run; later messages too.
  void Close();

 private:
  std::function<void(const Message&)> deliver_;
  std::atomic<bool> pending_{false};
  std::mutex mutex_;
  std::vector<Message> messages_;  // GUARDED BY mutex_
  bool open_ = false;              // GUARDED BY mutex_
  std::mutex handle_mutex_;        // Whoever takes both takes them at once.
  uv_async_t* handle_ = nullptr;   // GUARDED BY handle_mutex_; null: closed
};

}  // namespace podfs
