#include "fuse/notifier.h"

#include <cstring>
#include <utility>

namespace podfs {

void Notifier::InvalidateInode(uint64_t ino, int64_t offset, int64_t length) {
  const NotifyInvalInodeOut out = {ino, offset, length};
  Post(kNotifyInvalInode, &out, sizeof(out), nullptr, 0, 0);
}

void Notifier::InvalidateEntry(uint64_t parent, const char* name, size_t bytes) {
  const NotifyInvalEntryOut out = {parent, static_cast<uint32_t>(bytes), 0};
  Post(kNotifyInvalEntry, &out, sizeof(out), name, bytes, 1);
}

void Notifier::Store(uint64_t ino, uint64_t offset, const void* data, size_t bytes) {
  const NotifyStoreOut out = {ino, offset, static_cast<uint32_t>(bytes), 0};
  Post(kNotifyStore, &out, sizeof(out), data, bytes, 0);
}

void Notifier::Post(NotifyCode code, const void* head, size_t head_bytes, const void* data, size_t bytes,
                    size_t zeros) {
  Notification notification = {code, std::vector<char>(head_bytes + bytes + zeros)};
  memcpy(notification.body.data(), head, head_bytes);
  if (bytes > 0) memcpy(notification.body.data() + head_bytes, data, bytes);
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    queue_.push_back(std::move(notification));
    // Started by the first: most mounts never send one. If it cannot start, caches stay until they expire.
    if (!thread_.started()) {
      sending_.store(true, std::memory_order_release);
      if (thread_.Start("podfs-notify", [this] { Run(); }) != 0) sending_.store(false, std::memory_order_release);
    }
  }
  wake_.notify_one();
}

void Notifier::Run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (stopping_) break;
    const Notification notification = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    // ENOENT: the kernel has no such inode or name, so there is nothing to invalidate; other errors end the session
    // where requests are read.
    device_->Send(notification.code, 0, notification.body.data(), notification.body.size());
    lock.lock();
  }
  lock.unlock();
  sending_.store(false, std::memory_order_release);
}

void Notifier::RequestStop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    queue_.clear();
  }
  wake_.notify_one();
}

void Notifier::Join() { thread_.Join(); }

}  // namespace podfs
