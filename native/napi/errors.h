// JavaScript errors for system errors, as Node's own: a `code`, an `errno`, a message that begins with the code.
#pragma once

#include <napi.h>

#include <string>

namespace podfs {

// `error` is a negative errno; `what` says what was tried, and with which file.
Napi::Error SystemError(Napi::Env env, int error, const std::string& what);

}  // namespace podfs
