// The local image of one file: answers which of its bytes are there, and keeps those who need others waiting.
//
// Protocol: every access asks first (TryRead, BeginWrite). If blocks are absent it is kept (Park) until they
// are filled, failed, or not needed any more. Nothing here blocks but the map's growth: the caller moves bytes.
//
// A block is *absent* or *present*; a present one may be *dirty*. An absent block is *claimed* while somebody
// brings it: a fetch (Claim … Fill or Fail) or a write that covers all of it (BeginWrite … EndWrite).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "fuse/block_map.h"
#include "fuse/unique_fd.h"

namespace podfs {

// What an operation waits for.
struct Need {
  enum class Kind {
    kPresent,  // Every block of the range.
    kWrite,    // Every block of the range that the write does not cover wholly, and no claim on the others.
    kResize,   // `offset` is the new size: the block it cuts is present, nothing is being fetched behind it.
  };
  Kind kind;
  uint64_t offset;
  uint64_t length;
};

// Blocks a write has taken; from BeginWrite to EndWrite.
struct WriteGrant {
  uint64_t offset = 0;
  uint64_t length = 0;
  std::vector<uint64_t> taken;  // Absent before, wholly covered.
};

class ContentFile {
 public:
  class Listener {
   public:
    virtual ~Listener() = default;
    // Any thread, with no lock held.
    virtual void OnMiss(uint64_t first, uint64_t count) = 0;
    virtual void OnTrigger(uint64_t block) = 0;
  };
  enum class Access { kGranted, kBlocked, kClosed };
  // Called once, with no lock held: 0 to try again, or the errno (positive) the operation fails with.
  using Resume = std::function<void(int error)>;

  // With an empty `map_path` every block is present and no write is tracked; `listener` may be null then. Returns 0 or
  // a negative errno.
  static int Open(UniqueFd fd, uint32_t block_size, const std::string& map_path, std::shared_ptr<Listener> listener,
                  std::shared_ptr<ContentFile>* out);

  int fd() const { return fd_.get(); }
  bool complete() const { return absent_count_.load(std::memory_order_acquire) == 0; }
  bool tracked() const { return map_ != nullptr; }
  bool closed() const { return closed_.load(std::memory_order_acquire); }
  uint32_t block_size() const { return block_size_; }

  // Lock-free where the file is complete.
  Access TryRead(uint64_t offset, uint64_t length);
  // 0, -EAGAIN (blocked: Park), or another negative errno. Blocks the range adds to the file become present,
  // and every block it touches dirty, before this returns; EndWrite follows.
  int BeginWrite(uint64_t offset, uint64_t length, WriteGrant* grant);
  // `written` is what was written from the start of the range (0 after an error).
  void EndWrite(const WriteGrant& grant, uint64_t written);
  // False if there is no need to wait (any more), or the file is closed: `resume` was not kept, try again.
  bool Park(const Need& need, uint64_t token, Resume resume);
  // Takes back what was parked with this token (0 is no token); an empty function if it is not there.
  Resume Unpark(uint64_t token);

  std::vector<uint64_t> Claim(uint64_t first, uint64_t count);
  void Fill(uint64_t first, uint64_t count);
  void Fail(uint64_t first, uint64_t count, int error);
  bool Has(uint64_t block);
  // First absent block at or after `block`; UINT64_MAX if there is none.
  uint64_t NextAbsent(uint64_t block);
  void SetTrigger(uint64_t block) {
    if (listener_ != nullptr) trigger_.store(static_cast<int64_t>(block), std::memory_order_release);
  }

  // -EBUSY while another publish is under way.
  int BeginPublish(std::vector<uint64_t>* dirty);
  void EndPublish(bool published);

  // ftruncate with the map kept in step. 0, -EAGAIN (blocked by {kResize, size}), or another negative errno.
  int Truncate(uint64_t size);
  // After the file got longer, or shifted its blocks from `first` on (all are present then): these and new ones
  // become dirty. `first` UINT64_MAX: it only got longer.
  int NoteShifted(uint64_t first);
  int Sync(bool data_only);
  int SetMtime(int64_t seconds, int64_t nanoseconds) const;

  // Parked operations resume with EIO, later ones fail. The descriptor closes with the last reference.
  void Close();

 private:
  struct Parked {
    Need need;
    uint64_t token;
    Resume resume;
  };
  struct Range {
    uint64_t first = 1;
    uint64_t last = 0;  // Inclusive; before `first`: empty.
  };
  using Wake = std::vector<std::pair<Resume, int>>;

  ContentFile(UniqueFd fd, uint32_t block_size, std::shared_ptr<Listener> listener)
      : fd_(std::move(fd)), block_size_(block_size), listener_(std::move(listener)) {}
  // All of these: REQUIRES mutex_.
  bool Absent(uint64_t block) const { return !map_->present(block); }
  bool Claimed(uint64_t block) const { return block < claimed_.size() && claimed_[block]; }
  bool Blocks(const Need& need, uint64_t block, uint64_t size) const;
  // The blocks that keep the need waiting, first to last (empty while a resize does); false if nothing does.
  bool BlockedBy(const Need& need, Range* range) const;
  void MarkDirty(uint64_t block);
  void SetClaimed(uint64_t block, bool claimed);
  void SetPresent(uint64_t block);
  int GrowTo(uint64_t count);
  void Resize(uint64_t count);
  void RecountAbsent();
  // Moves what need not wait any more to `wake`; appends to `missed` what waits for blocks nobody brings.
  void CollectReady(Wake* wake, std::vector<Range>* missed);
  // Not under the lock.
  void Deliver(Wake wake, const std::vector<Range>& missed);
  void ReportMiss(const Range& range);
  uint64_t SizeBytes() const;
  uint64_t BlockCountFor(uint64_t size) const { return (size + block_size_ - 1) / block_size_; }

  const UniqueFd fd_;
  const uint32_t block_size_;
  const std::shared_ptr<Listener> listener_;  // May be null if there is no map: no miss and no trigger then.
  std::atomic<uint64_t> absent_count_{0};     // Written under mutex_.
  std::atomic<int64_t> trigger_{-1};
  std::atomic<bool> closed_{false};  // Written under mutex_.

  std::mutex mutex_;
  std::unique_ptr<BlockMap> map_;      // Set at Open; what it points to is GUARDED BY mutex_.
  std::vector<bool> claimed_;          // GUARDED BY mutex_; may be shorter than the map.
  bool resizing_ = false;              // GUARDED BY mutex_: writes and other resizes wait.
  uint64_t resizing_to_ = 0;           // GUARDED BY mutex_: blocks from here on cannot be claimed meanwhile.
  bool publishing_ = false;            // GUARDED BY mutex_
  std::vector<bool> being_published_;  // GUARDED BY mutex_
  std::vector<bool> dirtied_again_;    // GUARDED BY mutex_: since BeginPublish.
  std::vector<Parked> parked_;         // GUARDED BY mutex_
};

}  // namespace podfs
