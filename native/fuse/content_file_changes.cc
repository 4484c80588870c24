// The parts of ContentFile that change its size, publish it, or end it.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "fuse/content_file.h"

namespace podfs {

int ContentFile::BeginPublish(std::vector<uint64_t>* dirty) {
  dirty->clear();
  if (!tracked()) return 0;
  const std::lock_guard lock(mutex_);
  if (publishing_) return -EBUSY;
  publishing_ = true;
  being_published_.assign(map_->count(), false);
  dirtied_again_.clear();
  for (uint64_t block = 0; block < map_->count(); ++block) {
    if (!map_->dirty(block) || Absent(block)) continue;
    being_published_[block] = true;
    dirty->push_back(block);
  }
  return 0;
}

void ContentFile::EndPublish(bool published) {
  if (!tracked()) return;
  const std::lock_guard lock(mutex_);
  if (!publishing_) return;
  const uint64_t count = std::min<uint64_t>(being_published_.size(), map_->count());
  for (uint64_t block = 0; published && block < count; ++block) {
    const bool again = block < dirtied_again_.size() && dirtied_again_[block];
    if (being_published_[block] && !again) map_->clear_dirty(block);
  }
  publishing_ = false;
  being_published_.clear();
  dirtied_again_.clear();
}

int ContentFile::GrowTo(uint64_t count) {
  const uint64_t before = map_->count();
  const int error = map_->Grow(count);
  for (uint64_t block = before; error == 0 && publishing_ && block < count; ++block) MarkDirty(block);
  return error;
}

void ContentFile::Resize(uint64_t count) {
  if (claimed_.size() > count) claimed_.resize(count);
  // A block that goes and comes back is another one: what is being published is not it.
  if (being_published_.size() > count) being_published_.resize(count);
  map_->Shrink(count);
  RecountAbsent();
}

int ContentFile::Truncate(uint64_t size) {
  if (closed()) return -EIO;
  if (!tracked()) return ftruncate(fd_.get(), static_cast<off_t>(size)) == 0 ? 0 : -errno;
  const uint64_t count = BlockCountFor(size);
  bool cuts = false;
  {
    const std::lock_guard lock(mutex_);
    Range range;
    if (resizing_ || BlockedBy({Need::Kind::kResize, size, 0}, &range)) return -EAGAIN;
    // Present before the file has them (reading them finds the end), absent never.
    const int error = count > map_->count() ? GrowTo(count) : 0;
    if (error != 0) return error;
    // A block that is cut changes: its chunk still has the bytes behind the cut.
    cuts = size < SizeBytes() && size % block_size_ != 0;
    if (cuts) MarkDirty(size / block_size_);
    resizing_ = true;
    resizing_to_ = count;
  }
  // Not under the lock, which the event loop takes: freeing the blocks of a large file takes its time.
  const int result = ftruncate(fd_.get(), static_cast<off_t>(size)) == 0 ? 0 : -errno;
  Wake wake;
  std::vector<Range> missed;
  {
    const std::lock_guard lock(mutex_);
    resizing_ = false;
    if (cuts) MarkDirty(size / block_size_);
    if (result == 0 && count < map_->count()) Resize(count);
    CollectReady(&wake, &missed);
  }
  Deliver(std::move(wake), missed);
  return result;
}

int ContentFile::NoteShifted(uint64_t first) {
  if (!tracked()) return 0;
  const std::lock_guard lock(mutex_);
  const uint64_t count = BlockCountFor(SizeBytes());
  if (count < map_->count()) Resize(count);
  const int result = count > map_->count() ? GrowTo(count) : 0;
  for (uint64_t block = first; block < map_->count(); ++block) {
    SetPresent(block);
    MarkDirty(block);
  }
  return result;
}

int ContentFile::Sync(bool data_only) {
  uint64_t version = 0;
  if (tracked()) {
    const std::lock_guard lock(mutex_);
    version = map_->version();
  }
  if ((data_only ? fdatasync(fd_.get()) : fsync(fd_.get())) != 0) return -errno;
  if (!tracked()) return 0;
  int map_fd = -1;
  {
    const std::lock_guard lock(mutex_);
    map_->NoteSynced(version);
    map_fd = map_->fd();
  }
  return fdatasync(map_fd) == 0 ? 0 : -errno;
}

int ContentFile::SetMtime(int64_t seconds, int64_t nanoseconds) const {
  const timespec times[2] = {{0, UTIME_OMIT}, {static_cast<time_t>(seconds), static_cast<long>(nanoseconds)}};
  return futimens(fd_.get(), times) == 0 ? 0 : -errno;
}

void ContentFile::Close() {
  Wake wake;
  {
    const std::lock_guard lock(mutex_);
    closed_.store(true, std::memory_order_release);
    for (Parked& parked : parked_) wake.emplace_back(std::move(parked.resume), EIO);
    parked_.clear();
  }
  Deliver(std::move(wake), {});
}

}  // namespace podfs
