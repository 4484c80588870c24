// The part of the Linux FUSE protocol (include/uapi/linux/fuse.h, 7.41) that native code speaks.
//
// Own definitions, because distribution headers lag: Debian 12 ships 7.38, which knows no passthrough.
// Bodies of requests that JavaScript answers are decoded there (src/fuse/); little but their headers matters here.
#pragma once

#include <sys/ioctl.h>

#include <cstdint>

namespace podfs {

inline constexpr uint32_t kProtocolMajor = 7;
inline constexpr uint32_t kProtocolMinor = 41;
// 7.31 is Linux 5.4: the oldest kernel that has everything the negotiation relies on.
inline constexpr uint32_t kProtocolMinorOldest = 31;

enum Opcode : uint32_t {
  kOpLookup = 1,
  kOpForget = 2,
  kOpGetattr = 3,
  kOpSymlink = 6,
  kOpMknod = 8,
  kOpMkdir = 9,
  kOpRename = 12,
  kOpLink = 13,
  kOpRead = 15,
  kOpWrite = 16,
  kOpSetxattr = 21,
  kOpGetxattr = 22,
  kOpInit = 26,
  kOpCreate = 35,
  kOpInterrupt = 36,
  kOpDestroy = 38,
  kOpIoctl = 39,
  kOpNotifyReply = 41,
  kOpBatchForget = 42,
  kOpRename2 = 45,
  kOpTmpfile = 51,
};
// Opcodes are below this; only CUSE_INIT (4096) and byte-swapped ones are not, and they never reach us.
inline constexpr uint32_t kOpcodeLimit = 64;

// flags, low word, of fuse_init_in and fuse_init_out.
enum InitFlag : uint64_t {
  kInitAsyncRead = 1ULL << 0,
  kInitAtomicTruncate = 1ULL << 3,
  kInitBigWrites = 1ULL << 5,
  kInitAutoInvalData = 1ULL << 12,
  kInitReaddirplus = 1ULL << 13,
  kInitParallelDirops = 1ULL << 18,
  kInitMaxPages = 1ULL << 22,
  kInitCacheSymlinks = 1ULL << 23,
  kInitExplicitInvalData = 1ULL << 25,
  kInitHandleKillprivV2 = 1ULL << 28,
  kInitExt = 1ULL << 30,
  // High word (flags2), only with kInitExt.
  kInitPassthrough = 1ULL << 37,
};

enum WriteFlag : uint32_t { kWriteKillSuidgid = 1U << 2 };

enum NotifyCode : int32_t {
  kNotifyInvalInode = 2,
  kNotifyInvalEntry = 3,
  kNotifyStore = 4,
};

struct InHeader {
  uint32_t len;
  uint32_t opcode;
  uint64_t unique;
  uint64_t nodeid;
  uint32_t uid;
  uint32_t gid;
  uint32_t pid;
  uint16_t total_extlen;  // In units of 8 bytes.
  uint16_t padding;
};
static_assert(sizeof(InHeader) == 40);

struct OutHeader {
  uint32_t len;
  int32_t error;
  uint64_t unique;
};
static_assert(sizeof(OutHeader) == 16);

struct InitIn {
  uint32_t major;
  uint32_t minor;
  uint32_t max_readahead;
  uint32_t flags;
  uint32_t flags2;  // 7.36 and later.
  uint32_t unused[11];
};
static_assert(sizeof(InitIn) == 64);
// What kernels before 7.36 send.
inline constexpr uint32_t kInitInShortBytes = 16;

struct InitOut {
  uint32_t major;
  uint32_t minor;
  uint32_t max_readahead;
  uint32_t flags;
  uint16_t max_background;
  uint16_t congestion_threshold;
  uint32_t max_write;
  uint32_t time_gran;
  uint16_t max_pages;
  uint16_t map_alignment;
  uint32_t flags2;
  uint32_t max_stack_depth;
  uint32_t unused[6];
};
static_assert(sizeof(InitOut) == 64);

struct ReadIn {
  uint64_t fh;
  uint64_t offset;
  uint32_t size;
  uint32_t read_flags;
  uint64_t lock_owner;
  uint32_t flags;
  uint32_t padding;
};
static_assert(sizeof(ReadIn) == 40);

struct WriteIn {
  uint64_t fh;
  uint64_t offset;
  uint32_t size;
  uint32_t write_flags;
  uint64_t lock_owner;
  uint32_t flags;
  uint32_t padding;
};
static_assert(sizeof(WriteIn) == 40);

struct WriteOut {
  uint32_t size;
  uint32_t padding;
};

struct InterruptIn {
  uint64_t unique;
};

// Of requests that make a name: followed by it, with its NUL. SYMLINK has no fixed part.
struct MknodIn {
  uint32_t mode;
  uint32_t rdev;
  uint32_t umask;
  uint32_t padding;
};

struct MkdirIn {
  uint32_t mode;
  uint32_t umask;
};

struct CreateIn {
  uint32_t flags;
  uint32_t mode;
  uint32_t umask;
  uint32_t open_flags;
};

struct LinkIn {
  uint64_t old_nodeid;
};

// Followed by the old name and the new one.
struct RenameIn {
  uint64_t new_parent;
};

struct Rename2In {
  uint64_t new_parent;
  uint32_t flags;
  uint32_t padding;
};

struct Attr {
  uint64_t ino;
  uint64_t size;
  uint64_t blocks;
  uint64_t atime;
  uint64_t mtime;
  uint64_t ctime;
  uint32_t atime_nsec;
  uint32_t mtime_nsec;
  uint32_t ctime_nsec;
  uint32_t mode;
  uint32_t nlink;
  uint32_t uid;
  uint32_t gid;
  uint32_t rdev;
  uint32_t blksize;
  uint32_t flags;
};
static_assert(sizeof(Attr) == 88);

struct AttrOut {
  uint64_t valid_seconds;
  uint32_t valid_nsec;
  uint32_t dummy;
  Attr attr;
};
static_assert(sizeof(AttrOut) == 104);

struct EntryOut {
  uint64_t nodeid;  // 0: there is no such name.
  uint64_t generation;
  uint64_t entry_valid_seconds;
  uint64_t attr_valid_seconds;
  uint32_t entry_valid_nsec;
  uint32_t attr_valid_nsec;
  Attr attr;
};
static_assert(sizeof(EntryOut) == 128);

struct GetxattrIn {
  uint32_t size;
  uint32_t padding;
};

struct BatchForgetIn {
  uint32_t count;
  uint32_t padding;
};

struct ForgetOne {
  uint64_t nodeid;
  uint64_t lookups;
};

struct NotifyInvalInodeOut {
  uint64_t ino;
  int64_t offset;
  int64_t length;
};

struct NotifyInvalEntryOut {
  uint64_t parent;
  uint32_t name_length;
  uint32_t flags;
};

struct NotifyStoreOut {
  uint64_t nodeid;
  uint64_t offset;
  uint32_t size;
  uint32_t padding;
};

struct BackingMap {
  int32_t fd;
  uint32_t flags;
  uint64_t padding;
};

// The largest fixed part that comes before the data of a request: what a read buffer needs on top of max_write.
inline constexpr uint32_t kWriteHeaderBytes = sizeof(InHeader) + sizeof(WriteIn);
// FUSE_MIN_READ_BUFFER: the kernel refuses smaller reads of the device.
inline constexpr uint32_t kReadBufferBytesMin = 8192;

// Kernels before 6.9 answer these with ENOTTY.
inline constexpr unsigned long kIoctlBackingOpen = _IOW(229, 1, BackingMap);
inline constexpr unsigned long kIoctlBackingClose = _IOW(229, 2, uint32_t);

}  // namespace podfs
