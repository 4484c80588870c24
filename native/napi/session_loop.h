// Runs a FUSE session on the event loop: waits for requests, spins for the next, hands JavaScript what is its.
#pragma once

#include <napi.h>
#include <uv.h>

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "fuse/session.h"
#include "napi/environment.h"

namespace podfs {

// The event-loop thread only, but for the SessionHost functions. Registered with the environment from Start to its
// end, so that a mount lives on when JavaScript has dropped the session object.
class SessionLoop final : public Resource, private SessionHost, public std::enable_shared_from_this<SessionLoop> {
 public:
  struct JavaScript {
    Napi::ObjectReference events;
    Napi::FunctionReference on_request;
    Napi::Reference<Napi::Uint8Array> request;
    Napi::Reference<Napi::Uint8Array> reply;
    Napi::Reference<Napi::Uint8Array> attributes;
  };

  SessionLoop(Environment* environment, UniqueFd device, const SessionOptions& options, JavaScript javascript);
  ~SessionLoop() override;

  // 0 or a negative errno.
  int Start();
  void Reply(uint64_t unique, int error, const void* body, size_t bytes);
  void Bind(uint64_t handle, const Napi::Object& object, std::shared_ptr<ContentFile> file);
  void Unbind(uint64_t handle);
  void Stop();
  void Abandon() override;
  Session& session() { return session_; }

 private:
  // What JavaScript returns instead of a length or an errno: see addon.ts.
  static constexpr int32_t kReplyLater = -0x10000;
  static constexpr int32_t kReplyNone = -0x10001;

  void OnForward(std::vector<char> request) override;
  void OnResumeReading() override;
  void OnKillPrivileges(uint64_t ino) override;
  void OnEnd(std::string error) override;
  // `call` runs on the event loop, unless the session is gone by then.
  void Post(std::function<void(SessionLoop* self)> call);

  void Serve();
  // Called after nothing was there: true to look again at once.
  bool Spin(uint64_t burst_began_at);
  void Dispatch(const char* request, size_t bytes, bool forwarded);
  void CallOnReady();
  void StartReading();
  void StopReading();
  void CloseHandles();
  void Finish(const std::string& error);

  Environment* const environment_;
  const std::shared_ptr<Mailbox> mailbox_;
  JavaScript javascript_;
  char* const request_data_;
  const size_t request_bytes_;
  char* const reply_data_;
  const size_t reply_bytes_;
  const uint32_t spin_micros_;
  // Requests are read here and copied (some hundred bytes) to JavaScript's buffer when their turn comes: messages that
  // are delivered in between may use that one.
  std::vector<char> buffer_;
  Session session_;

  struct Handles {
    uv_poll_t poll;
    uv_idle_t spin;
  };
  std::unique_ptr<Handles> handles_;  // While open.
  bool reading_ = false;
  bool started_ = false;
  bool finished_ = false;
  uint64_t last_request_at_ = 0;
  uint64_t dispatching_ = 0;  // Unique of the request JavaScript is being asked about; 0 when it has answered.
  std::unordered_map<uint64_t, Napi::ObjectReference> bound_;  // Keeps the objects, and so their events.
};

}  // namespace podfs
