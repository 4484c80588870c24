// ContentFile of src/native/addon.ts.
#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "fuse/content_file.h"
#include "fuse/file_operations.h"
#include "napi/closable_object.h"
#include "napi/content_file_events.h"
#include "napi/environment.h"

namespace podfs {

class ContentFileObject : public ClosableObject<ContentFileObject> {
 public:
  static Napi::Function Class(Napi::Env env);
  // createContentFile(options, events?).
  static Napi::Value Create(const Napi::CallbackInfo& info);
  // The file behind a ContentFile argument; null, with an exception pending, if it is none or closed.
  static std::shared_ptr<ContentFile> FileOf(const Napi::Value& value);

  ContentFileObject() = default;
  // Closes the file.
  ~ContentFileObject();

 private:
  friend class ClosableObject<ContentFileObject>;

  static Napi::Value Fd(Napi::Env env, const ContentFileObject* open);
  static Napi::Value Complete(Napi::Env env, const ContentFileObject* open);
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

  static void ThrowClosed(Napi::Env env);
  void Throw(int error, const char* what);
  // A promise for a try, and more tries, of the operation named `what`; resolves to its count if it `counts`.
  Napi::Value Run(Attempt attempt, const char* what, bool counts, std::vector<Napi::Object> keep_alive);

  std::shared_ptr<ContentFile> file_;          // Not null.
  std::shared_ptr<ContentFileEvents> events_;  // Null: nobody is told.
};

}  // namespace podfs
