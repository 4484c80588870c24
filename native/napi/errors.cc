#include "napi/errors.h"

#include <uv.h>

namespace podfs {

Napi::Error SystemError(Napi::Env env, int error, const std::string& what) {
  const std::string code = uv_err_name(error);
  Napi::Error result = Napi::Error::New(env, code + ": " + uv_strerror(error) + ", " + what);
  result.Set("code", Napi::String::New(env, code));
  result.Set("errno", Napi::Number::New(env, error));
  return result;
}

}  // namespace podfs
