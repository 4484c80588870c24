// The addon's exports: what src/native/addon.ts describes.
#include <napi.h>

#include "napi/content_file_object.h"
#include "napi/cuda_driver_object.h"
#include "napi/environment.h"
#include "napi/fuse_session_object.h"
#include "napi/measure_function.h"
#include "napi/staging_functions.h"
#include "napi/system_functions.h"

namespace podfs {

namespace {

Napi::Object Initialize(Napi::Env env, Napi::Object exports) {
  Environment* const environment = Environment::Create(env);
  if (environment == nullptr) return exports;
  environment->content_file_class = Napi::Persistent(ContentFileObject::Class(env));
  environment->session_class = Napi::Persistent(FuseSessionObject::Class(env));
  exports.Set("createContentFile", Napi::Function::New<ContentFileObject::Create>(env, "createContentFile"));
  exports.Set("createFuseSession", Napi::Function::New<FuseSessionObject::Create>(env, "createFuseSession"));
  DefineMeasure(env, exports);
  DefineStaging(env, exports);
  DefineCuda(env, exports);
  DefineSystemFunctions(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(NODE_GYP_MODULE_NAME, Initialize)

}  // namespace podfs
