// The condition variables of native/preload, which this program has in place of the C library's. Where that one's are
// good, and native/preload is empty, it is the C library that is tested.
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <string>
#include <thread>
#include <vector>

#include "test.h"

namespace podfs {

namespace {

class Lock {
 public:
  explicit Lock(pthread_mutex_t& mutex) : mutex_(mutex) { pthread_mutex_lock(&mutex_); }
  ~Lock() { pthread_mutex_unlock(&mutex_); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  pthread_mutex_t& mutex_;
};

timespec In(clockid_t clock, int milliseconds) {
  timespec time{};
  clock_gettime(clock, &time);
  time.tv_nsec += milliseconds * 1'000'000L;
  time.tv_sec += time.tv_nsec / 1'000'000'000;
  time.tv_nsec %= 1'000'000'000;
  return time;
}

bool IsOver(clockid_t clock, const timespec& time) {
  timespec now{};
  clock_gettime(clock, &now);
  return now.tv_sec > time.tv_sec || (now.tv_sec == time.tv_sec && now.tv_nsec >= time.tv_nsec);
}

void InitWithClock(pthread_cond_t* cond, clockid_t clock) {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, clock);
  pthread_cond_init(cond, &attributes);
  pthread_condattr_destroy(&attributes);
}

// For the handler of a signal.
sem_t in_handler;
sem_t may_leave_handler;

void StayInHandler(int) {
  const int before = errno;
  sem_post(&in_handler);
  while (sem_wait(&may_leave_handler) != 0) {
  }
  errno = before;
}

}  // namespace

TEST(ConditionVariablesHandEveryItemOver) {
  constexpr int kThreads = 4;
  constexpr int kItems = 20'000;
  constexpr int kCapacity = 3;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t not_full = PTHREAD_COND_INITIALIZER;
  pthread_cond_t not_empty = PTHREAD_COND_INITIALIZER;
  int stored = 0;
  int taken = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int item = 0; item < kItems; ++item) {
        {
          const Lock lock(mutex);
          while (stored == kCapacity) pthread_cond_wait(&not_full, &mutex);
          ++stored;
        }
        // Without the mutex, as most do.
        pthread_cond_signal(&not_empty);
      }
    });
    threads.emplace_back([&] {
      for (int item = 0; item < kItems; ++item) {
        const Lock lock(mutex);
        while (stored == 0) pthread_cond_wait(&not_empty, &mutex);
        --stored;
        ++taken;
        pthread_cond_signal(&not_full);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT(stored == 0 && taken == kThreads * kItems);
  EXPECT(pthread_cond_destroy(&not_full) == 0 && pthread_cond_destroy(&not_empty) == 0);
}

TEST(ConditionVariablesWaitUntilATimeOfTheirClock) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  const Lock lock(mutex);
  for (const clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC}) {
    pthread_cond_t cond;
    InitWithClock(&cond, clock);
    const timespec soon = In(clock, 30);
    // They may wake early, and say so by another result.
    int result = 0;
    while (result == 0) result = pthread_cond_timedwait(&cond, &mutex, &soon);
    EXPECT(result == ETIMEDOUT && IsOver(clock, soon));

    const clockid_t other = clock == CLOCK_REALTIME ? CLOCK_MONOTONIC : CLOCK_REALTIME;
    const timespec then = In(other, 30);
    result = 0;
    while (result == 0) result = pthread_cond_clockwait(&cond, &mutex, other, &then);
    EXPECT(result == ETIMEDOUT && IsOver(other, then));

    for (const timespec past : {timespec{-1, 0}, timespec{0, 0}}) {
      EXPECT(pthread_cond_timedwait(&cond, &mutex, &past) == ETIMEDOUT);
    }
    for (const timespec wrong : {timespec{1, -1}, timespec{1, 1'000'000'000}}) {
      EXPECT(pthread_cond_timedwait(&cond, &mutex, &wrong) == EINVAL);
    }
    EXPECT(pthread_cond_clockwait(&cond, &mutex, CLOCK_PROCESS_CPUTIME_ID, &then) == EINVAL);
    EXPECT(pthread_mutex_trylock(&mutex) == EBUSY);
    EXPECT(pthread_cond_destroy(&cond) == 0);
  }
}

TEST(ConditionVariablesForgetSignalsNobodyWaitsFor) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t cond;
  InitWithClock(&cond, CLOCK_MONOTONIC);
  pthread_cond_signal(&cond);
  pthread_cond_broadcast(&cond);
  const Lock lock(mutex);
  const timespec soon = In(CLOCK_MONOTONIC, 20);
  int result = 0;
  while (result == 0) result = pthread_cond_timedwait(&cond, &mutex, &soon);
  EXPECT(result == ETIMEDOUT && IsOver(CLOCK_MONOTONIC, soon));
  pthread_cond_destroy(&cond);
}

TEST(ConditionVariablesPassOnThatTheMutexIsNotHeld) {
#ifdef __SANITIZE_THREAD__
  SKIP("ThreadSanitizer reports it");
#endif
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
  pthread_mutex_t mutex;
  pthread_mutex_init(&mutex, &attributes);
  pthread_mutexattr_destroy(&attributes);
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  EXPECT(pthread_cond_wait(&cond, &mutex) == EPERM);
  // Waits for nobody: the one above is not counted any more.
  EXPECT(pthread_cond_destroy(&cond) == 0);
  pthread_mutex_destroy(&mutex);
}

TEST(ConditionVariablesMayBeDestroyedRightAfterABroadcast) {
  constexpr size_t kRounds = 2'000;
  constexpr char kGone = 0x5a;
  constexpr size_t kThreads = 3;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t here = PTHREAD_COND_INITIALIZER;
  std::vector<pthread_cond_t> conds(kRounds);
  pthread_cond_t* cond = nullptr;
  size_t round = 0;
  size_t waiting = 0;
  size_t woken = 0;
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (size_t mine = 1; mine <= kRounds; ++mine) {
        const Lock lock(mutex);
        while (round < mine - 1 || cond == nullptr) pthread_cond_wait(&here, &mutex);
        pthread_cond_t* const current = cond;
        ++waiting;
        pthread_cond_broadcast(&here);
        while (round < mine) pthread_cond_wait(current, &mutex);
        ++woken;
        pthread_cond_broadcast(&here);
      }
    });
  }
  for (size_t mine = 1; mine <= kRounds; ++mine) {
    const Lock lock(mutex);
    cond = &conds[mine - 1];
    pthread_cond_init(cond, nullptr);
    pthread_cond_broadcast(&here);
    while (waiting < kThreads) pthread_cond_wait(&here, &mutex);
    waiting = 0;
    round = mine;
    pthread_cond_broadcast(cond);
    // While it holds the mutex that they want next.
    pthread_cond_destroy(cond);
    memset(cond, kGone, sizeof(pthread_cond_t));
    cond = nullptr;
    while (woken < mine * kThreads) pthread_cond_wait(&here, &mutex);
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT(woken == kRounds * kThreads);
  pthread_cond_destroy(&here);
  const std::string bytes(reinterpret_cast<const char*>(conds.data()), kRounds * sizeof(pthread_cond_t));
  EXPECT(bytes == std::string(bytes.size(), kGone));  // Nobody has touched them since.
}

TEST(ConditionVariablesWakeOtherProcesses) {
  struct Shared {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool ready;
    bool go;
  };
  void* const memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) abort();
  auto* const shared = static_cast<Shared*>(memory);
  pthread_mutexattr_t mutex_attributes;
  pthread_mutexattr_init(&mutex_attributes);
  pthread_mutexattr_setpshared(&mutex_attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutex_init(&shared->mutex, &mutex_attributes);
  pthread_mutexattr_destroy(&mutex_attributes);
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_cond_init(&shared->cond, &attributes);
  pthread_condattr_destroy(&attributes);

  const pid_t child = fork();
  if (child == 0) {
    alarm(30);
    pthread_mutex_lock(&shared->mutex);
    shared->ready = true;
    pthread_cond_broadcast(&shared->cond);
    while (!shared->go) pthread_cond_wait(&shared->cond, &shared->mutex);
    pthread_mutex_unlock(&shared->mutex);
    _exit(7);
  }
  {
    const Lock lock(shared->mutex);
    const timespec limit = In(CLOCK_REALTIME, 30'000);
    int result = 0;
    while (!shared->ready && result == 0) result = pthread_cond_timedwait(&shared->cond, &shared->mutex, &limit);
    EXPECT(shared->ready);
    shared->go = true;
    pthread_cond_broadcast(&shared->cond);
  }
  int status = 0;
  EXPECT(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7);
  munmap(memory, sizeof(Shared));
}

// A thread that was woken and does not get a processor: here, it is kept in the handler of a signal.
TEST(ConditionVariablesDoNotWaitForThreadsTheyHaveWoken) {
  sem_init(&in_handler, 0, 0);
  sem_init(&may_leave_handler, 0, 0);
  struct sigaction action {};
  struct sigaction before {};
  action.sa_handler = StayInHandler;
  sigaction(SIGUSR2, &action, &before);

  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  int waiting = 0;
  int permits = 0;
  const auto wait = [&] {
    const Lock lock(mutex);
    ++waiting;
    while (permits == 0) pthread_cond_wait(&cond, &mutex);
    --permits;
  };
  const auto wait_for_waiters = [&](int count) {
    for (;;) {
      const Lock lock(mutex);
      // Whoever counted and let go of the mutex is in pthread_cond_wait.
      if (waiting == count) return;
    }
  };
  std::thread first(wait);
  wait_for_waiters(1);
  pthread_kill(first.native_handle(), SIGUSR2);
  while (sem_wait(&in_handler) != 0) {
  }
  std::vector<std::thread> others;
  std::atomic<bool> signalled = false;
  std::thread signaller([&] {
    for (int i = 0; i < 8; ++i) {
      others.emplace_back(wait);
      wait_for_waiters(i + 2);
      {
        const Lock lock(mutex);
        ++permits;
      }
      pthread_cond_signal(&cond);
    }
    signalled = true;
  });
  const timespec limit = In(CLOCK_MONOTONIC, 5'000);
  while (!signalled && !IsOver(CLOCK_MONOTONIC, limit)) usleep(1'000);
  EXPECT(signalled);

  sem_post(&may_leave_handler);
  signaller.join();
  {
    const Lock lock(mutex);
    ++permits;
  }
  pthread_cond_broadcast(&cond);
  first.join();
  for (std::thread& other : others) other.join();
  EXPECT(permits == 0);
  pthread_cond_destroy(&cond);
  sigaction(SIGUSR2, &before, nullptr);
  sem_destroy(&in_handler);
  sem_destroy(&may_leave_handler);
}

}  // namespace podfs
