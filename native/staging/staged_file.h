// A file that is read or written past the page cache, where its filesystem lets it. Calls block: not on the event-loop
// thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "fuse/unique_fd.h"

namespace podfs::staging {

// Of positions, lengths and memory, for O_DIRECT: what every disk that is sold today takes.
constexpr uint64_t kAlignment = 4096;

constexpr uint64_t Padded(uint64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// Any thread. Closed with the last reference: a request holds one.
class StagedFile {
 public:
  enum class Access { kRead, kWrite };

  // The file must exist. Returns 0 or a negative errno. Transfers of different lanes take turns.
  static int Open(const std::string& path, Access access, uint32_t lane, std::shared_ptr<StagedFile>* file);

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }
  uint32_t lane() const { return lane_; }
  bool direct() const { return direct_.load(std::memory_order_relaxed); }

  // For filesystems that take O_DIRECT at open and refuse it later.
  void GiveUpDirect();

  // Room for the file, which becomes as long as that, padded. It must, before it is written: ext4 takes direct writes
  // that extend a file one at a time, each waited for (ext4_dio_write_checks), and XFS has to lock some. Where the
  // filesystem cannot allocate, only checks that there is room.
  int Allocate(uint64_t size_bytes);
  // Cuts to the exact size; then everything is on the disk. After the last write.
  int Finish(uint64_t size_bytes);

 private:
  StagedFile(UniqueFd fd, std::string path, uint32_t lane, bool direct)
      : fd_(std::move(fd)), path_(std::move(path)), lane_(lane), direct_(direct) {}
  int Truncate(uint64_t size_bytes);

  const UniqueFd fd_;
  const std::string path_;
  const uint32_t lane_;
  std::atomic<bool> direct_;
};

}  // namespace podfs::staging
