#include "fuse/content_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <limits>

namespace podfs {

int ContentFile::Open(UniqueFd fd, uint32_t block_size, const std::string& map_path, std::shared_ptr<Listener> listener,
                      std::shared_ptr<ContentFile>* out) {
  assert(block_size > 0);
  assert(listener != nullptr || map_path.empty());
  std::shared_ptr<ContentFile> file(new ContentFile(std::move(fd), block_size, std::move(listener)));
  if (!map_path.empty()) {
    struct stat status;
    if (fstat(file->fd(), &status) != 0) return -errno;
    const uint64_t count = file->BlockCountFor(static_cast<uint64_t>(status.st_size));
    const int error = BlockMap::Open(map_path, block_size, count, &file->map_);
    if (error != 0) return error;
    file->RecountAbsent();
  }
  *out = std::move(file);
  return 0;
}

uint64_t ContentFile::SizeBytes() const {
  struct stat status;
  return fstat(fd_.get(), &status) == 0 ? static_cast<uint64_t>(status.st_size) : 0;
}

void ContentFile::RecountAbsent() {
  uint64_t absent = 0;
  for (uint64_t block = 0; block < map_->count(); ++block) absent += Absent(block) ? 1 : 0;
  absent_count_.store(absent, std::memory_order_release);
}

// --- Access

ContentFile::Access ContentFile::TryRead(uint64_t offset, uint64_t length) {
  if (closed()) return Access::kClosed;
  if (length == 0) return Access::kGranted;
  const uint64_t first = offset / block_size_;
  const uint64_t last = (offset + length - 1) / block_size_;
  int64_t trigger = trigger_.load(std::memory_order_acquire);
  if (trigger >= 0 && static_cast<uint64_t>(trigger) >= first && static_cast<uint64_t>(trigger) <= last &&
      trigger_.compare_exchange_strong(trigger, -1)) {
    listener_->OnTrigger(static_cast<uint64_t>(trigger));
  }
  if (complete()) return Access::kGranted;
  const std::lock_guard lock(mutex_);
  Range range;
  return BlockedBy({Need::Kind::kPresent, offset, length}, &range) ? Access::kBlocked : Access::kGranted;
}

bool ContentFile::Blocks(const Need& need, uint64_t block, uint64_t size) const {
  if (!Absent(block)) return false;
  const uint64_t start = block * block_size_;
  switch (need.kind) {
    case Need::Kind::kPresent:
      return true;
    case Need::Kind::kWrite: {
      const uint64_t end = std::min(start + block_size_, size);
      const bool covered = need.offset <= start && need.offset + need.length >= end;
      return !covered || Claimed(block);
    }
    case Need::Kind::kResize:
      return Claimed(block) || (start < need.offset && need.offset < size);
  }
  return false;
}

bool ContentFile::BlockedBy(const Need& need, Range* range) const {
  if (resizing_ && need.kind != Need::Kind::kPresent) {
    *range = {};
    return true;
  }
  if (complete() || map_->count() == 0) return false;
  const bool resize = need.kind == Need::Kind::kResize;
  // A resize concerns the block it cuts and all behind it; one that cuts nothing starts at the next block.
  const uint64_t size = need.kind == Need::Kind::kPresent ? 0 : SizeBytes();
  if (resize && need.offset >= size) return false;
  const uint64_t first = need.offset / block_size_;
  const uint64_t end = resize || need.length > std::numeric_limits<uint64_t>::max() - need.offset
                           ? std::numeric_limits<uint64_t>::max()
                           : need.offset + need.length;
  const uint64_t last = std::min((end - 1) / block_size_, map_->count() - 1);
  bool found = false;
  for (uint64_t block = first; block <= last; ++block) {
    if (!Blocks(need, block, size)) continue;
    if (!found) range->first = block;
    range->last = block;
    found = true;
  }
  return found;
}

int ContentFile::BeginWrite(uint64_t offset, uint64_t length, WriteGrant* grant) {
  grant->offset = offset;
  grant->length = length;
  grant->taken.clear();
  if (closed()) return -EIO;
  if (!tracked() || length == 0) return 0;
  const std::lock_guard lock(mutex_);
  Range range;
  if (BlockedBy({Need::Kind::kWrite, offset, length}, &range)) return -EAGAIN;
  const uint64_t first = offset / block_size_;
  const uint64_t last = (offset + length - 1) / block_size_;
  if (last >= map_->count()) {
    const int error = GrowTo(last + 1);
    if (error != 0) return error;
  }
  for (uint64_t block = first; block <= last; ++block) {
    if (Absent(block)) {
      SetClaimed(block, true);
      grant->taken.push_back(block);
    }
    // Before the bytes change, so that a crash between the two cannot leave a changed block that counts as clean.
    MarkDirty(block);
  }
  return 0;
}

void ContentFile::EndWrite(const WriteGrant& grant, uint64_t written) {
  if (!tracked() || grant.length == 0) return;
  Wake wake;
  std::vector<Range> missed;
  {
    const std::lock_guard lock(mutex_);
    for (const uint64_t block : grant.taken) {
      SetClaimed(block, false);
      if (block >= map_->count()) continue;
      const uint64_t covered_to = std::min((block + 1) * block_size_, grant.offset + grant.length);
      if (grant.offset + written >= covered_to) {
        SetPresent(block);
      } else {
        map_->clear_dirty(block);
      }
    }
    // Again, after the bytes have changed: a publish that began meanwhile may have read the old ones.
    const uint64_t last = (grant.offset + grant.length - 1) / block_size_;
    for (uint64_t block = grant.offset / block_size_; block <= last && block < map_->count(); ++block) {
      if (!Absent(block)) MarkDirty(block);
    }
    if (!grant.taken.empty()) CollectReady(&wake, &missed);
  }
  Deliver(std::move(wake), missed);
}

void ContentFile::MarkDirty(uint64_t block) {
  map_->set_dirty(block);
  if (publishing_) {
    if (block >= dirtied_again_.size()) dirtied_again_.resize(block + 1);
    dirtied_again_[block] = true;
  }
}

void ContentFile::SetClaimed(uint64_t block, bool claimed) {
  if (block >= claimed_.size()) {
    if (!claimed) return;
    claimed_.resize(map_->count());
  }
  claimed_[block] = claimed;
}

void ContentFile::SetPresent(uint64_t block) {
  if (!Absent(block)) return;
  map_->set_present(block);
  absent_count_.fetch_sub(1, std::memory_order_acq_rel);
}

// --- Waiting

bool ContentFile::Park(const Need& need, uint64_t token, Resume resume) {
  Range range;
  {
    const std::lock_guard lock(mutex_);
    if (closed() || !tracked() || !BlockedBy(need, &range)) return false;
    parked_.push_back({need, token, std::move(resume)});
  }
  ReportMiss(range);
  return true;
}

ContentFile::Resume ContentFile::Unpark(uint64_t token) {
  const std::lock_guard lock(mutex_);
  const auto found =
      std::find_if(parked_.begin(), parked_.end(), [token](const Parked& parked) { return parked.token == token; });
  if (token == 0 || found == parked_.end()) return nullptr;
  Resume resume = std::move(found->resume);
  parked_.erase(found);
  return resume;
}

void ContentFile::CollectReady(Wake* wake, std::vector<Range>* missed) {
  auto keep = parked_.begin();
  for (auto& parked : parked_) {
    Range range;
    if (!BlockedBy(parked.need, &range)) {
      wake->emplace_back(std::move(parked.resume), 0);
      continue;
    }
    bool nobody = false;
    for (uint64_t block = range.first; block <= range.last; ++block) nobody |= Absent(block) && !Claimed(block);
    if (nobody) missed->push_back(range);
    if (&*keep != &parked) *keep = std::move(parked);
    ++keep;
  }
  parked_.erase(keep, parked_.end());
}

void ContentFile::Deliver(Wake wake, const std::vector<Range>& missed) {
  for (auto& [resume, error] : wake) resume(error);
  for (const Range& range : missed) ReportMiss(range);
}

void ContentFile::ReportMiss(const Range& range) {
  if (range.first <= range.last) listener_->OnMiss(range.first, range.last - range.first + 1);
}

// --- Fetching

std::vector<uint64_t> ContentFile::Claim(uint64_t first, uint64_t count) {
  std::vector<uint64_t> claimed;
  if (complete()) return claimed;
  const std::lock_guard lock(mutex_);
  // What a fetch wrote behind the new end of a file that is being cut would make it longer again.
  const uint64_t end = std::min(resizing_ ? std::min(map_->count(), resizing_to_) : map_->count(), first + count);
  for (uint64_t block = first; block < end; ++block) {
    if (!Absent(block) || Claimed(block)) continue;
    SetClaimed(block, true);
    claimed.push_back(block);
  }
  return claimed;
}

void ContentFile::Fill(uint64_t first, uint64_t count) {
  if (!tracked()) return;
  Wake wake;
  std::vector<Range> missed;
  {
    const std::lock_guard lock(mutex_);
    const uint64_t end = std::min(map_->count(), first + count);
    for (uint64_t block = first; block < end; ++block) {
      if (!Claimed(block)) continue;
      SetClaimed(block, false);
      SetPresent(block);
    }
    CollectReady(&wake, &missed);
    missed.clear();  // Whoever waits for others has told so when it parked.
  }
  Deliver(std::move(wake), missed);
}

void ContentFile::Fail(uint64_t first, uint64_t count, int error) {
  if (!tracked()) return;
  Wake wake;
  {
    const std::lock_guard lock(mutex_);
    const uint64_t end = std::min(map_->count(), first + count);
    for (uint64_t block = first; block < end; ++block) SetClaimed(block, false);
    auto keep = parked_.begin();
    for (auto& parked : parked_) {
      Range range;
      if (!BlockedBy(parked.need, &range)) {
        wake.emplace_back(std::move(parked.resume), 0);
      } else if (range.first < first + count && range.last >= first) {
        wake.emplace_back(std::move(parked.resume), error);
      } else {
        if (&*keep != &parked) *keep = std::move(parked);
        ++keep;
      }
    }
    parked_.erase(keep, parked_.end());
  }
  Deliver(std::move(wake), {});
}

bool ContentFile::Has(uint64_t block) {
  if (complete()) return true;
  const std::lock_guard lock(mutex_);
  return block >= map_->count() || !Absent(block);
}

uint64_t ContentFile::NextAbsent(uint64_t block) {
  if (complete()) return std::numeric_limits<uint64_t>::max();
  const std::lock_guard lock(mutex_);
  while (block < map_->count() && !Absent(block)) ++block;
  return block < map_->count() ? block : std::numeric_limits<uint64_t>::max();
}

}  // namespace podfs
