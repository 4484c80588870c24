// A named thread whose start can fail without an exception: pods limit how many there may be.
#pragma once

#include <pthread.h>

#include <functional>

namespace podfs {

// Must be joined before it is destroyed, if it was started.
class Thread {
 public:
  Thread() = default;
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;
  ~Thread();

  // `name` has at most 15 characters. Returns 0 or a negative errno. All signals are blocked in the thread:
  // they are the event loop's to handle.
  int Start(const char* name, std::function<void()> body);
  bool started() const { return started_; }
  void Join();

 private:
  pthread_t thread_{};
  bool started_ = false;
};

}  // namespace podfs
