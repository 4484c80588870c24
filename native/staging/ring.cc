#include "staging/ring.h"

#include <fcntl.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cassert>
#include <cerrno>
#include <climits>
#include <utility>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U  // Linux 6.3; Debian 12's headers are older.
#endif

namespace podfs::staging {

namespace {

bool Valid(const Ring::Shape& shape) {
  return shape.slots > 0 && shape.slot_bytes > 0 && shape.slot_bytes <= Ring::kSlotBytesMax &&
         shape.slot_bytes % Ring::kSlotAlignment == 0;
}

int CreateMemoryFile() {
  constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  // Asked for first: with vm.memfd_noexec=2 a memfd without it is refused.
  const int fd = memfd_create("podfs-staging", kFlags | MFD_NOEXEC_SEAL);
  return fd < 0 && errno == EINVAL ? memfd_create("podfs-staging", kFlags) : fd;
}

// mbind(2) itself: libnuma is a package more to install. The policy is the file's, so it holds for every process that
// touches a page first. A preference: where it cannot be had, memory is slower and not wrong.
void PreferNode(char* memory, uint64_t bytes, int node) {
  constexpr size_t kBits = sizeof(unsigned long) * CHAR_BIT;
  std::array<unsigned long, 16> mask = {};
  if (node < 0 || static_cast<size_t>(node) >= kBits * mask.size()) return;
  mask[static_cast<size_t>(node) / kBits] = 1UL << (static_cast<size_t>(node) % kBits);
  syscall(SYS_mbind, memory, bytes, MPOL_PREFERRED, mask.data(), kBits * mask.size() + 1, 0);
}

}  // namespace

int Ring::Create(const Shape& shape, int numa_node, std::shared_ptr<Ring>* ring) {
  if (!Valid(shape)) return -EINVAL;
  UniqueFd fd(CreateMemoryFile());
  if (!fd.valid()) return -errno;
  if (ftruncate(fd.get(), static_cast<off_t>(shape.bytes())) != 0) return -errno;
  if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) return -errno;
  const int status = Map(std::move(fd), shape, ring);
  if (status == 0) PreferNode((*ring)->memory_, shape.bytes(), numa_node);
  return status;
}

int Ring::Open(UniqueFd fd, const Shape& shape, std::shared_ptr<Ring>* ring) {
  if (!Valid(shape)) return -EINVAL;
  struct stat status {};
  if (fstat(fd.get(), &status) != 0) return -errno;
  const int seals = fcntl(fd.get(), F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) return -EINVAL;
  if (static_cast<uint64_t>(status.st_size) < shape.bytes()) return -EINVAL;
  return Map(std::move(fd), shape, ring);
}

int Ring::Map(UniqueFd fd, const Shape& shape, std::shared_ptr<Ring>* ring) {
  void* const memory = mmap(nullptr, shape.bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (memory == MAP_FAILED) return -errno;
  // Hints. Huge pages: fewer faults, and fewer pages to pin. Not in a core file: gigabytes, and somebody's weights.
  madvise(memory, shape.bytes(), MADV_HUGEPAGE);
  madvise(memory, shape.bytes(), MADV_DONTDUMP);
  ring->reset(new Ring(std::move(fd), shape, static_cast<char*>(memory)));
  return 0;
}

Ring::~Ring() { munmap(memory_, shape_.bytes()); }

char* Ring::Slot(uint32_t index) const {
  assert(index < shape_.slots);
  return memory_ + index * shape_.slot_bytes;
}

}  // namespace podfs::staging
