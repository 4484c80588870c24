#include "work.h"

#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "faults.h"

namespace simulated {

namespace {

constexpr unsigned char kPoison = 0xA5;
constexpr int64_t kDelayMsDefault = 2;

// Never destroyed: threads of streams outlive main.
std::condition_variable& Changed() {
  static auto* const changed = new std::condition_variable;
  return *changed;
}

std::set<Stream*>& AllStreams() {
  static auto* const streams = new std::set<Stream*>;
  return *streams;
}

Ticket Done() {
  auto ticket = std::make_shared<Completion>();
  ticket->done = true;
  return ticket;
}

bool Overlap(const char* a, size_t a_bytes, const char* b, size_t b_bytes) {
  return a != nullptr && b != nullptr && a < b + b_bytes && b < a + a_bytes;
}

}  // namespace

std::mutex& Lock() {
  static auto* const mutex = new std::mutex;
  return *mutex;
}

Stream::Stream(Context* context, bool blocking) : context_(context), blocking_(blocking), last_(Done()) {
  context_->streams.insert(this);
  AllStreams().insert(this);
  std::thread([this] { Run(); }).detach();
}

void Stream::Add(const Copy& copy) {
  Work work;
  work.copy = copy;
  if (!AnyTouches(copy.to, copy.bytes)) {
    memset(copy.to, kPoison, copy.bytes);
    work.poisoned = true;
  }
  Push(std::move(work));
}

void Stream::WaitFor(const Ticket& ticket) {
  Work work;
  work.after.push_back(ticket);
  Push(std::move(work));
}

Ticket Stream::Mark() {
  Push({});
  return last_;
}

void Stream::Push(Work work) {
  // The null stream waits for the blocking ones, and they for it ("legacy default stream").
  Stream* const null_stream = context_->null_stream;
  if (this == null_stream) {
    for (const Stream* other : context_->streams) {
      if (other != this && other->blocking_) work.after.push_back(other->last_);
    }
  } else if (blocking_ && null_stream != nullptr) {
    work.after.push_back(null_stream->last_);
  }
  work.done = std::make_shared<Completion>();
  last_ = work.done;
  queue_.push_back(std::move(work));
  Changed().notify_all();
}

void Stream::End() {
  ended_ = true;
  Changed().notify_all();
}

void Stream::Run() {
  std::unique_lock lock(Lock());
  for (;;) {
    Changed().wait(lock, [this] { return ended_ || !queue_.empty(); });
    if (queue_.empty()) break;
    for (const Ticket& ticket : queue_.front().after) Wait(&lock, ticket);
    // Work is added at the other end of the deque meanwhile, which leaves this one where it is.
    const Work& work = queue_.front();
    lock.unlock();
    Do(work);
    lock.lock();
    work.done->done = true;
    queue_.pop_front();
    Changed().notify_all();
  }
  context_->streams.erase(this);
  AllStreams().erase(this);
  lock.unlock();
  delete this;
}

void Stream::Do(const Work& work) {
  static const int64_t delay_ms = Setting("SIMULATED_CUDA_DELAY_MS", kDelayMsDefault);
  const Copy& copy = work.copy;
  if (copy.to == nullptr) return;
  if (!work.poisoned) memset(copy.to, kPoison, copy.bytes);
  std::this_thread::sleep_for(std::chrono::milliseconds(delay_ms));
  {
    const std::lock_guard lock(Lock());
    if (copy.late_failure != kSuccess && context_->broken == kSuccess) context_->broken = copy.late_failure;
    if (context_->broken != kSuccess) return;
  }
  if (copy.from == nullptr) {
    memset(copy.to, copy.value, copy.bytes);
  } else {
    memmove(copy.to, copy.from, copy.bytes);
  }
}

bool Stream::Touches(const char* begin, size_t bytes) const {
  for (const Work& work : queue_) {
    if (Overlap(begin, bytes, work.copy.to, work.copy.bytes)) return true;
    if (Overlap(begin, bytes, work.copy.from, work.copy.bytes)) return true;
  }
  return false;
}

bool Stream::AnyTouches(const char* begin, size_t bytes) {
  for (const Stream* stream : AllStreams()) {
    if (stream->Touches(begin, bytes)) return true;
  }
  return false;
}

void Wait(std::unique_lock<std::mutex>* held, const Ticket& ticket) {
  Changed().wait(*held, [&] { return ticket->done; });
}

void WaitForAll(std::unique_lock<std::mutex>* held, const Context& context) {
  std::vector<Ticket> tickets;
  for (Stream* stream : context.streams) tickets.push_back(stream->Mark());
  for (const Ticket& ticket : tickets) Wait(held, ticket);
}

}  // namespace simulated
