#include "measure/loop.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace podfs::measure {

namespace {

constexpr uint64_t kPage = 4096;

// SplitMix64 (Steele, Lea, Flood 2014): a few cycles, and every seed is a good one.
uint64_t Mix(uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

}  // namespace

Worker::Worker(const Spec& of, uint64_t index)
    : spec(of),
      number(uint64_t{of.share} * of.threads + index),
      workers(uint64_t{of.shares} * of.threads),
      random(Mix(of.seed + number)),
      stamp(Mix(~of.seed + number)) {}

void Worker::Release() {
  if (map != nullptr) munmap(std::exchange(map, nullptr), spec.file_size);
  fd.reset();
  buffer.reset();
}

uint64_t Worker::Random() { return Mix(random += 0x9e3779b97f4a7c15); }

int Worker::AllocateBuffer() {
  const uint64_t size = (spec.block_size + kPage) / kPage * kPage;
  buffer.reset(static_cast<uint8_t*>(aligned_alloc(kPage, size)));
  if (buffer == nullptr) return -ENOMEM;
  for (uint64_t at = 0; at < size; at += sizeof(uint64_t)) {
    const uint64_t word = Random();
    memcpy(buffer.get() + at, &word, sizeof(word));
  }
  return 0;
}

// A word of each page, as fio's scramble_buffers: filling all of it anew would cost as much as writing it.
void Worker::StampBuffer(uint64_t length) {
  for (uint64_t at = 0; at < length; at += kPage) {
    ++stamp;
    memcpy(buffer.get() + at, &stamp, sizeof(stamp));
  }
}

const Loop* FindLoop(std::string_view name) {
  for (const auto* loops : {&kFileLoops, &kTreeLoops}) {
    for (const Loop& loop : *loops) {
      if (name == loop.name) return &loop;
    }
  }
  return nullptr;
}

}  // namespace podfs::measure
