#include "napi/fuse_session_object.h"

#include <string>
#include <string_view>
#include <utility>

#include "napi/content_file_object.h"
#include "napi/errors.h"

namespace podfs {

namespace {

uint64_t ToU64(const Napi::Value& value) { return static_cast<uint64_t>(value.As<Napi::Number>().Int64Value()); }
int64_t ToI64(const Napi::Value& value) { return value.As<Napi::Number>().Int64Value(); }
uint32_t ToU32(const Napi::Value& value) { return value.As<Napi::Number>().Uint32Value(); }
std::string_view CharactersOf(const Napi::Uint8Array& bytes) {
  return {reinterpret_cast<const char*>(bytes.Data()), bytes.ByteLength()};
}

}  // namespace

Napi::Function FuseSessionObject::Class(Napi::Env env) {
  return DefineClass(env, "FuseSession",
                     {
                         InstanceMethod<&FuseSessionObject::Start>("start"),
                         InstanceMethod<&FuseSessionObject::Reply>("reply"),
                         InstanceMethod<&FuseSessionObject::Bind>("bind"),
                         InstanceMethod<&FuseSessionObject::Unbind>("unbind"),
                         InstanceMethod<&FuseSessionObject::OpenBacking>("openBacking"),
                         InstanceMethod<&FuseSessionObject::CloseBacking>("closeBacking"),
                         InstanceMethod<&FuseSessionObject::SetWriteGate>("setWriteGate"),
                         InstanceMethod<&FuseSessionObject::InvalidateInode>("invalidateInode"),
                         InstanceMethod<&FuseSessionObject::InvalidateEntry>("invalidateEntry"),
                         InstanceMethod<&FuseSessionObject::KnowNames>("knowNames"),
                         InstanceMethod<&FuseSessionObject::Store>("store"),
                         InstanceMethod<&FuseSessionObject::Counters>("counters"),
                         InstanceMethod<&FuseSessionObject::Stop>("stop"),
                     });
}

Napi::Value FuseSessionObject::Create(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Environment* const environment = Environment::Of(env);
  const Napi::Object options = info[0].As<Napi::Object>();
  const Napi::Object events = info[1].As<Napi::Object>();
  SessionOptions session;
  session.negotiation.passthrough = options.Get("passthrough").ToBoolean();
  session.negotiation.max_stack_depth = ToU32(options.Get("maxStackDepth"));
  session.negotiation.max_write_bytes = ToU32(options.Get("maxWriteBytes"));
  session.negotiation.read_only = options.Get("readOnly").ToBoolean();
  session.data_threads = ToU32(options.Get("dataThreads"));
  session.spin_micros = ToU32(options.Get("spinMicros"));

  SessionLoop::JavaScript javascript;
  javascript.events = Napi::Persistent(events);
  javascript.on_request = Napi::Persistent(events.Get("onRequest").As<Napi::Function>());
  javascript.request = Napi::Persistent(options.Get("request").As<Napi::Uint8Array>());
  javascript.reply = Napi::Persistent(options.Get("reply").As<Napi::Uint8Array>());
  if (const Napi::Value given = options.Get("attributes"); given.IsTypedArray()) {
    auto attributes = given.As<Napi::Uint8Array>();
    javascript.attributes = Napi::Persistent(attributes);
    session.attributes = {reinterpret_cast<char*>(attributes.Data()), attributes.ByteLength()};
  }
  const Napi::Object created = environment->session_class.New({});
  if (created.IsEmpty()) return env.Undefined();
  Unwrap(created)->loop_ = std::make_shared<SessionLoop>(
      environment, UniqueFd(options.Get("fd").As<Napi::Number>().Int32Value()), session, std::move(javascript));
  return created;
}

void FuseSessionObject::Start(const Napi::CallbackInfo& info) {
  const int status = loop_->Start();
  if (status != 0) SystemError(info.Env(), status, "starting the FUSE session").ThrowAsJavaScriptException();
}

void FuseSessionObject::Reply(const Napi::CallbackInfo& info) {
  const int error = info[1].As<Napi::Number>().Int32Value();
  if (info[2].IsTypedArray()) {
    auto body = info[2].As<Napi::Uint8Array>();
    loop_->Reply(ToU64(info[0]), error, body.Data(), body.ByteLength());
  } else {
    loop_->Reply(ToU64(info[0]), error, nullptr, 0);
  }
}

void FuseSessionObject::Bind(const Napi::CallbackInfo& info) {
  std::shared_ptr<ContentFile> file = ContentFileObject::FileOf(info[1]);
  if (file != nullptr) loop_->Bind(ToU64(info[0]), info[1].As<Napi::Object>(), std::move(file));
}

void FuseSessionObject::Unbind(const Napi::CallbackInfo& info) { loop_->Unbind(ToU64(info[0])); }

Napi::Value FuseSessionObject::OpenBacking(const Napi::CallbackInfo& info) {
  const std::shared_ptr<ContentFile> file = ContentFileObject::FileOf(info[0]);
  if (file == nullptr) return info.Env().Undefined();
  return Napi::Number::New(info.Env(), loop_->session().OpenBacking(file->fd()));
}

void FuseSessionObject::CloseBacking(const Napi::CallbackInfo& info) {
  loop_->session().CloseBacking(info[0].As<Napi::Number>().Int32Value());
}

void FuseSessionObject::SetWriteGate(const Napi::CallbackInfo& info) {
  loop_->session().SetWriteGate(info[0].As<Napi::Boolean>().Value());
}

void FuseSessionObject::InvalidateInode(const Napi::CallbackInfo& info) {
  loop_->session().InvalidateInode(ToU64(info[0]), ToI64(info[1]), ToI64(info[2]));
}

void FuseSessionObject::InvalidateEntry(const Napi::CallbackInfo& info) {
  auto name = info[1].As<Napi::Uint8Array>();
  loop_->session().InvalidateEntry(ToU64(info[0]), CharactersOf(name));
}

void FuseSessionObject::KnowNames(const Napi::CallbackInfo& info) {
  auto names = info[1].As<Napi::Uint8Array>();
  loop_->session().KnowNames(ToU64(info[0]), CharactersOf(names));
}

void FuseSessionObject::Store(const Napi::CallbackInfo& info) {
  auto data = info[2].As<Napi::Uint8Array>();
  loop_->session().notifier().Store(ToU64(info[0]), ToU64(info[1]), data.Data(), data.ByteLength());
}

Napi::Value FuseSessionObject::Counters(const Napi::CallbackInfo& info) {
  Napi::Array result = Napi::Array::New(info.Env());
  uint32_t length = 0;
  for (uint32_t opcode = 0; opcode < kOpcodeLimit; ++opcode) {
    const uint64_t count = loop_->session().count(opcode);
    if (count == 0) continue;
    result[length++] = Napi::Number::New(info.Env(), opcode);
    result[length++] = Napi::Number::New(info.Env(), static_cast<double>(count));
  }
  return result;
}

void FuseSessionObject::Stop(const Napi::CallbackInfo&) { loop_->Stop(); }

}  // namespace podfs
