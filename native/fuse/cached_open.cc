#include "fuse/cached_open.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

// Older headers have openat2 but not this.
#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20
#endif

namespace podfs {

int OpenCached(const std::string& path) {
  open_how how = {};
  how.flags = O_RDWR | O_CLOEXEC;
  how.resolve = RESOLVE_CACHED;
  const long fd = syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof(how));
  // A kernel that has the call but not the flag.
  if (fd < 0 && errno == EINVAL) return -ENOSYS;
  return fd >= 0 ? static_cast<int>(fd) : -errno;
}

}  // namespace podfs
