#include "fuse/native_answers.h"

#include <cerrno>

namespace podfs {

std::optional<NativeAnswers::Answer> NativeAnswers::Find(const InHeader& header, const char* body, size_t bytes) {
  if (header.opcode == kOpIoctl) {
    // There are none (docs/SEMANTICS.md). Python asks each file it opens whether it is a terminal.
    return Answer{-ENOTTY};
  }
  if (capabilities_.Answers(header, body, bytes)) return Answer{-ENODATA};
  if (const AttrOut* const attributes = attributes_.Find(header)) return Answer{0, attributes, sizeof(*attributes)};
  if (const EntryOut* const absent = absent_names_.Find(header, body, bytes)) return Answer{0, absent, sizeof(*absent)};
  return std::nullopt;
}

void NativeAnswers::Learn(const InHeader& header, const char* body, size_t bytes, int error, const void* reply,
                          size_t reply_bytes) {
  capabilities_.Learn(header, body, bytes, error, reply, reply_bytes);
  attributes_.Learn(header, error, reply, reply_bytes);
  absent_names_.Learn(header, error, reply, reply_bytes);
}

void NativeAnswers::ForgetInode(uint64_t ino) {
  capabilities_.Forget(ino);
  attributes_.Forget(ino);
}

}  // namespace podfs
