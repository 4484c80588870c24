// Serves READ and WRITE on content files: from the page cache at once, by a thread, or later when blocks come.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <shared_mutex>
#include <vector>

#include "fuse/content_file.h"
#include "fuse/device.h"
#include "fuse/in_flight.h"

namespace podfs {

struct DataRequest {
  bool is_write = false;
  uint64_t unique = 0;
  uint64_t ino = 0;
  std::shared_ptr<ContentFile> file;
  uint64_t offset = 0;
  uint32_t size = 0;
  uint32_t write_flags = 0;
  // Of a write: `owned` holds it, or somebody's buffer lends it.
  const char* payload = nullptr;
  std::unique_ptr<char[]> owned;
};

// What the event-loop thread copies itself.
inline constexpr uint32_t kInlineBytesMax = 64 * 1024;

// What one thread reads requests into, and answers reads from: room for the largest of both. The bytes of the file
// begin with a page either way: fewer pages to pin, and aligned copies.
class Lane {
 public:
  explicit Lane(size_t request_bytes_max)
      : bytes(request_bytes_max), buffer_(new (kPage) char[static_cast<size_t>(kPage) + request_bytes_max]) {}

  char* request() const { return data() - kWriteHeaderBytes; }
  char* data() const { return buffer_.get() + static_cast<size_t>(kPage); }

  const size_t bytes;

 private:
  static constexpr std::align_val_t kPage{4096};
  struct Delete {
    void operator()(char* buffer) const { ::operator delete[](buffer, kPage); }
  };
  const std::unique_ptr<char[], Delete> buffer_;
};

// Thread-safe. Held by shared_ptr: what is parked in a content file refers to it weakly.
class DataServer : public std::enable_shared_from_this<DataServer> {
 public:
  struct Hooks {
    // Takes a request that can go on, to serve it on some thread.
    std::function<void(DataRequest)> resume;
    std::function<void(uint64_t ino)> kill_privileges;
  };
  DataServer(Device* device, Hooks hooks) : device_(device), hooks_(std::move(hooks)) {}

  enum class Tried {
    kAnswered,
    kWouldWait,   // For blocks, or for the disk.
    kCannotTell,  // The filesystem does not say what is in memory (overlayfs, tmpfs).
  };
  // Answers a read of up to `bytes_max` if its bytes are in memory.
  Tried TryInline(const DataRequest& request, char* buffer, size_t bytes_max);
  // The request is known to interrupts from here on; Serve follows.
  void Accept(const DataRequest& request) { in_flight_.Add(request.unique); }
  // Copies a payload out of the buffer that lends it and that the next request needs.
  static void OwnPayload(DataRequest* request);
  // May wait for the disk; answers, or parks.
  void Serve(DataRequest request, Lane* lane);
  // True if the request was taken and not answered: then it is answered (EINTR), or runs and soon will be.
  bool Interrupt(uint64_t unique);
  void SetWriteGate(bool open);
  // Forgets everything that waits, unanswered, and what comes back later: the device is about to go.
  void Abandon();

 private:
  void ServeRead(DataRequest request, Lane* lane);
  void ServeWrite(DataRequest request);
  void AnswerRead(const DataRequest& request, Lane* lane);
  // Keeps the request with the file until `kind` is met. False, giving it back, if it can go on already.
  void Resume(DataRequest request, int error);
  bool ParkUntil(Need::Kind kind, DataRequest* request);
  bool WaitsAtGate(DataRequest* request);
  void Finish(const DataRequest& request, int error, const void* body, size_t bytes);

  Device* const device_;
  const Hooks hooks_;
  InFlight in_flight_;
  // Shared while a resumed request uses device and hooks, so that they stay until Abandon returns.
  std::shared_mutex abandon_mutex_;
  bool abandoned_ = false;             // GUARDED BY abandon_mutex_
  std::atomic<bool> gate_open_{true};  // Written under gate_mutex_.
  std::mutex gate_mutex_;
  std::vector<DataRequest> at_gate_;  // GUARDED BY gate_mutex_
};

}  // namespace podfs
