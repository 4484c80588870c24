#include "staging/cuda_pins.h"

#include <cassert>

namespace podfs::staging {

namespace {
constexpr unsigned kMemHostRegisterPortable = 0x1;  // CU_MEMHOSTREGISTER_PORTABLE
}  // namespace

CudaOutcome CudaPins::Pin(const CudaDriver& driver, const std::shared_ptr<Ring>& ring) {
  const std::lock_guard lock(mutex_);
  const auto found = pinned_.find(ring.get());
  if (found != pinned_.end()) {
    ++found->second.count;
    return {};
  }
  const CudaResult result = driver->mem_host_register(ring->memory(), ring->shape().bytes(), kMemHostRegisterPortable);
  if (result != 0) return {0, result, "cuMemHostRegister"};
  pinned_[ring.get()] = {ring, 1};
  return {};
}

CudaOutcome CudaPins::Unpin(const CudaDriver& driver, const Ring* ring) {
  const std::lock_guard lock(mutex_);
  const auto found = pinned_.find(ring);
  assert(found != pinned_.end());
  if (--found->second.count > 0) return {};
  const CudaResult result = driver->mem_host_unregister(ring->memory());
  // Also when that has failed: a driver that does not let go keeps the pages, and the mapping is not its own.
  pinned_.erase(found);
  return {0, result, "cuMemHostUnregister"};
}

}  // namespace podfs::staging
