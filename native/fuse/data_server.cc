#include "fuse/data_server.h"

#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "fuse/file_operations.h"

namespace podfs {

DataServer::Tried DataServer::TryInline(const DataRequest& request, char* buffer, size_t bytes_max) {
  if (request.is_write || request.size > bytes_max) return Tried::kWouldWait;
  if (request.file->TryRead(request.offset, request.size) != ContentFile::Access::kGranted) return Tried::kWouldWait;
  iovec into = {buffer, request.size};
  const ssize_t got = preadv2(request.file->fd(), &into, 1, static_cast<off_t>(request.offset), RWF_NOWAIT);
  if (got < 0) return errno == EOPNOTSUPP ? Tried::kCannotTell : Tried::kWouldWait;
  if (static_cast<uint32_t>(got) < request.size) {
    // The end of the file, or of what is in memory.
    struct stat status;
    if (fstat(request.file->fd(), &status) != 0) return Tried::kWouldWait;
    if (static_cast<int64_t>(request.offset) + got < status.st_size) return Tried::kWouldWait;
  }
  device_->Reply(request.unique, 0, buffer, static_cast<size_t>(got));
  return Tried::kAnswered;
}

void DataServer::Serve(DataRequest request, Lane* lane) {
  if (request.is_write) {
    ServeWrite(std::move(request));
  } else {
    ServeRead(std::move(request), lane);
  }
}

void DataServer::Finish(const DataRequest& request, int error, const void* body, size_t bytes) {
  // First: a reply that is out lets the kernel reuse nothing of it, and an interrupt that comes too late is lost.
  in_flight_.Remove(request.unique);
  device_->Reply(request.unique, error, body, bytes);
}

void DataServer::ServeRead(DataRequest request, Lane* lane) {
  for (;;) {
    switch (request.file->TryRead(request.offset, request.size)) {
      case ContentFile::Access::kGranted:
        return AnswerRead(request, lane);
      case ContentFile::Access::kClosed:
        return Finish(request, -EIO, nullptr, 0);
      case ContentFile::Access::kBlocked:
        if (ParkUntil(Need::Kind::kPresent, &request)) return;
    }
  }
}

void DataServer::AnswerRead(const DataRequest& request, Lane* lane) {
  const uint64_t length = std::min<uint64_t>(request.size, lane->bytes);
  const int64_t got = ReadFully(request.file->fd(), lane->data(), length, request.offset);
  if (got < 0) return Finish(request, static_cast<int>(got), nullptr, 0);
  Finish(request, 0, lane->data(), static_cast<size_t>(got));
}

void DataServer::ServeWrite(DataRequest request) {
  for (;;) {
    if (!gate_open_.load(std::memory_order_acquire) && WaitsAtGate(&request)) return;
    WriteGrant grant;
    const int status = request.file->BeginWrite(request.offset, request.size, &grant);
    if (status == -EAGAIN) {
      if (ParkUntil(Need::Kind::kWrite, &request)) return;
      continue;
    }
    int64_t written = status;
    if (status == 0) {
      written = WriteFully(request.file->fd(), request.payload, request.size, request.offset);
      request.file->EndWrite(grant, written > 0 ? static_cast<uint64_t>(written) : 0);
    }
    if (written < 0) return Finish(request, static_cast<int>(written), nullptr, 0);
    // Before the reply: whoever asks for the mode after the write must see it changed.
    if ((request.write_flags & kWriteKillSuidgid) != 0) hooks_.kill_privileges(request.ino);
    const WriteOut out = {static_cast<uint32_t>(written), 0};
    return Finish(request, 0, &out, sizeof(out));
  }
}

void DataServer::OwnPayload(DataRequest* request) {
  if (!request->is_write || request->owned != nullptr) return;
  std::unique_ptr<char[]> copy(new char[request->size]);
  memcpy(copy.get(), request->payload, request->size);
  request->payload = copy.get();
  request->owned = std::move(copy);
}

bool DataServer::ParkUntil(Need::Kind kind, DataRequest* request) {
  OwnPayload(request);
  const uint64_t unique = request->unique;
  const std::shared_ptr<ContentFile> file = request->file;
  const Need need = {kind, request->offset, request->size};
  auto kept = std::make_shared<DataRequest>(std::move(*request));
  const bool parked = file->Park(need, unique, [server = weak_from_this(), kept](int error) {
    if (const std::shared_ptr<DataServer> self = server.lock()) self->Resume(std::move(*kept), error);
  });
  if (!parked) {
    *request = std::move(*kept);
    return false;
  }
  // An interrupt that came before this looked in vain.
  if (!in_flight_.Park(unique, file) && file->Unpark(unique) != nullptr) Finish(*kept, -EINTR, nullptr, 0);
  return true;
}

void DataServer::Resume(DataRequest request, int error) {
  const std::shared_lock lock(abandon_mutex_);
  if (abandoned_) return;
  if (error != 0) return Finish(request, -error, nullptr, 0);
  hooks_.resume(std::move(request));
}

bool DataServer::WaitsAtGate(DataRequest* request) {
  OwnPayload(request);
  const std::lock_guard lock(gate_mutex_);
  if (gate_open_.load(std::memory_order_acquire)) return false;
  at_gate_.push_back(std::move(*request));
  return true;
}

void DataServer::SetWriteGate(bool open) {
  std::vector<DataRequest> waiting;
  {
    const std::lock_guard lock(gate_mutex_);
    gate_open_.store(open, std::memory_order_release);
    if (open) waiting.swap(at_gate_);
  }
  for (DataRequest& request : waiting) Resume(std::move(request), 0);
}

bool DataServer::Interrupt(uint64_t unique) {
  const InFlight::Interrupted found = in_flight_.Interrupt(unique);
  if (!found.known) return false;
  bool waited = found.parked_in != nullptr && found.parked_in->Unpark(unique) != nullptr;
  if (!waited) {
    const std::lock_guard lock(gate_mutex_);
    const auto at_gate = std::find_if(at_gate_.begin(), at_gate_.end(),
                                      [unique](const DataRequest& request) { return request.unique == unique; });
    waited = at_gate != at_gate_.end();
    if (waited) at_gate_.erase(at_gate);
  }
  if (waited) {
    in_flight_.Remove(unique);
    device_->Reply(unique, -EINTR, nullptr, 0);
  }
  return true;
}

void DataServer::Abandon() {
  {
    const std::unique_lock lock(abandon_mutex_);
    abandoned_ = true;
  }
  for (const auto& [unique, file] : in_flight_.parked()) file->Unpark(unique);
  const std::lock_guard lock(gate_mutex_);
  at_gate_.clear();
}

}  // namespace podfs
