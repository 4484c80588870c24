// DeviceCopier of src/native/staging.ts.
#pragma once

#include <napi.h>

#include <memory>

#include "napi/cuda_driver_object.h"

namespace podfs {

// A promise for a copier of the device.
Napi::Value OpenCopier(Napi::Env env, std::shared_ptr<const LoadedCuda> cuda, int ordinal);

}  // namespace podfs
