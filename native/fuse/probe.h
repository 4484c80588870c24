// What this machine can do, by trying it. Nothing stays changed. Blocks: not on the event-loop thread.
#pragma once

#include <string>

namespace podfs {

struct ProbeResult {
  bool ok = false;
  std::string detail;
};

// Mounts a filesystem of our own in a temporary directory and registers a file of the directory `path` with it.
ProbeResult ProbePassthrough(const std::string& path);
ProbeResult ProbeIoUring();
// An aligned 4 KiB write past the page cache to a file of the directory `path`.
ProbeResult ProbeDirectIo(const std::string& path);
ProbeResult ProbeLockedMemory();

}  // namespace podfs
