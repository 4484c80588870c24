#include "fuse/replace_process.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace podfs {

namespace {
// What execve(2) takes, and does not change.
std::vector<char*> PointersTo(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& string : strings) pointers.push_back(const_cast<char*>(string.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}
}  // namespace

int ReplaceProcess(const std::string& program, const std::vector<std::string>& arguments,
                   const std::vector<std::string>& environment) {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    const int flags = fcntl(fd, F_GETFD);
    if (flags >= 0) fcntl(fd, F_SETFD, flags & ~FD_CLOEXEC);
  }
  execve(program.c_str(), PointersTo(arguments).data(), PointersTo(environment).data());
  return -errno;
}

}  // namespace podfs
