// Host memory that has been registered (pinned). Lock() is held by the callers.
#pragma once

#include <cstddef>

#include "cuda_types.h"

namespace simulated {

// kHostMemoryAlreadyRegistered when any of it is; kInvalidValue for what is not mapped.
Result RegisterHost(char* begin, size_t bytes);
// kHostMemoryNotRegistered unless `begin` is where a registered range begins.
Result UnregisterHost(char* begin);
bool IsRegistered(const char* address);

// The address by which streams reach the memory. A driver holds on to the pages that it has pinned: a copy still lands
// in them, and nowhere else, when the program has unmapped them. So shared memory has a second mapping while it is
// registered. Other memory is reached where it is.
char* StreamAddress(char* address, size_t bytes);

}  // namespace simulated
