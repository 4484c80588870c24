// Latencies in buckets that grow by a constant factor, as in HdrHistogram (http://hdrhistogram.org): 32 of one width
// for each power of two, so that a bucket's bounds are at most 3.2 % apart, at whatever scale.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace podfs::measure {

// One thread's, until it is added to another.
class Histogram {
 public:
  static constexpr unsigned kSubBits = 5;
  static constexpr size_t kBuckets = size_t{64 - kSubBits + 1} << kSubBits;

  void Add(uint64_t nanos) {
    ++buckets_[BucketOf(nanos)];
    ++count_;
    sum_ += nanos;
    if (nanos < min_) min_ = nanos;
    if (nanos > max_) max_ = nanos;
  }
  void Add(const Histogram& other);

  uint64_t count() const { return count_; }
  uint64_t sum() const { return sum_; }
  // 0 when it is empty.
  uint64_t min() const { return count_ == 0 ? 0 : min_; }
  uint64_t max() const { return max_; }
  uint64_t bucket(size_t index) const { return buckets_[index]; }

  static size_t BucketOf(uint64_t nanos) {
    const unsigned bits = static_cast<unsigned>(std::bit_width(nanos));
    if (bits <= kSubBits) return nanos;
    const unsigned shift = bits - kSubBits - 1;
    return (size_t{shift} << kSubBits) + (nanos >> shift);
  }
  // The largest value that belongs to the bucket.
  static uint64_t UpperBound(size_t index);

 private:
  std::array<uint64_t, kBuckets> buckets_{};
  uint64_t count_ = 0;
  uint64_t sum_ = 0;
  uint64_t min_ = UINT64_MAX;
  uint64_t max_ = 0;
};

}  // namespace podfs::measure
