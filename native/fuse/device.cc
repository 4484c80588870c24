#include "fuse/device.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace podfs {

namespace {
// The kernel pins the pages of each part of a message by itself: a short one is cheaper copied into one piece
// (docs/decisions/0007).
constexpr size_t kOnePieceBytesMax = 512;
}  // namespace

Device::Device(UniqueFd fd) : fd_(std::move(fd)) {
  const int flags = fcntl(fd_.get(), F_GETFL);
  if (flags >= 0) fcntl(fd_.get(), F_SETFL, flags | O_NONBLOCK);
}

int64_t Device::Read(char* buffer, size_t bytes) const {
  for (;;) {
    const ssize_t n = read(fd_.get(), buffer, bytes);
    if (n >= 0) return n;
    // ENOENT: the request was interrupted between being queued and being read; there are others.
    if (errno != EINTR && errno != ENOENT) return -errno;
  }
}

int Device::Send(int32_t error, uint64_t unique, const void* body, size_t bytes) const {
  OutHeader header = {static_cast<uint32_t>(sizeof(OutHeader) + bytes), error, unique};
  alignas(kOnePieceBytesMax) char piece[kOnePieceBytesMax];  // On one page.
  if (bytes <= sizeof(piece) - sizeof(header)) {
    memcpy(piece, &header, sizeof(header));
    if (bytes > 0) memcpy(piece + sizeof(header), body, bytes);
    for (;;) {
      if (write(fd_.get(), piece, sizeof(header) + bytes) >= 0) return 0;
      if (errno != EINTR) return -errno;
    }
  }
  const iovec parts[2] = {{&header, sizeof(header)}, {const_cast<void*>(body), bytes}};
  for (;;) {
    if (writev(fd_.get(), parts, 2) >= 0) return 0;
    if (errno != EINTR) return -errno;
  }
}

int Device::Reply(uint64_t unique, int error, const void* body, size_t bytes) const {
  return Send(error, unique, body, error == 0 ? bytes : 0);
}

int Device::OpenBacking(int file_fd) const {
  BackingMap map = {file_fd, 0, 0};
  const int id = ioctl(fd_.get(), kIoctlBackingOpen, &map);
  return id > 0 ? id : -errno;
}

int Device::CloseBacking(int backing_id) const {
  auto id = static_cast<uint32_t>(backing_id);
  return ioctl(fd_.get(), kIoctlBackingClose, &id) == 0 ? 0 : -errno;
}

}  // namespace podfs
