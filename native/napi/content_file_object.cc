#include "napi/content_file_object.h"

#include <sys/stat.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "napi/errors.h"

namespace podfs {

namespace {

uint64_t ToCount(const Napi::Value& value) { return static_cast<uint64_t>(value.As<Napi::Number>().Int64Value()); }

Napi::Array ToArray(Napi::Env env, const std::vector<uint64_t>& blocks) {
  Napi::Array array = Napi::Array::New(env, blocks.size());
  for (size_t i = 0; i < blocks.size(); ++i) array[i] = Napi::Number::New(env, static_cast<double>(blocks[i]));
  return array;
}

}  // namespace

Napi::Function ContentFileObject::Class(Napi::Env env) {
  return Define(env, "ContentFile",
                {
                    Getter<&ContentFileObject::Fd>("fd"),
                    Getter<&ContentFileObject::Complete>("complete"),
                    Method<&ContentFileObject::Stat>("stat"),
                    Method<&ContentFileObject::Claim>("claim"),
                    Method<&ContentFileObject::Fill>("fill"),
                    Method<&ContentFileObject::Fail>("fail"),
                    Method<&ContentFileObject::Has>("has"),
                    Method<&ContentFileObject::SetTrigger>("setTrigger"),
                    Method<&ContentFileObject::BeginPublish>("beginPublish"),
                    Method<&ContentFileObject::EndPublish>("endPublish"),
                    Method<&ContentFileObject::Read>("read"),
                    Method<&ContentFileObject::Write>("write"),
                    Method<&ContentFileObject::Truncate>("truncate"),
                    Method<&ContentFileObject::Fallocate>("fallocate"),
                    Method<&ContentFileObject::Seek>("seek"),
                    Method<&ContentFileObject::CopyRange>("copyRange"),
                    Method<&ContentFileObject::SetMtime>("setMtime"),
                    Method<&ContentFileObject::Sync>("sync"),
                    CloseMethod("close"),
                });
}

ContentFileObject::~ContentFileObject() {
  if (events_ != nullptr) events_->Silence();
  if (file_ != nullptr) file_->Close();
}

Napi::Value ContentFileObject::Create(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Environment* const environment = Environment::Of(env);
  const Napi::Object options = info[0].As<Napi::Object>();
  UniqueFd fd(options.Get("fd").As<Napi::Number>().Int32Value());
  const uint32_t block_size = options.Get("blockSize").As<Napi::Number>().Uint32Value();
  const Napi::Value map_path = options.Get("mapPath");
  const std::string path = map_path.IsString() ? map_path.As<Napi::String>().Utf8Value() : "";

  auto object = std::make_unique<ContentFileObject>();
  if (info[1].IsObject()) object->events_ = std::make_shared<ContentFileEvents>(environment, &object->reference());
  const int status = ContentFile::Open(std::move(fd), block_size, path, object->events_, &object->file_);
  if (status != 0) {
    SystemError(env, status, "block map " + path).ThrowAsJavaScriptException();
    return env.Undefined();
  }
  const Napi::Object created = environment->content_file_class.New({});
  if (created.IsEmpty()) return env.Undefined();
  if (object->events_ != nullptr) ContentFileEvents::Keep(created, info[1]);
  Attach(created, std::move(object));
  return created;
}

std::shared_ptr<ContentFile> ContentFileObject::FileOf(const Napi::Value& value) {
  const Napi::Env env = value.Env();
  if (value.IsObject()) {
    const Napi::Object object = value.As<Napi::Object>();
    if (object.InstanceOf(Environment::Of(env)->content_file_class.Value())) {
      const ContentFileObject* const open = Of(object);
      if (open != nullptr) return open->file_;
      ThrowClosed(env);
      return nullptr;
    }
  }
  Napi::TypeError::New(env, "not a ContentFile of this addon").ThrowAsJavaScriptException();
  return nullptr;
}

void ContentFileObject::ThrowClosed(Napi::Env env) {
  SystemError(env, -EBADF, "content file is closed").ThrowAsJavaScriptException();
}

void ContentFileObject::Throw(int error, const char* what) {
  SystemError(Env(), error, what).ThrowAsJavaScriptException();
}

Napi::Value ContentFileObject::Fd(Napi::Env env, const ContentFileObject* open) {
  return Napi::Number::New(env, open != nullptr ? open->file_->fd() : -1);
}

Napi::Value ContentFileObject::Complete(Napi::Env env, const ContentFileObject* open) {
  return Napi::Boolean::New(env, open != nullptr && open->file_->complete());
}

void ContentFileObject::Stat(const Napi::CallbackInfo& info) {
  struct stat status;
  if (fstat(file_->fd(), &status) != 0) return Throw(-errno, "fstat");
  auto out = info[0].As<Napi::Float64Array>();
  if (out.ElementLength() < 6) return Throw(-EINVAL, "stat: six numbers do not fit");
  out[0] = static_cast<double>(status.st_size);
  out[1] = static_cast<double>(status.st_blocks);
  out[2] = static_cast<double>(status.st_mtim.tv_sec);
  out[3] = static_cast<double>(status.st_mtim.tv_nsec);
  out[4] = static_cast<double>(status.st_ctim.tv_sec);
  out[5] = static_cast<double>(status.st_ctim.tv_nsec);
}

Napi::Value ContentFileObject::Claim(const Napi::CallbackInfo& info) {
  return ToArray(info.Env(), file_->Claim(ToCount(info[0]), ToCount(info[1])));
}

void ContentFileObject::Fill(const Napi::CallbackInfo& info) { file_->Fill(ToCount(info[0]), ToCount(info[1])); }

void ContentFileObject::Fail(const Napi::CallbackInfo& info) {
  file_->Fail(ToCount(info[0]), ToCount(info[1]), info[2].As<Napi::Number>().Int32Value());
}

Napi::Value ContentFileObject::Has(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), file_->Has(ToCount(info[0])));
}

void ContentFileObject::SetTrigger(const Napi::CallbackInfo& info) { file_->SetTrigger(ToCount(info[0])); }

Napi::Value ContentFileObject::BeginPublish(const Napi::CallbackInfo& info) {
  std::vector<uint64_t> dirty;
  const int status = file_->BeginPublish(&dirty);
  if (status != 0) Throw(status, "another publish is under way");
  return ToArray(info.Env(), dirty);
}

void ContentFileObject::EndPublish(const Napi::CallbackInfo& info) {
  file_->EndPublish(info[0].As<Napi::Boolean>().Value());
}

void ContentFileObject::SetMtime(const Napi::CallbackInfo& info) {
  const int status = file_->SetMtime(info[0].As<Napi::Number>().Int64Value(), info[1].As<Napi::Number>().Int64Value());
  if (status != 0) Throw(status, "futimens");
}

// --- What may wait

Napi::Value ContentFileObject::Run(Attempt attempt, const char* what, bool counts,
                                   std::vector<Napi::Object> keep_alive) {
  Environment* const environment = Environment::Of(Env());
  keep_alive.push_back(reference().Value());
  const auto settle = [what, counts](Napi::Env env, const Napi::Promise::Deferred& deferred,
                                     const Environment::Result& result) {
    if (result.value < 0) {
      deferred.Reject(SystemError(env, static_cast<int>(result.value), what).Value());
    } else {
      deferred.Resolve(counts ? Napi::Number::New(env, static_cast<double>(result.value)) : env.Undefined());
    }
  };
  return environment->Run(keep_alive, settle, [&](Environment::Finish finish) {
    RunOperation(environment->pool(), std::move(attempt), [finish = std::move(finish)](int64_t result) {
      finish({result, ""});
    });
  });
}

Napi::Value ContentFileObject::Read(const Napi::CallbackInfo& info) {
  auto into = info[0].As<Napi::Uint8Array>();
  return Run(ReadAttempt(file_, reinterpret_cast<char*>(into.Data()), into.ByteLength(), ToCount(info[1])), "read",
             true, {into});
}

Napi::Value ContentFileObject::Write(const Napi::CallbackInfo& info) {
  auto from = info[0].As<Napi::Uint8Array>();
  return Run(WriteAttempt(file_, reinterpret_cast<const char*>(from.Data()), from.ByteLength(), ToCount(info[1])),
             "write", true, {from});
}

Napi::Value ContentFileObject::Truncate(const Napi::CallbackInfo& info) {
  return Run(TruncateAttempt(file_, ToCount(info[0])), "ftruncate", false, {});
}

Napi::Value ContentFileObject::Fallocate(const Napi::CallbackInfo& info) {
  const int mode = info[0].As<Napi::Number>().Int32Value();
  return Run(FallocateAttempt(file_, mode, ToCount(info[1]), ToCount(info[2])), "fallocate", false, {});
}

Napi::Value ContentFileObject::Seek(const Napi::CallbackInfo& info) {
  const uint64_t offset = ToCount(info[0]);
  const int whence = info[1].As<Napi::Number>().Int32Value();
  return Run([file = file_, offset, whence](Wait*) { return SeekDataOrHole(file.get(), offset, whence); }, "lseek",
             true, {});
}

Napi::Value ContentFileObject::CopyRange(const Napi::CallbackInfo& info) {
  const std::shared_ptr<ContentFile> from = FileOf(info[0]);
  if (from == nullptr) return info.Env().Undefined();
  return Run(CopyAttempt(from, ToCount(info[1]), file_, ToCount(info[2]), ToCount(info[3])), "copy_file_range", true,
             {info[0].As<Napi::Object>()});
}

Napi::Value ContentFileObject::Sync(const Napi::CallbackInfo& info) {
  const bool data_only = info[0].As<Napi::Boolean>().Value();
  return Run([file = file_, data_only](Wait*) { return file->Sync(data_only); }, data_only ? "fdatasync" : "fsync",
             false, {});
}

}  // namespace podfs
