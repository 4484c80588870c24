// io_uring by its system calls: as much of it as one thread needs that submits, waits, and takes completions. liburing
// would be a package more to install. io_uring(7) has the layout of the shared memory.
#pragma once

#include <linux/io_uring.h>

#include <cstdint>
#include <initializer_list>
#include <string>

#include "fuse/unique_fd.h"

namespace podfs::staging {

// One thread at a time.
class Uring {
 public:
  Uring() = default;
  Uring(const Uring&) = delete;
  Uring& operator=(const Uring&) = delete;
  ~Uring();

  // `entries`: a power of two, as many as are prepared at once. Empty, or why there is none.
  std::string Open(uint32_t entries, std::initializer_list<uint8_t> operations);
  // An empty entry, submitted with the next Enter().
  io_uring_sqe* Prepare();
  // Submits, and waits for a completion if none is there. Returns 0; or EAGAIN or EBUSY, negative, if the kernel has no
  // room now: take completions first.
  int Enter();
  bool Take(io_uring_cqe* completion);

 private:
  bool Supports(std::initializer_list<uint8_t> operations) const;

  UniqueFd fd_;
  io_uring_params parameters_{};
  char* rings_ = nullptr;  // Both: IORING_FEAT_SINGLE_MMAP.
  size_t rings_bytes_ = 0;
  io_uring_sqe* entries_ = nullptr;
  uint32_t prepared_ = 0;  // Not submitted yet.
};

}  // namespace podfs::staging
