#include "staging/thread_engine.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace podfs::staging {

namespace {

// To the disk, and out of the page cache. Waiting consumes an error that fsync would report, so it is reported here.
int WriteBack(int fd, off_t position, off_t length) {
  constexpr unsigned kAll = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
  if (sync_file_range(fd, position, length, kAll) != 0 && errno != ENOSYS) return -errno;
  posix_fadvise(fd, position, length, POSIX_FADV_DONTNEED);
  return 0;
}

int64_t Move(const Piece& piece) {
  const auto position = static_cast<off_t>(piece.position());
  // What has been read stays cached: other ranks may want it too, and the kernel drops clean pages first.
  const ssize_t moved = piece.to_file() ? pwrite(piece.fd(), piece.memory(), piece.asked, position)
                                        : pread(piece.fd(), piece.memory(), piece.asked, position);
  if (moved < 0) return -errno;
  const int error = piece.to_file() && !piece.direct && moved > 0 ? WriteBack(piece.fd(), position, moved) : 0;
  return error != 0 ? error : moved;
}

}  // namespace

bool ThreadEngine::Start(const std::shared_ptr<Transfer>& transfer) {
  if (!queue_.Add(transfer)) return false;
  const uint64_t pieces = (Padded(transfer->length) + kPieceBytes - 1) / kPieceBytes;
  for (uint64_t i = 0; i < std::min<uint64_t>(pieces, kThreadsMax); ++i) threads_.Post([this] { Drain(); });
  return true;
}

// Whoever gets a piece that must be moved again finds it here, before any other.
void ThreadEngine::Drain() {
  Piece piece;
  while (queue_.TryNext(&piece)) {
    const int64_t moved = Move(piece);
    queue_.Complete(std::move(piece), moved);
  }
}

void ThreadEngine::Stop() {
  queue_.Close();
  threads_.Stop();
  // What was added while the threads ended.
  Drain();
}

}  // namespace podfs::staging
