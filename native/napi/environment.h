// What the addon keeps for one JavaScript environment (the main thread's, or a worker's): its mailbox, its pool,
// operations that have not settled, sessions that are open. Ends with the environment, in order.
#pragma once

#include <napi.h>
#include <uv.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "fuse/worker_pool.h"
#include "napi/mailbox.h"

namespace podfs {

// Something with threads or handles of its own. The event-loop thread only.
class Resource {
 public:
  virtual ~Resource() = default;
  // The environment ends: no JavaScript any more, every thread is gone when this returns.
  virtual void Abandon() = 0;
  // A program does not end while it is registered.
  virtual bool HoldsProcess() const { return true; }
};

// The event-loop thread only, but for mailbox() and the pool.
class Environment {
 public:
  struct Result {
    int64_t value = 0;
    std::string text;
  };
  // Settles the promise of an operation; with the objects it kept alive still there.
  using Settle = std::function<void(Napi::Env env, const Napi::Promise::Deferred& deferred, const Result& result)>;
  // Called once, on any thread.
  using Finish = std::function<void(Result result)>;

  // Null, with a JavaScript exception pending, if the event loop has no room for us.
  static Environment* Create(Napi::Env env);
  static Environment* Of(Napi::Env env) { return env.GetInstanceData<Environment>(); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  const std::shared_ptr<Mailbox>& mailbox() const { return mailbox_; }
  WorkerPool* pool() const { return pool_.get(); }
  // For what may outlive the environment: takes no work then.
  const std::shared_ptr<WorkerPool>& shared_pool() const { return pool_; }
  uv_loop_t* loop() const { return loop_; }
  Napi::Env env() const { return env_; }

  // Runs `call` as a turn of the event loop: with scopes, its microtasks after it, and what it throws reported as an
  // uncaught exception.
  void RunTurn(const std::function<void()>& call);
  // Calls a function of an object of events; nothing where JavaScript cannot run any more, as in a thread that is being
  // terminated: turns that are under way then still come here.
  static void Emit(const Napi::Object& events, const char* event, const std::vector<napi_value>& arguments);
  // A promise for an operation that `start` sets going.
  Napi::Value Run(const std::vector<Napi::Object>& keep_alive, Settle settle,
                  const std::function<void(Finish finish)>& start);

  // Until it is unregistered, the resource is abandoned at the end.
  void Register(const std::shared_ptr<Resource>& resource);
  void Unregister(const std::shared_ptr<Resource>& resource);
  // Closes a handle; the environment does not end before it is closed. `closed` runs then.
  void CloseHandle(uv_handle_t* handle, std::function<void()> closed);

  Napi::FunctionReference content_file_class;
  Napi::FunctionReference session_class;
  Napi::FunctionReference staged_file_class;
  Napi::FunctionReference staging_io_class;
  Napi::FunctionReference staging_ring_class;

 private:
  struct Operation {
    Napi::Promise::Deferred deferred;
    Settle settle;
    std::vector<Napi::ObjectReference> kept;
  };

  explicit Environment(Napi::Env env);
  void SettleOperation(uint64_t id, const Result& result);
  void UpdateReference();
  void End(napi_async_cleanup_hook_handle hook);
  static void EndIfClosed(Environment* environment);

  const Napi::Env env_;
  uv_loop_t* loop_ = nullptr;
  uv_async_t async_{};
  std::shared_ptr<Mailbox> mailbox_ = std::make_shared<Mailbox>();
  const std::shared_ptr<WorkerPool> pool_ = std::make_shared<WorkerPool>("podfs-file", 8);
  Napi::AsyncContext context_;
  uint64_t next_operation_ = 1;
  std::unordered_map<uint64_t, std::unique_ptr<Operation>> operations_;
  std::unordered_set<std::shared_ptr<Resource>> resources_;
  size_t closing_handles_ = 0;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  bool ending_ = false;
};

}  // namespace podfs
