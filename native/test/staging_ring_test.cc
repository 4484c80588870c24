#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "staging_support.h"

namespace podfs::staging {

namespace {

constexpr Ring::Shape kShape = {3, 2 << 20};

int OpenCopy(int fd, const Ring::Shape& shape, std::shared_ptr<Ring>* ring) {
  return Ring::Open(UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, 0)), shape, ring);
}

}  // namespace

TEST(StagingRingIsTheSameMemoryForAllWhoMapIt) {
  std::shared_ptr<Ring> ring;
  std::shared_ptr<Ring> other;
  EXPECT(Ring::Create(kShape, 0, &ring) == 0);
  EXPECT(OpenCopy(ring->fd(), kShape, &other) == 0);
  EXPECT(ring->memory() != other->memory());
  EXPECT(ring->Slot(2) == ring->memory() + 2 * kShape.slot_bytes);
  snprintf(ring->Slot(1), 10, "here");
  EXPECT(strcmp(other->Slot(1), "here") == 0);
  // The mapping needs neither the other ring nor its descriptor.
  ring.reset();
  EXPECT(strcmp(other->Slot(1), "here") == 0);
}

TEST(StagingRingCannotChangeItsSize) {
  std::shared_ptr<Ring> ring;
  EXPECT(Ring::Create(kShape, -1, &ring) == 0);
  EXPECT(ftruncate(ring->fd(), 4096) != 0 && errno == EPERM);
  EXPECT(ftruncate(ring->fd(), static_cast<off_t>(kShape.bytes()) + 4096) != 0 && errno == EPERM);
  EXPECT(fcntl(ring->fd(), F_ADD_SEALS, F_SEAL_WRITE) != 0 && errno == EPERM);
}

TEST(StagingRingPrefersTheNodeItIsToldTo) {
  std::shared_ptr<Ring> ring;
  EXPECT(Ring::Create(kShape, 0, &ring) == 0);
  int mode = -1;
  unsigned long nodes[16] = {};
  if (syscall(SYS_get_mempolicy, &mode, nodes, 1024, ring->memory(), MPOL_F_ADDR) != 0) SKIP("no NUMA in this kernel");
  EXPECT(mode == MPOL_PREFERRED && nodes[0] == 1);
}

TEST(StagingRingIsRefusedWhereTouchingItCouldFault) {
  std::shared_ptr<Ring> ring;
  std::shared_ptr<Ring> other;
  EXPECT(Ring::Create(kShape, -1, &ring) == 0);
  EXPECT(OpenCopy(ring->fd(), {kShape.slots + 1, kShape.slot_bytes}, &other) == -EINVAL);
  const UniqueFd unsealed(memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT(ftruncate(unsealed.get(), static_cast<off_t>(kShape.bytes())) == 0);
  EXPECT(OpenCopy(unsealed.get(), kShape, &other) == -EINVAL);
  EXPECT(OpenCopy(STDERR_FILENO, kShape, &other) == -EINVAL);
  EXPECT(Ring::Open(UniqueFd(), kShape, &other) == -EBADF);
}

TEST(StagingRingHasSlotsOfWholeHugePages) {
  std::shared_ptr<Ring> ring;
  for (const Ring::Shape& shape : {Ring::Shape{0, 2 << 20}, Ring::Shape{2, 0}, Ring::Shape{2, 4096},
                                   Ring::Shape{2, (2 << 20) + 4096}, Ring::Shape{2, 2UL << 30}}) {
    EXPECT(Ring::Create(shape, -1, &ring) == -EINVAL);
  }
}

}  // namespace podfs::staging
