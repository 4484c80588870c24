// The data requests that native code has taken and not answered yet, so that an interrupt finds them.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "fuse/content_file.h"

namespace podfs {

// Thread-safe.
class InFlight {
 public:
  struct Interrupted {
    bool known = false;
    std::shared_ptr<ContentFile> parked_in;  // Empty while it runs, or waits for the write gate.
  };

  void Add(uint64_t unique);
  // Notes where the request is about to wait. False if it was interrupted before.
  bool Park(uint64_t unique, std::shared_ptr<ContentFile> file);
  void Remove(uint64_t unique);
  Interrupted Interrupt(uint64_t unique);
  // Everything that waits in a file.
  std::vector<std::pair<uint64_t, std::shared_ptr<ContentFile>>> parked();

 private:
  struct Entry {
    std::shared_ptr<ContentFile> parked_in;
    bool interrupted = false;
  };
  std::mutex mutex_;
  std::unordered_map<uint64_t, Entry> entries_;  // GUARDED BY mutex_
};

}  // namespace podfs
