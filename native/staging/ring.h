// Shared memory that checkpoints go through: slots of one size, in a memfd.
#pragma once

#include <cstdint>
#include <memory>

#include "fuse/unique_fd.h"

namespace podfs::staging {

// Immutable once it is made; what is in the slots belongs to whoever the processes agree on. Unmapped with the last
// reference: a request holds one as long as the kernel, or a device, may touch the memory.
class Ring {
 public:
  // Size of a huge page, and a multiple of any block that O_DIRECT asks for.
  static constexpr uint64_t kSlotAlignment = 2 << 20;
  static constexpr uint64_t kSlotBytesMax = 1 << 30;

  struct Shape {
    uint32_t slots = 0;
    uint64_t slot_bytes = 0;

    uint64_t bytes() const { return slots * slot_bytes; }
  };

  // Returns 0 or a negative errno: EINVAL for a shape that cannot be. `numa_node` is a preference; -1: none.
  static int Create(const Shape& shape, int numa_node, std::shared_ptr<Ring>* ring);
  // Maps what another process has made. EINVAL if the file is smaller, or could become so: touching what is not there
  // any more would end this process (SIGBUS).
  static int Open(UniqueFd fd, const Shape& shape, std::shared_ptr<Ring>* ring);

  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring();

  int fd() const { return fd_.get(); }
  const Shape& shape() const { return shape_; }
  char* memory() const { return memory_; }
  char* Slot(uint32_t index) const;

 private:
  Ring(UniqueFd fd, const Shape& shape, char* memory) : fd_(std::move(fd)), shape_(shape), memory_(memory) {}
  static int Map(UniqueFd fd, const Shape& shape, std::shared_ptr<Ring>* ring);

  const UniqueFd fd_;
  const Shape shape_;
  char* const memory_;
};

}  // namespace podfs::staging
