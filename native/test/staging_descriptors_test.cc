#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <thread>

#include "staging/descriptors.h"
#include "test.h"

namespace podfs::staging {

namespace {

// Accepts one connection, and does with it what the test says.
class Server {
 public:
  Server(const std::string& path, std::function<void(int connection)> serve)
      : socket_(socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    EXPECT(bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    EXPECT(listen(socket_.get(), 1) == 0);
    thread_ = std::thread([this, serve = std::move(serve)] {
      const UniqueFd connection(accept(socket_.get(), nullptr, nullptr));
      serve(connection.get());
    });
  }
  ~Server() { thread_.join(); }

 private:
  const UniqueFd socket_;
  std::thread thread_;
};

std::string Receive(int fd, size_t bytes) {
  std::string result(bytes, 0);
  result.resize(static_cast<size_t>(std::max<ssize_t>(recv(fd, result.data(), bytes, MSG_WAITALL), 0)));
  return result;
}

ino_t InodeOf(int fd) {
  struct stat status {};
  return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

int OpenDescriptors() {
  int count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

}  // namespace

TEST(StagingDescriptorComesWithItsLineAndNothingBehindItIsTaken) {
  const test::TemporaryDirectory directory;
  const UniqueFd file(memfd_create("file", MFD_CLOEXEC));
  const Server server(directory / "socket", [&](int connection) {
    EXPECT(Receive(connection, 6) == "hello\n");
    EXPECT(SendDescriptor(connection, "welcome\nmore\n", file.get()) == 0);
  });
  const DescriptorAnswer answer = ConnectForDescriptor(directory / "socket", "hello\n", 60'000);
  EXPECT(answer.error == 0);
  EXPECT(answer.line == "welcome");
  EXPECT(answer.fd.valid() && InodeOf(answer.fd.get()) == InodeOf(file.get()));
  EXPECT((fcntl(answer.fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
  pollfd more = {answer.socket.get(), POLLIN, 0};
  EXPECT(poll(&more, 1, 60'000) == 1);
  EXPECT(Receive(answer.socket.get(), 5) == "more\n");
}

TEST(StagingDescriptorMayBeAbsent) {
  const test::TemporaryDirectory directory;
  const Server server(directory / "socket", [](int connection) {
    // In two parts, the second late.
    EXPECT(send(connection, "refu", 4, 0) == 4);
    usleep(20'000);
    EXPECT(send(connection, "sed\n", 4, 0) == 4);
  });
  const DescriptorAnswer answer = ConnectForDescriptor(directory / "socket", "hello\n", 60'000);
  EXPECT(answer.error == 0 && answer.line == "refused" && !answer.fd.valid() && answer.socket.valid());
}

TEST(StagingDescriptorsThatNobodyAskedForAreClosed) {
  const test::TemporaryDirectory directory;
  const int before = OpenDescriptors();
  {
    const Server server(directory / "socket", [](int connection) {
      for (const char* part : {"a", "b", "\n"}) EXPECT(SendDescriptor(connection, part, STDERR_FILENO) == 0);
      Receive(connection, 1);
    });
    const DescriptorAnswer answer = ConnectForDescriptor(directory / "socket", "!", 60'000);
    EXPECT(answer.line == "ab");
    EXPECT(answer.fd.valid());
  }
  EXPECT(OpenDescriptors() == before);
}

TEST(StagingConnectionThatFailsSaysWhyAndLeavesNothing) {
  const test::TemporaryDirectory directory;
  const int before = OpenDescriptors();
  EXPECT(ConnectForDescriptor(directory / "none", "hello\n", 60'000).error == -ENOENT);
  EXPECT(ConnectForDescriptor(std::string(200, 'x'), "hello\n", 60'000).error == -ENAMETOOLONG);
  {
    const Server closes(directory / "closes", [](int connection) {
      EXPECT(Receive(connection, 6) == "hello\n");
      EXPECT(SendDescriptor(connection, "half a li", STDERR_FILENO) == 0);
    });
    EXPECT(ConnectForDescriptor(directory / "closes", "hello\n", 60'000).error == -ECONNRESET);
  }
  EXPECT(ConnectForDescriptor(directory / "closes", "hello\n", 60'000).error == -ECONNREFUSED);
  {
    const Server silent(directory / "silent", [](int connection) { Receive(connection, 7); });
    EXPECT(ConnectForDescriptor(directory / "silent", "hello\n", 20).error == -ETIMEDOUT);
  }
  EXPECT(OpenDescriptors() == before);
}

TEST(StagingDescriptorIsNotSentWhereThereIsNoRoom) {
  int sockets[2];
  EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets) == 0);
  const UniqueFd near(sockets[0]);
  UniqueFd far(sockets[1]);
  EXPECT(SendDescriptor(near.get(), "", STDERR_FILENO) == -EMSGSIZE);
  EXPECT(SendDescriptor(near.get(), std::string(4097, 'x'), STDERR_FILENO) == -EMSGSIZE);
  EXPECT(SendDescriptor(near.get(), "x", -1) == -EBADF);
  int status = 0;
  while (status == 0) status = SendDescriptor(near.get(), std::string(4096, 'x'), STDERR_FILENO);
  EXPECT(status == -EAGAIN);
  far.reset();
  EXPECT(SendDescriptor(near.get(), "x", STDERR_FILENO) == -EPIPE);
}

}  // namespace podfs::staging
