#include "napi/cuda_driver_object.h"

#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "napi/cuda_copier_object.h"
#include "napi/environment.h"
#include "napi/errors.h"

namespace podfs {

using staging::CudaDeviceInfo;
using staging::CudaDriver;
using staging::CudaPins;

namespace {

constexpr const char* kLibrary = "libcuda.so.1";

// What loadCuda has found.
struct Found {
  std::shared_ptr<const LoadedCuda> cuda;
  std::string unavailable;
  int version = 0;
  std::vector<CudaDeviceInfo> devices;
};

// The driver is initialised once. Where it was not to be had, it is tried again: it may be installed by now.
std::shared_ptr<const LoadedCuda> LoadOnce(std::string* reason) {
  static std::mutex mutex;
  static std::shared_ptr<const LoadedCuda> loaded;
  const std::lock_guard lock(mutex);
  if (loaded != nullptr) return loaded;
  std::shared_ptr<const CudaDriver> driver = CudaDriver::Load(kLibrary, reason);
  if (driver == nullptr) return nullptr;
  loaded = std::make_shared<const LoadedCuda>(LoadedCuda{std::move(driver), std::make_shared<CudaPins>()});
  return loaded;
}

void Find(Found* found) {
  found->cuda = LoadOnce(&found->unavailable);
  if (found->cuda == nullptr) return;
  found->version = found->cuda->driver->Version();
  found->devices = found->cuda->driver->Devices();
}

Napi::Array ToArray(Napi::Env env, const std::vector<CudaDeviceInfo>& devices) {
  Napi::Array array = Napi::Array::New(env, devices.size());
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const CudaDeviceInfo& device = devices[i];
    Napi::Object object = Napi::Object::New(env);
    object.Set("ordinal", Napi::Number::New(env, device.ordinal));
    object.Set("uuid", Napi::String::New(env, device.uuid));
    object.Set("name", Napi::String::New(env, device.name));
    object.Set("totalBytes", Napi::Number::New(env, static_cast<double>(device.total_bytes)));
    object.Set("numaNode", Napi::Number::New(env, device.numa_node));
    array[i] = object;
  }
  return array;
}

Napi::Object ToObject(Napi::Env env, const Found& found) {
  Napi::Object object = Napi::Object::New(env);
  if (found.cuda == nullptr) {
    object.Set("unavailable", Napi::String::New(env, found.unavailable));
    return object;
  }
  object.Set("version", Napi::Number::New(env, found.version));
  object.Set("devices", ToArray(env, found.devices));
  object.Set("openCopier", Napi::Function::New(
                               env,
                               [cuda = found.cuda](const Napi::CallbackInfo& info) {
                                 return OpenCopier(info.Env(), cuda, info[0].As<Napi::Number>().Int32Value());
                               },
                               "openCopier"));
  return object;
}

Napi::Value LoadCuda(const Napi::CallbackInfo& info) {
  Environment* const environment = Environment::Of(info.Env());
  const auto found = std::make_shared<Found>();
  return environment->Run(
      {},
      [found](Napi::Env env, const Napi::Promise::Deferred& deferred, const Environment::Result&) {
        deferred.Resolve(ToObject(env, *found));
      },
      [&](const Environment::Finish& finish) {
        const bool posted = environment->pool()->Post([found, finish] {
          Find(found.get());
          finish({});
        });
        if (!posted) finish({});
      });
}

}  // namespace

Napi::Error CudaError(Napi::Env env, const CudaDriver& driver, const staging::CudaOutcome& outcome) {
  if (outcome.error != 0) return SystemError(env, outcome.error, outcome.what);
  Napi::Error error = Napi::Error::New(env, driver.Describe(outcome.result) + ", " + outcome.what);
  error.Set("code", Napi::String::New(env, "ECUDA"));
  error.Set("cuda", Napi::Number::New(env, outcome.result));
  return error;
}

void DefineCuda(Napi::Env env, Napi::Object exports) {
  exports.Set("loadCuda", Napi::Function::New<LoadCuda>(env, "loadCuda"));
}

}  // namespace podfs
