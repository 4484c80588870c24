// A table of driver functions with no driver behind it, for the logic of what calls them. Device memory is memory of
// this process; copies are done when something waits for them, and not before.
#pragma once

#include <string>
#include <vector>

#include "staging/cuda_driver.h"

namespace podfs::test {

// There is one at a time.
class FakeCuda {
 public:
  FakeCuda();
  FakeCuda(const FakeCuda&) = delete;
  FakeCuda& operator=(const FakeCuda&) = delete;
  ~FakeCuda();

  static staging::CudaFunctions Functions();

  // The next call of the function, as in CudaFunctions, has this result.
  void FailNext(const std::string& function, staging::CudaResult result);
  // How often it was called.
  size_t Calls(const std::string& function) const;
  // Where in the order of all calls its last one was.
  size_t LastCall(const std::string& function) const;
};

}  // namespace podfs::test
