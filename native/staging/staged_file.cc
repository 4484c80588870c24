#include "staging/staged_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace podfs::staging {

namespace {

// What a stat(2) block is, whatever the filesystem's are.
constexpr uint64_t kStatBlockBytes = 512;

template <typename Call>
int UntilNotInterrupted(const Call& call) {
  int result = 0;
  do {
    result = call();
  } while (result < 0 && errno == EINTR);
  return result < 0 ? -errno : result;
}

}  // namespace

int StagedFile::Open(const std::string& path, Access access, uint32_t lane, std::shared_ptr<StagedFile>* file) {
  const int flags = (access == Access::kRead ? O_RDONLY : O_WRONLY) | O_CLOEXEC;
  const auto open_with = [&](int more) {
    return UntilNotInterrupted([&] { return open(path.c_str(), flags | more); });
  };
  int fd = open_with(O_DIRECT);
  const bool direct = fd != -EINVAL;
  if (!direct) fd = open_with(0);
  if (fd < 0) return fd;
  file->reset(new StagedFile(UniqueFd(fd), path, lane, direct));
  return 0;
}

void StagedFile::GiveUpDirect() {
  direct_.store(false, std::memory_order_relaxed);
  const int flags = fcntl(fd_.get(), F_GETFL);
  if (flags >= 0) fcntl(fd_.get(), F_SETFL, flags & ~O_DIRECT);
}

int StagedFile::Allocate(uint64_t size_bytes) {
  const uint64_t bytes = Padded(size_bytes);
  if (bytes == 0) return 0;
  struct stat before {};
  if (fstat(fd_.get(), &before) != 0) return -errno;
  const int status = UntilNotInterrupted([&] { return fallocate(fd_.get(), 0, 0, static_cast<off_t>(bytes)); });
  if (status == 0) return 0;
  const auto size = static_cast<uint64_t>(before.st_size);
  if (status != -EOPNOTSUPP && status != -ENOSYS) {
    // Gives back what it got before it failed.
    Truncate(size);
    return status;
  }
  struct statvfs volume {};
  if (fstatvfs(fd_.get(), &volume) != 0) return -errno;
  const uint64_t owned = static_cast<uint64_t>(before.st_blocks) * kStatBlockBytes;
  if (volume.f_bavail * volume.f_frsize + owned < bytes) return -ENOSPC;
  return Truncate(std::max(size, bytes));
}

int StagedFile::Finish(uint64_t size_bytes) {
  const int status = Truncate(size_bytes);
  return status != 0 ? status : UntilNotInterrupted([&] { return fsync(fd_.get()); });
}

int StagedFile::Truncate(uint64_t size_bytes) {
  return UntilNotInterrupted([&] { return ftruncate(fd_.get(), static_cast<off_t>(size_bytes)); });
}

}  // namespace podfs::staging
