#include "fuse/file_batches.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace podfs {

std::vector<int> CreateFiles(const std::vector<std::string>& paths) {
  std::vector<int> descriptors;
  descriptors.reserve(paths.size());
  for (const std::string& path : paths) {
    const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    descriptors.push_back(fd >= 0 ? fd : -errno);
  }
  return descriptors;
}

void RemoveFiles(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) unlink(path.c_str());
}

}  // namespace podfs
