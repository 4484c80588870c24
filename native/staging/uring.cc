#include "staging/uring.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <vector>

namespace podfs::staging {

namespace {

std::string WhyNot(int error) {
  switch (error) {
    case ENOSYS:
      return "not in this kernel";
    case EPERM:
    case EACCES:
      return "forbidden (kernel.io_uring_disabled, or the container's seccomp profile)";
    default:
      return std::string("io_uring_setup: ") + strerror(error);
  }
}

uint32_t* Word(char* rings, uint32_t offset) { return reinterpret_cast<uint32_t*>(rings + offset); }
// The kernel is the other thread.
uint32_t Load(const uint32_t* word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
void Store(uint32_t* word, uint32_t value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }

}  // namespace

Uring::~Uring() {
  if (entries_ != nullptr) munmap(entries_, parameters_.sq_entries * sizeof(io_uring_sqe));
  if (rings_ != nullptr) munmap(rings_, rings_bytes_);
}

std::string Uring::Open(uint32_t entries, std::initializer_list<uint8_t> operations) {
  fd_.reset(static_cast<int>(syscall(__NR_io_uring_setup, entries, &parameters_)));
  if (!fd_.valid()) return WhyNot(errno);
  if ((parameters_.features & IORING_FEAT_SINGLE_MMAP) == 0 || !Supports(operations)) return "too old in this kernel";
  rings_bytes_ = std::max<size_t>(parameters_.sq_off.array + parameters_.sq_entries * sizeof(uint32_t),
                                  parameters_.cq_off.cqes + parameters_.cq_entries * sizeof(io_uring_cqe));
  const auto map = [this](size_t bytes, off_t offset) {
    void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_.get(), offset);
    return memory == MAP_FAILED ? nullptr : memory;
  };
  rings_ = static_cast<char*>(map(rings_bytes_, IORING_OFF_SQ_RING));
  entries_ = static_cast<io_uring_sqe*>(map(parameters_.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES));
  if (rings_ == nullptr || entries_ == nullptr) return "no memory for its rings";
  // Entries are used in the order they lie in.
  for (uint32_t i = 0; i < parameters_.sq_entries; ++i) Word(rings_, parameters_.sq_off.array)[i] = i;
  return "";
}

bool Uring::Supports(std::initializer_list<uint8_t> operations) const {
  constexpr uint32_t kOperationsMax = 256;
  alignas(io_uring_probe) std::array<char, sizeof(io_uring_probe) + kOperationsMax * sizeof(io_uring_probe_op)>
      buffer{};
  auto* const probe = reinterpret_cast<io_uring_probe*>(buffer.data());
  if (syscall(__NR_io_uring_register, fd_.get(), IORING_REGISTER_PROBE, probe, kOperationsMax) != 0) return false;
  return std::all_of(operations.begin(), operations.end(), [probe](uint8_t operation) {
    return operation <= probe->last_op && (probe->ops[operation].flags & IO_URING_OP_SUPPORTED) != 0;
  });
}

io_uring_sqe* Uring::Prepare() {
  uint32_t* const tail = Word(rings_, parameters_.sq_off.tail);
  assert(*tail - Load(Word(rings_, parameters_.sq_off.head)) < parameters_.sq_entries);
  io_uring_sqe* const entry = &entries_[*tail % parameters_.sq_entries];
  *entry = {};
  // Seen by the kernel in Enter() only: this thread fills the entry in before.
  Store(tail, *tail + 1);
  ++prepared_;
  return entry;
}

int Uring::Enter() {
  const auto submitted =
      syscall(__NR_io_uring_enter, fd_.get(), prepared_, 1, IORING_ENTER_GETEVENTS, nullptr, size_t{0});
  if (submitted < 0) return errno == EINTR ? 0 : -errno;
  prepared_ -= static_cast<uint32_t>(submitted);
  return 0;
}

bool Uring::Take(io_uring_cqe* completion) {
  uint32_t* const head = Word(rings_, parameters_.cq_off.head);
  if (*head == Load(Word(rings_, parameters_.cq_off.tail))) return false;
  const auto* const completions = reinterpret_cast<const io_uring_cqe*>(rings_ + parameters_.cq_off.cqes);
  *completion = completions[*head % parameters_.cq_entries];
  Store(head, *head + 1);
  return true;
}

}  // namespace podfs::staging
