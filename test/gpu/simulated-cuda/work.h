// Streams and what is queued on them. Every stream has a thread, which does its work late: whoever reads the result of
// a copy without having waited for it reads poison.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "cuda_types.h"

namespace simulated {

class Stream;

// The primary context of a device.
struct Context {
  int ordinal = 0;
  int retained = 0;           // GUARDED BY Lock()
  Result broken = kSuccess;   // GUARDED BY Lock(); sticky: every later call fails with it
  std::set<Stream*> streams;  // GUARDED BY Lock()
  Stream* null_stream = nullptr;
};

// Something that will have happened.
struct Completion {
  bool done = false;  // GUARDED BY Lock()
};
using Ticket = std::shared_ptr<Completion>;

// A copy between memories that the processor reaches: device memory's hidden mapping, or host memory.
struct Copy {
  char* to = nullptr;
  const char* from = nullptr;  // null: fill with `value`
  size_t bytes = 0;
  unsigned char value = 0;
  // Breaks the context instead, when its turn comes.
  Result late_failure = kSuccess;
};

// One lock for all of the simulation: it is to be right, not fast.
std::mutex& Lock();

class Stream {
 public:
  // `blocking`: in order with the null stream of its context (no CU_STREAM_NON_BLOCKING).
  Stream(Context* context, bool blocking);
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  Context* context() const { return context_; }

  // --- Lock() is held.
  // Poisons the destination at once, unless work that is queued still needs it.
  void Add(const Copy& copy);
  void WaitFor(const Ticket& ticket);
  // Of all that is queued by now; for the null stream, on the others too.
  Ticket Mark();
  bool Idle() const { return queue_.empty(); }
  // No more work. The stream deletes itself when it has done what is queued.
  void End();

 private:
  struct Work {
    std::vector<Ticket> after;
    Copy copy;
    bool poisoned = false;
    Ticket done;
  };

  void Push(Work work);
  void Run();
  void Do(const Work& work);
  bool Touches(const char* begin, size_t bytes) const;
  static bool AnyTouches(const char* begin, size_t bytes);

  Context* const context_;
  const bool blocking_;
  std::deque<Work> queue_;  // GUARDED BY Lock(); the first is under way
  Ticket last_;             // GUARDED BY Lock()
  bool ended_ = false;      // GUARDED BY Lock()
};

// Waits, with the lock held by `held`, and lets go of it meanwhile.
void Wait(std::unique_lock<std::mutex>* held, const Ticket& ticket);
// For all streams of the context.
void WaitForAll(std::unique_lock<std::mutex>* held, const Context& context);

}  // namespace simulated
