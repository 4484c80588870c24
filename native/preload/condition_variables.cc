// POSIX condition variables for a process this library is preloaded into (LD_PRELOAD), in place of those of glibc
// before 2.41.
//
// There, pthread_cond_signal may wait until threads that were woken earlier have been given a processor: on a busy
// machine an event loop stands still for tens of milliseconds (docs/decisions/0010). And a signal may be lost
// (https://sourceware.org/bugzilla/show_bug.cgi?id=25847), which leaves a thread waiting for ever. Later versions have
// neither fault, and other C libraries other condition variables: for those this file is empty.
//
// A condition variable is a sequence number that each signal moves on. Who waits reads it while holding the mutex, lets
// go of the mutex and sleeps until the number is another one (futex(2)); a signal between the two is seen by the
// kernel's comparison. The number of those who wait saves the system call when there are none. They are counted until
// they are back, so that pthread_cond_destroy, as in glibc, can wait for them: it is all that ever waits for a woken
// thread.
//
// A signal may wake a thread that began to wait after it, instead of one from before. That thread held the mutex and
// found its condition false after what the signal told of had been done, so somebody has had what was told of.
//
// Unlike glibc's, waiting is no cancellation point (pthread_cancel: Node.js, V8 and libuv do not use it), and one that
// several processes share works among those only that have this library.
#include <features.h>

#if defined(__GLIBC__) && !__GLIBC_PREREQ(2, 41) && defined(__LP64__)

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <ctime>

namespace {

constexpr uint32_t kMonotonic = 1;
constexpr uint32_t kShared = 2;

// Of waiters: the lowest bit says that pthread_cond_destroy waits for them, those above it count them.
constexpr uint32_t kDestroying = 1;
constexpr uint32_t kOneWaiter = 2;

// What lies in a pthread_cond_t. PTHREAD_COND_INITIALIZER is all zeros: CLOCK_REALTIME, threads of one process.
struct Condition {
  uint32_t sequence;
  uint32_t waiters;
  uint32_t flags;
};
static_assert(sizeof(Condition) <= sizeof(pthread_cond_t) && alignof(Condition) <= alignof(pthread_cond_t));

Condition& ConditionIn(pthread_cond_t* cond) { return *reinterpret_cast<Condition*>(cond); }

clockid_t ClockOf(const Condition& condition) {
  return (condition.flags & kMonotonic) != 0 ? CLOCK_MONOTONIC : CLOCK_REALTIME;
}

// FUTEX_PRIVATE_FLAG, unless processes share it.
int ScopeOf(const Condition& condition) { return (condition.flags & kShared) != 0 ? 0 : FUTEX_PRIVATE_FLAG; }

// Sleeps while *word is value, until a time of the clock in the operation. Returns 0 or an error number.
int Sleep(const uint32_t* word, int operation, uint32_t value, const timespec* until) {
  const long result = syscall(SYS_futex, word, operation, value, until, nullptr, FUTEX_BITSET_MATCH_ANY);
  return result < 0 ? errno : 0;
}

// The word may be gone already: the kernel only compares addresses.
void Wake(const uint32_t* word, int operation, int threads) { syscall(SYS_futex, word, operation, threads); }

// One thread less waits; the condition may be gone afterwards.
void Leave(Condition& condition) {
  const int operation = FUTEX_WAKE | ScopeOf(condition);
  if (std::atomic_ref(condition.waiters).fetch_sub(kOneWaiter) == (kOneWaiter | kDestroying)) {
    Wake(&condition.waiters, operation, INT_MAX);
  }
}

// until: a time of the clock, or nullptr. Returns what pthread_cond_clockwait does.
int Wait(Condition& condition, pthread_mutex_t* mutex, clockid_t clock, const timespec* until) {
  int operation = FUTEX_WAIT_BITSET | ScopeOf(condition);
  if (clock == CLOCK_REALTIME) {
    operation |= FUTEX_CLOCK_REALTIME;
  } else if (clock != CLOCK_MONOTONIC) {
    return EINVAL;
  }
  if (until != nullptr && (until->tv_nsec < 0 || until->tv_nsec >= 1'000'000'000)) return EINVAL;

  std::atomic_ref(condition.waiters).fetch_add(kOneWaiter);
  const uint32_t seen = std::atomic_ref(condition.sequence).load();
  if (const int error = pthread_mutex_unlock(mutex); error != 0) {
    Leave(condition);
    return error;
  }
  // The kernel refuses times below zero, which are over. Whoever was woken, interrupted (EINTR) or came too late to
  // sleep (EAGAIN) looks at his condition.
  const bool past = until != nullptr && until->tv_sec < 0;
  const bool timed_out = past || Sleep(&condition.sequence, operation, seen, until) == ETIMEDOUT;
  // Before the mutex: who destroys may hold it.
  Leave(condition);
  const int error = pthread_mutex_lock(mutex);
  if (error != 0) return error;
  return timed_out ? ETIMEDOUT : 0;
}

int Signal(Condition& condition, int threads) {
  if (std::atomic_ref(condition.waiters).load() / kOneWaiter == 0) return 0;
  const int operation = FUTEX_WAKE | ScopeOf(condition);
  std::atomic_ref(condition.sequence).fetch_add(1);
  Wake(&condition.sequence, operation, threads);
  return 0;
}

}  // namespace

#define PODFS_EXPORT extern "C" __attribute__((visibility("default")))

PODFS_EXPORT int pthread_cond_init(pthread_cond_t* cond, const pthread_condattr_t* attributes) noexcept {
  uint32_t flags = 0;
  if (attributes != nullptr) {
    clockid_t clock = CLOCK_REALTIME;
    int shared = PTHREAD_PROCESS_PRIVATE;
    pthread_condattr_getclock(attributes, &clock);
    pthread_condattr_getpshared(attributes, &shared);
    if (clock == CLOCK_MONOTONIC) flags |= kMonotonic;
    if (shared == PTHREAD_PROCESS_SHARED) flags |= kShared;
  }
  ConditionIn(cond) = {.sequence = 0, .waiters = 0, .flags = flags};
  return 0;
}

PODFS_EXPORT int pthread_cond_destroy(pthread_cond_t* cond) noexcept {
  Condition& condition = ConditionIn(cond);
  const std::atomic_ref waiters(condition.waiters);
  uint32_t now = waiters.fetch_or(kDestroying) | kDestroying;
  while (now != kDestroying) {
    Sleep(&condition.waiters, FUTEX_WAIT_BITSET | ScopeOf(condition), now, nullptr);
    now = waiters.load();
  }
  return 0;
}

PODFS_EXPORT int pthread_cond_wait(pthread_cond_t* cond, pthread_mutex_t* mutex) {
  return Wait(ConditionIn(cond), mutex, CLOCK_MONOTONIC, nullptr);
}

PODFS_EXPORT int pthread_cond_timedwait(pthread_cond_t* cond, pthread_mutex_t* mutex, const timespec* until) {
  return Wait(ConditionIn(cond), mutex, ClockOf(ConditionIn(cond)), until);
}

PODFS_EXPORT int pthread_cond_clockwait(pthread_cond_t* cond, pthread_mutex_t* mutex, clockid_t clock,
                                        const timespec* until) {
  return Wait(ConditionIn(cond), mutex, clock, until);
}

PODFS_EXPORT int pthread_cond_signal(pthread_cond_t* cond) noexcept { return Signal(ConditionIn(cond), 1); }

PODFS_EXPORT int pthread_cond_broadcast(pthread_cond_t* cond) noexcept { return Signal(ConditionIn(cond), INT_MAX); }

#endif
