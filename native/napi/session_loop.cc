#include "napi/session_loop.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "fuse/monotonic.h"

namespace podfs {

namespace {
// After so long without a break the rest of the event loop has its turn: timers, sockets, other threads' results.
constexpr uint64_t kBurstMicros = 1'000;
}  // namespace

SessionLoop::SessionLoop(Environment* environment, UniqueFd device, const SessionOptions& options,
                         JavaScript javascript)
    : environment_(environment),
      mailbox_(environment->mailbox()),
      javascript_(std::move(javascript)),
      request_data_(reinterpret_cast<char*>(javascript_.request.Value().Data())),
      request_bytes_(javascript_.request.Value().ByteLength()),
      reply_data_(reinterpret_cast<char*>(javascript_.reply.Value().Data())),
      reply_bytes_(javascript_.reply.Value().ByteLength()),
      spin_micros_(options.spin_micros),
      buffer_(std::max<size_t>(options.negotiation.max_write_bytes + kWriteHeaderBytes, kReadBufferBytesMin)),
      session_(std::move(device), options, this) {}

SessionLoop::~SessionLoop() { session_.Close(); }

int SessionLoop::Start() {
  if (started_ || finished_) return -EALREADY;
  auto handles = std::make_unique<Handles>();
  int status = uv_poll_init(environment_->loop(), &handles->poll, session_.device_fd());
  if (status != 0) return status;
  uv_idle_init(environment_->loop(), &handles->spin);
  handles->poll.data = this;
  handles->spin.data = this;
  handles_ = std::move(handles);
  started_ = true;
  environment_->Register(shared_from_this());
  status = session_.Start();
  if (status != 0) {
    Abandon();
    environment_->Unregister(shared_from_this());
    return status;
  }
  StartReading();
  return 0;
}

// --- Reading

void SessionLoop::StartReading() {
  if (handles_ == nullptr || reading_) return;
  reading_ = true;
  last_request_at_ = MonotonicMicros();
  // Errors (an unmount) are found by reading, too.
  uv_poll_start(&handles_->poll, UV_READABLE,
                [](uv_poll_t* poll, int, int) { static_cast<SessionLoop*>(poll->data)->Serve(); });
}

void SessionLoop::StopReading() {
  if (handles_ == nullptr) return;
  reading_ = false;
  uv_poll_stop(&handles_->poll);
  uv_idle_stop(&handles_->spin);
}

void SessionLoop::Serve() {
  const std::shared_ptr<SessionLoop> alive = shared_from_this();
  const uint64_t began_at = MonotonicMicros();
  while (reading_) {
    if (mailbox_->pending()) {
      mailbox_->Drain();
      continue;
    }
    size_t bytes = 0;
    const Session::Outcome outcome = session_.ServeNext(buffer_, &bytes);
    if (outcome == Session::Outcome::kNothing) {
      if (Spin(began_at)) continue;
      return;
    }
    last_request_at_ = MonotonicMicros();
    switch (outcome) {
      case Session::Outcome::kRequest:
        // What other threads posted before they let this request happen comes first (OnKillPrivileges).
        if (mailbox_->pending()) mailbox_->Drain();
        if (reading_) Dispatch(buffer_.data(), bytes, false);
        break;
      case Session::Outcome::kNegotiated:
        CallOnReady();
        break;
      case Session::Outcome::kHandedOver:
      case Session::Outcome::kEnded:
        StopReading();
        return;
      case Session::Outcome::kServed:
      case Session::Outcome::kNothing:
        break;
    }
    if (MonotonicMicros() - began_at < kBurstMicros) continue;
    // There may be more: the loop goes round without sleeping, and comes back.
    Spin(0);
    return;
  }
}

bool SessionLoop::Spin(uint64_t burst_began_at) {
  const uint64_t now = MonotonicMicros();
  if (handles_ == nullptr || now - last_request_at_ >= spin_micros_) {
    if (handles_ != nullptr) uv_idle_stop(&handles_->spin);
    return false;
  }
  // What JavaScript answers later often waits for the event loop itself: then spin by letting the loop go round, which
  // an idle handle keeps from sleeping. Otherwise spin here, which is much cheaper.
  if (session_.deferred_count() == 0 && now - burst_began_at < kBurstMicros) return true;
  uv_idle_start(&handles_->spin, [](uv_idle_t* idle) { static_cast<SessionLoop*>(idle->data)->Serve(); });
  return false;
}

void SessionLoop::Dispatch(const char* request, size_t bytes, bool forwarded) {
  InHeader header;
  memcpy(&header, request, sizeof(header));
  const auto answer = [&](int error, size_t body_bytes) {
    session_.Answer(request, bytes, forwarded, error, reply_data_, body_bytes);
  };
  if (bytes > request_bytes_) return answer(-EIO, 0);
  memcpy(request_data_, request, bytes);
  dispatching_ = header.unique;
  // The reply leaves inside the turn, before microtasks run: they may use the reply buffer for others.
  environment_->RunTurn([&] {
    const Napi::Env env = environment_->env();
    const Napi::Value returned =
        javascript_.on_request.Call(javascript_.events.Value(), {Napi::Number::New(env, static_cast<double>(bytes))});
    const bool answered = std::exchange(dispatching_, 0) == 0;
    const bool sane = !returned.IsEmpty() && returned.IsNumber();
    const int32_t result = sane ? returned.As<Napi::Number>().Int32Value() : -EIO;
    if (answered || result == kReplyNone) return;
    if (result == kReplyLater) {
      session_.Postpone(header, forwarded);
    } else if (result >= 0) {
      answer(static_cast<size_t>(result) <= reply_bytes_ ? 0 : -EIO, static_cast<size_t>(result));
    } else {
      answer(result, 0);
    }
  });
}

void SessionLoop::CallOnReady() {
  environment_->RunTurn([this] {
    const Napi::Env env = environment_->env();
    const Negotiated& negotiated = session_.negotiated();
    Napi::Object object = Napi::Object::New(env);
    object.Set("protocolMinor", Napi::Number::New(env, negotiated.protocol_minor));
    object.Set("maxWriteBytes", Napi::Number::New(env, negotiated.max_write_bytes));
    object.Set("passthrough", Napi::Boolean::New(env, negotiated.passthrough));
    object.Set("passthroughReason", Napi::String::New(env, negotiated.passthrough_reason));
    Environment::Emit(javascript_.events.Value(), "onReady", {object});
  });
}

// --- From other threads

void SessionLoop::Post(std::function<void(SessionLoop* self)> call) {
  mailbox_->Post([weak = weak_from_this(), call = std::move(call)] {
    const std::shared_ptr<SessionLoop> self = weak.lock();
    if (self != nullptr && !self->finished_) call(self.get());
  });
}

void SessionLoop::OnForward(std::vector<char> request) {
  Post([request = std::move(request)](SessionLoop* self) {
    if (self->session_.Admit(request.data(), request.size())) self->Dispatch(request.data(), request.size(), true);
  });
}

void SessionLoop::OnResumeReading() {
  Post([](SessionLoop* self) { self->StartReading(); });
}

void SessionLoop::OnKillPrivileges(uint64_t ino) {
  Post([ino](SessionLoop* self) {
    Environment::Emit(self->javascript_.events.Value(), "onKillPrivileges",
                      {Napi::Number::New(self->environment_->env(), static_cast<double>(ino))});
  });
}

void SessionLoop::OnEnd(std::string error) {
  Post([error = std::move(error)](SessionLoop* self) { self->Finish(error); });
}

// --- From JavaScript

void SessionLoop::Reply(uint64_t unique, int error, const void* body, size_t bytes) {
  if (unique == dispatching_ && unique != 0) {
    // Answered before the handler has returned: as if it had been deferred.
    dispatching_ = 0;
    session_.Defer(unique);
  }
  session_.ReplyDeferred(unique, error, body, bytes);
}

void SessionLoop::Bind(uint64_t handle, const Napi::Object& object, std::shared_ptr<ContentFile> file) {
  if (finished_) return;
  bound_[handle] = Napi::Persistent(object);
  session_.Bind(handle, std::move(file));
}

void SessionLoop::Unbind(uint64_t handle) {
  session_.Unbind(handle);
  bound_.erase(handle);
}

// --- The end

void SessionLoop::Stop() {
  StopReading();
  if (started_) return session_.Stop();
  if (finished_) return;
  started_ = true;
  environment_->Register(shared_from_this());
  OnEnd("");
}

void SessionLoop::Finish(const std::string& error) {
  const std::shared_ptr<Resource> alive = shared_from_this();
  Abandon();
  environment_->Unregister(alive);
  Environment::Emit(javascript_.events.Value(), "onEnd", {Napi::String::New(environment_->env(), error)});
}

void SessionLoop::Abandon() {
  finished_ = true;
  CloseHandles();
  session_.Close();
  bound_.clear();
}

void SessionLoop::CloseHandles() {
  if (handles_ == nullptr) return;
  StopReading();
  // Freed when both are closed, in whatever order.
  const std::shared_ptr<Handles> handles = std::move(handles_);
  environment_->CloseHandle(reinterpret_cast<uv_handle_t*>(&handles->spin), [handles] {});
  environment_->CloseHandle(reinterpret_cast<uv_handle_t*>(&handles->poll), [handles] {});
}

}  // namespace podfs
