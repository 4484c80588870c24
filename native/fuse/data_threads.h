// The threads that serve data requests, and read the device themselves while data is what mostly comes.
//
// The event loop reads the device as long as metadata prevails: no hand-over, no wake-up. When large or waiting
// data requests come, one of these threads becomes the *leader*: it reads the device, serves what is data on the
// spot, and forwards the rest to the loop, which does not read meanwhile. So no file byte crosses the loop's
// thread, and a data request costs one wake-up too. Before a request that takes long the leader passes the lead
// on; if another gets stuck, a follower takes it. When data stops coming, the loop gets the device back.
//
// The bytes are copied, as a bare loop does. Splicing them through a pipe was measured (bench/native, 1 MiB
// requests): the same throughput and processor time, since pages must be allocated instead, and a buffer that is used
// again and again stays in the processor's cache.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>

#include "fuse/data_server.h"
#include "fuse/device.h"
#include "fuse/thread.h"
#include "fuse/unique_fd.h"

namespace podfs {

class DataThreads {
 public:
  // What the leader needs from the session. Called on data threads.
  class Router {
   public:
    virtual ~Router() = default;
    // Fills in a data request from the fixed part of a READ or WRITE; false if it is JavaScript's.
    virtual bool Route(const InHeader& header, const void* body, DataRequest* request) = 0;
    // A whole request that is not data.
    virtual void Forward(const char* request, size_t bytes) = 0;
    // The event loop may read again.
    virtual void OnQuiet() = 0;
    virtual void OnDeviceError(int error) = 0;
  };
  struct Options {
    size_t threads;
    size_t max_write_bytes;
    uint32_t spin_micros;
    // There are cores enough to copy for several requests at once.
    bool parallel_copies;
  };

  DataThreads(const Device* device, DataServer* server, Router* router)
      : device_(device), server_(server), router_(router) {}
  ~DataThreads() { Join(); }

  // 0 or a negative errno.
  int Start(const Options& options);
  void Enqueue(DataRequest request);
  // From the event-loop thread, which stops reading then.
  void TakeDevice();
  // Threads end soon; then finished() is true and Join does not wait.
  void RequestStop();
  bool finished() const { return running_.load(std::memory_order_acquire) == 0; }
  void Join();

 private:
  enum class Next { kLead, kJob, kStop };

  void Run(uint32_t id);
  Next WaitForWork(uint32_t id, DataRequest* job);
  void Lead(uint32_t id, Lane* lane);
  // Spins, then sleeps, for the next request. False: none came for so long that the loop should have the device.
  bool WaitForRequest(uint64_t idle_since);
  // Where the filesystem does not say what is in memory: will a read wait for the disk? What the last ones did tells.
  bool PresumedSlow();
  void ServeLed(uint32_t id, DataRequest request, bool backlog, Lane* lane);
  bool IsLeader(uint32_t id) const { return leader_.load(std::memory_order_acquire) == id; }
  // `keep_device`: another thread should lead; else nobody, the loop reads. False if another leads already.
  bool StopLeading(uint32_t id, bool keep_device);

  const Device* const device_;
  DataServer* const server_;
  Router* const router_;
  Options options_{};
  UniqueFd wake_fd_;  // eventfd: readable from RequestStop on.
  std::deque<Thread> threads_;
  std::atomic<uint32_t> running_{0};

  // 0: nobody leads. Ids start at 1.
  std::atomic<uint32_t> leader_{0};  // Written under mutex_.
  // Unique of the request that the leader serves on the spot; 0: none.
  std::atomic<uint64_t> serving_{0};
  std::atomic<uint32_t> presumed_slow_{0};  // So many more reads are; a hint.
  std::atomic<bool> stopping_{false};       // Written under mutex_.

  std::mutex mutex_;
  std::condition_variable work_;
  std::deque<DataRequest> jobs_;  // GUARDED BY mutex_
  bool has_device_ = false;       // GUARDED BY mutex_
  bool watched_ = false;          // GUARDED BY mutex_: some follower looks whether the leader is stuck.
};

}  // namespace podfs
