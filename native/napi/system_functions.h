// The functions of the addon that belong to no object.
#pragma once

#include <napi.h>

namespace podfs {

// Adds mountFuse, unmountFuse, lockFile, reflink and probe.
void DefineSystemFunctions(Napi::Env env, Napi::Object exports);

}  // namespace podfs
