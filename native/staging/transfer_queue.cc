#include "staging/transfer_queue.h"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <utility>

namespace podfs::staging {

namespace {

// So often a piece may move nothing (EINTR, EAGAIN, a write of 0 bytes) before that is an error.
constexpr uint32_t kAttemptsMax = 64;

bool HandedOut(const Transfer& transfer) { return transfer.handed_out == Padded(transfer.length); }

void Fail(Transfer* transfer, int error) {
  if (transfer->error == 0) transfer->error = error;
  transfer->handed_out = Padded(transfer->length);
}

// Notes what became of a piece. True: `piece` is what is left to do of it.
bool Advance(Piece* piece, int64_t result) {
  Transfer* const transfer = piece->transfer.get();
  if (result == -EINVAL && piece->direct) {
    // The filesystem took O_DIRECT at open, and does not do it, or not with this alignment.
    transfer->file->GiveUpDirect();
    return true;
  }
  const bool once_more = result == -EINTR || result == -EAGAIN;
  if (result < 0 && !once_more) {
    Fail(transfer, static_cast<int>(result));
    return false;
  }
  // A read goes on to the padded length; the file may end before.
  const uint64_t wanted =
      piece->to_file() ? piece->length : std::min<uint64_t>(piece->length, transfer->length - piece->offset);
  if (!once_more && static_cast<uint64_t>(result) >= wanted) return false;
  // What is asked for next must begin aligned; moving some bytes twice does no harm.
  const auto moved = result > 0 ? static_cast<uint32_t>(result / kAlignment * kAlignment) : 0;
  if (moved == 0 && !once_more && !piece->to_file()) {
    transfer->end = std::min(transfer->end, piece->offset + static_cast<uint64_t>(result));
    return false;
  }
  piece->offset += moved;
  piece->length -= moved;
  piece->attempts = moved > 0 ? 0 : piece->attempts + 1;
  if (piece->attempts < kAttemptsMax) return true;
  Fail(transfer, result < 0 ? static_cast<int>(result) : -EIO);
  return false;
}

int64_t ResultOf(const Transfer& transfer) {
  return transfer.error != 0 ? transfer.error : static_cast<int64_t>(std::min(transfer.end, transfer.length));
}

}  // namespace

bool TransferQueue::Add(const std::shared_ptr<Transfer>& transfer) {
  assert(transfer->position % kAlignment == 0);
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return false;
    if (transfer->length > 0) {
      ++unfinished_;
      const uint32_t id = transfer->file->lane();
      auto lane = std::find_if(lanes_.begin(), lanes_.end(), [id](const Lane& other) { return other.id == id; });
      if (lane == lanes_.end()) lane = lanes_.insert(lanes_.end(), Lane{id, {}});
      lane->transfers.push_back(transfer);
      return true;
    }
  }
  transfer->done(0);
  return true;
}

bool TransferQueue::TryNext(Piece* piece) {
  for (;;) {
    {
      const std::lock_guard lock(mutex_);
      if (!Take(piece)) return false;
    }
    piece->direct = piece->transfer->file->direct();
    piece->asked = piece->length;
    if (disturbance_ == nullptr) return true;
    const int64_t disturbed = disturbance_->Disturb(*piece);
    assert(disturbed <= piece->length);
    piece->asked = static_cast<uint32_t>(std::max<int64_t>(disturbed, 0));
    if (disturbed >= 0) return true;
    Complete(*piece, disturbed);
  }
}

bool TransferQueue::Take(Piece* piece) {
  if (!again_.empty()) {
    *piece = std::move(again_.front());
    again_.pop_front();
    return true;
  }
  while (!lanes_.empty()) {
    Lane& lane = lanes_.front();
    const std::shared_ptr<Transfer> transfer = lane.transfers.front();
    // One that has failed has no pieces left.
    const bool found = !HandedOut(*transfer);
    if (found) *piece = Cut(transfer);
    if (HandedOut(*transfer)) lane.transfers.pop_front();
    if (lane.transfers.empty()) {
      lanes_.pop_front();
    } else if (found) {
      lanes_.splice(lanes_.end(), lanes_, lanes_.begin());
    }
    if (found) return true;
  }
  return false;
}

Piece TransferQueue::Cut(const std::shared_ptr<Transfer>& transfer) {
  Piece piece;
  piece.transfer = transfer;
  piece.offset = transfer->handed_out;
  piece.length = static_cast<uint32_t>(std::min<uint64_t>(kPieceBytes, Padded(transfer->length) - piece.offset));
  transfer->handed_out += piece.length;
  ++transfer->outstanding;
  return piece;
}

void TransferQueue::Complete(Piece piece, int64_t result) {
  const std::shared_ptr<Transfer> transfer = piece.transfer;
  int64_t total = 0;
  {
    const std::lock_guard lock(mutex_);
    if (Advance(&piece, result)) {
      again_.push_back(std::move(piece));
      return;
    }
    if (--transfer->outstanding > 0 || !HandedOut(*transfer)) return;
    --unfinished_;
    total = ResultOf(*transfer);
  }
  transfer->done(total);
}

void TransferQueue::Close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
}

bool TransferQueue::Finished() const {
  const std::lock_guard lock(mutex_);
  return closed_ && unfinished_ == 0;
}

}  // namespace podfs::staging
