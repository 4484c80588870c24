// A bounded set of numbers: inodes, fingerprints.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace podfs {

// Open addressing with linear probing: a look is one or two cache lines. A full set forgets everything, so only what
// may be forgotten belongs into it.
//
// Invariant: at most half of the slots are taken, and no free slot lies between a number's home and its place.
class NumberSet {
 public:
  explicit NumberSet(size_t count_max) : count_max_(count_max) {}

  // `number` is not 0.
  void Insert(uint64_t number);
  void Erase(uint64_t number);
  bool Contains(uint64_t number) const;
  void Clear();
  size_t count() const { return count_; }
  // The next number that is new makes it forget all others.
  bool full() const { return count_ >= count_max_; }

 private:
  size_t HomeOf(uint64_t number) const;
  // The slot it is in, or the free one where it would be.
  size_t SlotOf(uint64_t number) const;
  void Grow();

  const size_t count_max_;
  std::vector<uint64_t> slots_;  // A power of two of them; 0: free.
  size_t count_ = 0;
};

}  // namespace podfs
