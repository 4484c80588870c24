#include "measure/histogram.h"

#include <algorithm>

namespace podfs::measure {

void Histogram::Add(const Histogram& other) {
  for (size_t i = 0; i < kBuckets; ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  sum_ += other.sum_;
  min_ = std::min(min_, other.min_);
  max_ = std::max(max_, other.max_);
}

uint64_t Histogram::UpperBound(size_t index) {
  constexpr size_t kSub = size_t{1} << kSubBits;
  if (index < 2 * kSub) return index;
  const size_t shift = (index >> kSubBits) - 1;
  const uint64_t lower = (kSub + (index & (kSub - 1))) << shift;
  return lower + ((uint64_t{1} << shift) - 1);
}

}  // namespace podfs::measure
