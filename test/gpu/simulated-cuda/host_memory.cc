#include "host_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <map>

namespace simulated {

namespace {

struct Range {
  size_t bytes;
  // Second mapping of the pages, which begins `lead` bytes before the range; null: there is none.
  char* pages;
  size_t pages_bytes;
  size_t lead;
};

using Ranges = std::map<char*, Range>;

Ranges& All() {
  static auto* const ranges = new Ranges;
  return *ranges;
}

// The registered range that has any of these bytes.
Ranges::iterator FindOverlap(char* begin, size_t bytes) {
  auto range = All().lower_bound(begin + bytes);
  if (range == All().begin()) return All().end();
  --range;
  return range->first + range->second.bytes > begin ? range : All().end();
}

}  // namespace

Result RegisterHost(char* begin, size_t bytes) {
  if (begin == nullptr || bytes == 0) return kInvalidValue;
  if (FindOverlap(begin, bytes) != All().end()) return kHostMemoryAlreadyRegistered;
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t lead = reinterpret_cast<uintptr_t>(begin) % page;
  const size_t pages_bytes = (lead + bytes + page - 1) / page * page;
  // Fails with ENOMEM where pages are not mapped.
  if (msync(begin - lead, pages_bytes, MS_ASYNC) != 0) return kInvalidValue;
  // An old size of 0 makes a second mapping, of shared memory only (mremap(2)).
  void* const pages = mremap(begin - lead, 0, pages_bytes, MREMAP_MAYMOVE);
  All()[begin] = {bytes, pages == MAP_FAILED ? nullptr : static_cast<char*>(pages), pages_bytes, lead};
  return kSuccess;
}

Result UnregisterHost(char* begin) {
  const auto range = All().find(begin);
  if (range == All().end()) return kHostMemoryNotRegistered;
  if (range->second.pages != nullptr) munmap(range->second.pages, range->second.pages_bytes);
  All().erase(range);
  return kSuccess;
}

bool IsRegistered(const char* address) { return FindOverlap(const_cast<char*>(address), 1) != All().end(); }

char* StreamAddress(char* address, size_t bytes) {
  const auto found = FindOverlap(address, 1);
  if (found == All().end()) return address;
  const auto& [begin, range] = *found;
  const size_t offset = static_cast<size_t>(address - begin);
  if (range.pages == nullptr || bytes > range.bytes - offset) return address;
  return range.pages + range.lead + offset;
}

}  // namespace simulated
