#include "fuse/pipe.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace podfs {

namespace {
constexpr size_t kPageBytes = 4096;
}

int Pipe::Open(size_t bytes) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return -errno;
  read_end_.reset(ends[0]);
  write_end_.reset(ends[1]);
  // A pipe counts pages, not bytes: one for the header, and one more when the payload is not page-aligned. The
  // kernel drops a request that does not fit, so there must be room.
  const size_t needed = bytes + 2 * kPageBytes;
  size_t power = kPageBytes;
  while (power < needed) power *= 2;
  if (fcntl(write_end_.get(), F_SETPIPE_SZ, static_cast<int>(power)) < 0) {
    const int error = errno;
    Close();
    return -error;
  }
  return 0;
}

void Pipe::Close() {
  read_end_.reset();
  write_end_.reset();
  held_bytes_ = 0;
}

int64_t Pipe::Take(int device_fd, size_t bytes_max) {
  for (;;) {
    const ssize_t n = splice(device_fd, nullptr, write_end_.get(), nullptr, bytes_max, 0);
    if (n >= 0) {
      held_bytes_ = static_cast<size_t>(n);
      return n;
    }
    if (errno != EINTR && errno != ENOENT) return -errno;
  }
}

bool Pipe::Copy(void* into, size_t bytes) {
  auto* to = static_cast<char*>(into);
  while (bytes > 0) {
    const ssize_t n = read(read_end_.get(), to, bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    to += n;
    bytes -= static_cast<size_t>(n);
    held_bytes_ -= std::min(held_bytes_, static_cast<size_t>(n));
  }
  return true;
}

void Pipe::Discard() {
  char waste[16 * kPageBytes];
  while (held_bytes_ > 0 && Copy(waste, std::min(held_bytes_, sizeof(waste)))) {
  }
  held_bytes_ = 0;
}

int64_t Pipe::MoveToFile(int file_fd, uint64_t offset, size_t bytes) {
  auto position = static_cast<off64_t>(offset);
  size_t moved = 0;
  int error = 0;
  while (moved < bytes) {
    const ssize_t n = splice(read_end_.get(), nullptr, file_fd, &position, bytes - moved, SPLICE_F_MOVE);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      error = n < 0 ? errno : EIO;
      break;
    }
    moved += static_cast<size_t>(n);
    held_bytes_ -= static_cast<size_t>(n);
  }
  Discard();
  return moved > 0 || bytes == 0 ? static_cast<int64_t>(moved) : -error;
}

int Pipe::SendFile(const void* header, size_t header_bytes, int file_fd, uint64_t offset, size_t bytes,
                   int device_fd) {
  if (write(write_end_.get(), header, header_bytes) != static_cast<ssize_t>(header_bytes)) return -EAGAIN;
  held_bytes_ = header_bytes;
  auto position = static_cast<off64_t>(offset);
  const size_t whole = header_bytes + bytes;
  while (held_bytes_ < whole) {
    const ssize_t n = splice(file_fd, &position, write_end_.get(), nullptr, whole - held_bytes_, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      Discard();
      return -EAGAIN;
    }
    held_bytes_ += static_cast<size_t>(n);
  }
  // Without SPLICE_F_MOVE: that would take the pages out of the backing file's page cache.
  ssize_t sent = 0;
  do {
    sent = splice(read_end_.get(), nullptr, device_fd, nullptr, whole, 0);
  } while (sent < 0 && errno == EINTR);
  const int result = sent < 0 ? -errno : 0;
  // After an error the kernel may have consumed some of it: a new pipe is the sure way to an empty one.
  if (sent != static_cast<ssize_t>(whole)) {
    Close();
  } else {
    held_bytes_ = 0;
  }
  return result == -EAGAIN ? -EIO : result;
}

}  // namespace podfs
