// FuseSession of src/native/addon.ts.
#pragma once

#include <napi.h>

#include <memory>

#include "napi/session_loop.h"

namespace podfs {

class FuseSessionObject : public Napi::ObjectWrap<FuseSessionObject> {
 public:
  static Napi::Function Class(Napi::Env env);
  // createFuseSession(options, events).
  static Napi::Value Create(const Napi::CallbackInfo& info);

  explicit FuseSessionObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<FuseSessionObject>(info) {}

 private:
  void Start(const Napi::CallbackInfo& info);
  void Reply(const Napi::CallbackInfo& info);
  void Bind(const Napi::CallbackInfo& info);
  void Unbind(const Napi::CallbackInfo& info);
  Napi::Value OpenBacking(const Napi::CallbackInfo& info);
  void CloseBacking(const Napi::CallbackInfo& info);
  void SetWriteGate(const Napi::CallbackInfo& info);
  void InvalidateInode(const Napi::CallbackInfo& info);
  void InvalidateEntry(const Napi::CallbackInfo& info);
  void KnowNames(const Napi::CallbackInfo& info);
  void Store(const Napi::CallbackInfo& info);
  Napi::Value Counters(const Napi::CallbackInfo& info);
  void Stop(const Napi::CallbackInfo& info);

  std::shared_ptr<SessionLoop> loop_;
};

}  // namespace podfs
