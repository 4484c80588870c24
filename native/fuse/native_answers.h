// What the engine answers itself among the requests that are JavaScript's: what it has heard JavaScript say already, or
// what follows from that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "fuse/absent_names.h"
#include "fuse/attribute_answers.h"
#include "fuse/capability_answers.h"
#include "fuse/protocol.h"

namespace podfs {

// One thread: the event loop's.
class NativeAnswers {
 public:
  struct Answer {
    int error;  // 0 or a negative errno.
    const void* body = nullptr;
    size_t bytes = 0;
  };

  // `exclusive`: nobody else writes to the volume. `attributes`: the table of AttributeAnswers.
  NativeAnswers(bool exclusive, std::span<char> attributes)
      : capabilities_(exclusive), attributes_(exclusive ? attributes : std::span<char>()), absent_names_(exclusive) {}

  // Every request, in the order in which they are read; `body` is what follows the header. The answer is valid until
  // the next call.
  std::optional<Answer> Find(const InHeader& header, const char* body, size_t bytes);
  // What JavaScript has answered to a request in the same turn. `body` and `bytes` are the request's.
  void Learn(const InHeader& header, const char* body, size_t bytes, int error, const void* reply, size_t reply_bytes);
  // JavaScript answers later.
  void Postponed(const InHeader& header) { capabilities_.Postponed(header); }
  // The daemon tells the kernel that an inode is not what it was.
  void ForgetInode(uint64_t ino);
  // For what no request tells of: names that the daemon makes or lists.
  AbsentNames& absent_names() { return absent_names_; }

 private:
  CapabilityAnswers capabilities_;
  AttributeAnswers attributes_;
  AbsentNames absent_names_;
};

}  // namespace podfs
