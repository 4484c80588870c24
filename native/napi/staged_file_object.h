// StagedFile of src/native/staging.ts.
#pragma once

#include <napi.h>

#include <memory>

#include "napi/staging_io_object.h"
#include "staging/staged_file.h"
#include "staging/transfer.h"

namespace podfs {

class StagedFileObject : public Napi::ObjectWrap<StagedFileObject> {
 public:
  static Napi::Function Class(Napi::Env env);
  // An object for an open file of `io`, which it keeps. Undefined, with an exception pending, if there can be none.
  static Napi::Value Wrap(const Napi::Object& io, std::shared_ptr<StagingThreads> threads,
                          std::shared_ptr<staging::StagedFile> file);

  explicit StagedFileObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<StagedFileObject>(info) {}

 private:
  Napi::Value Direct(const Napi::CallbackInfo& info);
  Napi::Value Allocate(const Napi::CallbackInfo& info);
  Napi::Value Write(const Napi::CallbackInfo& info);
  Napi::Value Read(const Napi::CallbackInfo& info);
  Napi::Value Finish(const Napi::CallbackInfo& info);
  // What is on its way ends, and then the file is closed.
  void Close(const Napi::CallbackInfo&) { file_.reset(); }

  // False, with an exception pending, after close().
  bool Open();
  // A promise for a call of the file, on a thread.
  Napi::Value Call(const Napi::CallbackInfo& info, const char* what, int (staging::StagedFile::*call)(uint64_t bytes));
  // A promise for a transfer of a slot.
  Napi::Value Move(const Napi::CallbackInfo& info, staging::Transfer::Direction direction);

  std::shared_ptr<StagingThreads> threads_;
  std::shared_ptr<staging::StagedFile> file_;  // Null: closed.
};

}  // namespace podfs
