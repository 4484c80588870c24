#include "napi/system_functions.h"

#include <sys/mman.h>

#include <cerrno>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fuse/cached_open.h"
#include "fuse/descriptor_table.h"
#include "fuse/file_batches.h"
#include "fuse/file_lock.h"
#include "fuse/mount.h"
#include "fuse/probe.h"
#include "fuse/replace_process.h"
#include "napi/environment.h"
#include "napi/errors.h"

namespace podfs {

namespace {

// A promise for what `work` returns on a thread of the pool.
Napi::Value RunOnPool(const Napi::CallbackInfo& info, std::function<Environment::Result()> work,
                      Environment::Settle settle) {
  Environment* const environment = Environment::Of(info.Env());
  return environment->Run({}, std::move(settle), [&](const Environment::Finish& finish) {
    const bool posted = environment->pool()->Post([work = std::move(work), finish] { finish(work()); });
    if (!posted) finish({-ECANCELED, "the process is ending"});
  });
}

void SettleNothing(Napi::Env env, const Napi::Promise::Deferred& deferred, const Environment::Result& result) {
  if (result.value < 0) {
    deferred.Reject(SystemError(env, static_cast<int>(result.value), result.text).Value());
  } else {
    deferred.Resolve(env.Undefined());
  }
}

Napi::Value MountFuse(const Napi::CallbackInfo& info) {
  const std::string mountpoint = info[0].As<Napi::String>();
  const std::string options = info[1].As<Napi::String>();
  const std::string source = info[2].As<Napi::String>();
  return RunOnPool(
      info,
      [=] {
        MountResult mounted = Mount(mountpoint, options, source);
        if (mounted.error != 0) return Environment::Result{mounted.error, mounted.message};
        return Environment::Result{mounted.fd.release(), ""};
      },
      [](Napi::Env env, const Napi::Promise::Deferred& deferred, const Environment::Result& result) {
        if (result.value < 0) {
          deferred.Reject(SystemError(env, static_cast<int>(result.value), result.text).Value());
        } else {
          deferred.Resolve(Napi::Number::New(env, static_cast<double>(result.value)));
        }
      });
}

Napi::Value UnmountFuse(const Napi::CallbackInfo& info) {
  const std::string mountpoint = info[0].As<Napi::String>();
  const bool lazy = info[1].As<Napi::Boolean>().Value();
  return RunOnPool(
      info,
      [=] {
        Environment::Result result;
        result.value = Unmount(mountpoint, lazy, &result.text);
        return result;
      },
      SettleNothing);
}

ProbeResult RunProbe(const std::string& what, const std::string& path) {
  if (what == "passthrough") return ProbePassthrough(path);
  if (what == "io_uring") return ProbeIoUring();
  if (what == "o_direct") return ProbeDirectIo(path);
  if (what == "memlock") return ProbeLockedMemory();
  return {false, "no such probe: " + what};
}

Napi::Value Probe(const Napi::CallbackInfo& info) {
  const std::string what = info[0].As<Napi::String>();
  const std::string path = info[1].As<Napi::String>();
  return RunOnPool(
      info,
      [=] {
        const ProbeResult probed = RunProbe(what, path);
        return Environment::Result{probed.ok ? 1 : 0, probed.detail};
      },
      [](Napi::Env env, const Napi::Promise::Deferred& deferred, const Environment::Result& result) {
        Napi::Object object = Napi::Object::New(env);
        object.Set("ok", Napi::Boolean::New(env, result.value != 0));
        object.Set("detail", Napi::String::New(env, result.text));
        deferred.Resolve(object);
      });
}

std::vector<std::string> ToStrings(const Napi::Value& value) {
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<std::string> strings;
  for (uint32_t i = 0; i < array.Length(); ++i) strings.push_back(array.Get(i).As<Napi::String>());
  return strings;
}

Napi::Value MakeFiles(const Napi::CallbackInfo& info) {
  const auto descriptors = std::make_shared<std::vector<int>>();
  return RunOnPool(
      info,
      [paths = ToStrings(info[0]), descriptors] {
        *descriptors = CreateFiles(paths);
        return Environment::Result{};
      },
      [descriptors](Napi::Env env, const Napi::Promise::Deferred& deferred, const Environment::Result& result) {
        if (result.value < 0) {
          deferred.Reject(SystemError(env, static_cast<int>(result.value), result.text).Value());
          return;
        }
        Napi::Array array = Napi::Array::New(env, descriptors->size());
        for (uint32_t i = 0; i < array.Length(); ++i) array[i] = Napi::Number::New(env, (*descriptors)[i]);
        deferred.Resolve(array);
      });
}

Napi::Value UnlinkFiles(const Napi::CallbackInfo& info) {
  return RunOnPool(
      info,
      [paths = ToStrings(info[0])] {
        RemoveFiles(paths);
        return Environment::Result{};
      },
      SettleNothing);
}

Napi::Value ReserveTable(const Napi::CallbackInfo& info) {
  return RunOnPool(
      info, [] { return Environment::Result{ReserveDescriptors()}; },
      [](Napi::Env env, const Napi::Promise::Deferred& deferred, const Environment::Result& result) {
        deferred.Resolve(Napi::Number::New(env, static_cast<double>(result.value)));
      });
}

Napi::Value OpenFromMemory(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), OpenCached(info[0].As<Napi::String>()));
}

Napi::Value Replace(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(),
                           ReplaceProcess(info[0].As<Napi::String>(), ToStrings(info[1]), ToStrings(info[2])));
}

Napi::Value Lock(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), LockFile(info[0].As<Napi::String>()));
}

Napi::Value DisableTimes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), DisableAccessTimes(info[0].As<Napi::String>()));
}

Napi::Value Clone(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(),
                           Reflink(info[0].As<Napi::Number>().Int32Value(), info[1].As<Napi::Number>().Int32Value()));
}

Napi::Value Map(const Napi::CallbackInfo& info) {
  const size_t bytes = info[1].As<Napi::Number>().Uint32Value();
  char* mapping = nullptr;
  const int status = MapFile(info[0].As<Napi::Number>().Int32Value(), bytes, &mapping);
  if (status != 0) return Napi::Number::New(info.Env(), status);
  return Napi::Buffer<char>::New(info.Env(), mapping, bytes, [bytes](Napi::Env, char* data) { munmap(data, bytes); });
}

}  // namespace

void DefineSystemFunctions(Napi::Env env, Napi::Object exports) {
  exports.Set("mountFuse", Napi::Function::New<MountFuse>(env, "mountFuse"));
  exports.Set("unmountFuse", Napi::Function::New<UnmountFuse>(env, "unmountFuse"));
  exports.Set("createFiles", Napi::Function::New<MakeFiles>(env, "createFiles"));
  exports.Set("removeFiles", Napi::Function::New<UnlinkFiles>(env, "removeFiles"));
  exports.Set("reserveDescriptors", Napi::Function::New<ReserveTable>(env, "reserveDescriptors"));
  exports.Set("openCached", Napi::Function::New<OpenFromMemory>(env, "openCached"));
  exports.Set("replaceProcess", Napi::Function::New<Replace>(env, "replaceProcess"));
  exports.Set("lockFile", Napi::Function::New<Lock>(env, "lockFile"));
  exports.Set("disableAccessTimes", Napi::Function::New<DisableTimes>(env, "disableAccessTimes"));
  exports.Set("reflink", Napi::Function::New<Clone>(env, "reflink"));
  exports.Set("mapFile", Napi::Function::New<Map>(env, "mapFile"));
  exports.Set("probe", Napi::Function::New<Probe>(env, "probe"));
}

}  // namespace podfs
