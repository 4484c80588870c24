#include "measure/measurement.h"

#include <algorithm>
#include <cassert>
#include <ctime>
#include <latch>
#include <utility>

#include "fuse/thread.h"

namespace podfs::measure {

namespace {

uint64_t MonotonicNanos() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace

// What a thread works with, and what it leaves. Apart from others in memory: they write to theirs all the time.
struct alignas(128) Measurement::Lane {
  Lane(const Spec& spec, uint64_t index) : worker(spec, index) {}

  Worker worker;
  Thread thread;
  std::atomic<uint64_t> operations{0};
  uint64_t amount = 0;
  uint64_t start_nanos = 0;
  uint64_t end_nanos = 0;
  uint64_t sync_nanos = 0;
  Histogram latencies;
  int error = 0;
};

// Threads that have prepared wait for the others.
class Measurement::Gate {
 public:
  explicit Gate(ptrdiff_t threads) : ready_(threads) {}
  void Pass() { ready_.arrive_and_wait(); }
  void DoNotExpect() { ready_.count_down(); }

 private:
  std::latch ready_;
};

Measurement::Measurement(Spec spec) : spec_(std::move(spec)) {
  assert(spec_.loop != nullptr && spec_.threads > 0 && spec_.share < spec_.shares);
  for (uint32_t i = 0; i < spec_.threads; ++i) lanes_.push_back(std::make_unique<Lane>(spec_, i));
}

Measurement::~Measurement() = default;

Result Measurement::Run() {
  Gate gate(static_cast<ptrdiff_t>(lanes_.size()));
  for (const auto& lane : lanes_) {
    const int error = lane->thread.Start("podfs-measure", [this, &gate, lane = lane.get()] { Work(lane, &gate); });
    if (error == 0) continue;
    lane->error = error;
    lane->worker.step = "start a thread";
    Cancel();
    gate.DoNotExpect();
  }
  for (const auto& lane : lanes_) lane->thread.Join();
  return Collect();
}

void Measurement::Work(Lane* lane, Gate* gate) {
  const int error = spec_.loop->prepare(&lane->worker);
  if (error != 0) {
    lane->error = error;
    Cancel();
  }
  gate->Pass();
  lane->start_nanos = lane->end_nanos = MonotonicNanos();
  if (error == 0) Operate(lane);
  if (lane->error != 0) Cancel();
  lane->worker.Release();
}

void Measurement::Operate(Lane* lane) {
  Worker* const worker = &lane->worker;
  const Loop& loop = *spec_.loop;
  const uint64_t count = loop.count(*worker);
  if (count == 0) return;
  const uint64_t most = spec_.operations_max == 0 ? count : std::min(count, spec_.operations_max);
  const uint64_t deadline = lane->start_nanos + spec_.micros_max * 1'000;
  uint64_t before = lane->start_nanos;
  uint64_t index = 0;
  uint64_t done = 0;
  while (!cancelled_.load(std::memory_order_relaxed) && before < deadline) {
    if (index == most) {
      if (!spec_.repeat) break;
      index = 0;
    }
    const int64_t amount = loop.operation(worker, index++);
    // The end of one operation is the start of the next: one look at the clock for each.
    const uint64_t after = MonotonicNanos();
    if (amount < 0) {
      lane->error = static_cast<int>(amount);
      return;
    }
    lane->latencies.Add(after - before);
    lane->amount += static_cast<uint64_t>(amount);
    lane->operations.store(++done, std::memory_order_relaxed);
    before = after;
  }
  lane->end_nanos = before;
  if (loop.sync == nullptr || cancelled_.load(std::memory_order_relaxed)) return;
  lane->error = loop.sync(worker);
  lane->sync_nanos = MonotonicNanos() - before;
}

uint64_t Measurement::Operations() const {
  uint64_t sum = 0;
  for (const auto& lane : lanes_) sum += lane->operations.load(std::memory_order_relaxed);
  return sum;
}

Result Measurement::Collect() const {
  Result result;
  result.operations = Operations();
  result.operations_min = UINT64_MAX;
  uint64_t start = UINT64_MAX;
  uint64_t end = 0;
  for (const auto& lane : lanes_) {
    result.operations_min = std::min(result.operations_min, lane->operations.load(std::memory_order_relaxed));
    result.amount += lane->amount;
    result.latencies.Add(lane->latencies);
    result.sync_seconds = std::max(result.sync_seconds, static_cast<double>(lane->sync_nanos) / 1e9);
    start = std::min(start, lane->start_nanos);
    end = std::max(end, lane->end_nanos);
    if (lane->error == 0 || result.error != 0) continue;
    result.error = lane->error;
    const Worker& worker = lane->worker;
    result.what = std::string(worker.step) + " '" + spec_.path;
    if (worker.name[0] != '\0') result.what += std::string("/") + worker.name.data();
    result.what += "'";
  }
  if (end > start) result.seconds = static_cast<double>(end - start) / 1e9;
  return result;
}

}  // namespace podfs::measure
