#include "napi/staging_functions.h"

#include <sys/xattr.h>

#include <array>
#include <cerrno>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "napi/environment.h"
#include "napi/errors.h"
#include "napi/staged_file_object.h"
#include "napi/staging_io_object.h"
#include "napi/staging_ring_object.h"
#include "staging/descriptors.h"

namespace podfs {

namespace {

// What getXattr returns at most: the longest path.
constexpr size_t kXattrBytesMax = 4096;

std::string_view ToView(const Napi::Value& value) {
  const auto bytes = value.As<Napi::Uint8Array>();
  return {reinterpret_cast<const char*>(bytes.Data()), bytes.ByteLength()};
}

void SendDescriptor(const Napi::CallbackInfo& info) {
  const int socket_fd = info[0].As<Napi::Number>().Int32Value();
  const int fd = info[2].As<Napi::Number>().Int32Value();
  const int status = staging::SendDescriptor(socket_fd, ToView(info[1]), fd);
  if (status != 0) SystemError(info.Env(), status, "sendmsg with a descriptor").ThrowAsJavaScriptException();
}

Napi::Value ConnectForDescriptor(const Napi::CallbackInfo& info) {
  Environment* const environment = Environment::Of(info.Env());
  const std::string path = info[0].As<Napi::String>();
  const std::string message(ToView(info[1]));
  const uint32_t timeout_ms = info[2].As<Napi::Number>().Uint32Value();
  // Closes what it has if nobody is left to take it.
  const auto answer = std::make_shared<staging::DescriptorAnswer>();
  const auto settle = [answer, path](Napi::Env env, const Napi::Promise::Deferred& deferred,
                                     const Environment::Result& result) {
    if (result.value != 0) {
      deferred.Reject(SystemError(env, static_cast<int>(result.value), "connect '" + path + "'").Value());
      return;
    }
    Napi::Object object = Napi::Object::New(env);
    object.Set("socketFd", Napi::Number::New(env, answer->socket.release()));
    object.Set("fd", Napi::Number::New(env, answer->fd.release()));
    object.Set("line", Napi::String::New(env, answer->line));
    deferred.Resolve(object);
  };
  return environment->Run({}, settle, [&](const Environment::Finish& finish) {
    const bool posted = environment->pool()->Post([path, message, timeout_ms, answer, finish] {
      *answer = staging::ConnectForDescriptor(path, message, timeout_ms);
      finish({answer->error, ""});
    });
    if (!posted) finish({-ECANCELED, ""});
  });
}

Napi::Value GetXattr(const Napi::CallbackInfo& info) {
  Environment* const environment = Environment::Of(info.Env());
  const std::string path = info[0].As<Napi::String>();
  const std::string name = info[1].As<Napi::String>();
  const auto settle = [](Napi::Env env, const Napi::Promise::Deferred& deferred, const Environment::Result& result) {
    if (result.value >= 0) {
      deferred.Resolve(Napi::String::New(env, result.text));
    } else if (result.value == -ENODATA || result.value == -EOPNOTSUPP) {
      deferred.Resolve(env.Undefined());
    } else {
      deferred.Reject(SystemError(env, static_cast<int>(result.value), result.text).Value());
    }
  };
  return environment->Run({}, settle, [&](const Environment::Finish& finish) {
    const bool posted = environment->pool()->Post([path, name, finish] {
      std::array<char, kXattrBytesMax> value;
      const ssize_t bytes = getxattr(path.c_str(), name.c_str(), value.data(), value.size());
      if (bytes < 0) return finish({-errno, "getxattr '" + path + "'"});
      finish({bytes, std::string(value.data(), static_cast<size_t>(bytes))});
    });
    if (!posted) finish({-ECANCELED, "getxattr"});
  });
}

}  // namespace

void DefineStaging(Napi::Env env, Napi::Object exports) {
  Environment* const environment = Environment::Of(env);
  environment->staged_file_class = Napi::Persistent(StagedFileObject::Class(env));
  environment->staging_io_class = Napi::Persistent(StagingIoObject::Class(env));
  environment->staging_ring_class = Napi::Persistent(StagingRingObject::Class(env));
  exports.Set("createRing", Napi::Function::New<StagingRingObject::Create>(env, "createRing"));
  exports.Set("openRing", Napi::Function::New<StagingRingObject::Open>(env, "openRing"));
  exports.Set("createStagingIo", Napi::Function::New<StagingIoObject::Create>(env, "createStagingIo"));
  exports.Set("sendDescriptor", Napi::Function::New<SendDescriptor>(env, "sendDescriptor"));
  exports.Set("getXattr", Napi::Function::New<GetXattr>(env, "getXattr"));
  exports.Set("connectForDescriptor", Napi::Function::New<ConnectForDescriptor>(env, "connectForDescriptor"));
}

}  // namespace podfs
