#include "fuse/number_set.h"

#include <cassert>
#include <utility>

namespace podfs {

namespace {
constexpr size_t kSlotsMin = 1024;
// 2^64 / golden ratio: Knuth's multiplicative hash spreads neighbours, and inode numbers are neighbours.
constexpr uint64_t kSpread = 0x9E3779B97F4A7C15;
}  // namespace

size_t NumberSet::HomeOf(uint64_t number) const { return (number * kSpread >> 32) & (slots_.size() - 1); }

size_t NumberSet::SlotOf(uint64_t number) const {
  size_t slot = HomeOf(number);
  while (slots_[slot] != 0 && slots_[slot] != number) slot = (slot + 1) & (slots_.size() - 1);
  return slot;
}

bool NumberSet::Contains(uint64_t number) const { return count_ > 0 && slots_[SlotOf(number)] == number; }

void NumberSet::Insert(uint64_t number) {
  assert(number != 0);
  if (Contains(number)) return;
  if (full()) Clear();
  if ((count_ + 1) * 2 > slots_.size()) Grow();
  slots_[SlotOf(number)] = number;
  ++count_;
}

void NumberSet::Erase(uint64_t number) {
  if (!Contains(number)) return;
  size_t gap = SlotOf(number);
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

void NumberSet::Clear() {
  slots_.assign(slots_.size(), 0);
  count_ = 0;
}

void NumberSet::Grow() {
  std::vector<uint64_t> old =
      std::exchange(slots_, std::vector<uint64_t>(slots_.empty() ? kSlotsMin : slots_.size() * 2));
  for (const uint64_t number : old) {
    if (number != 0) slots_[SlotOf(number)] = number;
  }
}

}  // namespace podfs
