// Small calls that Node has no binding for.
#pragma once

#include <cstddef>
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

// Maps the first `bytes` of the file, shared, and has blocks allocated for them: what is stored there is the page
// cache's at once, as after a write(2), and no full disk can refuse it (SIGBUS). 0 or a negative errno: ENOSPC;
// EOPNOTSUPP where the filesystem takes another block for each change (btrfs, bcachefs, ZFS, f2fs, NILFS2), so that
// none can be kept.
int MapFile(int fd, size_t bytes, char** mapping);

}  // namespace podfs
