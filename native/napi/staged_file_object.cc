#include "napi/staged_file_object.h"

#include <cerrno>
#include <string>
#include <utility>

#include "napi/errors.h"
#include "napi/staging_ring_object.h"

namespace podfs {

using staging::Ring;
using staging::StagedFile;
using staging::Transfer;

namespace {

uint64_t ToBytes(const Napi::Value& value) { return static_cast<uint64_t>(value.As<Napi::Number>().Int64Value()); }

bool Settled(Napi::Env env, const Napi::Promise::Deferred& deferred, const Environment::Result& result) {
  if (result.value >= 0) return true;
  deferred.Reject(SystemError(env, static_cast<int>(result.value), result.text).Value());
  return false;
}

void SettleNothing(Napi::Env env, const Napi::Promise::Deferred& deferred, const Environment::Result& result) {
  if (Settled(env, deferred, result)) deferred.Resolve(env.Undefined());
}

void SettleCount(Napi::Env env, const Napi::Promise::Deferred& deferred, const Environment::Result& result) {
  if (Settled(env, deferred, result)) deferred.Resolve(Napi::Number::New(env, static_cast<double>(result.value)));
}

}  // namespace

Napi::Function StagedFileObject::Class(Napi::Env env) {
  return DefineClass(env, "StagedFile",
                     {
                         InstanceAccessor<&StagedFileObject::Direct>("direct"),
                         InstanceMethod<&StagedFileObject::Allocate>("allocate"),
                         InstanceMethod<&StagedFileObject::Write>("write"),
                         InstanceMethod<&StagedFileObject::Read>("read"),
                         InstanceMethod<&StagedFileObject::Finish>("finish"),
                         InstanceMethod<&StagedFileObject::Close>("close"),
                     });
}

Napi::Value StagedFileObject::Wrap(const Napi::Object& io, std::shared_ptr<StagingThreads> threads,
                                   std::shared_ptr<StagedFile> file) {
  const Napi::Env env = io.Env();
  const Napi::Object created = Environment::Of(env)->staged_file_class.New({});
  if (created.IsEmpty()) return env.Undefined();
  // A property, so that the garbage collector sees it: without its StagingIo, which closes itself, a file is no use.
  Napi::Object(created).DefineProperty(Napi::PropertyDescriptor::Value("io", io, napi_default));
  StagedFileObject* const object = Unwrap(created);
  object->threads_ = std::move(threads);
  // The last close of a large file that has no name takes as long as deleting it. It may be that of the event loop, or,
  // with writes on their way, that of the thread that moves other clients' bytes.
  object->file_ = DestroyedOn(Environment::Of(env)->shared_pool(), std::move(file));
  return created;
}

bool StagedFileObject::Open() {
  if (file_ != nullptr) return true;
  SystemError(Env(), -EBADF, "staged file is closed").ThrowAsJavaScriptException();
  return false;
}

Napi::Value StagedFileObject::Direct(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), file_ != nullptr && file_->direct());
}

Napi::Value StagedFileObject::Call(const Napi::CallbackInfo& info, const char* what,
                                   int (StagedFile::*call)(uint64_t bytes)) {
  if (!Open()) return info.Env().Undefined();
  const uint64_t bytes = ToBytes(info[0]);
  return threads_->Run(
      {Value()},
      [file = file_, what, call, bytes] {
        return Environment::Result{(file.get()->*call)(bytes), std::string(what) + " '" + file->path() + "'"};
      },
      SettleNothing);
}

Napi::Value StagedFileObject::Allocate(const Napi::CallbackInfo& info) {
  return Call(info, "fallocate", &StagedFile::Allocate);
}

Napi::Value StagedFileObject::Finish(const Napi::CallbackInfo& info) {
  return Call(info, "fsync", &StagedFile::Finish);
}

Napi::Value StagedFileObject::Write(const Napi::CallbackInfo& info) { return Move(info, Transfer::Direction::kToFile); }

Napi::Value StagedFileObject::Read(const Napi::CallbackInfo& info) {
  return Move(info, Transfer::Direction::kFromFile);
}

Napi::Value StagedFileObject::Move(const Napi::CallbackInfo& info, Transfer::Direction direction) {
  const Napi::Env env = info.Env();
  if (!Open()) return env.Undefined();
  const std::shared_ptr<Ring> ring = StagingRingObject::RingOf(info[0]);
  if (ring == nullptr) return env.Undefined();
  const uint32_t slot = info[1].As<Napi::Number>().Uint32Value();
  auto transfer = std::make_shared<Transfer>();
  transfer->file = file_;
  transfer->ring = ring;
  transfer->direction = direction;
  transfer->position = ToBytes(info[2]);
  transfer->length = ToBytes(info[3]);
  const bool inside = slot < ring->shape().slots && transfer->length <= ring->shape().slot_bytes;
  if (!inside || transfer->position % staging::kAlignment != 0) {
    // Checked here too: what is outside is somebody else's memory.
    SystemError(env, -EINVAL, "a piece that is not aligned, or not inside its slot").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  transfer->memory = ring->Slot(slot);
  const bool write = direction == Transfer::Direction::kToFile;
  std::string text = (write ? "write '" : "read '") + file_->path() + "'";
  return Environment::Of(env)->Run({Value()}, write ? SettleNothing : SettleCount,
                                   [&](const Environment::Finish& finish) {
                                     transfer->done = [finish, text](int64_t result) { finish({result, text}); };
                                     if (!threads_->io()->Start(transfer)) finish({-ECANCELED, text});
                                   });
}

}  // namespace podfs
