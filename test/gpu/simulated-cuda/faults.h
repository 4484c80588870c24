// What the environment asks for: failures, delays, how many devices there are; and the log of calls.
#pragma once

#include <cstdint>
#include <string>

#include "cuda_types.h"

namespace simulated {

// A whole number from the environment; `otherwise` where there is none.
int64_t Setting(const char* name, int64_t otherwise);

// What SIMULATED_CUDA_FAIL says about this call of `symbol`; kSuccess: nothing. Counts the call.
Result InjectedFailure(const char* symbol);
// The same for SIMULATED_CUDA_FAIL_LATE: the copy is accepted, and breaks its context when its turn comes.
Result InjectedLateFailure(const char* symbol);

// Appends "pid symbol result" to the file SIMULATED_CUDA_LOG, if there is one.
void LogCall(const char* symbol, Result result);

}  // namespace simulated
