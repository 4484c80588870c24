#include "staging/descriptors.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

namespace podfs::staging {

namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kLineBytesMax = 64 << 10;
// Of a connect that finds the queue of the listener full.
constexpr useconds_t kRetryMicros = 5'000;

// Room for one descriptor. The padding at the end takes one more on 64 bits: whoever receives must look at all.
union Control {
  cmsghdr header;
  char bytes[CMSG_SPACE(sizeof(int))];
};

int WaitFor(int fd, int16_t events, Clock::time_point deadline) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd waiting = {fd, events, 0};
    const int ready = poll(&waiting, 1, static_cast<int>(std::max<int64_t>(left, 0)));
    if (ready > 0) return 0;
    if (ready == 0) return -ETIMEDOUT;
    if (errno != EINTR) return -errno;
  }
}

int Connect(int fd, const std::string& path, Clock::time_point deadline) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) return -ENAMETOOLONG;
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  while (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    // Not EINPROGRESS: a Unix socket is connected at once, or finds the listener's queue full (unix(7)).
    if (errno != EAGAIN && errno != EINTR) return -errno;
    if (Clock::now() >= deadline) return -ETIMEDOUT;
    usleep(kRetryMicros);
  }
  return 0;
}

int SendAll(int fd, std::string_view message, Clock::time_point deadline) {
  while (!message.empty()) {
    const ssize_t sent = send(fd, message.data(), message.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      message.remove_prefix(static_cast<size_t>(sent));
      continue;
    }
    if (errno != EAGAIN && errno != EINTR) return -errno;
    const int status = WaitFor(fd, POLLOUT, deadline);
    if (status != 0) return status;
  }
  return 0;
}

// Keeps the first descriptor that has come, closes others.
void TakeDescriptors(msghdr* message, UniqueFd* fd) {
  for (cmsghdr* part = CMSG_FIRSTHDR(message); part != nullptr; part = CMSG_NXTHDR(message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int received = -1;
      memcpy(&received, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
      UniqueFd owned(received);
      if (!fd->valid()) *fd = std::move(owned);
    }
  }
}

// One byte, so that nothing behind the line is taken: there is one line of this kind in the life of a connection.
ssize_t ReceiveByte(int socket_fd, char* byte, UniqueFd* fd) {
  Control control = {};
  iovec part = {byte, 1};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof(control.bytes);
  const ssize_t received = recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC);
  if (received >= 0) TakeDescriptors(&message, fd);
  return received;
}

int ReceiveLine(int socket_fd, Clock::time_point deadline, std::string* line, UniqueFd* fd) {
  for (;;) {
    char byte = 0;
    const ssize_t received = ReceiveByte(socket_fd, &byte, fd);
    if (received == 0) return -ECONNRESET;
    if (received > 0) {
      if (byte == '\n') return 0;
      if (line->size() == kLineBytesMax) return -EMSGSIZE;
      line->push_back(byte);
      continue;
    }
    if (errno != EAGAIN && errno != EINTR) return -errno;
    const int status = WaitFor(socket_fd, POLLIN, deadline);
    if (status != 0) return status;
  }
}

}  // namespace

int SendDescriptor(int socket_fd, std::string_view message, int fd) {
  if (message.empty() || message.size() > kDescriptorMessageBytesMax) return -EMSGSIZE;
  Control control = {};
  control.header.cmsg_level = SOL_SOCKET;
  control.header.cmsg_type = SCM_RIGHTS;
  control.header.cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
  iovec part = {const_cast<char*>(message.data()), message.size()};
  msghdr whole = {};
  whole.msg_iov = &part;
  whole.msg_iovlen = 1;
  whole.msg_control = control.bytes;
  whole.msg_controllen = sizeof(control.bytes);
  ssize_t sent = 0;
  do {
    sent = sendmsg(socket_fd, &whole, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return -errno;
  // So small a message is one buffer of the kernel: all of it goes, or nothing.
  return static_cast<size_t>(sent) == message.size() ? 0 : -EIO;
}

DescriptorAnswer ConnectForDescriptor(const std::string& path, std::string_view message, uint32_t timeout_ms) {
  const Clock::time_point deadline = Clock::now() + std::chrono::milliseconds(timeout_ms);
  DescriptorAnswer answer;
  answer.socket.reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  answer.error = answer.socket.valid() ? 0 : -errno;
  if (answer.error == 0) answer.error = Connect(answer.socket.get(), path, deadline);
  if (answer.error == 0) answer.error = SendAll(answer.socket.get(), message, deadline);
  if (answer.error == 0) answer.error = ReceiveLine(answer.socket.get(), deadline, &answer.line, &answer.fd);
  if (answer.error == 0) return answer;
  DescriptorAnswer failed;
  failed.error = answer.error;
  return failed;
}

}  // namespace podfs::staging
