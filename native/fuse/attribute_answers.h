// Answers GETATTR for inodes whose attributes are as JavaScript last said.
//
// The kernel keeps attributes, but forgets a directory's with each name that comes or goes in it (fuse_dir_changed),
// and needs its mode for the next one: a request for every file that is made or removed. And statx(2) may insist on
// asking.
//
// What is known is a table in memory that both sides have, because both change it, on one thread (docs/decisions/0011):
//
//   learnt     here, from JavaScript's answer to a GETATTR, given in the turn of the question: of an inode with a name
//              that the kernel may keep for good, which means that nobody has it open for writing
//   forgotten  by JavaScript, before it answers anything else, when a record changes that attributes are made of
//   changed    by JavaScript: times and links of a directory, with each name that comes or goes
//
// So what is in the table is at any time what JavaScript would answer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "fuse/protocol.h"

namespace podfs {

// One thread: the event loop's. KnownAttributes in src/fuse/native/ is the other side.
class AttributeAnswers {
 public:
  // An inode's place is given by the lowest bits of its number; who comes takes the place of who was there.
  struct Slot {
    uint64_t ino;  // 0: free.
    AttrOut answer;
    uint64_t padding[2];
  };
  static_assert(sizeof(Slot) == 128);

  // `table` is zeroed memory of as many slots as a power of two, and outlives this. Empty: nothing is ever known.
  explicit AttributeAnswers(std::span<char> table);

  // What JavaScript would answer to GETATTR, or nullptr.
  const AttrOut* Find(const InHeader& header) const;
  // What JavaScript has answered, in the turn in which it was asked.
  void Learn(const InHeader& header, int error, const void* reply, size_t reply_bytes);
  void Forget(uint64_t ino);

 private:
  Slot& SlotOf(uint64_t ino) const { return slots_[ino & (slots_.size() - 1)]; }

  std::span<Slot> slots_;
};

}  // namespace podfs
