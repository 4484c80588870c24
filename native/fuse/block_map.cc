#include "fuse/block_map.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <atomic>
#include <cassert>
#include <cerrno>
#include <cstring>

namespace podfs {

struct BlockMap::Header {
  char magic[8];
  uint32_t version;
  uint32_t block_size;
  uint64_t block_count;
  uint8_t boot_id[16];
  uint32_t synced;
  uint8_t zero[20];
};

namespace {

constexpr char kMagic[8] = {'P', 'O', 'D', 'F', 'S', 'M', 'A', 'P'};
constexpr uint32_t kVersion = 1;
constexpr size_t kHeaderBytes = 64;
constexpr size_t kPageBytes = 4096;
constexpr uint64_t kBlocksPerByte = 4;

size_t BytesFor(uint64_t count) {
  const size_t bytes = kHeaderBytes + (count + kBlocksPerByte - 1) / kBlocksPerByte;
  return (bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
}

// The first 16 bytes of meaning in "8-4-4-4-12" hexadecimal digits; zeros where there is no /proc.
void ReadBootId(uint8_t out[16]) {
  char text[40] = {};
  const UniqueFd fd(open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
  if (fd.valid() && read(fd.get(), text, sizeof(text) - 1) < 0) text[0] = 0;
  memset(out, 0, 16);
  size_t digits = 0;
  for (const char* p = text; *p != 0 && digits < 32; ++p) {
    int value = 0;
    if (*p >= '0' && *p <= '9') {
      value = *p - '0';
    } else if (*p >= 'a' && *p <= 'f') {
      value = *p - 'a' + 10;
    } else {
      continue;
    }
    out[digits / 2] = static_cast<uint8_t>(out[digits / 2] << 4 | value);
    ++digits;
  }
}

}  // namespace

int BlockMap::Open(const std::string& path, uint32_t block_size, uint64_t block_count, std::unique_ptr<BlockMap>* out) {
  static_assert(sizeof(Header) == kHeaderBytes);
  std::unique_ptr<BlockMap> map(new BlockMap());
  map->fd_.reset(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!map->fd_.valid()) return -errno;
  bool fresh = false;
  const int status = map->Load(block_size, block_count, &fresh);
  if (status != 0) {
    if (fresh) unlink(path.c_str());
    return status;
  }
  *out = std::move(map);
  return 0;
}

int BlockMap::Load(uint32_t block_size, uint64_t block_count, bool* fresh) {
  struct stat status;
  if (fstat(fd_.get(), &status) != 0) return -errno;
  *fresh = status.st_size == 0;
  if (!*fresh && static_cast<size_t>(status.st_size) < kPageBytes) return -EUCLEAN;
  const size_t file_bytes = static_cast<size_t>(status.st_size);
  int result = Reserve(*fresh ? block_count : (file_bytes - kHeaderBytes) * kBlocksPerByte);
  if (result != 0) return result;

  assert(mapping_ != nullptr);
  // A header of zeros is a map whose creation was cut off: nothing was ever present in it.
  static constexpr char kNoMagic[8] = {};
  Header* const head = header();
  if (memcmp(head->magic, kNoMagic, sizeof(kNoMagic)) == 0) {
    if ((result = Reserve(block_count)) != 0) return result;
    Header* const created = header();
    created->version = kVersion;
    created->block_size = block_size;
    created->block_count = block_count;
    ReadBootId(created->boot_id);
    // Last, in program order, which is what a killed process leaves: what the magic vouches for is there before it.
    std::atomic_signal_fence(std::memory_order_release);
    memcpy(created->magic, kMagic, sizeof(kMagic));
    count_ = block_count;
    return 0;
  }
  if (memcmp(head->magic, kMagic, sizeof(kMagic)) != 0 || head->version != kVersion) return -EUCLEAN;
  if (head->block_size != block_size) return -EINVAL;
  if (head->block_count > (mapped_bytes_ - kHeaderBytes) * kBlocksPerByte) return -EUCLEAN;
  count_ = head->block_count;

  for (uint64_t block = 0; block < count_; ++block) {
    if (bits(block) == kDirty) Clear(block, kDirty);
  }
  ForgetUnsynced();
  if (block_count < count_) Shrink(block_count);
  return block_count > count_ ? Grow(block_count) : 0;
}

void BlockMap::ForgetUnsynced() {
  uint8_t boot_id[16];
  ReadBootId(boot_id);
  Header* const head = header();
  const bool same_boot = memcmp(boot_id, head->boot_id, sizeof(boot_id)) == 0;
  if (!same_boot && head->synced == 0) {
    for (uint64_t block = 0; block < count_; ++block) {
      if (bits(block) == kPresent) Clear(block, kPresent);
    }
  }
  if (!same_boot) memcpy(head->boot_id, boot_id, sizeof(boot_id));
}

BlockMap::~BlockMap() {
  if (mapping_ != nullptr) munmap(mapping_, mapped_bytes_);
}

uint8_t* BlockMap::byte(uint64_t block) const { return mapping_ + kHeaderBytes + block / kBlocksPerByte; }

uint8_t BlockMap::bits(uint64_t block) const {
  assert(block < count_);
  return (*byte(block) >> (block % kBlocksPerByte * 2)) & 3;
}

void BlockMap::Set(uint64_t block, uint8_t mask) {
  if ((bits(block) & mask) == mask) return;
  Touch();
  *byte(block) |= static_cast<uint8_t>(mask << (block % kBlocksPerByte * 2));
}

void BlockMap::Clear(uint64_t block, uint8_t mask) {
  if ((bits(block) & mask) == 0) return;
  Touch();
  *byte(block) &= static_cast<uint8_t>(~(mask << (block % kBlocksPerByte * 2)));
}

void BlockMap::Touch() {
  ++version_;
  header()->synced = 0;
}

int BlockMap::Reserve(uint64_t count) {
  const size_t bytes = BytesFor(count);
  if (bytes <= mapped_bytes_) return 0;
  // Allocated now: a write into a hole of a mapped file on a full disk would be a SIGBUS later.
  const int error = posix_fallocate(fd_.get(), 0, static_cast<off_t>(bytes));
  if (error != 0) return -error;
  void* const mapping = mapping_ == nullptr ? mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0)
                                            : mremap(mapping_, mapped_bytes_, bytes, MREMAP_MAYMOVE);
  if (mapping == MAP_FAILED) return -errno;
  mapping_ = static_cast<uint8_t*>(mapping);
  mapped_bytes_ = bytes;
  return 0;
}

int BlockMap::Grow(uint64_t count) {
  if (count <= count_) return 0;
  const int status = Reserve(count);
  if (status != 0) return status;
  Touch();
  const uint64_t first = count_;
  count_ = count;
  for (uint64_t block = first; block < count; ++block) {
    Set(block, kPresent | kDirty);
  }
  // After the bits: a count that is too small only makes blocks dirty at the next start.
  std::atomic_signal_fence(std::memory_order_release);
  header()->block_count = count;
  return 0;
}

void BlockMap::Shrink(uint64_t count) {
  if (count >= count_) return;
  Touch();
  for (uint64_t block = count; block < count_; ++block) Clear(block, kPresent | kDirty);
  count_ = count;
  header()->block_count = count;
}

void BlockMap::NoteSynced(uint64_t synced_version) {
  if (version_ == synced_version) header()->synced = 1;
}

}  // namespace podfs
