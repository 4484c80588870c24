// A pipe that holds one whole request, so that its pages can go from /dev/fuse to a file, or back, uncopied.
#pragma once

#include <cstddef>
#include <cstdint>

#include "fuse/unique_fd.h"

namespace podfs {

class Pipe {
 public:
  // A pipe with room for `bytes` of payload and a header. Unprivileged processes have a limit of 1 MiB
  // (/proc/sys/fs/pipe-max-size): returns a negative errno then, and requests are copied instead.
  int Open(size_t bytes);
  bool valid() const { return read_end_.valid(); }
  void Close();

  // One request from the device: its bytes, or a negative errno.
  int64_t Take(int device_fd, size_t bytes_max);
  // Copies the next `bytes` out; false if they are not there.
  bool Copy(void* into, size_t bytes);
  // Throws away what the pipe holds.
  void Discard();
  // Moves `bytes` to the file; how many got there, or a negative errno if none did. Leaves the pipe empty.
  int64_t MoveToFile(int file_fd, uint64_t offset, size_t bytes);
  // Sends header and `bytes` of the file as one message; -EAGAIN (and nothing sent) if the file ended before.
  int SendFile(const void* header, size_t header_bytes, int file_fd, uint64_t offset, size_t bytes, int device_fd);

 private:
  UniqueFd read_end_;
  UniqueFd write_end_;
  size_t held_bytes_ = 0;
};

}  // namespace podfs
