// The functions of StagingAddon in src/native/staging.ts, but for CUDA's.
#pragma once

#include <napi.h>

namespace podfs {

void DefineStaging(Napi::Env env, Napi::Object exports);

}  // namespace podfs
