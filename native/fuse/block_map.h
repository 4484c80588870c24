// Which blocks of a content file are there, and which of them the backend does not have yet.
//
// The map is a file, memory-mapped and shared: the page cache keeps it when the process is killed, so every
// bit that was set stays set. Layout, little-endian (docs/FORMATS.md, "Block map"):
//
//   offset  bytes  what
//        0      8  magic "PODFSMAP"
//        8      4  version, 1
//       12      4  block size in bytes
//       16      8  block count
//       24     16  boot id of the machine that wrote last (/proc/sys/kernel/random/boot_id, as bytes)
//       40      4  1 when data and bits were synced to the disk after the last change, else 0
//       44     20  zero
//       64      …  two bits a block, four blocks a byte, lowest first: bit 0 present, bit 1 dirty
//
// A dirty block that is not present is one whose write was never answered: it is absent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "fuse/unique_fd.h"

namespace podfs {

// Not thread-safe: ContentFile guards it.
class BlockMap {
 public:
  // Opens the map at `path` for a file of `block_count` blocks now, or creates one with every block absent.
  // Blocks the file has gained since count as present and dirty; those it has lost are forgotten. After a
  // reboot without a sync the kernel may have written bits and not the data they speak of, so clean blocks
  // become absent then: they can be fetched again. Returns 0 or a negative errno: EUCLEAN for a file that is
  // no such map, EINVAL for another block size.
  static int Open(const std::string& path, uint32_t block_size, uint64_t block_count, std::unique_ptr<BlockMap>* out);
  ~BlockMap();
  BlockMap(const BlockMap&) = delete;
  BlockMap& operator=(const BlockMap&) = delete;

  uint64_t count() const { return count_; }
  bool present(uint64_t block) const { return (bits(block) & kPresent) != 0; }
  bool dirty(uint64_t block) const { return (bits(block) & kDirty) != 0; }
  void set_present(uint64_t block) { Set(block, kPresent); }
  void set_dirty(uint64_t block) { Set(block, kDirty); }
  void clear_dirty(uint64_t block) { Clear(block, kDirty); }

  // Adds blocks, holes of a file that got longer: present, and dirty because what was cut off and grown again is not
  // what was published. Returns 0 or a negative errno (ENOSPC), changing nothing.
  int Grow(uint64_t count);
  void Shrink(uint64_t count);
  // Notes that data and bits agree on the disk, if nothing changed since `version()` was `synced_version`. The
  // caller has synced the data after it read the version, and fdatasyncs `fd()` next (which needs no lock).
  void NoteSynced(uint64_t synced_version);
  int fd() const { return fd_.get(); }
  // Grows with every change.
  uint64_t version() const { return version_; }

 private:
  struct Header;
  static constexpr uint8_t kPresent = 1;
  static constexpr uint8_t kDirty = 2;

  BlockMap() = default;
  int Load(uint32_t block_size, uint64_t block_count, bool* fresh);
  int Reserve(uint64_t count);
  void ForgetUnsynced();
  uint8_t bits(uint64_t block) const;
  void Set(uint64_t block, uint8_t mask);
  void Clear(uint64_t block, uint8_t mask);
  void Touch();
  Header* header() const { return reinterpret_cast<Header*>(mapping_); }
  uint8_t* byte(uint64_t block) const;

  UniqueFd fd_;
  uint8_t* mapping_ = nullptr;
  size_t mapped_bytes_ = 0;
  uint64_t count_ = 0;
  uint64_t version_ = 0;
};

}  // namespace podfs
