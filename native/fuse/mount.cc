#include "fuse/mount.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>

#include "fuse/negotiate.h"

namespace podfs {

namespace {

constexpr const char* kDevice = "/dev/fuse";
constexpr std::string_view kPassedFd = "/dev/fd/";

struct FlagOption {
  std::string_view name;
  unsigned long flag;
  bool set;
};
constexpr FlagOption kFlagOptions[] = {
    {"ro", MS_RDONLY, true},
    {"rw", MS_RDONLY, false},
    {"nosuid", MS_NOSUID, true},
    {"suid", MS_NOSUID, false},
    {"nodev", MS_NODEV, true},
    {"dev", MS_NODEV, false},
    {"noexec", MS_NOEXEC, true},
    {"exec", MS_NOEXEC, false},
    {"sync", MS_SYNCHRONOUS, true},
    {"noatime", MS_NOATIME, true},
    {"nodiratime", MS_NODIRATIME, true},
    {"relatime", MS_RELATIME, true},
    {"dirsync", MS_DIRSYNC, true},
};

struct ParsedOptions {
  unsigned long flags = 0;
  std::string data;
  std::string type = "fuse";
};

ParsedOptions Parse(std::string_view options) {
  ParsedOptions parsed;
  while (!options.empty()) {
    const size_t comma = options.find(',');
    const std::string_view option = options.substr(0, comma);
    options = comma == std::string_view::npos ? "" : options.substr(comma + 1);
    bool is_flag = false;
    for (const FlagOption& known : kFlagOptions) {
      if (option != known.name) continue;
      parsed.flags = known.set ? parsed.flags | known.flag : parsed.flags & ~known.flag;
      is_flag = true;
    }
    if (is_flag || option.empty()) continue;
    if (constexpr std::string_view kSubtype = "subtype="; option.substr(0, kSubtype.size()) == kSubtype) {
      parsed.type = "fuse." + std::string(option.substr(kSubtype.size()));
      continue;
    }
    parsed.data += "," + std::string(option);
  }
  return parsed;
}

MountResult Failure(int error, const std::string& message) {
  MountResult result;
  result.error = -error;
  result.message = message;
  return result;
}

MountResult TakePassedFd(const std::string& mountpoint) {
  int fd = -1;
  const char* const end = mountpoint.data() + mountpoint.size();
  const auto parsed = std::from_chars(mountpoint.data() + kPassedFd.size(), end, fd);
  if (parsed.ec != std::errc() || parsed.ptr != end) return Failure(EINVAL, mountpoint + " names no descriptor");
  struct stat given;
  struct stat device;
  if (fstat(fd, &given) != 0) return Failure(errno, mountpoint + " is not open in this process");
  const bool fuse = S_ISCHR(given.st_mode) && (stat(kDevice, &device) != 0 || given.st_rdev == device.st_rdev);
  if (!fuse) return Failure(EINVAL, mountpoint + " is not an open /dev/fuse");
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  MountResult result;
  result.fd.reset(fd);
  return result;
}

// Raises the mount's readahead from 128 KiB, so that sequential reads come in large requests. Only root may; for others
// it stays. Before INIT is answered, since the answer can only lower it.
void RaiseReadahead(const std::string& mountpoint) {
  struct statx root;
  // DONT_SYNC: a plain stat would be a request, which nobody answers yet.
  if (statx(AT_FDCWD, mountpoint.c_str(), AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, 0, &root) != 0) return;
  const std::string path = "/sys/class/bdi/" + std::to_string(root.stx_dev_major) + ":" +
                           std::to_string(root.stx_dev_minor) + "/read_ahead_kb";
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  const std::string kibibytes = std::to_string(kReadaheadBytes / 1024);
  const bool raised = fd.valid() && write(fd.get(), kibibytes.data(), kibibytes.size()) > 0;
  (void)raised;  // Nothing depends on it.
}

}  // namespace

MountResult Mount(const std::string& mountpoint, const std::string& options, const std::string& source) {
  if (mountpoint.compare(0, kPassedFd.size(), kPassedFd) == 0) return TakePassedFd(mountpoint);
  MountResult result;
  result.fd.reset(open(kDevice, O_RDWR | O_CLOEXEC));
  if (!result.fd.valid()) {
    // The helper opens it with its own rights; without the device there is nothing it could open.
    if (errno == EACCES || errno == EPERM) return MountByHelper(mountpoint, options, source);
    return Failure(errno, std::string("cannot open ") + kDevice);
  }
  struct stat point;
  if (stat(mountpoint.c_str(), &point) != 0) return Failure(errno, "mount point " + mountpoint);

  const ParsedOptions parsed = Parse(options);
  char head[128];
  snprintf(head, sizeof(head), "fd=%d,rootmode=%o,user_id=%u,group_id=%u", result.fd.get(), point.st_mode & S_IFMT,
           getuid(), getgid());
  const std::string data = head + parsed.data;
  if (mount(source.c_str(), mountpoint.c_str(), parsed.type.c_str(), parsed.flags, data.c_str()) == 0) {
    RaiseReadahead(mountpoint);
    return result;
  }
  if (errno == EPERM) return MountByHelper(mountpoint, options, source);
  const int error = errno;
  return Failure(error, "mount(2) of " + mountpoint + " with options " + options);
}

int Unmount(const std::string& mountpoint, bool lazy, std::string* message) {
  if (umount2(mountpoint.c_str(), UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0) return 0;
  const int error = errno;
  if (error == EPERM) return UnmountByHelper(mountpoint, lazy, message);
  *message = "umount of " + mountpoint;
  return -error;
}

}  // namespace podfs
