// loadCuda of src/native/staging.ts.
#pragma once

#include <napi.h>

#include <memory>

#include "staging/cuda_driver.h"
#include "staging/cuda_pins.h"

namespace podfs {

// The driver of this process, for all of its environments.
struct LoadedCuda {
  std::shared_ptr<const staging::CudaDriver> driver;
  std::shared_ptr<staging::CudaPins> pins;
};

// Of an outcome that is not ok: a system error, or one with the code "ECUDA" and the number of the CUresult.
Napi::Error CudaError(Napi::Env env, const staging::CudaDriver& driver, const staging::CudaOutcome& outcome);

// Adds loadCuda.
void DefineCuda(Napi::Env env, Napi::Object exports);

}  // namespace podfs
