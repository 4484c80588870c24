#include "fuse/capability_answers.h"

#include <cerrno>
#include <cstring>

namespace podfs {

namespace {

constexpr char kCapability[] = "security.capability";

// The name comes after the fixed part, with its NUL.
bool AsksForCapability(const char* body, size_t bytes) {
  return bytes == sizeof(GetxattrIn) + sizeof(kCapability) &&
         memcmp(body + sizeof(GetxattrIn), kCapability, sizeof(kCapability)) == 0;
}

}  // namespace

bool CapabilityAnswers::Answers(const InHeader& header, const char* body, size_t bytes) {
  switch (header.opcode) {
    case kOpGetxattr:
      return bare_.Contains(header.nodeid) && AsksForCapability(body, bytes);
    case kOpSetxattr:
    case kOpForget:
      bare_.Erase(header.nodeid);
      return false;
    case kOpBatchForget:
      ForgetBatch(body, bytes);
      return false;
    default:
      return false;
  }
}

void CapabilityAnswers::Learn(const InHeader& header, const char* request_body, size_t bytes, int error,
                              const void* reply, size_t reply_bytes) {
  if (!enabled_) return;
  switch (header.opcode) {
    case kOpGetxattr:
      if (error == -ENODATA && AsksForCapability(request_body, bytes)) bare_.Insert(header.nodeid);
      return;
    case kOpCreate:
    case kOpMknod:
    case kOpSymlink:
    case kOpTmpfile: {
      // All of these begin with fuse_entry_out, which begins with the inode's number.
      uint64_t ino = 0;
      if (error != 0 || reply_bytes < sizeof(ino)) return;
      memcpy(&ino, reply, sizeof(ino));
      if (ino != 0) bare_.Insert(ino);
      return;
    }
    default:
      return;
  }
}

void CapabilityAnswers::Postponed(const InHeader& header) {
  if (header.opcode != kOpSetxattr) return;
  // Nobody knows any more when it takes effect, so nothing can be known.
  enabled_ = false;
  bare_.Clear();
}

void CapabilityAnswers::ForgetBatch(const char* body, size_t bytes) {
  BatchForgetIn in;
  if (bytes < sizeof(in)) return;
  memcpy(&in, body, sizeof(in));
  for (size_t i = 0, at = sizeof(in); i < in.count && at + sizeof(ForgetOne) <= bytes; ++i, at += sizeof(ForgetOne)) {
    ForgetOne one;
    memcpy(&one, body + at, sizeof(one));
    bare_.Erase(one.nodeid);
  }
}

}  // namespace podfs
