#include "fuse/inode_set.h"

#include <cassert>
#include <utility>

namespace podfs {

namespace {
constexpr size_t kSlotsMin = 1024;
// 2^64 / golden ratio: Knuth's multiplicative hash spreads neighbours, and inode numbers are neighbours.
constexpr uint64_t kSpread = 0x9E3779B97F4A7C15;
}  // namespace

size_t InodeSet::HomeOf(uint64_t ino) const { return (ino * kSpread >> 32) & (slots_.size() - 1); }

size_t InodeSet::SlotOf(uint64_t ino) const {
  size_t slot = HomeOf(ino);
  while (slots_[slot] != 0 && slots_[slot] != ino) slot = (slot + 1) & (slots_.size() - 1);
  return slot;
}

bool InodeSet::Contains(uint64_t ino) const { return count_ > 0 && slots_[SlotOf(ino)] == ino; }

void InodeSet::Insert(uint64_t ino) {
  assert(ino != 0);
  if (Contains(ino)) return;
  if (count_ >= count_max_) Clear();
  if ((count_ + 1) * 2 > slots_.size()) Grow();
  slots_[SlotOf(ino)] = ino;
  ++count_;
}

void InodeSet::Erase(uint64_t ino) {
  if (!Contains(ino)) return;
  size_t gap = SlotOf(ino);
  // What was pushed past the gap moves back into it, so that it is still found.
  for (size_t slot = gap;;) {
    slot = (slot + 1) & (slots_.size() - 1);
    if (slots_[slot] == 0) break;
    const size_t pushed = (slot - HomeOf(slots_[slot])) & (slots_.size() - 1);
    if (pushed < ((slot - gap) & (slots_.size() - 1))) continue;
    slots_[gap] = slots_[slot];
    gap = slot;
  }
  slots_[gap] = 0;
  --count_;
}

void InodeSet::Clear() {
  slots_.assign(slots_.size(), 0);
  count_ = 0;
}

void InodeSet::Grow() {
  std::vector<uint64_t> old =
      std::exchange(slots_, std::vector<uint64_t>(slots_.empty() ? kSlotsMin : slots_.size() * 2));
  for (const uint64_t ino : old) {
    if (ino != 0) slots_[SlotOf(ino)] = ino;
  }
}

}  // namespace podfs
