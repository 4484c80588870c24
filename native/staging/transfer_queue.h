// Cuts transfers into pieces, hands them to whoever moves them, and puts together what became of them.
//
// Lanes take turns, piece by piece: with n clients that write, each has one n-th of the disk, however much one of them
// has queued. Within a lane transfers go in order.
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <mutex>

#include "staging/transfer.h"

namespace podfs::staging {

// Any thread.
class TransferQueue {
 public:
  explicit TransferQueue(Disturbance* disturbance) : disturbance_(disturbance) {}

  // False after Close(): the transfer is not taken. Its `done` is called from Complete, or from here if it is empty.
  bool Add(const std::shared_ptr<Transfer>& transfer);
  // The next piece to move, which must be completed; false if there is none now.
  bool TryNext(Piece* piece);
  // `result`: the bytes moved, or a negative errno.
  void Complete(Piece piece, int64_t result);

  void Close();
  // Closed, and every transfer is done, or is being told so.
  bool Finished() const;

 private:
  struct Lane {
    uint32_t id;
    std::deque<std::shared_ptr<Transfer>> transfers;  // Never empty.
  };

  bool Take(Piece* piece);
  static Piece Cut(const std::shared_ptr<Transfer>& transfer);

  Disturbance* const disturbance_;
  mutable std::mutex mutex_;
  std::list<Lane> lanes_;    // GUARDED BY mutex_; the front is next.
  std::deque<Piece> again_;  // GUARDED BY mutex_; not moved in full: before all others.
  size_t unfinished_ = 0;    // GUARDED BY mutex_
  bool closed_ = false;      // GUARDED BY mutex_
};

}  // namespace podfs::staging
