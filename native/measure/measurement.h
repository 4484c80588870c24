// Runs a loop on threads of its own, to a limit of operations or time, and times every operation.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "measure/histogram.h"
#include "measure/loop.h"

namespace podfs::measure {

struct Result {
  uint64_t operations = 0;
  // Of the thread that did the fewest.
  uint64_t operations_min = 0;
  // Bytes moved, or what else the loop counts.
  uint64_t amount = 0;
  // From the start of the first thread to the end of the last.
  double seconds = 0;
  // Then, to make it durable; the slowest thread's.
  double sync_seconds = 0;
  Histogram latencies;
  // Negative errno, and what was tried with which file.
  int error = 0;
  std::string what;
};

// Run() once, on any thread; the rest at any time, from any.
class Measurement {
 public:
  explicit Measurement(Spec spec);
  ~Measurement();

  // Returns when all threads have ended: they end at the first error of one.
  Result Run();
  // An operation in the kernel is waited for.
  void Cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  // Operations done by now.
  uint64_t Operations() const;

 private:
  struct Lane;
  class Gate;

  void Work(Lane* lane, Gate* gate);
  void Operate(Lane* lane);
  Result Collect() const;

  const Spec spec_;
  std::atomic<bool> cancelled_{false};
  std::vector<std::unique_ptr<Lane>> lanes_;
};

}  // namespace podfs::measure
