#include "fuse/thread.h"

#include <cassert>
#include <csignal>
#include <memory>
#include <utility>

namespace podfs {

namespace {
void* Run(void* argument) {
  std::unique_ptr<std::function<void()>> body(static_cast<std::function<void()>*>(argument));
  (*body)();
  return nullptr;
}
}  // namespace

Thread::~Thread() { assert(!started_); }

int Thread::Start(const char* name, std::function<void()> body) {
  assert(!started_);
  auto owned = std::make_unique<std::function<void()>>(std::move(body));
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int error = pthread_create(&thread_, nullptr, Run, owned.get());
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error != 0) return -error;
  (void)owned.release();  // Now the thread's.
  pthread_setname_np(thread_, name);
  started_ = true;
  return 0;
}

void Thread::Join() {
  if (!started_) return;
  pthread_join(thread_, nullptr);
  started_ = false;
}

}  // namespace podfs
