#include "fuse/descriptor_table.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

namespace podfs {

namespace {
constexpr rlim_t kMost = 65'536;
}  // namespace

int ReserveDescriptors() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == 0) return 0;
  const int size = static_cast<int>(std::min(limit.rlim_cur, kMost));
  const int any = open("/dev/null", O_RDONLY | O_CLOEXEC);
  const int last = fcntl(any, F_DUPFD_CLOEXEC, size - 1);
  if (any >= 0) close(any);
  if (last < 0) return 0;
  close(last);
  return size;
}

}  // namespace podfs
