// Getting a mounted /dev/fuse, and getting rid of it.
#pragma once

#include <string>

#include "fuse/unique_fd.h"

namespace podfs {

// What came of it: a descriptor, or a negative errno and one line that says what failed.
struct MountResult {
  UniqueFd fd;
  int error = 0;
  std::string message;
};

// Opens /dev/fuse and mounts it on `mountpoint`: by mount(2) where the process may, else by fusermount3. `options` as
// in mount(8), comma-separated: the kernel's flags (ro, nosuid, …), those of fuse (allow_other, default_permissions,
// max_read=), and subtype=. `source` is what /proc/mounts shows. A mountpoint "/dev/fd/N" is a descriptor that somebody
// has mounted already. Blocks: not on the event-loop thread.
MountResult Mount(const std::string& mountpoint, const std::string& options, const std::string& source);

// umount2(2), or fusermount3 -u. A lazy one detaches at once. Returns 0 or a negative errno, with `message`.
int Unmount(const std::string& mountpoint, bool lazy, std::string* message);

// fusermount.cc: the set-user-ID helper of fuse3.
MountResult MountByHelper(const std::string& mountpoint, const std::string& options, const std::string& source);
int UnmountByHelper(const std::string& mountpoint, bool lazy, std::string* message);

}  // namespace podfs
