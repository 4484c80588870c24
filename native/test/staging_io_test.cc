#include <linux/filter.h>
#include <linux/magic.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <thread>
#include <vector>

#include "staging_support.h"

namespace podfs::staging {

namespace {

constexpr auto kFromFile = Transfer::Direction::kFromFile;

// Writes `bytes` through the slots of the ring in turn, and finishes the file. The first error, or 0.
int64_t WriteFile(StagingIo* io, const std::shared_ptr<StagedFile>& file, const std::string& bytes) {
  const auto ring = NewRing(2);
  int64_t error = file->Allocate(bytes.size());
  std::vector<std::future<int64_t>> begun;
  for (uint64_t position = 0; position < bytes.size() && error == 0; position += kSlotBytes) {
    const uint32_t slot = position / kSlotBytes % 2;
    const uint64_t length = std::min(kSlotBytes, bytes.size() - position);
    if (begun.size() >= 2) error = std::min<int64_t>(begun[begun.size() - 2].get(), 0);
    memcpy(ring->Slot(slot), &bytes[position], length);
    begun.push_back(Begin(io, {file, ring, slot, position, length}));
  }
  for (std::future<int64_t>& one : begun) {
    if (one.valid()) error = std::min(one.get(), error);
  }
  return error < 0 ? error : file->Finish(bytes.size());
}

int64_t CachedBytes(int fd, size_t bytes) {
  void* const map = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
  std::vector<unsigned char> pages(bytes / 4096);
  EXPECT(map != MAP_FAILED && mincore(map, bytes, pages.data()) == 0);
  munmap(map, bytes);
  int64_t cached = 0;
  for (const unsigned char page : pages) cached += page & 1;
  return cached * 4096;
}

// Of this thread, and of those it starts.
bool ForbidUring() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter = {std::size(program), program};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

}  // namespace

TEST(StagingIoWritesAndReadsFilesOfAnySize) {
  const test::TemporaryDirectory directory;
  WithEachEngine(nullptr, [&](StagingIo* io) {
    for (const uint64_t size : {uint64_t{1}, uint64_t{4096}, uint64_t{1} << 20, kSlotBytes, 3 * kSlotBytes + 12345}) {
      const std::string bytes = RandomBytes(size, 1);
      const std::string path = directory / "file";
      const auto file = NewFile(path);
      EXPECT(WriteFile(io, file, bytes) == 0);
      EXPECT(Contents(path) == bytes);

      std::shared_ptr<StagedFile> reader;
      EXPECT(StagedFile::Open(path, StagedFile::Access::kRead, 0, &reader) == 0);
      const auto ring = NewRing(1);
      const uint64_t last = (size - 1) / kSlotBytes * kSlotBytes;
      EXPECT(Begin(io, {reader, ring, 0, last, kSlotBytes, kFromFile}).get() == static_cast<int64_t>(size - last));
      EXPECT(bytes.compare(last, size - last, ring->Slot(0), size - last) == 0);
      EXPECT(Begin(io, {reader, ring, 0, last, 1, kFromFile}).get() == 1);
      EXPECT(Begin(io, {reader, ring, 0, Padded(size) + kSlotBytes, 4096, kFromFile}).get() == 0);
      unlink(path.c_str());
    }
  });
}

TEST(StagingIoPadsTheTailWithZeros) {
  const test::TemporaryDirectory directory;
  WithEachEngine(nullptr, [&](StagingIo* io) {
    const auto file = NewFile(directory / "file");
    const auto ring = NewRing(1);
    memset(ring->Slot(0), 'x', kSlotBytes);
    EXPECT(Begin(io, {file, ring, 0, 0, 4097}).get() == 4097);
    const std::string contents = Contents(directory / "file");
    EXPECT(contents == std::string(4097, 'x') + std::string(4095, 0));
    EXPECT(ring->Slot(0)[4096] == 'x' && ring->Slot(0)[4097] == 0 && ring->Slot(0)[8192] == 'x');
    unlink((directory / "file").c_str());
  });
}

TEST(StagingIoServesManyClientsOnManyThreads) {
  const test::TemporaryDirectory directory;
  WithEachEngine(nullptr, [&](StagingIo* io) {
    std::vector<std::thread> clients;
    for (uint32_t client = 0; client < 4; ++client) {
      clients.emplace_back([&, client] {
        const std::string path = directory / ("file" + std::to_string(client)).c_str();
        const std::string bytes = RandomBytes(2 * kSlotBytes + 100 * client, client);
        EXPECT(WriteFile(io, NewFile(path, client), bytes) == 0);
        EXPECT(Contents(path) == bytes);
        unlink(path.c_str());
      });
    }
    for (std::thread& client : clients) client.join();
  });
}

// Short writes and reads, interruptions: nothing of that is to be seen from outside.
TEST(StagingIoHidesWhatPassesByItself) {
  const test::TemporaryDirectory directory;
  std::atomic<uint32_t> asked{0};
  Disturber disturber([&](const Piece& piece) -> int64_t {
    switch (asked++ % 5) {
      case 0:
        return -EINTR;
      case 1:
        return -EAGAIN;
      case 2:
        return std::min<int64_t>(piece.length, 16384);
      default:
        return piece.length;
    }
  });
  WithEachEngine(&disturber, [&](StagingIo* io) {
    const std::string path = directory / "file";
    const std::string bytes = RandomBytes(2 * kSlotBytes + 5000, 2);
    EXPECT(WriteFile(io, NewFile(path), bytes) == 0);
    EXPECT(Contents(path) == bytes);
    std::shared_ptr<StagedFile> reader;
    EXPECT(StagedFile::Open(path, StagedFile::Access::kRead, 0, &reader) == 0);
    const auto ring = NewRing(1);
    EXPECT(Begin(io, {reader, ring, 0, 2 * kSlotBytes, kSlotBytes, kFromFile}).get() == 5000);
    EXPECT(bytes.compare(2 * kSlotBytes, 5000, ring->Slot(0), 5000) == 0);
    unlink(path.c_str());
  });
}

TEST(StagingIoTellsOnlyTheTransferThatFailed) {
  const test::TemporaryDirectory directory;
  for (const int error : {EIO, ENOSPC, EDQUOT}) {
    Disturber disturber([&](const Piece& piece) -> int64_t {
      return piece.transfer->file->lane() == 1 && piece.offset == kPieceBytes ? int64_t{-error} : piece.length;
    });
    WithEachEngine(&disturber, [&](StagingIo* io) {
      const auto ring = NewRing(2);
      const auto good = NewFile(directory / "good", 0);
      auto bad = Begin(io, {NewFile(directory / "bad", 1), ring, 0, 0, kSlotBytes});
      EXPECT(Begin(io, {good, ring, 1, 0, kSlotBytes}).get() == kSlotBytes);
      EXPECT(bad.get() == -error);
      unlink((directory / "good").c_str());
      unlink((directory / "bad").c_str());
    });
  }
}

TEST(StagingIoKeepsThePageCacheEmptyWithoutDirectIo) {
  const test::TemporaryDirectory directory;
  struct statfs volume {};
  if (statfs(directory.path().c_str(), &volume) == 0 && volume.f_type == TMPFS_MAGIC) {
    SKIP("the temporary directory is on tmpfs");
  }
  std::atomic<bool> refused{false};
  Disturber disturber([&](const Piece& piece) -> int64_t {
    if (!piece.direct) return piece.length;
    refused = true;
    return -EINVAL;
  });
  // The engine that the refusal meets may be io_uring, which finishes that transfer: the second is the threads'.
  WithEachEngine(&disturber, [&](StagingIo* io) {
    const std::string path = directory / "file";
    const auto file = NewFile(path);
    const auto ring = NewRing(1);
    EXPECT(Begin(io, {file, ring, 0, 0, 4096}).get() == 4096);
    EXPECT(refused && !file->direct());
    const std::string bytes = RandomBytes(2 * kSlotBytes, 3);
    EXPECT(WriteFile(io, file, bytes) == 0);
    const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    EXPECT(CachedBytes(fd.get(), bytes.size()) <= static_cast<int64_t>(bytes.size()) / 8);
    EXPECT(Contents(path) == bytes);
    unlink(path.c_str());
  });
}

TEST(StagingIoHasRoomOrSaysThatThereIsNone) {
  const test::TemporaryDirectory directory;
  if (mount("tmpfs", directory.path().c_str(), "tmpfs", 0, "size=6m") != 0) SKIP("mounting needs root");
  {
    const auto file = NewFile(directory / "file");
    EXPECT(file->Allocate(100) == 0);
    struct stat status {};
    EXPECT(file->Allocate(16 << 20) == -ENOSPC);
    EXPECT(fstat(file->fd(), &status) == 0 && status.st_size == 4096 && status.st_blocks <= 8);
    WithEachEngine(nullptr, [&](StagingIo* io) {
      const auto ring = NewRing(2);
      EXPECT(Begin(io, {file, ring, 0, 0, kSlotBytes}).get() == kSlotBytes);
      EXPECT(Begin(io, {file, ring, 1, kSlotBytes, kSlotBytes}).get() == -ENOSPC);
      EXPECT(file->Finish(0) == 0);
    });
  }
  umount(directory.path().c_str());
}

TEST(StagingIoOpensOnlyWhatIsThere) {
  const test::TemporaryDirectory directory;
  std::shared_ptr<StagedFile> file;
  EXPECT(StagedFile::Open(directory / "none", StagedFile::Access::kRead, 0, &file) == -ENOENT);
  EXPECT(StagedFile::Open(directory / "none", StagedFile::Access::kWrite, 0, &file) == -ENOENT);
  EXPECT(StagedFile::Open(directory.path(), StagedFile::Access::kWrite, 0, &file) == -EISDIR);
  // A file without a name, as the cache has them.
  const UniqueFd nameless(open(directory.path().c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  const std::string path = "/proc/self/fd/" + std::to_string(nameless.get());
  EXPECT(StagedFile::Open(path, StagedFile::Access::kWrite, 0, &file) == 0);
}

TEST(StagingIoEndsWithTheLastTransferAndTakesNoMore) {
  const test::TemporaryDirectory directory;
  WithEachEngine(nullptr, [&](StagingIo* io) {
    const auto ring = NewRing(8);
    const auto file = NewFile(directory / "file");
    EXPECT(file->Allocate(8 * kSlotBytes) == 0);
    std::vector<std::future<int64_t>> begun;
    for (uint32_t slot = 0; slot < 8; ++slot)
      begun.push_back(Begin(io, {file, ring, slot, slot * kSlotBytes, kSlotBytes}));
    io->Stop();
    for (std::future<int64_t>& one : begun) EXPECT(one.get() == kSlotBytes);
    EXPECT(Begin(io, {file, ring, 0, 0, 4096}).get() == -ECANCELED);
    EXPECT(!io->Post([] {}));
    unlink((directory / "file").c_str());
  });
}

TEST(StagingIoWorksWhereIoUringIsForbidden) {
  const test::TemporaryDirectory directory;
  std::thread forbidden([&] {
    if (!ForbidUring()) return;
    StagingIo io({});
    EXPECT(!io.has_uring());
    EXPECT(io.reason() == "forbidden (kernel.io_uring_disabled, or the container's seccomp profile)");
    const std::string bytes = RandomBytes(kSlotBytes + 1, 4);
    EXPECT(WriteFile(&io, NewFile(directory / "file"), bytes) == 0);
    EXPECT(Contents(directory / "file") == bytes);
  });
  forbidden.join();
}

}  // namespace podfs::staging
