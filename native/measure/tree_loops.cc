// Loops over a tree of small files.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <numeric>
#include <utility>

#include "measure/loop.h"
#include "measure/residence.h"

namespace podfs::measure {

namespace {

using Name = std::array<char, 64>;

char* Append(char* at, std::string_view text) { return std::copy(text.begin(), text.end(), at); }
char* AppendNumber(char* at, uint64_t number) { return std::to_chars(at, at + 20, number).ptr; }

uint64_t Directories(const Spec& spec) {
  return (spec.files + spec.files_per_directory - 1) / spec.files_per_directory;
}

// "d3/f3017", below the worker's directory.
const char* FileName(const Spec& spec, std::string_view prefix, uint64_t file, Name* name) {
  char* at = AppendNumber(Append(name->data(), "d"), file / spec.files_per_directory);
  at = AppendNumber(Append(Append(at, "/"), prefix), file);
  *at = '\0';
  return name->data();
}

// The file of an operation, whose name is noted.
uint64_t Choose(Worker* worker, uint64_t index) {
  const uint64_t own = worker->FirstOf(worker->spec.files) + index;
  const uint64_t file = worker->order.empty() ? own : worker->order[own];
  FileName(worker->spec, worker->spec.prefix, file, &worker->name);
  return file;
}

uint64_t FileSize(const Spec& spec, uint64_t file) {
  const uint64_t range = spec.block_size - spec.block_size_min + 1;
  // Knuth's multiplicative hash: which sizes there are does not depend on who writes them, or in which order.
  return spec.block_size_min + (file * 0x9e3779b97f4a7c15 >> 24) % range;
}

uint64_t OwnFiles(const Worker& worker) { return worker.CountOf(worker.spec.files); }
uint64_t OwnDirectories(const Worker& worker) { return worker.CountOf(Directories(worker.spec)); }

int OpenRoot(Worker* worker) {
  assert(worker->spec.prefix.size() < 16);
  worker->step = "open";
  worker->fd.reset(open(worker->spec.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return worker->fd.valid() ? 0 : -errno;
}

int OpenRootToMove(Worker* worker) {
  const int error = OpenRoot(worker);
  if (error != 0) return error;
  if (worker->spec.shuffle) {
    worker->order.resize(worker->spec.files);
    std::iota(worker->order.begin(), worker->order.end(), 0);
    // The same order for every worker: each reads its part of it. Fisher-Yates, by one generator for all.
    uint64_t state = worker->spec.seed;
    for (uint64_t left = worker->spec.files; left > 1; --left) {
      state = state * 6364136223846793005 + 1442695040888963407;
      std::swap(worker->order[left - 1], worker->order[(state >> 33) % left]);
    }
  }
  return worker->AllocateBuffer();
}

int64_t Create(Worker* worker, uint64_t index) {
  const uint64_t size = FileSize(worker->spec, Choose(worker, index));
  worker->StampBuffer(size);
  worker->step = "create";
  const UniqueFd fd(openat(worker->fd.get(), worker->name.data(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!fd.valid()) return -errno;
  worker->step = "write";
  for (uint64_t done = 0; done < size;) {
    const ssize_t put = write(fd.get(), worker->buffer.get() + done, size - done);
    if (put < 0) return -errno;
    done += static_cast<uint64_t>(put);
  }
  return static_cast<int64_t>(size);
}

int64_t Stat(Worker* worker, uint64_t index) {
  Choose(worker, index);
  worker->step = "stat";
  struct stat status {};
  return fstatat(worker->fd.get(), worker->name.data(), &status, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : -errno;
}

// Until read() says that there is no more, as programs do that do not know the size.
int64_t ReadWhole(Worker* worker, uint64_t index) {
  Choose(worker, index);
  worker->step = "open";
  const UniqueFd fd(openat(worker->fd.get(), worker->name.data(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return -errno;
  worker->step = "read";
  int64_t done = 0;
  for (;;) {
    const ssize_t got = read(fd.get(), worker->buffer.get(), worker->spec.block_size + 1);
    if (got < 0) return -errno;
    if (got == 0) return done;
    done += got;
  }
}

int64_t List(Worker* worker, uint64_t index) {
  *AppendNumber(Append(worker->name.data(), "d"), worker->FirstOf(Directories(worker->spec)) + index) = '\0';
  worker->step = "open";
  const int fd = openat(worker->fd.get(), worker->name.data(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return -errno;
  worker->step = "readdir";
  DIR* const directory = fdopendir(fd);
  if (directory == nullptr) {
    close(fd);
    return -ENOMEM;
  }
  int64_t entries = 0;
  errno = 0;
  while (readdir(directory) != nullptr) ++entries;
  const int error = errno;
  closedir(directory);
  return error == 0 ? std::max<int64_t>(entries - 2, 0) : -error;  // Without "." and "..".
}

int64_t Chmod(Worker* worker, uint64_t index) {
  Choose(worker, index);
  worker->step = "chmod";
  const mode_t mode = 0600 | (++worker->stamp & 077);
  return fchmodat(worker->fd.get(), worker->name.data(), mode, 0) == 0 ? 0 : -errno;
}

int64_t Rename(Worker* worker, uint64_t index) {
  const uint64_t file = Choose(worker, index);
  worker->step = "rename";
  Name renamed;
  FileName(worker->spec, "r", file, &renamed);
  return renameat(worker->fd.get(), worker->name.data(), worker->fd.get(), renamed.data()) == 0 ? 0 : -errno;
}

int64_t Symlink(Worker* worker, uint64_t index) {
  Choose(worker, index);
  worker->step = "symlink";
  return symlinkat("target", worker->fd.get(), worker->name.data()) == 0 ? 0 : -errno;
}

int64_t MakeDirectory(Worker* worker, uint64_t index) {
  Choose(worker, index);
  worker->step = "mkdir";
  return mkdirat(worker->fd.get(), worker->name.data(), 0755) == 0 ? 0 : -errno;
}

int64_t RemoveDirectory(Worker* worker, uint64_t index) {
  Choose(worker, index);
  worker->step = "rmdir";
  return unlinkat(worker->fd.get(), worker->name.data(), AT_REMOVEDIR) == 0 ? 0 : -errno;
}

int64_t Remove(Worker* worker, uint64_t index) {
  Choose(worker, index);
  worker->step = "unlink";
  return unlinkat(worker->fd.get(), worker->name.data(), 0) == 0 ? 0 : -errno;
}

// Only clean pages can be dropped. One syncfs() for all: an fsync of each file would take a journal commit each.
int SyncAll(Worker* worker) {
  const int error = OpenRoot(worker);
  if (error != 0) return error;
  worker->step = "syncfs";
  return syncfs(worker->fd.get()) == 0 ? 0 : -errno;
}

int64_t Drop(Worker* worker, uint64_t index) {
  Choose(worker, index);
  worker->step = "posix_fadvise";
  const UniqueFd fd(openat(worker->fd.get(), worker->name.data(), O_RDONLY | O_CLOEXEC));
  return fd.valid() ? DropPages(fd.get()) : -errno;
}

}  // namespace

const std::vector<Loop> kTreeLoops = {
    {"create", OpenRootToMove, OwnFiles, Create, nullptr},
    {"stat", OpenRoot, OwnFiles, Stat, nullptr},
    {"read-files", OpenRootToMove, OwnFiles, ReadWhole, nullptr},
    {"list", OpenRoot, OwnDirectories, List, nullptr},
    {"chmod", OpenRoot, OwnFiles, Chmod, nullptr},
    {"rename", OpenRoot, OwnFiles, Rename, nullptr},
    {"symlink", OpenRoot, OwnFiles, Symlink, nullptr},
    {"mkdir", OpenRoot, OwnFiles, MakeDirectory, nullptr},
    {"rmdir", OpenRoot, OwnFiles, RemoveDirectory, nullptr},
    {"remove", OpenRoot, OwnFiles, Remove, nullptr},
    {"drop-files", SyncAll, OwnFiles, Drop, nullptr},
};

}  // namespace podfs::measure
