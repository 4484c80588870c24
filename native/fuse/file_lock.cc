#include "fuse/file_lock.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/vfs.h>

#include <cerrno>
#include <cstdint>

#include "fuse/unique_fd.h"

namespace podfs {

namespace {
// statfs(2): btrfs, bcachefs, ZFS, f2fs, NILFS2.
constexpr uint32_t kWritesElsewhere[] = {0x9123683e, 0xca451a4e, 0x2fc12fc1, 0xf2f52010, 0x3434};
}  // namespace

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

int MapFile(int fd, size_t bytes, char** mapping) {
  struct statfs filesystem;
  if (fstatfs(fd, &filesystem) != 0) return -errno;
  for (const uint32_t type : kWritesElsewhere) {
    if (static_cast<uint32_t>(filesystem.f_type) == type) return -EOPNOTSUPP;
  }
  const int error = posix_fallocate(fd, 0, static_cast<off_t>(bytes));
  if (error != 0) return -error;
  void* const mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) return -errno;
  *mapping = static_cast<char*>(mapped);
  return 0;
}

}  // namespace podfs
