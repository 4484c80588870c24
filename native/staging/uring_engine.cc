#include "staging/uring_engine.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace podfs::staging {

namespace {

// Marks the completion that says the eventfd is readable; others are indexes of pieces.
constexpr uint64_t kWake = UINT64_MAX;
// A power of two, with room for all pieces and the wake-up.
constexpr uint32_t kEntries = 2 * kInFlightMax;
// How long the kernel gets to make room, when it has none for our requests.
constexpr useconds_t kNoRoomMicros = 1'000;

}  // namespace

std::string UringEngine::Open() {
  std::string reason = uring_.Open(kEntries, {IORING_OP_POLL_ADD, IORING_OP_READ, IORING_OP_WRITE});
  if (!reason.empty()) return reason;
  wake_fd_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_fd_.valid()) return std::string("eventfd: ") + strerror(errno);
  for (uint32_t i = 0; i < kInFlightMax; ++i) free_.push_back(i);
  const int status = thread_.Start("podfs-uring", [this] { Run(); });
  return status == 0 ? "" : std::string("no thread for it: ") + strerror(-status);
}

bool UringEngine::Start(const std::shared_ptr<Transfer>& transfer) {
  if (!queue_.Add(transfer)) return false;
  eventfd_write(wake_fd_.get(), 1);
  return true;
}

void UringEngine::Stop() {
  queue_.Close();
  eventfd_write(wake_fd_.get(), 1);
  thread_.Join();
}

void UringEngine::Run() {
  WatchWake();
  while (!queue_.Finished()) {
    Submit();
    const int status = uring_.Enter();
    if (status == -EAGAIN || status == -EBUSY) {
      usleep(kNoRoomMicros);
    } else if (status != 0) {
      // Whether the kernel still writes to the memory of somebody's transfer is not to be known any more.
      fprintf(stderr, "podfs: io_uring_enter: %s\n", strerror(-status));
      abort();
    }
    Reap();
  }
}

void UringEngine::WatchWake() {
  io_uring_sqe* const entry = uring_.Prepare();
  entry->opcode = IORING_OP_POLL_ADD;
  entry->fd = wake_fd_.get();
  entry->poll32_events = POLLIN;
  entry->user_data = kWake;
}

void UringEngine::Submit() {
  Piece piece;
  while (!free_.empty() && queue_.TryNext(&piece)) {
    const uint32_t index = free_.back();
    free_.pop_back();
    io_uring_sqe* const entry = uring_.Prepare();
    entry->opcode = piece.to_file() ? IORING_OP_WRITE : IORING_OP_READ;
    entry->fd = piece.fd();
    entry->addr = reinterpret_cast<uintptr_t>(piece.memory());
    entry->len = piece.asked;
    entry->off = piece.position();
    entry->user_data = index;
    in_flight_[index] = std::move(piece);
  }
}

void UringEngine::Reap() {
  io_uring_cqe completion;
  while (uring_.Take(&completion)) {
    if (completion.user_data == kWake) {
      eventfd_t ignored = 0;
      eventfd_read(wake_fd_.get(), &ignored);
      WatchWake();
      continue;
    }
    const auto index = static_cast<uint32_t>(completion.user_data);
    Piece piece = std::move(in_flight_[index]);
    free_.push_back(index);
    queue_.Complete(std::move(piece), completion.res);
  }
}

}  // namespace podfs::staging
