// The functions of the addon that belong to no object.
#pragma once

#include <napi.h>

namespace podfs {

// Adds what `Addon` in src/native/addon.ts declares beside classes and measure.
void DefineSystemFunctions(Napi::Env env, Napi::Object exports);

}  // namespace podfs
