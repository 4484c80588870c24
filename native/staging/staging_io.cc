#include "staging/staging_io.h"

#include <cstring>
#include <utility>

namespace podfs::staging {

StagingIo::StagingIo(const Options& options) : threads_(options.disturbance) {
  if (options.threads_only) {
    reason_ = "threads were asked for";
    return;
  }
  auto uring = std::make_unique<UringEngine>(options.disturbance);
  reason_ = uring->Open();
  if (reason_.empty()) uring_ = std::move(uring);
}

bool StagingIo::Start(const std::shared_ptr<Transfer>& transfer) {
  if (transfer->direction == Transfer::Direction::kToFile) {
    memset(transfer->memory + transfer->length, 0, Padded(transfer->length) - transfer->length);
  }
  if (uring_ != nullptr && transfer->file->direct()) return uring_->Start(transfer);
  return threads_.Start(transfer);
}

void StagingIo::Stop() {
  jobs_.Stop();
  if (uring_ != nullptr) uring_->Stop();
  threads_.Stop();
}

}  // namespace podfs::staging
