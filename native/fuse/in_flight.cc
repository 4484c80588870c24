#include "fuse/in_flight.h"

namespace podfs {

void InFlight::Add(uint64_t unique) {
  const std::lock_guard lock(mutex_);
  entries_.try_emplace(unique);
}

bool InFlight::Park(uint64_t unique, std::shared_ptr<ContentFile> file) {
  const std::lock_guard lock(mutex_);
  const auto entry = entries_.find(unique);
  if (entry == entries_.end()) return true;
  entry->second.parked_in = std::move(file);
  return !entry->second.interrupted;
}

void InFlight::Remove(uint64_t unique) {
  const std::lock_guard lock(mutex_);
  entries_.erase(unique);
}

InFlight::Interrupted InFlight::Interrupt(uint64_t unique) {
  const std::lock_guard lock(mutex_);
  const auto entry = entries_.find(unique);
  if (entry == entries_.end()) return {};
  entry->second.interrupted = true;
  return {true, entry->second.parked_in};
}

std::vector<std::pair<uint64_t, std::shared_ptr<ContentFile>>> InFlight::parked() {
  const std::lock_guard lock(mutex_);
  std::vector<std::pair<uint64_t, std::shared_ptr<ContentFile>>> result;
  for (const auto& [unique, entry] : entries_) {
    if (entry.parked_in != nullptr) result.emplace_back(unique, entry.parked_in);
  }
  return result;
}

}  // namespace podfs
