#include "napi/mailbox.h"

#include <utility>

namespace podfs {

int Mailbox::Open(uv_loop_t* loop, uv_async_t* handle, std::function<void(const Message&)> deliver) {
  deliver_ = std::move(deliver);
  handle->data = this;
  const int status =
      uv_async_init(loop, handle, [](uv_async_t* async) { static_cast<Mailbox*>(async->data)->Drain(); });
  if (status != 0) return status;
  const std::scoped_lock lock(mutex_, handle_mutex_);
  open_ = true;
  handle_ = handle;
  return 0;
}

void Mailbox::Post(Message message) {
  {
    const std::lock_guard lock(mutex_);
    if (!open_) return;
    messages_.push_back(std::move(message));
    // The first of a batch wakes the loop.
    if (pending_.exchange(true, std::memory_order_acq_rel)) return;
  }
  // Not under the lock of the messages: the loop takes that as soon as it is woken, and if it is woken in this thread's
  // place, it would have to wait until this thread has a processor again.
  const std::lock_guard lock(handle_mutex_);
  if (handle_ != nullptr) uv_async_send(handle_);
}

void Mailbox::Drain() {
  std::vector<Message> messages;
  {
    const std::lock_guard lock(mutex_);
    pending_.store(false, std::memory_order_release);
    messages.swap(messages_);
  }
  for (const Message& message : messages) deliver_(message);
}

void Mailbox::Close() {
  std::vector<Message> dropped;
  const std::scoped_lock lock(mutex_, handle_mutex_);
  open_ = false;
  handle_ = nullptr;
  pending_.store(false, std::memory_order_release);
  dropped.swap(messages_);
}

}  // namespace podfs
