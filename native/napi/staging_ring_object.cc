#include "napi/staging_ring_object.h"

#include <cerrno>
#include <utility>

#include "napi/environment.h"
#include "napi/errors.h"

namespace podfs {

using staging::Ring;

namespace {

Ring::Shape ToShape(const Napi::Object& options) {
  Ring::Shape shape;
  shape.slots = options.Get("slots").As<Napi::Number>().Uint32Value();
  shape.slot_bytes = static_cast<uint64_t>(options.Get("slotBytes").As<Napi::Number>().Int64Value());
  return shape;
}

}  // namespace

Napi::Function StagingRingObject::Class(Napi::Env env) {
  return DefineClass(env, "StagingRing",
                     {
                         InstanceAccessor<&StagingRingObject::Fd>("fd"),
                         InstanceAccessor<&StagingRingObject::Slots>("slots"),
                         InstanceAccessor<&StagingRingObject::SlotBytes>("slotBytes"),
                         InstanceMethod<&StagingRingObject::Slot>("slot"),
                         InstanceMethod<&StagingRingObject::Close>("close"),
                     });
}

Napi::Value StagingRingObject::Create(const Napi::CallbackInfo& info) {
  const Napi::Object options = info[0].As<Napi::Object>();
  std::shared_ptr<Ring> ring;
  const int status = Ring::Create(ToShape(options), options.Get("numaNode").As<Napi::Number>().Int32Value(), &ring);
  return Wrap(info.Env(), status, std::move(ring));
}

Napi::Value StagingRingObject::Open(const Napi::CallbackInfo& info) {
  std::shared_ptr<Ring> ring;
  const int status =
      Ring::Open(UniqueFd(info[0].As<Napi::Number>().Int32Value()), ToShape(info[1].As<Napi::Object>()), &ring);
  return Wrap(info.Env(), status, std::move(ring));
}

Napi::Value StagingRingObject::Wrap(Napi::Env env, int status, std::shared_ptr<Ring> ring) {
  if (status != 0) {
    SystemError(env, status, "staging ring").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  const Napi::Object created = Environment::Of(env)->staging_ring_class.New({});
  if (created.IsEmpty()) return env.Undefined();
  StagingRingObject* const object = Unwrap(created);
  object->shape_ = ring->shape();
  object->memory_.resize(ring->shape().slots);
  // The last reference may be the event loop's, or that of the thread that moves other clients' bytes: to free the
  // pages takes a third of a second for 512 MiB (measured).
  object->ring_ = DestroyedOn(Environment::Of(env)->shared_pool(), std::move(ring));
  return created;
}

std::shared_ptr<Ring> StagingRingObject::RingOf(const Napi::Value& value) {
  const Napi::Env env = value.Env();
  if (value.IsObject() && value.As<Napi::Object>().InstanceOf(Environment::Of(env)->staging_ring_class.Value())) {
    StagingRingObject* const wrap = Unwrap(value.As<Napi::Object>());
    if (wrap->ring_ == nullptr) SystemError(env, -EBADF, "staging ring is closed").ThrowAsJavaScriptException();
    return wrap->ring_;
  }
  Napi::TypeError::New(env, "not a StagingRing of this addon").ThrowAsJavaScriptException();
  return nullptr;
}

Napi::Value StagingRingObject::Fd(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), ring_ != nullptr ? ring_->fd() : -1);
}

Napi::Value StagingRingObject::Slots(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), shape_.slots);
}

Napi::Value StagingRingObject::SlotBytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(shape_.slot_bytes));
}

Napi::Value StagingRingObject::Slot(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const uint32_t index = info[0].As<Napi::Number>().Uint32Value();
  if (ring_ == nullptr || index >= shape_.slots) {
    SystemError(env, ring_ == nullptr ? -EBADF : -EINVAL, "slot of a staging ring").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  Napi::Reference<Napi::ArrayBuffer>& memory = memory_[index];
  // One ArrayBuffer for each piece of memory, ever: V8 does not expect two to have the same.
  if (memory.IsEmpty()) {
    auto* const held = new std::shared_ptr<Ring>(ring_);
    memory = Napi::Persistent(Napi::ArrayBuffer::New(
        env, ring_->Slot(index), shape_.slot_bytes,
        [](Napi::Env, void*, std::shared_ptr<Ring>* released) { delete released; }, held));
  }
  return Napi::Uint8Array::New(env, shape_.slot_bytes, memory.Value(), 0);
}

void StagingRingObject::Close(const Napi::CallbackInfo&) {
  for (Napi::Reference<Napi::ArrayBuffer>& memory : memory_) {
    if (!memory.IsEmpty()) memory.Value().Detach();
    memory.Reset();
  }
  ring_.reset();
}

}  // namespace podfs
