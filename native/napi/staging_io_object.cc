#include "napi/staging_io_object.h"

#include <cerrno>
#include <string>
#include <utility>

#include "napi/errors.h"
#include "napi/staged_file_object.h"

namespace podfs {

using staging::StagedFile;
using staging::StagingIo;

Napi::Value StagingThreads::Run(const std::vector<Napi::Object>& keep_alive, std::function<Environment::Result()> job,
                                Environment::Settle settle) {
  return environment_->Run(keep_alive, std::move(settle), [&](const Environment::Finish& finish) {
    const bool posted = io_.Post([job = std::move(job), finish] { finish(job()); });
    if (!posted) finish({-ECANCELED, "staging is closed"});
  });
}

void StagingThreads::Close() {
  if (std::exchange(closed_, true)) return;
  environment_->Unregister(shared_from_this());
  const bool posted = environment_->pool()->Post([self = shared_from_this()] { self->io_.Stop(); });
  if (!posted) io_.Stop();
}

void StagingThreads::Abandon() {
  closed_ = true;
  io_.Stop();
}

Napi::Function StagingIoObject::Class(Napi::Env env) {
  return DefineClass(env, "StagingIo",
                     {
                         InstanceAccessor<&StagingIoObject::Engine>("engine"),
                         InstanceAccessor<&StagingIoObject::Reason>("reason"),
                         InstanceMethod<&StagingIoObject::Open>("open"),
                         InstanceMethod<&StagingIoObject::Close>("close"),
                     });
}

StagingIoObject::~StagingIoObject() {
  if (threads_ != nullptr) threads_->Close();
}

Napi::Value StagingIoObject::Create(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Environment* const environment = Environment::Of(env);
  StagingIo::Options options;
  if (info[0].IsObject()) {
    const Napi::Value engine = info[0].As<Napi::Object>().Get("engine");
    options.threads_only = engine.IsString() && engine.As<Napi::String>().Utf8Value() == "threads";
  }
  const Napi::Object created = environment->staging_io_class.New({});
  if (created.IsEmpty()) return env.Undefined();
  StagingIoObject* const object = Unwrap(created);
  object->threads_ = std::make_shared<StagingThreads>(environment, options);
  environment->Register(object->threads_);
  return created;
}

Napi::Value StagingIoObject::Engine(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), threads_->io()->has_uring() ? "io_uring" : "threads");
}

Napi::Value StagingIoObject::Reason(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), threads_->io()->reason());
}

Napi::Value StagingIoObject::Open(const Napi::CallbackInfo& info) {
  const std::string path = info[0].As<Napi::String>();
  const bool write = info[1].As<Napi::String>().Utf8Value() == "write";
  const uint32_t lane = info[2].As<Napi::Number>().Uint32Value();
  const auto file = std::make_shared<std::shared_ptr<StagedFile>>();
  const auto io = std::make_shared<Napi::ObjectReference>(Napi::Persistent(Value().As<Napi::Object>()));
  return threads_->Run(
      {},
      [path, write, lane, file] {
        const auto access = write ? StagedFile::Access::kWrite : StagedFile::Access::kRead;
        return Environment::Result{StagedFile::Open(path, access, lane, file.get()), "open '" + path + "'"};
      },
      [file, io, threads = threads_](Napi::Env env, const Napi::Promise::Deferred& deferred,
                                     const Environment::Result& result) {
        if (result.value != 0) {
          deferred.Reject(SystemError(env, static_cast<int>(result.value), result.text).Value());
        } else {
          deferred.Resolve(StagedFileObject::Wrap(io->Value(), threads, std::move(*file)));
        }
      });
}

void StagingIoObject::Close(const Napi::CallbackInfo&) { threads_->Close(); }

}  // namespace podfs
