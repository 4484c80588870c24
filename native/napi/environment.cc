#include "napi/environment.h"

#include <algorithm>
#include <utility>

namespace podfs {

namespace {
// The finalizer of the instance data runs too late, and End deletes the environment.
void LeaveToCleanupHook(Napi::Env, Environment*) {}
}  // namespace

Environment::Environment(Napi::Env env) : env_(env), context_(env, "podfs") {}

Environment* Environment::Create(Napi::Env env) {
  auto* environment = new Environment(env);
  int status = napi_get_uv_event_loop(env, &environment->loop_) == napi_ok ? 0 : UV_EINVAL;
  if (status == 0) {
    status = environment->mailbox_->Open(environment->loop_, &environment->async_,
                                         [environment](const auto& message) { environment->RunTurn(message); });
  }
  if (status != 0) {
    delete environment;
    Napi::Error::New(env, std::string("podfs: cannot use the event loop: ") + uv_strerror(status))
        .ThrowAsJavaScriptException();
    return nullptr;
  }
  environment->UpdateReference();
  // Asynchronous: handles need turns of the loop to close.
  napi_add_async_cleanup_hook(
      env, [](napi_async_cleanup_hook_handle hook, void* argument) { static_cast<Environment*>(argument)->End(hook); },
      environment, &environment->hook_);
  env.SetInstanceData<Environment, LeaveToCleanupHook>(environment);
  return environment;
}

void Environment::RunTurn(const std::function<void()>& call) {
  const Napi::HandleScope handles(env_);
  {
    const Napi::CallbackScope callbacks(env_, context_);
    call();
  }
  if (!env_.IsExceptionPending()) return;
  const Napi::Error error = env_.GetAndClearPendingException();
  napi_fatal_exception(env_, error.Value());
}

void Environment::Emit(const Napi::Object& events, const char* event, const std::vector<napi_value>& arguments) {
  const Napi::Value function = events.Get(event);
  // An empty value has no environment: to use it ends the process.
  if (!function.IsEmpty()) function.As<Napi::Function>().Call(events, arguments);
}

Napi::Value Environment::Run(const std::vector<Napi::Object>& keep_alive, Settle settle,
                             const std::function<void(Finish finish)>& start) {
  auto operation = std::make_unique<Operation>(Operation{Napi::Promise::Deferred::New(env_), std::move(settle), {}});
  for (const Napi::Object& object : keep_alive) operation->kept.push_back(Napi::Persistent(object));
  const Napi::Value promise = operation->deferred.Promise();
  const uint64_t id = next_operation_++;
  operations_.emplace(id, std::move(operation));
  UpdateReference();
  start([mailbox = mailbox_, this, id](Result result) {
    mailbox->Post([this, id, result = std::move(result)] { SettleOperation(id, result); });
  });
  return promise;
}

void Environment::SettleOperation(uint64_t id, const Result& result) {
  const auto found = operations_.find(id);
  if (found == operations_.end()) return;
  const std::unique_ptr<Operation> operation = std::move(found->second);
  operations_.erase(found);
  UpdateReference();
  operation->settle(env_, operation->deferred, result);
}

void Environment::Register(const std::shared_ptr<Resource>& resource) {
  resources_.insert(resource);
  UpdateReference();
}

void Environment::Unregister(const std::shared_ptr<Resource>& resource) {
  resources_.erase(resource);
  UpdateReference();
}

void Environment::UpdateReference() {
  if (ending_) return;
  auto* const handle = reinterpret_cast<uv_handle_t*>(&async_);
  const auto holds = [](const std::shared_ptr<Resource>& resource) { return resource->HoldsProcess(); };
  if (operations_.empty() && std::none_of(resources_.begin(), resources_.end(), holds)) {
    uv_unref(handle);
  } else {
    uv_ref(handle);
  }
}

void Environment::CloseHandle(uv_handle_t* handle, std::function<void()> closed) {
  struct Closing {
    Environment* environment;
    std::function<void()> closed;
  };
  ++closing_handles_;
  handle->data = new Closing{this, std::move(closed)};
  uv_close(handle, [](uv_handle_t* done) {
    const std::unique_ptr<Closing> closing(static_cast<Closing*>(done->data));
    if (closing->closed) closing->closed();
    --closing->environment->closing_handles_;
    EndIfClosed(closing->environment);
  });
}

void Environment::End(napi_async_cleanup_hook_handle hook) {
  ending_ = true;
  hook_ = hook;
  const Napi::HandleScope handles(env_);
  for (const std::shared_ptr<Resource>& resource : std::exchange(resources_, {})) resource->Abandon();
  pool_->Stop();
  mailbox_->Close();
  operations_.clear();
  content_file_class.Reset();
  session_class.Reset();
  staged_file_class.Reset();
  staging_io_class.Reset();
  staging_ring_class.Reset();
  CloseHandle(reinterpret_cast<uv_handle_t*>(&async_), nullptr);
}

void Environment::EndIfClosed(Environment* environment) {
  if (!environment->ending_ || environment->closing_handles_ > 0) return;
  napi_async_cleanup_hook_handle hook = environment->hook_;
  delete environment;
  napi_remove_async_cleanup_hook(hook);
}

}  // namespace podfs
