// One open /dev/fuse: requests in, replies and notifications out.
#pragma once

#include <cstddef>
#include <cstdint>

#include "fuse/protocol.h"
#include "fuse/unique_fd.h"

namespace podfs {

// Thread-safe: the kernel hands each request to one reader and takes replies from anybody.
class Device {
 public:
  // The descriptor is made non-blocking.
  explicit Device(UniqueFd fd);

  int fd() const { return fd_.get(); }
  // The bytes of one request, or a negative errno: EAGAIN when there is none, ENODEV after an unmount.
  int64_t Read(char* buffer, size_t bytes) const;
  // `error` is 0 or a negative errno (then there is no body). 0 or a negative errno; ENOENT: nobody waits any more.
  int Reply(uint64_t unique, int error, const void* body, size_t bytes) const;
  // Any message: a reply, or a notification, which has no unique and its code for an error.
  int Send(int32_t error, uint64_t unique, const void* body, size_t bytes) const;
  // A positive backing id, or a negative errno.
  int OpenBacking(int file_fd) const;
  int CloseBacking(int backing_id) const;
  // Only when no other thread uses it any more.
  void Close() { fd_.reset(); }

 private:
  UniqueFd fd_;
};

}  // namespace podfs
