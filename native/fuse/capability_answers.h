// Answers "does this file have capabilities?" for files that are known to have none.
//
// The kernel asks for the attribute security.capability before the first write(2) through an open inode
// (file_remove_privs) and at every chown (notify_change): two of the nine requests that unpacking a small file costs.
// Hardly any file has it. What is known comes from requests and answers that pass anyway, so there is no second table
// to keep in step (docs/decisions/0007):
//
//   learnt     a new file (CREATE, MKNOD, SYMLINK, TMPFILE) has none; neither has one JavaScript says ENODATA about
//   forgotten  before any SETXATTR of the inode is dispatched, with FORGET, when the daemon invalidates the inode
//
// Only answers given in the turn of the question teach anything: what happened between a question and a late answer is
// not known. So two things must stay true of JavaScript: an answer to CREATE that is given at once is about a file that
// is new (open(2) of an existing one answers later), and SETXATTR is answered at once.
#pragma once

#include <cstddef>
#include <cstdint>

#include "fuse/number_set.h"
#include "fuse/protocol.h"

namespace podfs {

// One thread: the event loop's.
class CapabilityAnswers {
 public:
  // Not where others write to the volume (followers): they may set it, and it is not known when.
  explicit CapabilityAnswers(bool enabled) : enabled_(enabled) {}

  // Every request, in the order it is read. `body` is what follows the header. True: the answer is ENODATA.
  bool Answers(const InHeader& header, const char* body, size_t bytes);
  // What JavaScript answered to a request in the same turn. `request_body` and `bytes` are the request's.
  void Learn(const InHeader& header, const char* request_body, size_t bytes, int error, const void* reply,
             size_t reply_bytes);
  // JavaScript answers later.
  void Postponed(const InHeader& header);
  void Forget(uint64_t ino) { bare_.Erase(ino); }

 private:
  // 1 MiB when full.
  static constexpr size_t kInodesMax = size_t{64} * 1024;

  void ForgetBatch(const char* body, size_t bytes);

  bool enabled_;
  NumberSet bare_{kInodesMax};  // Inodes without the attribute.
};

}  // namespace podfs
