// The addon's `measure`: a loop of native/measure/ on threads of its own, as JavaScript sees it.
#pragma once

#include <napi.h>

namespace podfs {

// Adds measure.
void DefineMeasure(Napi::Env env, Napi::Object exports);

}  // namespace podfs
