#include "measure/residence.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <vector>

namespace podfs::measure {

namespace {

constexpr uint64_t kPage = 4096;

int64_t ResidentBytes(int fd, uint64_t size) {
  if (size == 0) return 0;
  void* const map = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  // What cannot be mapped has no pages.
  if (map == MAP_FAILED) return 0;
  std::vector<unsigned char> pages((size + kPage - 1) / kPage);
  const int error = mincore(map, size, pages.data()) == 0 ? 0 : -errno;
  munmap(map, size);
  if (error != 0) return error;
  const auto resident = std::count_if(pages.begin(), pages.end(), [](unsigned char page) { return (page & 1) != 0; });
  return static_cast<int64_t>(resident * kPage);
}

}  // namespace

int64_t DropPages(int fd) {
  struct stat status {};
  if (fstat(fd, &status) != 0) return -errno;
  const int error = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  if (error != 0) return -error;
  return ResidentBytes(fd, static_cast<uint64_t>(status.st_size));
}

}  // namespace podfs::measure
