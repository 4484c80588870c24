#include "staging/device_copier.h"

#include <cassert>
#include <cerrno>
#include <utility>

namespace podfs::staging {

namespace {
constexpr unsigned kStreamNonBlocking = 0x1;        // CU_STREAM_NON_BLOCKING: not in order with the null stream
constexpr unsigned kEventBlockingSync = 0x1 | 0x2;  // CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING
constexpr unsigned kIpcLazyEnablePeerAccess = 0x1;  // CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS
}  // namespace

DeviceCopier::DeviceCopier(std::shared_ptr<const CudaDriver> driver, std::shared_ptr<CudaPins> pins, int ordinal)
    : driver_(std::move(driver)), pins_(std::move(pins)), ordinal_(ordinal) {}

DeviceCopier::~DeviceCopier() {
  Close();
  Join();
}

int DeviceCopier::Start(Done opened, std::function<void()> ended) {
  closing_ = false;
  const int status = thread_.Start("podfs-cuda", [this, opened = std::move(opened), ended = std::move(ended)] {
    const CudaOutcome outcome = OpenDevice();
    opened(outcome);
    if (!outcome.ok()) Close();
    Run();
    CloseDevice();
    ended();
  });
  if (status != 0) closing_ = true;
  return status;
}

void DeviceCopier::Add(Copy copy, Done done) {
  assert(copy.slot < copy.ring->shape().slots);
  // The ring is held by the job, and by InFlight after it: the memory stays as long as a copy may land in it.
  const auto shared = std::make_shared<const Copy>(std::move(copy));
  if (!Post([this, shared, done] { StartCopy(*shared, done); })) done({-EBADF, 0, "the copier is closed"});
}

void DeviceCopier::Add(Work work, Done done) {
  if (!Post([work = std::move(work), done] { done(work()); })) done({-EBADF, 0, "the copier is closed"});
}

bool DeviceCopier::Post(std::function<void()> job) {
  {
    const std::lock_guard lock(mutex_);
    if (closing_) return false;
    jobs_.push_back(std::move(job));
  }
  wake_.notify_one();
  return true;
}

void DeviceCopier::Close() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_one();
}

void DeviceCopier::Join() { thread_.Join(); }

// --- The copier's thread

CudaOutcome DeviceCopier::OpenDevice() {
  CudaResult result = (*driver_)->device_get(&device_, ordinal_);
  if (result != 0) return {0, result, "cuDeviceGet"};
  result = (*driver_)->primary_context_retain(&context_, device_);
  if (result != 0) return {0, result, "cuDevicePrimaryCtxRetain"};
  result = (*driver_)->context_set_current(context_);
  if (result != 0) return {0, result, "cuCtxSetCurrent"};
  return {0, (*driver_)->stream_create(&stream_, kStreamNonBlocking), "cuStreamCreate"};
}

// Goes on where something fails: after an error of the device, everything does.
void DeviceCopier::CloseDevice() {
  if (context_ == nullptr) return;
  for (const CudaDevicePointer address : opened_) (*driver_)->ipc_close_mem_handle(address);
  for (const CudaDevicePointer address : allocated_) (*driver_)->mem_free(address);
  for (const Ring* ring : pinned_) pins_->Unpin(*driver_, ring);
  for (CudaEvent event : spare_events_) (*driver_)->event_destroy(event);
  if (stream_ != nullptr) (*driver_)->stream_destroy(stream_);
  (*driver_)->context_set_current(nullptr);
  (*driver_)->primary_context_release(device_);
}

void DeviceCopier::Run() {
  for (;;) {
    std::deque<std::function<void()>> jobs;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return closing_ || !jobs_.empty() || !in_flight_.empty(); });
      jobs.swap(jobs_);
    }
    if (jobs.empty() && in_flight_.empty()) return;
    for (const auto& job : jobs) job();
    if (!in_flight_.empty()) FinishOldest();
  }
}

void DeviceCopier::StartCopy(const Copy& copy, Done done) {
  CudaEvent event = nullptr;
  const CudaOutcome outcome = Queue(copy, &event);
  if (outcome.ok()) {
    in_flight_.push_back({event, copy.ring, std::move(done)});
    return;
  }
  // Pieces that were queued before the one that failed.
  (*driver_)->stream_synchronize(stream_);
  if (event != nullptr) spare_events_.push_back(event);
  done(outcome);
}

CudaOutcome DeviceCopier::Queue(const Copy& copy, CudaEvent* event) {
  if (spare_events_.empty()) {
    const CudaResult result = (*driver_)->event_create(event, kEventBlockingSync);
    if (result != 0) return {0, result, "cuEventCreate"};
  } else {
    *event = spare_events_.back();
    spare_events_.pop_back();
  }
  char* const slot = copy.ring->Slot(copy.slot);
  for (const Piece& piece : copy.pieces) {
    assert(piece.slot_offset + piece.bytes <= copy.ring->shape().slot_bytes);
    char* const host = slot + piece.slot_offset;
    const bool to_slot = copy.direction == Direction::kToSlot;
    const CudaResult result = to_slot ? (*driver_)->memcpy_to_host(host, piece.address, piece.bytes, stream_)
                                      : (*driver_)->memcpy_to_device(piece.address, host, piece.bytes, stream_);
    if (result != 0) return {0, result, to_slot ? "cuMemcpyDtoHAsync" : "cuMemcpyHtoDAsync"};
  }
  return {0, (*driver_)->event_record(*event, stream_), "cuEventRecord"};
}

void DeviceCopier::FinishOldest() {
  const InFlight oldest = std::move(in_flight_.front());
  in_flight_.pop_front();
  const CudaResult result = (*driver_)->event_synchronize(oldest.event);
  spare_events_.push_back(oldest.event);
  oldest.done({0, result, "cuEventSynchronize"});
}

void DeviceCopier::Drain() {
  while (!in_flight_.empty()) FinishOldest();
}

// --- Work

CudaOutcome DeviceCopier::Pin(const std::shared_ptr<Ring>& ring) {
  const CudaOutcome outcome = pins_->Pin(*driver_, ring);
  if (outcome.ok()) pinned_.insert(ring.get());
  return outcome;
}

CudaOutcome DeviceCopier::Unpin(const Ring* ring) {
  const auto found = pinned_.find(ring);
  if (found == pinned_.end()) return {-EINVAL, 0, "the ring is not registered"};
  Drain();
  pinned_.erase(found);
  return pins_->Unpin(*driver_, ring);
}

CudaOutcome DeviceCopier::OpenIpc(const CudaIpcHandle& handle, CudaDevicePointer* address, uint64_t* bytes) {
  const CudaResult result = (*driver_)->ipc_open_mem_handle(address, handle, kIpcLazyEnablePeerAccess);
  if (result != 0) return {0, result, "cuIpcOpenMemHandle"};
  // The driver gives the same address for the same handle, and counts.
  opened_.insert(*address);
  CudaDevicePointer base = 0;
  size_t size = 0;
  const bool told = (*driver_)->mem_get_address_range(&base, &size, *address) == 0 && *address - base < size;
  *bytes = told ? size - (*address - base) : UINT64_MAX;
  return {};
}

CudaOutcome DeviceCopier::CloseIpc(CudaDevicePointer address) {
  const auto found = opened_.find(address);
  if (found == opened_.end()) return {-EINVAL, 0, "not an open handle's address"};
  Drain();
  opened_.erase(found);
  return {0, (*driver_)->ipc_close_mem_handle(address), "cuIpcCloseMemHandle"};
}

CudaOutcome DeviceCopier::Allocate(uint64_t bytes, CudaDevicePointer* address) {
  const CudaResult result = (*driver_)->mem_alloc(address, bytes);
  if (result != 0) return {0, result, "cuMemAlloc"};
  allocated_.insert(*address);
  return {};
}

CudaOutcome DeviceCopier::Free(CudaDevicePointer address) {
  if (allocated_.erase(address) == 0) return {-EINVAL, 0, "not allocated by this copier"};
  Drain();
  return {0, (*driver_)->mem_free(address), "cuMemFree"};
}

CudaOutcome DeviceCopier::IpcHandle(CudaDevicePointer address, CudaIpcHandle* handle, uint64_t* offset) {
  CudaDevicePointer base = 0;
  CudaResult result = (*driver_)->mem_get_address_range(&base, nullptr, address);
  if (result != 0) return {0, result, "cuMemGetAddressRange"};
  result = (*driver_)->ipc_get_mem_handle(handle, base);
  *offset = address - base;
  return {0, result, "cuIpcGetMemHandle"};
}

}  // namespace podfs::staging
