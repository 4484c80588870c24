#include "fuse/data_threads.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "fuse/monotonic.h"

namespace podfs {

namespace {
// A leader that serves one short request for longer than this is stuck (a disk, a full journal). Whoever looks takes a
// core from those that work, so not more often.
constexpr auto kStuckCheckInterval = std::chrono::milliseconds(4);
// The loop gets the device back after so long without any request, or so many metadata requests in a row.
constexpr int kQuietMillis = 5;
constexpr uint32_t kForwardedMax = 32;
// What takes longer than handing it over.
constexpr uint32_t kLargeBytes = 128 * 1024;
// A read that takes longer than this, and than copying its bytes, has waited for the disk.
constexpr uint64_t kReadMicrosMax = 30;
constexpr uint32_t kCopiedBytesPerMicro = 1'000;
// So many reads after one that has.
constexpr uint32_t kPresumedSlow = 16;
}  // namespace

int DataThreads::Start(const Options& options) {
  options_ = options;
  wake_fd_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_fd_.valid()) return -errno;
  for (uint32_t id = 1; id <= options.threads; ++id) {
    threads_.emplace_back();
    running_.fetch_add(1, std::memory_order_relaxed);
    const int status = threads_.back().Start("podfs-data", [this, id] { Run(id); });
    if (status == 0) continue;
    running_.fetch_sub(1, std::memory_order_relaxed);
    threads_.pop_back();
    // Fewer threads are slower, none is an error.
    return id > 1 ? 0 : status;
  }
  return 0;
}

void DataThreads::Enqueue(DataRequest request) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(request));
  }
  work_.notify_one();
}

void DataThreads::TakeDevice() {
  {
    const std::lock_guard lock(mutex_);
    has_device_ = true;
  }
  work_.notify_one();
}

void DataThreads::RequestStop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  if (wake_fd_.valid()) eventfd_write(wake_fd_.get(), 1);
  work_.notify_all();
}

void DataThreads::Join() {
  for (Thread& thread : threads_) thread.Join();
  threads_.clear();
  const std::lock_guard lock(mutex_);
  jobs_.clear();
}

void DataThreads::Run(uint32_t id) {
  Lane lane(std::max<size_t>(options_.max_write_bytes + kWriteHeaderBytes, kReadBufferBytesMin));
  for (;;) {
    DataRequest job;
    const Next next = WaitForWork(id, &job);
    if (next == Next::kStop) break;
    if (next == Next::kLead) {
      Lead(id, &lane);
    } else {
      server_->Serve(std::move(job), &lane);
    }
  }
  running_.fetch_sub(1, std::memory_order_acq_rel);
}

DataThreads::Next DataThreads::WaitForWork(uint32_t id, DataRequest* job) {
  std::unique_lock lock(mutex_);
  bool stuck = false;
  for (;;) {
    if (stopping_) return Next::kStop;
    if (!jobs_.empty()) {
      *job = std::move(jobs_.front());
      jobs_.pop_front();
      break;
    }
    if (has_device_ && (leader_.load(std::memory_order_acquire) == 0 || stuck)) {
      serving_.store(0, std::memory_order_release);
      leader_.store(id, std::memory_order_release);
      break;
    }
    stuck = false;
    if (has_device_ && !watched_) {
      watched_ = true;
      const uint64_t serving = serving_.load(std::memory_order_acquire);
      const bool looked = work_.wait_for(lock, kStuckCheckInterval) == std::cv_status::timeout;
      stuck = looked && serving != 0 && serving == serving_.load(std::memory_order_acquire);
      watched_ = false;
    } else {
      work_.wait(lock);
    }
  }
  // Whoever leaves may have been the one that watches.
  if (has_device_ && !watched_) work_.notify_one();
  return job->file != nullptr ? Next::kJob : Next::kLead;
}

bool DataThreads::StopLeading(uint32_t id, bool keep_device) {
  const std::lock_guard lock(mutex_);
  if (!IsLeader(id)) return false;
  leader_.store(0, std::memory_order_release);
  has_device_ = keep_device;
  if (keep_device) work_.notify_one();
  return true;
}

void DataThreads::Lead(uint32_t id, Lane* lane) {
  uint64_t idle_since = 0;  // Monotonic microseconds; 0: a request was there at the last look.
  uint32_t forwarded = 0;
  // The request was there already when the one before it was done.
  bool backlog = false;
  while (IsLeader(id) && !stopping_.load(std::memory_order_acquire)) {
    const int64_t bytes = device_->Read(lane->request(), lane->bytes);
    if (bytes == -EAGAIN) {
      backlog = false;
      if (idle_since == 0) idle_since = MonotonicMicros();
      if (WaitForRequest(idle_since)) continue;
      if (StopLeading(id, false)) router_->OnQuiet();
      return;
    }
    if (bytes < static_cast<int64_t>(sizeof(InHeader))) {
      StopLeading(id, false);
      return router_->OnDeviceError(bytes < 0 ? static_cast<int>(-bytes) : EPROTO);
    }
    idle_since = 0;
    InHeader header;
    memcpy(&header, lane->request(), sizeof(header));
    DataRequest request;
    if (router_->Route(header, lane->request() + sizeof(header), &request)) {
      forwarded = 0;
      ServeLed(id, std::move(request), backlog, lane);
      backlog = true;
      continue;
    }
    router_->Forward(lane->request(), static_cast<size_t>(bytes));
    if (++forwarded < kForwardedMax) continue;
    if (StopLeading(id, false)) router_->OnQuiet();
    return;
  }
}

bool DataThreads::WaitForRequest(uint64_t idle_since) {
  if (MonotonicMicros() - idle_since < options_.spin_micros) return true;
  pollfd fds[2] = {{device_->fd(), POLLIN, 0}, {wake_fd_.get(), POLLIN, 0}};
  return poll(fds, 2, kQuietMillis) != 0;
}

bool DataThreads::PresumedSlow() {
  const uint32_t left = presumed_slow_.load(std::memory_order_relaxed);
  if (left > 0) presumed_slow_.store(left - 1, std::memory_order_relaxed);
  return left > 0;
}

void DataThreads::ServeLed(uint32_t id, DataRequest request, bool backlog, Lane* lane) {
  // One stream alone is a third slower when its requests change threads (bench/native), so a large copy by itself stays
  // here; several at once are for several cores.
  const bool parallel = request.size >= kLargeBytes && backlog && options_.parallel_copies;
  bool takes_long = parallel;
  bool timed = false;
  if (!request.is_write && !parallel) {
    const DataServer::Tried tried = server_->TryInline(request, lane->data(), lane->bytes);
    if (tried == DataServer::Tried::kAnswered) return;
    timed = tried == DataServer::Tried::kCannotTell;
    takes_long = !timed || PresumedSlow();
  }
  server_->Accept(request);
  if (takes_long) {
    StopLeading(id, true);
    return server_->Serve(std::move(request), lane);
  }
  uint64_t serving = request.unique;
  serving_.store(serving, std::memory_order_release);
  const uint64_t began_at = timed ? MonotonicMicros() : 0;
  const uint64_t in_memory_micros = kReadMicrosMax + request.size / kCopiedBytesPerMicro;
  server_->Serve(std::move(request), lane);
  if (timed && MonotonicMicros() - began_at > in_memory_micros) {
    presumed_slow_.store(kPresumedSlow, std::memory_order_relaxed);
  }
  // Unless somebody else leads by now.
  serving_.compare_exchange_strong(serving, 0, std::memory_order_acq_rel);
}

}  // namespace podfs
