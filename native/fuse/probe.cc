#include "fuse/probe.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "fuse/device.h"
#include "fuse/mount.h"
#include "fuse/negotiate.h"

namespace podfs {

namespace {

ProbeResult No(const std::string& what, int error) { return {false, what + ": " + strerror(error)}; }

// A file of the directory that has no name, or one that is gone at once: overlayfs of old kernels has no O_TMPFILE.
UniqueFd TemporaryFile(const std::string& directory, int flags) {
  UniqueFd fd(open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC | flags, 0600));
  if (fd.valid() || (errno != EOPNOTSUPP && errno != EISDIR)) return fd;
  std::string name = directory + "/.podfs-probe-XXXXXX";
  fd.reset(mkostemp(name.data(), O_CLOEXEC | flags));
  if (fd.valid()) unlink(name.c_str());
  return fd;
}

// Answers the INIT that waits in the device, asking for passthrough.
ProbeResult NegotiatePassthrough(const Device& device, const std::string& path) {
  pollfd poll_device = {device.fd(), POLLIN, 0};
  poll(&poll_device, 1, 5'000);
  char buffer[kReadBufferBytesMin + 4096];
  const int64_t got = device.Read(buffer, sizeof(buffer));
  if (got < static_cast<int64_t>(sizeof(InHeader))) return No("no INIT from the kernel", got < 0 ? -got : EPROTO);
  InHeader header;
  memcpy(&header, buffer, sizeof(header));
  NegotiationOptions options;
  options.passthrough = true;
  options.max_write_bytes = 4096;
  InitOut out;
  Negotiated negotiated;
  const int status =
      NegotiateInit(buffer + sizeof(header), static_cast<size_t>(got) - sizeof(header), options, &out, &negotiated);
  if (status != 0) return {false, "the kernel's FUSE protocol is too old"};
  device.Reply(header.unique, 0, &out, sizeof(out));
  TryPassthrough(device, &negotiated);
  if (!negotiated.passthrough) return {false, negotiated.passthrough_reason};

  const UniqueFd file = TemporaryFile(path, 0);
  if (!file.valid()) return No("cannot create a file in " + path, errno);
  const int id = device.OpenBacking(file.get());
  if (id > 0) {
    device.CloseBacking(id);
    return {true, "files of " + path + " can be passed through"};
  }
  if (id == -ELOOP) return {false, path + " is on a stacked filesystem (overlayfs): use a directory on a plain one"};
  return No("registering a file of " + path + " failed", -id);
}

}  // namespace

ProbeResult ProbePassthrough(const std::string& path) {
  const char* const base = getenv("TMPDIR");
  std::string mountpoint = std::string(base != nullptr && *base != 0 ? base : "/tmp") + "/podfs-probe-XXXXXX";
  if (mkdtemp(mountpoint.data()) == nullptr) return No("cannot create " + mountpoint, errno);
  ProbeResult result;
  {
    MountResult mounted = Mount(mountpoint, "nosuid,nodev,default_permissions", "podfs-probe");
    if (mounted.error != 0) {
      result = {false, mounted.message + ": " + strerror(-mounted.error)};
    } else {
      const Device device(std::move(mounted.fd));
      result = NegotiatePassthrough(device, path);
      std::string message;
      Unmount(mountpoint, true, &message);
    }
  }
  rmdir(mountpoint.c_str());
  return result;
}

ProbeResult ProbeIoUring() {
  io_uring_params parameters = {};
  const UniqueFd ring(static_cast<int>(syscall(__NR_io_uring_setup, 2, &parameters)));
  if (ring.valid()) return {true, "available"};
  switch (errno) {
    case ENOSYS:
      return {false, "not in this kernel"};
    case EPERM:
    case EACCES:
      return {false, "forbidden (kernel.io_uring_disabled, or the container's seccomp profile)"};
    default:
      return No("io_uring_setup", errno);
  }
}

ProbeResult ProbeDirectIo(const std::string& path) {
  const UniqueFd file = TemporaryFile(path, O_DIRECT);
  if (!file.valid()) return No("opening a file of " + path + " with O_DIRECT", errno);
  constexpr size_t kBytes = 4096;
  alignas(kBytes) static const char zeros[kBytes] = {};
  if (pwrite(file.get(), zeros, kBytes, 0) != static_cast<ssize_t>(kBytes)) return No("an aligned direct write", errno);
  return {true, "works"};
}

ProbeResult ProbeLockedMemory() {
  rlimit limit = {};
  getrlimit(RLIMIT_MEMLOCK, &limit);
  const std::string amount =
      limit.rlim_cur == RLIM_INFINITY ? "unlimited" : std::to_string(limit.rlim_cur / 1024) + " KiB";
  // By trying: CAP_IPC_LOCK overrides the limit.
  constexpr size_t kBytes = 64 << 20;
  void* const memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return No("64 MiB of memory", errno);
  const bool locked = mlock(memory, kBytes) == 0;
  munmap(memory, kBytes);
  return {locked, "limit " + amount + (locked ? ", 64 MiB could be locked" : ", 64 MiB could not be locked")};
}

}  // namespace podfs
