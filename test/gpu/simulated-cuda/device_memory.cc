#include "device_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <memory>

#include "faults.h"

namespace simulated {

namespace {

constexpr int64_t kMemoryMibDefault = 1024;
constexpr unsigned char kFreedPoison = 0xDD;
constexpr char kMagic[8] = {'s', 'i', 'm', 'c', 'u', 'd', 'a', '1'};

// What is in the 64 bytes of a handle: where the memfd is found, and how to know that it is the one meant.
struct HandleContent {
  char magic[8];
  int32_t pid;
  int32_t fd;
  uint64_t inode;
  uint64_t pid_namespace;
  uint64_t bytes;
  uint64_t address;
  int32_t device;
  char zeros[12];
};
static_assert(sizeof(HandleContent) == sizeof(IpcHandle));

using Allocations = std::map<DevicePointer, std::unique_ptr<Allocation>>;

Allocations& All() {
  static auto* const allocations = new Allocations;
  return *allocations;
}

uint64_t InodeOf(const char* path) {
  struct stat status = {};
  return stat(path, &status) == 0 ? status.st_ino : 0;
}

// Maps the memfd; takes it over, and closes it where that fails.
Allocation* Map(int fd, size_t bytes, int device) {
  void* const hidden = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  void* const address = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (hidden == MAP_FAILED || address == MAP_FAILED) {
    if (hidden != MAP_FAILED) munmap(hidden, bytes);
    if (address != MAP_FAILED) munmap(address, bytes);
    close(fd);
    return nullptr;
  }
  auto allocation = std::make_unique<Allocation>();
  allocation->address = reinterpret_cast<DevicePointer>(address);
  allocation->bytes = bytes;
  allocation->device = device;
  allocation->fd = fd;
  allocation->hidden = static_cast<char*>(hidden);
  return (All()[allocation->address] = std::move(allocation)).get();
}

void Unmap(const Allocation* allocation) {
  munmap(allocation->hidden, allocation->bytes);
  munmap(reinterpret_cast<void*>(allocation->address), allocation->bytes);
  close(allocation->fd);
  All().erase(allocation->address);
}

}  // namespace

size_t MemoryBytes() {
  static const int64_t mib = Setting("SIMULATED_CUDA_MEMORY_MIB", kMemoryMibDefault);
  return static_cast<size_t>(mib) << 20;
}

size_t AllocatedBytes(int device) {
  size_t bytes = 0;
  for (const auto& [address, allocation] : All()) {
    if (allocation->device == device && allocation->opened == 0) bytes += allocation->bytes;
  }
  return bytes;
}

Result Allocate(int device, size_t bytes, Allocation** allocation) {
  if (bytes > MemoryBytes() - AllocatedBytes(device)) return kOutOfMemory;
  const int fd = memfd_create("simulated-device-memory", MFD_CLOEXEC);
  if (fd < 0) return kOutOfMemory;
  if (ftruncate(fd, static_cast<off_t>(bytes)) != 0) {
    close(fd);
    return kOutOfMemory;
  }
  *allocation = Map(fd, bytes, device);
  return *allocation != nullptr ? kSuccess : kOutOfMemory;
}

void Free(Allocation* allocation) {
  memset(allocation->hidden, kFreedPoison, allocation->bytes);
  Unmap(allocation);
}

Allocation* Find(DevicePointer address, size_t bytes) {
  auto after = All().upper_bound(address);
  if (after == All().begin()) return nullptr;
  Allocation* const allocation = std::prev(after)->second.get();
  const size_t offset = address - allocation->address;
  return offset < allocation->bytes && bytes <= allocation->bytes - offset ? allocation : nullptr;
}

char* HiddenAddress(const Allocation& allocation, DevicePointer address) {
  return allocation.hidden + (address - allocation.address);
}

IpcHandle ToHandle(const Allocation& allocation) {
  struct stat status = {};
  fstat(allocation.fd, &status);
  HandleContent content = {};
  memcpy(content.magic, kMagic, sizeof(kMagic));
  content.pid = getpid();
  content.fd = allocation.fd;
  content.inode = status.st_ino;
  content.pid_namespace = InodeOf("/proc/self/ns/pid");
  content.bytes = allocation.bytes;
  content.address = allocation.address;
  content.device = allocation.device;
  IpcHandle handle;
  memcpy(handle.bytes, &content, sizeof(handle));
  return handle;
}

Result Open(const IpcHandle& handle, int device, Allocation** allocation) {
  HandleContent content;
  memcpy(&content, handle.bytes, sizeof(content));
  if (memcmp(content.magic, kMagic, sizeof(kMagic)) != 0) return kInvalidValue;
  if (content.pid == getpid() || content.pid_namespace != InodeOf("/proc/self/ns/pid")) return kInvalidContext;
  if (content.device != device) return kPeerAccessUnsupported;

  const std::string key(reinterpret_cast<const char*>(handle.bytes), sizeof(handle.bytes));
  for (const auto& [address, known] : All()) {
    if (known->opened_with != key) continue;
    ++known->opened;
    *allocation = known.get();
    return kSuccess;
  }
  const std::string path = "/proc/" + std::to_string(content.pid) + "/fd/" + std::to_string(content.fd);
  // The process may have ended, or freed the memory and have another file by that number now.
  if (InodeOf(path.c_str()) != content.inode) return kInvalidHandle;
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return kInvalidHandle;
  *allocation = Map(fd, content.bytes, device);
  if (*allocation == nullptr) return kOutOfMemory;
  (*allocation)->opened_with = key;
  (*allocation)->opened = 1;
  return kSuccess;
}

void CloseOpened(Allocation* allocation) {
  if (--allocation->opened == 0) Unmap(allocation);
}

}  // namespace simulated
