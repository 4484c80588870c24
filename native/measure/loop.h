// The loops of `podfs bench`: what one does, with what, and the state of a thread in it.
//
// An operation is what a program would do with system calls, nothing else: no allocation, no string that the kernel
// does not need. So the figures are the filesystem's.
#pragma once

#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "fuse/unique_fd.h"
#include "measure/histogram.h"

namespace podfs::measure {

struct Loop;

struct Spec {
  const Loop* loop = nullptr;
  // The large file, or the directory that the tree's files are in.
  std::string path;
  // Of this process, which is number `share` of `shares` that divide the work.
  uint32_t threads = 1;
  uint32_t share = 0;
  uint32_t shares = 1;
  // Bytes an operation moves; the length of a tree's files, which is drawn from min..block_size for each.
  uint64_t block_size = 0;
  uint64_t block_size_min = 0;
  // Of the large file, bytes.
  uint64_t file_size = 0;
  // A tree: files f0, f1, … in directories d0, d1, … of `files_per_directory`.
  uint64_t files = 0;
  uint64_t files_per_directory = 1;
  // What file names begin with.
  std::string prefix;
  // Files in random order: each once, by all threads of all processes together.
  bool shuffle = false;
  // Of each thread; 0: as many as there is work.
  uint64_t operations_max = 0;
  // Begin again when the work is done, until the time is up.
  bool repeat = false;
  uint64_t micros_max = 0;
  uint64_t seed = 0;
};

// A thread in a loop. Everything is the thread's own while it runs.
struct Worker {
  Worker(const Spec& of, uint64_t index);
  ~Worker() { Release(); }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Closes and unmaps: pages that are mapped cannot be dropped from the cache.
  void Release();
  // The part of `total` pieces of work that is this worker's.
  uint64_t FirstOf(uint64_t total) const { return total * number / workers; }
  uint64_t CountOf(uint64_t total) const { return total * (number + 1) / workers - FirstOf(total); }
  uint64_t Random();
  // Fills the buffer, 4 KiB aligned, with bytes that do not compress. Returns 0 or -ENOMEM.
  int AllocateBuffer();
  // Makes what lies in the buffer different from all that was written before.
  void StampBuffer(uint64_t length);

  const Spec& spec;
  // Among the threads of all processes.
  const uint64_t number;
  const uint64_t workers;

  UniqueFd fd;
  std::unique_ptr<uint8_t, decltype(&free)> buffer{nullptr, &free};
  uint8_t* map = nullptr;
  // Of all files, if they are shuffled; else empty.
  std::vector<uint32_t> order;
  uint64_t random;
  uint64_t stamp;
  // Keeps reads of memory from being optimised away.
  uint64_t checksum = 0;

  // What is being done, and below spec.path with what: for errors.
  const char* step = "";
  std::array<char, 64> name{};
};

struct Loop {
  const char* name;
  // Opens what is needed, unmeasured. Returns 0 or a negative errno.
  int (*prepare)(Worker* worker);
  // How many different operations there are for this worker.
  uint64_t (*count)(const Worker& worker);
  // Number `index` of them. Returns bytes moved (entries, of "list"), or a negative errno.
  int64_t (*operation)(Worker* worker, uint64_t index);
  // Makes what was written durable, measured by itself; may be null.
  int (*sync)(Worker* worker);
};

// Null if there is no such loop.
const Loop* FindLoop(std::string_view name);

extern const std::vector<Loop> kFileLoops;
extern const std::vector<Loop> kTreeLoops;

}  // namespace podfs::measure
