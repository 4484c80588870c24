#include "fuse/file_lock.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <cerrno>

#include "fuse/unique_fd.h"

namespace podfs {

int LockFile(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) return -errno;
  // Of the open file description, not of the process: it cannot be lost by closing another descriptor of the file.
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  if (fcntl(fd.get(), F_OFD_SETLK, &lock) != 0) return errno == EACCES ? -EAGAIN : -errno;
  return fd.release();
}

int DisableAccessTimes(const std::string& directory) {
  UniqueFd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return -errno;
  int flags = 0;
  if (ioctl(fd.get(), FS_IOC_GETFLAGS, &flags) != 0) return -errno;
  flags |= FS_NOATIME_FL;
  return ioctl(fd.get(), FS_IOC_SETFLAGS, &flags) == 0 ? 0 : -errno;
}

int Reflink(int from_fd, int to_fd) { return ioctl(to_fd, FICLONE, from_fd) == 0 ? 0 : -errno; }

}  // namespace podfs
