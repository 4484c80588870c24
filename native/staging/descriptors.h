// Descriptors that go from one process to another, over a Unix stream socket (SCM_RIGHTS).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "fuse/unique_fd.h"

namespace podfs::staging {

// What a socket takes whole, if nothing waits in it.
constexpr size_t kDescriptorMessageBytesMax = 4096;

// Does not block. Returns 0 or a negative errno: EAGAIN if the socket has no room.
int SendDescriptor(int socket_fd, std::string_view message, int fd);

struct DescriptorAnswer {
  int error = 0;  // A negative errno; then the rest is empty.
  UniqueFd socket;
  UniqueFd fd;       // Invalid: none came.
  std::string line;  // Without its end. What follows it is still in the socket.
};

// Connects, sends `message`, waits for a line and the descriptor that comes with it. Blocks, for `timeout_ms` at most
// (ETIMEDOUT).
DescriptorAnswer ConnectForDescriptor(const std::string& path, std::string_view message, uint32_t timeout_ms);

}  // namespace podfs::staging
