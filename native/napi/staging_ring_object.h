// StagingRing of src/native/staging.ts.
#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "staging/ring.h"

namespace podfs {

class StagingRingObject : public Napi::ObjectWrap<StagingRingObject> {
 public:
  static Napi::Function Class(Napi::Env env);
  // createRing(options).
  static Napi::Value Create(const Napi::CallbackInfo& info);
  // openRing(fd, options).
  static Napi::Value Open(const Napi::CallbackInfo& info);
  // The ring behind a StagingRing argument; null, with an exception pending, if it is none or closed.
  static std::shared_ptr<staging::Ring> RingOf(const Napi::Value& value);

  explicit StagingRingObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<StagingRingObject>(info) {}

 private:
  static Napi::Value Wrap(Napi::Env env, int status, std::shared_ptr<staging::Ring> ring);

  Napi::Value Fd(const Napi::CallbackInfo& info);
  Napi::Value Slots(const Napi::CallbackInfo& info);
  Napi::Value SlotBytes(const Napi::CallbackInfo& info);
  Napi::Value Slot(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);

  std::shared_ptr<staging::Ring> ring_;  // Null: closed.
  staging::Ring::Shape shape_;
  // One for each slot, made when it is asked for. Each holds the ring by itself.
  std::vector<Napi::Reference<Napi::ArrayBuffer>> memory_;
};

}  // namespace podfs
