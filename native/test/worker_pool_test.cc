// The worker pool: who destroys what is left to it.
#include "fuse/worker_pool.h"

#include <memory>
#include <thread>

#include "test.h"

namespace podfs {

namespace {

struct Traced {
  explicit Traced(std::thread::id* by) : destroyed_by(by) {}
  Traced(const Traced&) = delete;
  Traced& operator=(const Traced&) = delete;
  ~Traced() { *destroyed_by = std::this_thread::get_id(); }

  std::thread::id* const destroyed_by;
};

}  // namespace

TEST(WorkerPoolDestroysWhatIsLeftToIt) {
  const auto pool = std::make_shared<WorkerPool>("destroy", 1);
  const std::thread::id here = std::this_thread::get_id();
  std::thread::id destroyed_by;
  auto first = DestroyedOn(pool, std::make_shared<Traced>(&destroyed_by));
  const Traced* const same = first.get();
  auto second = first;
  first.reset();
  EXPECT(second.get() == same && destroyed_by == std::thread::id());
  second.reset();
  pool->Stop();
  EXPECT(destroyed_by != std::thread::id() && destroyed_by != here);
  DestroyedOn(pool, std::make_shared<Traced>(&destroyed_by)).reset();
  EXPECT(destroyed_by == here);
}

}  // namespace podfs
