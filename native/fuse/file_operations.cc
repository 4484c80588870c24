#include "fuse/file_operations.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>
#include <vector>

namespace podfs {

namespace {

constexpr uint64_t kCopyBufferBytes = 1 << 20;

int64_t SizeOf(int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 ? status.st_size : -errno;
}

// copy_file_range where the filesystem can, else through a buffer. The count, or a negative errno if it is 0.
int64_t CopyBytes(int from, uint64_t from_offset, int to, uint64_t to_offset, uint64_t length) {
  uint64_t copied = 0;
  while (copied < length) {
    auto in = static_cast<off64_t>(from_offset + copied);
    auto out = static_cast<off64_t>(to_offset + copied);
    const ssize_t n = copy_file_range(from, &in, to, &out, length - copied, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;
    if (n == 0) return static_cast<int64_t>(copied);
    copied += static_cast<uint64_t>(n);
  }
  std::vector<char> buffer(copied < length ? std::min(kCopyBufferBytes, length - copied) : 0);
  while (copied < length) {
    const int64_t got =
        ReadFully(from, buffer.data(), std::min<uint64_t>(buffer.size(), length - copied), from_offset + copied);
    const int64_t put = got > 0 ? WriteFully(to, buffer.data(), static_cast<uint64_t>(got), to_offset + copied) : got;
    if (put < 0 && copied == 0) return put;
    if (put <= 0) break;
    copied += static_cast<uint64_t>(put);
  }
  return static_cast<int64_t>(copied);
}

}  // namespace

int64_t ReadFully(int fd, char* buffer, uint64_t length, uint64_t offset) {
  uint64_t done = 0;
  while (done < length) {
    const ssize_t n = pread(fd, buffer + done, length - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return done > 0 ? static_cast<int64_t>(done) : -errno;
    if (n == 0) break;
    done += static_cast<uint64_t>(n);
  }
  return static_cast<int64_t>(done);
}

int64_t WriteFully(int fd, const char* buffer, uint64_t length, uint64_t offset) {
  uint64_t done = 0;
  while (done < length) {
    const ssize_t n = pwrite(fd, buffer + done, length - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return done > 0 || n == 0 ? static_cast<int64_t>(done) : -errno;
    done += static_cast<uint64_t>(n);
  }
  return static_cast<int64_t>(done);
}

void RunOperation(WorkerPool* pool, Attempt attempt, Done done) {
  const bool posted = pool->Post([pool, attempt, done] {
    for (;;) {
      Wait wait;
      const std::optional<int64_t> result = attempt(&wait);
      if (result.has_value()) return done(*result);
      const bool parked = wait.file->Park(wait.need, 0, [pool, attempt, done](int error) {
        if (error != 0) return done(-error);
        RunOperation(pool, attempt, done);
      });
      if (parked) return;
    }
  });
  if (!posted) done(-ECANCELED);
}

Attempt ReadAttempt(std::shared_ptr<ContentFile> file, char* buffer, uint64_t length, uint64_t offset) {
  return [file = std::move(file), buffer, length, offset](Wait* wait) -> std::optional<int64_t> {
    switch (file->TryRead(offset, length)) {
      case ContentFile::Access::kGranted:
        return ReadFully(file->fd(), buffer, length, offset);
      case ContentFile::Access::kBlocked:
        *wait = {{Need::Kind::kPresent, offset, length}, file};
        return std::nullopt;
      case ContentFile::Access::kClosed:
        break;
    }
    return -EIO;
  };
}

namespace {

// Takes the range, runs `change`, gives the range back. `change` returns the bytes changed or a negative errno.
std::optional<int64_t> ChangeRange(const std::shared_ptr<ContentFile>& file, uint64_t offset, uint64_t length,
                                   Wait* wait, const std::function<int64_t()>& change) {
  WriteGrant grant;
  const int status = file->BeginWrite(offset, length, &grant);
  if (status == -EAGAIN) {
    *wait = {{Need::Kind::kWrite, offset, length}, file};
    return std::nullopt;
  }
  if (status != 0) return status;
  const int64_t changed = change();
  file->EndWrite(grant, changed > 0 ? static_cast<uint64_t>(changed) : 0);
  return changed;
}

}  // namespace

Attempt WriteAttempt(std::shared_ptr<ContentFile> file, const char* buffer, uint64_t length, uint64_t offset) {
  return [file = std::move(file), buffer, length, offset](Wait* wait) {
    return ChangeRange(file, offset, length, wait, [&] { return WriteFully(file->fd(), buffer, length, offset); });
  };
}

Attempt TruncateAttempt(std::shared_ptr<ContentFile> file, uint64_t size) {
  return [file = std::move(file), size](Wait* wait) -> std::optional<int64_t> {
    const int status = file->Truncate(size);
    if (status != -EAGAIN) return status;
    *wait = {{Need::Kind::kResize, size, 0}, file};
    return std::nullopt;
  };
}

Attempt FallocateAttempt(std::shared_ptr<ContentFile> file, int mode, uint64_t offset, uint64_t length) {
  return [file = std::move(file), mode, offset, length](Wait* wait) -> std::optional<int64_t> {
    if (file->closed()) return -EIO;
    const auto allocate = [&]() -> int64_t {
      int result = 0;
      do {
        result = fallocate(file->fd(), mode, static_cast<off_t>(offset), static_cast<off_t>(length));
      } while (result != 0 && errno == EINTR);
      return result == 0 ? 0 : -errno;
    };
    const bool shifts = (mode & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE)) != 0;
    const bool zeroes = (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0;
    if (shifts) {
      const Need all = {Need::Kind::kPresent, offset, std::numeric_limits<uint64_t>::max()};
      const auto access = file->TryRead(offset, std::numeric_limits<uint64_t>::max() - offset);
      if (access == ContentFile::Access::kBlocked) {
        *wait = {all, file};
        return std::nullopt;
      }
      const int64_t result = allocate();
      return result == 0 ? file->NoteShifted(offset / file->block_size()) : result;
    }
    if (!zeroes) {
      // Space only, or a longer file whose new blocks are holes: no byte that was there changes.
      const int64_t result = allocate();
      const int64_t size = SizeOf(file->fd());
      if (result != 0 || size < 0) return result != 0 ? result : size;
      return file->NoteShifted(std::numeric_limits<uint64_t>::max());
    }
    // With KEEP_SIZE nothing behind the end changes, and must not be noted as new blocks.
    const int64_t size = SizeOf(file->fd());
    if (size < 0) return size;
    const bool keeps_size = (mode & FALLOC_FL_KEEP_SIZE) != 0;
    const uint64_t end = keeps_size ? std::min(offset + length, static_cast<uint64_t>(size)) : offset + length;
    if (end <= offset) return allocate();
    return ChangeRange(file, offset, end - offset, wait, [&] {
      const int64_t result = allocate();
      return result == 0 ? static_cast<int64_t>(end - offset) : result;
    });
  };
}

Attempt CopyAttempt(std::shared_ptr<ContentFile> from, uint64_t from_offset, std::shared_ptr<ContentFile> to,
                    uint64_t to_offset, uint64_t length) {
  return [=](Wait* wait) -> std::optional<int64_t> {
    const int64_t size = SizeOf(from->fd());
    if (size < 0) return size;
    if (static_cast<uint64_t>(size) <= from_offset) return 0;
    const uint64_t count = std::min(length, static_cast<uint64_t>(size) - from_offset);
    switch (from->TryRead(from_offset, count)) {
      case ContentFile::Access::kBlocked:
        *wait = {{Need::Kind::kPresent, from_offset, count}, from};
        return std::nullopt;
      case ContentFile::Access::kClosed:
        return -EIO;
      case ContentFile::Access::kGranted:
        break;
    }
    return ChangeRange(to, to_offset, count, wait,
                       [&] { return CopyBytes(from->fd(), from_offset, to->fd(), to_offset, count); });
  };
}

int64_t SeekDataOrHole(ContentFile* file, uint64_t offset, int whence) {
  const int64_t size = SizeOf(file->fd());
  if (size < 0) return size;
  const auto size_bytes = static_cast<uint64_t>(size);
  if (offset >= size_bytes) return -ENXIO;
  const uint64_t block_size = file->block_size();
  if (whence == SEEK_DATA) {
    const uint64_t absent = file->NextAbsent(offset / block_size);
    const off_t found = lseek(file->fd(), static_cast<off_t>(offset), SEEK_DATA);
    if (found < 0 && errno != ENXIO) return -errno;
    if (absent >= (size_bytes + block_size - 1) / block_size) return found < 0 ? -ENXIO : found;
    const auto absent_at = static_cast<int64_t>(std::max(offset, absent * block_size));
    return found < 0 ? absent_at : std::min<int64_t>(found, absent_at);
  }
  uint64_t position = offset;
  while (position < size_bytes) {
    const off_t hole = lseek(file->fd(), static_cast<off_t>(position), SEEK_HOLE);
    if (hole < 0) return -errno;
    // An absent block is a hole in the local file and data in the volume: look behind it.
    const uint64_t absent = file->NextAbsent(static_cast<uint64_t>(hole) / block_size);
    if (absent != static_cast<uint64_t>(hole) / block_size) return hole;
    position = (absent + 1) * block_size;
  }
  return size;
}

}  // namespace podfs
