#include "fuse/session.h"

#include <poll.h>

#include <cassert>
#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

namespace podfs {

namespace {
// So many data requests in a row that the loop could not answer at once, and data threads read the device.
constexpr uint32_t kDataStreak = 4;
constexpr int kTearDownPollMillis = 5;
// The client, the event loop, and two that copy.
constexpr unsigned kParallelCopyCores = 4;

bool HasNoReply(uint32_t opcode) {
  return opcode == kOpForget || opcode == kOpBatchForget || opcode == kOpInterrupt || opcode == kOpNotifyReply;
}
}  // namespace

Session::Session(UniqueFd device, const SessionOptions& options, SessionHost* host)
    : options_(options),
      host_(host),
      device_(std::move(device)),
      server_(std::make_shared<DataServer>(
          &device_, DataServer::Hooks{[this](DataRequest request) { threads_.Enqueue(std::move(request)); },
                                      [this](uint64_t ino) { host_->OnKillPrivileges(ino); }})),
      threads_(&device_, server_.get(), this),
      notifier_(&device_),
      inline_buffer_(new char[kInlineBytesMax]),
      answers_(!options.negotiation.read_only, options.attributes) {}

Session::~Session() { assert(closed_); }

int Session::Start() {
  const int status = tear_down_.Start("podfs-end", [this] {
    ending_.wait(false, std::memory_order_acquire);
    TearDown();
  });
  if (status != 0) return status;
  const unsigned cores = std::thread::hardware_concurrency();
  return threads_.Start({.threads = options_.data_threads,
                         .max_write_bytes = options_.negotiation.max_write_bytes,
                         .spin_micros = cores > 1 ? options_.spin_micros : 0,
                         .parallel_copies = cores >= kParallelCopyCores});
}

// --- Requests on the event loop

Session::Outcome Session::ServeNext(std::span<char> buffer, size_t* request_bytes) {
  if (ending_.load(std::memory_order_acquire)) return Outcome::kEnded;
  const int64_t got = device_.Read(buffer.data(), buffer.size());
  if (got == -EAGAIN) return Outcome::kNothing;
  if (got < static_cast<int64_t>(sizeof(InHeader))) {
    OnDeviceError(got < 0 ? static_cast<int>(-got) : EPROTO);
    return Outcome::kEnded;
  }
  *request_bytes = static_cast<size_t>(got);
  InHeader header;
  memcpy(&header, buffer.data(), sizeof(header));
  const char* const body = buffer.data() + sizeof(header);
  if (header.opcode == kOpInit) return Initialize(header, body, *request_bytes - sizeof(header));
  DataRequest request;
  if (Route(header, body, &request)) return ServeData(std::move(request));
  data_streak_ = 0;
  return AdmitOne(buffer.data(), *request_bytes, false) ? Outcome::kRequest : Outcome::kServed;
}

Session::Outcome Session::ServeData(DataRequest request) {
  if (server_->TryInline(request, inline_buffer_.get(), kInlineBytesMax) == DataServer::Tried::kAnswered) {
    return Outcome::kServed;
  }
  if (request.is_write) {
    // The only payload this thread copies: the first one or few of a run of writes.
    DataServer::OwnPayload(&request);
  }
  data_streak_ = request.size > kInlineBytesMax ? kDataStreak : data_streak_ + 1;
  server_->Accept(request);
  threads_.Enqueue(std::move(request));
  if (data_streak_ < kDataStreak) return Outcome::kServed;
  data_streak_ = 0;
  threads_.TakeDevice();
  return Outcome::kHandedOver;
}

bool Session::AdmitOne(const char* request, size_t bytes, bool forwarded) {
  InHeader header;
  memcpy(&header, request, sizeof(header));
  if (header.opcode < kOpcodeLimit) counts_[header.opcode].fetch_add(1, std::memory_order_relaxed);
  if (header.opcode == kOpDestroy) {
    device_.Reply(header.unique, 0, nullptr, 0);
    return false;
  }
  if (const auto answer = answers_.Find(header, request + sizeof(header), bytes - sizeof(header))) {
    Reply(header.unique, forwarded, answer->error, answer->body, answer->bytes);
    return false;
  }
  if (header.opcode != kOpInterrupt) return true;
  InterruptIn in = {};
  if (bytes < sizeof(header) + sizeof(in)) return false;
  memcpy(&in, request + sizeof(header), sizeof(in));
  if (server_->Interrupt(in.unique)) return false;
  {
    const std::lock_guard lock(deferred_mutex_);
    if (deferred_.contains(in.unique)) return true;
  }
  // Another thread holds the request and has not noted it yet, or it is answered: EAGAIN makes the kernel ask
  // again as long as there is somebody to interrupt.
  device_.Reply(header.unique, -EAGAIN, nullptr, 0);
  return false;
}

Session::Outcome Session::Initialize(const InHeader& header, const void* body, size_t bytes) {
  counts_[kOpInit].fetch_add(1, std::memory_order_relaxed);
  InitOut out;
  const int status = NegotiateInit(body, bytes, options_.negotiation, &out, &negotiated_);
  if (status != 0) {
    device_.Reply(header.unique, status, nullptr, 0);
    End("the kernel's FUSE protocol is too old: Linux 5.4 or newer is needed");
    return Outcome::kEnded;
  }
  const int sent = device_.Reply(header.unique, 0, &out, sizeof(out));
  if (sent != 0) {
    OnDeviceError(-sent);
    return Outcome::kEnded;
  }
  if (out.max_write == 0) return Outcome::kServed;  // A newer major version: the kernel asks again with ours.
  TryPassthrough(device_, &negotiated_);
  return Outcome::kNegotiated;
}

// --- Requests on data threads

bool Session::Route(const InHeader& header, const void* body, DataRequest* request) {
  if (header.opcode != kOpRead && header.opcode != kOpWrite) return false;
  // Both begin alike, and the kernel always sends the whole fixed part.
  WriteIn in;
  static_assert(sizeof(ReadIn) == sizeof(WriteIn));
  memcpy(&in, body, sizeof(in));
  {
    const std::shared_lock lock(files_mutex_);
    const auto found = files_.find(in.fh);
    if (found == files_.end()) return false;
    request->file = found->second;
  }
  counts_[header.opcode].fetch_add(1, std::memory_order_relaxed);
  request->is_write = header.opcode == kOpWrite;
  request->unique = header.unique;
  request->ino = header.nodeid;
  request->offset = in.offset;
  request->size = in.size;
  request->write_flags = in.write_flags;
  request->payload = static_cast<const char*>(body) + sizeof(in);
  return true;
}

void Session::Forward(const char* request, size_t bytes) {
  InHeader header;
  memcpy(&header, request, sizeof(header));
  if (!HasNoReply(header.opcode)) Defer(header.unique);
  host_->OnForward({request, request + bytes});
}

void Session::OnDeviceError(int error) {
  // ENODEV: unmounted, or the connection was aborted; the kernel does not tell which. ECONNABORTED: the same, come
  // while the read had already picked a request (fuse_dev_do_read).
  const bool is_end = error == ENODEV || error == ECONNABORTED;
  End(is_end ? "" : std::string("reading /dev/fuse failed: ") + strerror(error));
}

// --- Answers

void Session::Defer(uint64_t unique) {
  const std::lock_guard lock(deferred_mutex_);
  deferred_.insert(unique);
  deferred_count_.store(deferred_.size(), std::memory_order_relaxed);
}

bool Session::TakeDeferred(uint64_t unique) {
  const std::lock_guard lock(deferred_mutex_);
  const bool taken = deferred_.erase(unique) != 0;
  deferred_count_.store(deferred_.size(), std::memory_order_relaxed);
  return taken;
}

void Session::Reply(uint64_t unique, bool forwarded, int error, const void* body, size_t bytes) {
  if (forwarded && !TakeDeferred(unique)) return;
  if (!closed_) device_.Reply(unique, error, body, bytes);
}

void Session::Answer(const char* request, size_t request_bytes, bool forwarded, int error, const void* body,
                     size_t bytes) {
  InHeader header;
  memcpy(&header, request, sizeof(header));
  answers_.Learn(header, request + sizeof(header), request_bytes - sizeof(header), error, body, bytes);
  Reply(header.unique, forwarded, error, body, bytes);
}

void Session::Postpone(const InHeader& header, bool forwarded) {
  answers_.Postponed(header);
  if (!forwarded) Defer(header.unique);
}

void Session::ReplyDeferred(uint64_t unique, int error, const void* body, size_t bytes) {
  Reply(unique, true, error, body, bytes);
}

void Session::InvalidateInode(uint64_t ino, int64_t offset, int64_t length) {
  answers_.ForgetInode(ino);
  notifier_.InvalidateInode(ino, offset, length);
}

void Session::InvalidateEntry(uint64_t parent, std::string_view name) {
  answers_.absent_names().Add(parent, name);
  notifier_.InvalidateEntry(parent, name.data(), name.size());
}

void Session::KnowNames(uint64_t directory, std::string_view names) {
  if (deferred_count() == 0) answers_.absent_names().Know(directory, names);
}

// --- Handles

void Session::Bind(uint64_t handle, std::shared_ptr<ContentFile> file) {
  const std::unique_lock lock(files_mutex_);
  files_[handle] = std::move(file);
}

void Session::Unbind(uint64_t handle) {
  std::shared_ptr<ContentFile> last;  // Closed after the lock is gone.
  const std::unique_lock lock(files_mutex_);
  const auto found = files_.find(handle);
  if (found == files_.end()) return;
  last = std::move(found->second);
  files_.erase(found);
}

// --- The end

void Session::End(std::string error) {
  if (end_claimed_.exchange(true, std::memory_order_acq_rel)) return;
  end_error_ = std::move(error);
  ending_.store(true, std::memory_order_release);
  ending_.notify_all();
}

// On a thread of its own: it waits for the others, and whoever ends the session may be one of them, or the loop.
void Session::TearDown() {
  threads_.RequestStop();
  notifier_.RequestStop();
  server_->Abandon();
  // A notification may wait for a request that JavaScript will not answer now: all are answered here.
  while (!threads_.finished() || !notifier_.finished()) {
    AnswerAllWithError();
    pollfd device = {device_.fd(), POLLIN, 0};
    poll(&device, 1, kTearDownPollMillis);
    if ((device.revents & POLLERR) != 0) poll(nullptr, 0, kTearDownPollMillis);
  }
  threads_.Join();
  notifier_.Join();
  host_->OnEnd(end_error_);
}

void Session::AnswerAllWithError() {
  std::unordered_set<uint64_t> deferred;
  {
    const std::lock_guard lock(deferred_mutex_);
    deferred.swap(deferred_);
    deferred_count_.store(0, std::memory_order_relaxed);
  }
  for (const uint64_t unique : deferred) device_.Reply(unique, -EIO, nullptr, 0);
  std::vector<char> buffer(options_.negotiation.max_write_bytes + kWriteHeaderBytes + kReadBufferBytesMin);
  while (device_.Read(buffer.data(), buffer.size()) >= static_cast<int64_t>(sizeof(InHeader))) {
    InHeader header;
    memcpy(&header, buffer.data(), sizeof(header));
    if (!HasNoReply(header.opcode)) device_.Reply(header.unique, -EIO, nullptr, 0);
  }
}

void Session::Close() {
  if (closed_) return;
  closed_ = true;
  End("");
  tear_down_.Join();
  device_.Close();
  const std::unique_lock lock(files_mutex_);
  files_.clear();
}

}  // namespace podfs
