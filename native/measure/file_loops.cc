// Loops over one large file.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <cstring>

#include "measure/loop.h"
#include "measure/residence.h"

namespace podfs::measure {

namespace {

constexpr uint64_t kCacheLine = 64;

uint64_t Blocks(const Worker& worker) { return worker.spec.file_size / worker.spec.block_size; }
uint64_t OwnBlocks(const Worker& worker) { return worker.CountOf(Blocks(worker)); }
uint64_t Endless(const Worker&) { return UINT64_MAX; }
uint64_t Once(const Worker&) { return 1; }

// Threads have slices of the file, one after the other.
off_t OwnOffset(const Worker& worker, uint64_t index) {
  return static_cast<off_t>((worker.FirstOf(Blocks(worker)) + index) * worker.spec.block_size);
}
off_t RandomOffset(Worker* worker) {
  assert(Blocks(*worker) > 0);
  return static_cast<off_t>(worker->Random() % Blocks(*worker) * worker->spec.block_size);
}

int Open(Worker* worker, int flags, const char* step) {
  worker->step = "open";
  worker->fd.reset(open(worker->spec.path.c_str(), flags | O_CLOEXEC, 0644));
  if (!worker->fd.valid()) return -errno;
  worker->step = step;
  return worker->AllocateBuffer();
}

int OpenToRead(Worker* worker) { return Open(worker, O_RDONLY, "read"); }
int OpenToWrite(Worker* worker) { return Open(worker, O_WRONLY, "write"); }
int CreateToWrite(Worker* worker) { return Open(worker, O_WRONLY | O_CREAT | O_TRUNC, "write"); }

int64_t ReadAt(Worker* worker, off_t offset) {
  const auto length = static_cast<int64_t>(worker->spec.block_size);
  for (int64_t done = 0; done < length;) {
    const ssize_t got =
        pread(worker->fd.get(), worker->buffer.get() + done, static_cast<size_t>(length - done), offset + done);
    if (got < 0) return -errno;
    // Somebody has cut the file.
    if (got == 0) return -ENODATA;
    done += got;
  }
  return length;
}

int64_t WriteAt(Worker* worker, off_t offset) {
  const auto length = static_cast<int64_t>(worker->spec.block_size);
  worker->StampBuffer(worker->spec.block_size);
  for (int64_t done = 0; done < length;) {
    const ssize_t put =
        pwrite(worker->fd.get(), worker->buffer.get() + done, static_cast<size_t>(length - done), offset + done);
    if (put < 0) return -errno;
    done += put;
  }
  return length;
}

int64_t Read(Worker* worker, uint64_t index) { return ReadAt(worker, OwnOffset(*worker, index)); }
int64_t ReadRandom(Worker* worker, uint64_t) { return ReadAt(worker, RandomOffset(worker)); }
int64_t Write(Worker* worker, uint64_t index) { return WriteAt(worker, OwnOffset(*worker, index)); }
int64_t WriteRandom(Worker* worker, uint64_t) { return WriteAt(worker, RandomOffset(worker)); }

int Sync(Worker* worker) {
  worker->step = "fsync";
  return fsync(worker->fd.get()) == 0 ? 0 : -errno;
}

int64_t AppendAndSync(Worker* worker, uint64_t index) {
  worker->step = "write";
  const int64_t written = WriteAt(worker, static_cast<off_t>(index * worker->spec.block_size));
  if (written < 0) return written;
  const int error = Sync(worker);
  return error == 0 ? written : error;
}

// A file that is shorter than it should be would end the process with SIGBUS, so its size is looked at first. What that
// cannot prevent: somebody cutting the file meanwhile, and a filesystem that cannot read it (there is no error code for
// a failed page fault).
int Map(Worker* worker) {
  const int error = OpenToRead(worker);
  if (error != 0) return error;
  worker->step = "mmap";
  struct stat status {};
  if (fstat(worker->fd.get(), &status) != 0) return -errno;
  if (static_cast<uint64_t>(status.st_size) < worker->spec.file_size) return -ENODATA;
  void* const map = mmap(nullptr, worker->spec.file_size, PROT_READ, MAP_SHARED, worker->fd.get(), 0);
  if (map == MAP_FAILED) return -errno;
  worker->map = static_cast<uint8_t*>(map);
  return 0;
}

// A word of each cache line: all that memory has to bring, without a second copy.
int64_t ReadMapped(Worker* worker, uint64_t index) {
  const uint8_t* const from = worker->map + OwnOffset(*worker, index);
  uint64_t sum = 0;
  for (uint64_t at = 0; at < worker->spec.block_size; at += kCacheLine) {
    uint64_t word = 0;
    memcpy(&word, from + at, sizeof(word));
    sum += word;
  }
  worker->checksum += sum;
  return static_cast<int64_t>(worker->spec.block_size);
}

// Copied out, as a data loader does with a window of tokens.
int64_t ReadMappedRandom(Worker* worker, uint64_t) {
  memcpy(worker->buffer.get(), worker->map + RandomOffset(worker), worker->spec.block_size);
  worker->checksum += worker->buffer.get()[0];
  return static_cast<int64_t>(worker->spec.block_size);
}

int64_t Drop(Worker* worker, uint64_t) {
  worker->step = "fdatasync";
  if (fdatasync(worker->fd.get()) != 0) return -errno;
  worker->step = "posix_fadvise";
  return DropPages(worker->fd.get());
}

}  // namespace

const std::vector<Loop> kFileLoops = {
    {"write", CreateToWrite, OwnBlocks, Write, Sync},
    {"write-random", OpenToWrite, Endless, WriteRandom, nullptr},
    {"append-sync", CreateToWrite, Endless, AppendAndSync, nullptr},
    {"read", OpenToRead, OwnBlocks, Read, nullptr},
    {"read-random", OpenToRead, Endless, ReadRandom, nullptr},
    {"map", Map, OwnBlocks, ReadMapped, nullptr},
    {"map-random", Map, Endless, ReadMappedRandom, nullptr},
    {"drop", OpenToRead, Once, Drop, nullptr},
};

}  // namespace podfs::measure
