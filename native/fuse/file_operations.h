// Whole operations on content files, with their waiting: what JavaScript asks for outside the FUSE data path.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "fuse/content_file.h"
#include "fuse/worker_pool.h"

namespace podfs {

// One try: a result (a count, 0, or a negative errno), or nothing and what to wait for, in which file.
struct Wait {
  Need need;
  std::shared_ptr<ContentFile> file;
};
using Attempt = std::function<std::optional<int64_t>(Wait* wait)>;
using Done = std::function<void(int64_t result)>;

// Runs the attempt on the pool until it has a result, parked in between; `done` is called once, on any thread.
void RunOperation(WorkerPool* pool, Attempt attempt, Done done);

// `buffer` must stay until the result is there.
Attempt ReadAttempt(std::shared_ptr<ContentFile> file, char* buffer, uint64_t length, uint64_t offset);
Attempt WriteAttempt(std::shared_ptr<ContentFile> file, const char* buffer, uint64_t length, uint64_t offset);
Attempt TruncateAttempt(std::shared_ptr<ContentFile> file, uint64_t size);
Attempt FallocateAttempt(std::shared_ptr<ContentFile> file, int mode, uint64_t offset, uint64_t length);
Attempt CopyAttempt(std::shared_ptr<ContentFile> from, uint64_t from_offset, std::shared_ptr<ContentFile> to,
                    uint64_t to_offset, uint64_t length);

// lseek with SEEK_DATA or SEEK_HOLE; absent blocks count as data. A position or a negative errno.
int64_t SeekDataOrHole(ContentFile* file, uint64_t offset, int whence);

// pread and pwrite of everything, past EINTR and short counts; the count (short at the end of the file), or a
// negative errno if nothing was moved.
int64_t ReadFully(int fd, char* buffer, uint64_t length, uint64_t offset);
int64_t WriteFully(int fd, const char* buffer, uint64_t length, uint64_t offset);

}  // namespace podfs
