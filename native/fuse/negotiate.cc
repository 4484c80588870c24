#include "fuse/negotiate.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace podfs {

namespace {

constexpr uint32_t kPageBytes = 4096;
// The kernel's default, 12, would be the limit of parallel readahead: parked reads must not hold up others.
constexpr uint16_t kMaxBackground = 128;
constexpr uint16_t kCongestionThreshold = 96;

// What every mount wants. Not asked for, and why:
// - WRITEBACK_CACHE: excludes passthrough, and the daemon would not see what has been written.
// - POSIX_LOCKS, FLOCK_LOCKS: a volume has one mount that writes, so locks the kernel keeps are all there are.
// - EXPORT_SUPPORT: lookups of "." and ".." by number, for NFS servers only.
// - NO_OPEN_SUPPORT, NO_OPENDIR_SUPPORT: opens decide about passthrough.
// - POSIX_ACL, SECURITY_CTX: not stored.
// - ASYNC_DIO: its direct reads wait where not even SIGKILL reaches them, and ours may wait for a backend.
// - SPLICE_READ, SPLICE_WRITE, SPLICE_MOVE: data threads copy (data_threads.h says why).
// - DONT_MASK: the kernel applies the caller's umask.
// - READDIRPLUS_AUTO: what lists a directory first and looks at the files then (fts(3): find, du, ls -l, rsync;
// os.walk) would
//   get attributes with the first request only, and cost a LOOKUP for every other file (docs/decisions/0003).
constexpr uint64_t kWanted = kInitAsyncRead | kInitAtomicTruncate | kInitBigWrites | kInitReaddirplus |
                             kInitParallelDirops | kInitMaxPages | kInitCacheSymlinks;

// An exclusive writer knows of every change, so cached pages stay until it says otherwise, and set-user-ID bits
// are its business (no GETXATTR of security.capability before every write). A follower does not learn of a change
// before its attributes expire: then a new mtime or size must drop the pages.
constexpr uint64_t kExclusiveOnly = kInitExplicitInvalData | kInitHandleKillprivV2;
constexpr uint64_t kFollowerOnly = kInitAutoInvalData;

}  // namespace

int NegotiateInit(const void* body, size_t body_bytes, const NegotiationOptions& options, InitOut* out,
                  Negotiated* negotiated) {
  InitIn in = {};
  if (body_bytes < kInitInShortBytes) return -EPROTO;
  memcpy(&in, body, std::min(body_bytes, sizeof(in)));
  *out = {};
  out->major = kProtocolMajor;
  out->minor = kProtocolMinor;
  if (in.major > kProtocolMajor) return 0;
  if (in.major < kProtocolMajor || in.minor < kProtocolMinorOldest) return -EPROTO;

  const bool extended = (in.flags & kInitExt) != 0;
  const uint64_t offered = in.flags | (extended ? static_cast<uint64_t>(in.flags2) << 32 : 0);
  uint64_t flags = offered & (kWanted | (options.read_only ? kFollowerOnly : kExclusiveOnly));
  negotiated->protocol_minor = std::min(in.minor, kProtocolMinor);
  negotiated->passthrough = false;
  if (!options.passthrough) {
    negotiated->passthrough_reason = "not asked for";
  } else if ((offered & kInitPassthrough) == 0) {
    negotiated->passthrough_reason =
        "the kernel does not offer it (Linux 6.9 or newer with CONFIG_FUSE_PASSTHROUGH does)";
  } else {
    flags |= kInitPassthrough | kInitExt;
    negotiated->passthrough = true;
    out->max_stack_depth = options.max_stack_depth;
  }

  const uint32_t pages = (flags & kInitMaxPages) != 0 ? 256 : 32;
  const uint32_t max_write = std::min(options.max_write_bytes / kPageBytes, pages) * kPageBytes;
  out->max_write = std::max(max_write, kPageBytes);
  out->max_pages = static_cast<uint16_t>(pages);
  // An upper limit: the kernel uses what the mount's readahead is set to (mount.cc), if that is less.
  out->max_readahead = kReadaheadBytes;
  out->max_background = kMaxBackground;
  out->congestion_threshold = kCongestionThreshold;
  out->time_gran = 1;
  out->flags = static_cast<uint32_t>(flags);
  out->flags2 = static_cast<uint32_t>(flags >> 32);
  negotiated->max_write_bytes = out->max_write;
  return 0;
}

void TryPassthrough(const Device& device, Negotiated* negotiated) {
  if (!negotiated->passthrough) return;
  const UniqueFd scratch(memfd_create("podfs-passthrough", MFD_CLOEXEC));
  const int id = scratch.valid() ? device.OpenBacking(scratch.get()) : -errno;
  if (id > 0) {
    device.CloseBacking(id);
    return;
  }
  negotiated->passthrough = false;
  negotiated->passthrough_reason = id == -EPERM ? "needs CAP_SYS_ADMIN in the initial user namespace"
                                                : std::string("registering a backing file failed: ") + strerror(-id);
}

}  // namespace podfs
