// One mounted filesystem: sorts the kernel's requests into those native code serves and those JavaScript answers.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "fuse/data_server.h"
#include "fuse/data_threads.h"
#include "fuse/device.h"
#include "fuse/native_answers.h"
#include "fuse/negotiate.h"
#include "fuse/notifier.h"
#include "fuse/thread.h"

namespace podfs {

// What runs the event loop. Any thread, no lock held.
class SessionHost {
 public:
  virtual ~SessionHost() = default;
  // A request for JavaScript that a data thread has read: to be admitted, and answered by ReplyDeferred.
  virtual void OnForward(std::vector<char> request) = 0;
  // The device is the event loop's again.
  virtual void OnResumeReading() = 0;
  virtual void OnKillPrivileges(uint64_t ino) = 0;
  // Every thread is gone; Close is next. Once, after Stop or by itself; `error` is empty after an unmount.
  virtual void OnEnd(std::string error) = 0;
};

struct SessionOptions {
  NegotiationOptions negotiation;
  size_t data_threads = 4;
  uint32_t spin_micros = 50;
  // The table of AttributeAnswers, which outlives the session; may be empty.
  std::span<char> attributes = {};
};

class Session final : private DataThreads::Router {
 public:
  enum class Outcome {
    kNothing,     // No request is waiting.
    kServed,      // Or none of anybody's business.
    kNegotiated,  // The first request was answered: negotiated() is set.
    kRequest,     // JavaScript's, in the buffer.
    kHandedOver,  // Data threads read from now on, until OnResumeReading.
    kEnded,       // OnEnd follows.
  };

  Session(UniqueFd device, const SessionOptions& options, SessionHost* host);
  ~Session() override;

  // 0 or a negative errno.
  int Start();

  // --- The event-loop thread only.
  // Reads and sorts one request. `buffer` has room for max_write_bytes + kWriteHeaderBytes.
  Outcome ServeNext(std::span<char> buffer, size_t* request_bytes);
  // For a request that a data thread has forwarded: true if it is JavaScript's.
  bool Admit(const char* request, size_t bytes) { return AdmitOne(request, bytes, true); }
  // JavaScript's answer to an admitted request, in the turn in which it was asked. `error` is 0 or a negative errno.
  void Answer(const char* request, size_t request_bytes, bool forwarded, int error, const void* body, size_t bytes);
  // JavaScript answers this one later, by ReplyDeferred.
  void Postpone(const InHeader& header, bool forwarded);
  // As Postpone, from any thread, for what JavaScript has not been asked yet.
  void Defer(uint64_t unique);
  size_t deferred_count() const { return deferred_count_.load(std::memory_order_relaxed); }
  // Only the first answer counts.
  void ReplyDeferred(uint64_t unique, int error, const void* body, size_t bytes);
  int device_fd() const { return device_.fd(); }
  const Negotiated& negotiated() const { return negotiated_; }
  // The kernel forgets what it cached of the inode, and so does the engine.
  void InvalidateInode(uint64_t ino, int64_t offset, int64_t length);
  // The kernel forgets the name, or that there is none, and so does the engine.
  void InvalidateEntry(uint64_t parent, std::string_view name);
  // `names`: all that are in the directory now, each with its NUL. Does nothing while a request waits for JavaScript:
  // it may make another.
  void KnowNames(uint64_t directory, std::string_view names);
  // Idempotent; OnEnd follows.
  void Stop() { End(""); }
  // After OnEnd, or to stop and wait for it. Before the destructor.
  void Close();

  // --- Any thread, until Close.
  void Bind(uint64_t handle, std::shared_ptr<ContentFile> file);
  void Unbind(uint64_t handle);
  void SetWriteGate(bool open) { server_->SetWriteGate(open); }
  int OpenBacking(int file_fd) const { return device_.OpenBacking(file_fd); }
  int CloseBacking(int id) const { return device_.CloseBacking(id); }
  Notifier& notifier() { return notifier_; }
  uint64_t count(uint32_t opcode) const { return counts_[opcode].load(std::memory_order_relaxed); }

 private:
  bool Route(const InHeader& header, const void* body, DataRequest* request) override;
  void Forward(const char* request, size_t bytes) override;
  void OnQuiet() override { host_->OnResumeReading(); }
  void OnDeviceError(int error) override;

  Outcome Initialize(const InHeader& header, const void* body, size_t bytes);
  Outcome ServeData(DataRequest request);
  bool AdmitOne(const char* request, size_t bytes, bool forwarded);
  void Reply(uint64_t unique, bool forwarded, int error, const void* body, size_t bytes);
  void End(std::string error);
  void TearDown();
  void AnswerAllWithError();
  bool TakeDeferred(uint64_t unique);

  const SessionOptions options_;
  SessionHost* const host_;
  Device device_;
  const std::shared_ptr<DataServer> server_;
  DataThreads threads_;
  Notifier notifier_;
  Negotiated negotiated_;
  std::unique_ptr<char[]> inline_buffer_;
  uint32_t data_streak_ = 0;
  NativeAnswers answers_;
  std::array<std::atomic<uint64_t>, kOpcodeLimit> counts_{};

  std::atomic<bool> end_claimed_{false};
  std::string end_error_;            // Written once, before ending_.
  std::atomic<bool> ending_{false};  // The tear-down thread waits for it.
  Thread tear_down_;                 // From Start on, so that ending a session cannot fail for want of a thread.
  bool closed_ = false;

  mutable std::shared_mutex files_mutex_;
  std::unordered_map<uint64_t, std::shared_ptr<ContentFile>> files_;  // By handle. GUARDED BY files_mutex_
  std::mutex deferred_mutex_;
  std::unordered_set<uint64_t> deferred_;  // GUARDED BY deferred_mutex_
  std::atomic<size_t> deferred_count_{0};
};

}  // namespace podfs
