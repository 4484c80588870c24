// ContentFile of src/native/addon.ts.
#pragma once

#include <napi.h>

#include <memory>

#include "fuse/content_file.h"
#include "fuse/file_operations.h"
#include "napi/environment.h"

namespace podfs {

class ContentFileObject : public Napi::ObjectWrap<ContentFileObject> {
 public:
  static Napi::Function Class(Napi::Env env);
  // createContentFile(options, events).
  static Napi::Value Create(const Napi::CallbackInfo& info);
  // The file behind a ContentFile argument; null, with an exception pending, if it is none or closed.
  static std::shared_ptr<ContentFile> FileOf(const Napi::Value& value);

  explicit ContentFileObject(const Napi::CallbackInfo& info);
  ~ContentFileObject() override;

 private:
  // How events of the file find the object, which may be gone when they arrive.
  struct Address {
    ContentFileObject* object;
  };
  class EventPoster;

  Napi::Value Fd(const Napi::CallbackInfo& info);
  Napi::Value Complete(const Napi::CallbackInfo& info);
  void Stat(const Napi::CallbackInfo& info);
  Napi::Value Claim(const Napi::CallbackInfo& info);
  void Fill(const Napi::CallbackInfo& info);
  void Fail(const Napi::CallbackInfo& info);
  Napi::Value Has(const Napi::CallbackInfo& info);
  void SetTrigger(const Napi::CallbackInfo& info);
  Napi::Value BeginPublish(const Napi::CallbackInfo& info);
  void EndPublish(const Napi::CallbackInfo& info);
  Napi::Value Read(const Napi::CallbackInfo& info);
  Napi::Value Write(const Napi::CallbackInfo& info);
  Napi::Value Truncate(const Napi::CallbackInfo& info);
  Napi::Value Fallocate(const Napi::CallbackInfo& info);
  Napi::Value Seek(const Napi::CallbackInfo& info);
  Napi::Value CopyRange(const Napi::CallbackInfo& info);
  void SetMtime(const Napi::CallbackInfo& info);
  Napi::Value Sync(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);

  // False, with an exception pending, after close().
  bool Open();
  void Throw(int error, const char* what);
  // A promise for a try, and more tries, of the operation named `what`; resolves to its count if it `counts`.
  Napi::Value Run(Attempt attempt, const char* what, bool counts, std::vector<Napi::Object> keep_alive);
  void Emit(const char* event, std::vector<napi_value> arguments);

  std::shared_ptr<ContentFile> file_;
  std::shared_ptr<Address> address_;
};

}  // namespace podfs
