// Opening a file without waiting for a disk.
#pragma once

#include <string>

namespace podfs {

// Opens an existing file for reading and writing, if the kernel has every directory and inode on the way in memory:
// openat2(2) with RESOLVE_CACHED. A descriptor; -EAGAIN where a disk would have to be asked; -ENOSYS before Linux 5.12,
// or another negative errno.
int OpenCached(const std::string& path);

}  // namespace podfs
