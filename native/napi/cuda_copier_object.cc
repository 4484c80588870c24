#include "napi/cuda_copier_object.h"

#include <cerrno>
#include <cstring>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#include "napi/environment.h"
#include "napi/errors.h"
#include "napi/staging_ring_object.h"
#include "staging/device_copier.h"

namespace podfs {

using staging::CudaDevicePointer;
using staging::CudaIpcHandle;
using staging::CudaOutcome;
using staging::DeviceCopier;
using staging::Ring;

namespace {

// What an operation ends with, and what it has found out.
struct Answer {
  CudaOutcome outcome;
  CudaDevicePointer address = 0;
  uint64_t bytes = 0;
  CudaIpcHandle handle = {};
  uint64_t offset = 0;
};
using ToValue = std::function<Napi::Value(Napi::Env env, const Answer& answer)>;

Napi::Value ToUndefined(Napi::Env env, const Answer&) { return env.Undefined(); }
Napi::Value ToAddress(Napi::Env env, const Answer& answer) { return Napi::BigInt::New(env, answer.address); }

Napi::Value ToMemory(Napi::Env env, const Answer& answer) {
  const bool told = answer.bytes != UINT64_MAX;
  const double bytes = told ? static_cast<double>(answer.bytes) : std::numeric_limits<double>::infinity();
  Napi::Object object = Napi::Object::New(env);
  object.Set("address", ToAddress(env, answer));
  object.Set("bytes", Napi::Number::New(env, bytes));
  return object;
}

Napi::Value ToHandle(Napi::Env env, const Answer& answer) {
  Napi::Object object = Napi::Object::New(env);
  Napi::Uint8Array handle = Napi::Uint8Array::New(env, sizeof(answer.handle.bytes));
  memcpy(handle.Data(), answer.handle.bytes, sizeof(answer.handle.bytes));
  object.Set("handle", handle);
  object.Set("offset", Napi::Number::New(env, static_cast<double>(answer.offset)));
  return object;
}

uint64_t ToCount(const Napi::Value& value) { return static_cast<uint64_t>(value.As<Napi::Number>().Int64Value()); }

CudaDevicePointer ToPointer(const Napi::Value& value) {
  bool lossless = false;
  return value.As<Napi::BigInt>().Uint64Value(&lossless);
}

// The copier and its thread. The event-loop thread only. Registered from the start of the thread until it has ended.
class CopierThread final : public Resource, public std::enable_shared_from_this<CopierThread> {
 public:
  CopierThread(Environment* environment, std::shared_ptr<const LoadedCuda> cuda, int ordinal)
      : environment_(environment), cuda_(std::move(cuda)), copier_(cuda_->driver, cuda_->pins, ordinal) {}

  // A promise for `value` of what `start` passes to its argument.
  using Start = std::function<void(Answer* answer, DeviceCopier::Done done)>;
  Napi::Value Run(const std::vector<Napi::Object>& keep_alive, ToValue value, const Start& start) {
    const auto answer = std::make_shared<Answer>();
    return environment_->Run(
        keep_alive,
        [cuda = cuda_, answer, value = std::move(value)](Napi::Env env, const Napi::Promise::Deferred& deferred,
                                                         const Environment::Result&) {
          if (answer->outcome.ok()) {
            deferred.Resolve(value(env, *answer));
          } else {
            deferred.Reject(CudaError(env, *cuda->driver, answer->outcome).Value());
          }
        },
        [&](const Environment::Finish& finish) {
          start(answer.get(), [answer, finish](const CudaOutcome& outcome) {
            answer->outcome = outcome;
            finish({});
          });
        });
  }

  void Open(const DeviceCopier::Done& opened) {
    // The thread refers to this object, which stays as long as it is registered, and does not hold it: whoever lets go
    // of it last waits for the thread.
    environment_->Register(shared_from_this());
    const int status =
        copier_.Start(opened, [this, mailbox = environment_->mailbox()] { mailbox->Post([this] { Ended(); }); });
    if (status == 0) return;
    environment_->Unregister(shared_from_this());
    opened({status, 0, "starting a thread"});
  }

  void Abandon() override {
    copier_.Close();
    copier_.Join();
  }
  // What has not settled does; a copier that nobody uses must not.
  bool HoldsProcess() const override { return false; }
  DeviceCopier* copier() { return &copier_; }

 private:
  void Ended() {
    copier_.Join();
    environment_->Unregister(shared_from_this());
  }

  Environment* const environment_;
  const std::shared_ptr<const LoadedCuda> cuda_;
  DeviceCopier copier_;
};

// Held by the methods of the JavaScript object: closes with the last of them.
struct Handle {
  explicit Handle(std::shared_ptr<CopierThread> opened) : thread(std::move(opened)) {}
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() { thread->copier()->Close(); }

  Napi::Value Work(const std::vector<Napi::Object>& keep_alive, ToValue value,
                   const std::function<CudaOutcome(DeviceCopier* copier, Answer* answer)>& work) const {
    return thread->Run(keep_alive, std::move(value), [&](Answer* answer, DeviceCopier::Done done) {
      DeviceCopier* const copier = thread->copier();
      copier->Add([copier, answer, work] { return work(copier, answer); }, std::move(done));
    });
  }

  const std::shared_ptr<CopierThread> thread;
};
using HandleReference = std::shared_ptr<const Handle>;

// False, with an exception pending, for a piece outside of the slot.
bool ToPieces(const Napi::Value& value, const Ring& ring, std::vector<DeviceCopier::Piece>* pieces) {
  const Napi::Array array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Object object = array.Get(i).As<Napi::Object>();
    const DeviceCopier::Piece piece = {ToPointer(object.Get("address")), ToCount(object.Get("bytes")),
                                       ToCount(object.Get("slotOffset"))};
    const uint64_t slot_bytes = ring.shape().slot_bytes;
    if (piece.slot_offset > slot_bytes || piece.bytes > slot_bytes - piece.slot_offset) {
      SystemError(value.Env(), -EINVAL, "a piece is not within its slot").ThrowAsJavaScriptException();
      return false;
    }
    pieces->push_back(piece);
  }
  return true;
}

Napi::Value AddCopy(const Handle& handle, const Napi::CallbackInfo& info, DeviceCopier::Direction direction) {
  const Napi::Env env = info.Env();
  DeviceCopier::Copy copy;
  copy.direction = direction;
  copy.ring = StagingRingObject::RingOf(info[0]);
  if (copy.ring == nullptr) return env.Undefined();
  copy.slot = info[1].As<Napi::Number>().Uint32Value();
  if (copy.slot >= copy.ring->shape().slots) {
    SystemError(env, -EINVAL, "slot of a staging ring").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  if (!ToPieces(info[2], *copy.ring, &copy.pieces)) return env.Undefined();
  return handle.thread->Run({}, ToUndefined, [&](Answer*, DeviceCopier::Done done) {
    handle.thread->copier()->Add(std::move(copy), std::move(done));
  });
}

Napi::Value Register(const Handle& handle, const Napi::CallbackInfo& info) {
  const std::shared_ptr<Ring> ring = StagingRingObject::RingOf(info[0]);
  if (ring == nullptr) return info.Env().Undefined();
  return handle.Work({}, ToUndefined, [ring](DeviceCopier* copier, Answer*) { return copier->Pin(ring); });
}

Napi::Value Unregister(const Handle& handle, const Napi::CallbackInfo& info) {
  const std::shared_ptr<Ring> ring = StagingRingObject::RingOf(info[0]);
  if (ring == nullptr) return info.Env().Undefined();
  return handle.Work({}, ToUndefined, [ring](DeviceCopier* copier, Answer*) { return copier->Unpin(ring.get()); });
}

Napi::Value OpenIpc(const Handle& handle, const Napi::CallbackInfo& info) {
  const Napi::Uint8Array bytes = info[0].As<Napi::Uint8Array>();
  CudaIpcHandle ipc = {};
  if (bytes.ByteLength() != sizeof(ipc.bytes)) {
    SystemError(info.Env(), -EINVAL, "an IPC handle has 64 bytes").ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  memcpy(ipc.bytes, bytes.Data(), sizeof(ipc.bytes));
  return handle.Work({}, ToMemory, [ipc](DeviceCopier* copier, Answer* answer) {
    return copier->OpenIpc(ipc, &answer->address, &answer->bytes);
  });
}

Napi::Value CloseIpc(const Handle& handle, const Napi::CallbackInfo& info) {
  const CudaDevicePointer address = ToPointer(info[0]);
  return handle.Work({}, ToUndefined, [address](DeviceCopier* copier, Answer*) { return copier->CloseIpc(address); });
}

Napi::Value Allocate(const Handle& handle, const Napi::CallbackInfo& info) {
  const uint64_t bytes = ToCount(info[0]);
  return handle.Work({}, ToAddress, [bytes](DeviceCopier* copier, Answer* answer) {
    return copier->Allocate(bytes, &answer->address);
  });
}

Napi::Value Free(const Handle& handle, const Napi::CallbackInfo& info) {
  const CudaDevicePointer address = ToPointer(info[0]);
  return handle.Work({}, ToUndefined, [address](DeviceCopier* copier, Answer*) { return copier->Free(address); });
}

Napi::Value IpcHandle(const Handle& handle, const Napi::CallbackInfo& info) {
  const CudaDevicePointer address = ToPointer(info[0]);
  return handle.Work({}, ToHandle, [address](DeviceCopier* copier, Answer* answer) {
    return copier->IpcHandle(address, &answer->handle, &answer->offset);
  });
}

Napi::Value ToSlot(const Handle& handle, const Napi::CallbackInfo& info) {
  return AddCopy(handle, info, DeviceCopier::Direction::kToSlot);
}

Napi::Value FromSlot(const Handle& handle, const Napi::CallbackInfo& info) {
  return AddCopy(handle, info, DeviceCopier::Direction::kFromSlot);
}

Napi::Value Close(const Handle& handle, const Napi::CallbackInfo& info) {
  handle.thread->copier()->Close();
  return info.Env().Undefined();
}

using Method = Napi::Value (*)(const Handle& handle, const Napi::CallbackInfo& info);

Napi::Object ToObject(Napi::Env env, const HandleReference& handle) {
  static constexpr std::pair<const char*, Method> kMethods[] = {
      {"register", Register},   {"unregister", Unregister}, {"toSlot", ToSlot},     {"fromSlot", FromSlot},
      {"openIpc", OpenIpc},     {"closeIpc", CloseIpc},     {"allocate", Allocate}, {"free", Free},
      {"ipcHandle", IpcHandle}, {"close", Close},
  };
  Napi::Object object = Napi::Object::New(env);
  for (const auto& [name, method] : kMethods) {
    object.Set(name,
               Napi::Function::New(
                   env, [handle, call = method](const Napi::CallbackInfo& info) { return call(*handle, info); }, name));
  }
  return object;
}

}  // namespace

Napi::Value OpenCopier(Napi::Env env, std::shared_ptr<const LoadedCuda> cuda, int ordinal) {
  const auto thread = std::make_shared<CopierThread>(Environment::Of(env), std::move(cuda), ordinal);
  const auto handle = std::make_shared<const Handle>(thread);
  return thread->Run(
      {}, [handle](Napi::Env settled, const Answer&) { return ToObject(settled, handle); },
      [&](Answer*, const DeviceCopier::Done& opened) { thread->Open(opened); });
}

}  // namespace podfs
