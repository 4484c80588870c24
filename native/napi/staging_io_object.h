// StagingIo of src/native/staging.ts.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <vector>

#include "napi/environment.h"
#include "staging/staging_io.h"

namespace podfs {

// Staging I/O of one environment, with the threads it has. The event-loop thread only, but for io().
class StagingThreads final : public Resource, public std::enable_shared_from_this<StagingThreads> {
 public:
  StagingThreads(Environment* environment, const staging::StagingIo::Options& options)
      : environment_(environment), io_(options) {}

  staging::StagingIo* io() { return &io_; }
  // A promise for what `job` returns, on a thread for such jobs.
  Napi::Value Run(const std::vector<Napi::Object>& keep_alive, std::function<Environment::Result()> job,
                  Environment::Settle settle);
  // Ends the threads when the last request has ended. Once, or not at all.
  void Close();
  void Abandon() override;
  bool HoldsProcess() const override { return false; }

 private:
  Environment* const environment_;  // Until closed.
  staging::StagingIo io_;
  bool closed_ = false;
};

class StagingIoObject : public Napi::ObjectWrap<StagingIoObject> {
 public:
  static Napi::Function Class(Napi::Env env);
  // createStagingIo(options?).
  static Napi::Value Create(const Napi::CallbackInfo& info);

  explicit StagingIoObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<StagingIoObject>(info) {}
  ~StagingIoObject() override;

 private:
  Napi::Value Engine(const Napi::CallbackInfo& info);
  Napi::Value Reason(const Napi::CallbackInfo& info);
  Napi::Value Open(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);

  std::shared_ptr<StagingThreads> threads_;
};

}  // namespace podfs
