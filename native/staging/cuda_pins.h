// Which rings the CUDA driver has pinned in this process: pinning is for all devices at once
// (CU_MEMHOSTREGISTER_PORTABLE), and so slow (3–8 GB/s) that it must be done once, however many copiers use the ring.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "staging/cuda_driver.h"
#include "staging/ring.h"

namespace podfs::staging {

// Shared by the copiers of one driver. Any thread that has a context; whoever pins what another thread is pinning waits
// for it.
class CudaPins {
 public:
  // Holds the ring, so that its memory stays mapped, until as many calls of Unpin.
  CudaOutcome Pin(const CudaDriver& driver, const std::shared_ptr<Ring>& ring);
  // No copy of the caller's may be under way.
  CudaOutcome Unpin(const CudaDriver& driver, const Ring* ring);

 private:
  struct Pinned {
    std::shared_ptr<Ring> ring;
    uint32_t count = 0;
  };

  std::mutex mutex_;
  std::map<const Ring*, Pinned> pinned_;  // GUARDED BY mutex_
};

}  // namespace podfs::staging
