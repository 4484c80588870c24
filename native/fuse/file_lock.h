// Small calls that Node has no binding for.
#pragma once

#include <string>

namespace podfs {

// Opens the file (created when absent, mode 0600) and takes an exclusive open-file-description lock. A descriptor that
// holds it until it is closed, or a negative errno: EAGAIN when somebody else holds it.
int LockFile(const std::string& path);

// FS_NOATIME_FL (ioctl_iflags(2)): no access time is kept of the directory, nor, where the filesystem hands the flag
// down, of what is made in it from now on. 0 or a negative errno: ENOTTY, EOPNOTSUPP, … where it cannot.
int DisableAccessTimes(const std::string& directory);

// FICLONE: `to` shares the blocks of `from`. 0 or a negative errno: EOPNOTSUPP, EXDEV, … where it cannot.
int Reflink(int from_fd, int to_fd);

}  // namespace podfs
