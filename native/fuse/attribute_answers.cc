#include "fuse/attribute_answers.h"

#include <cassert>
#include <cstring>

namespace podfs {

namespace {
// Of what is valid for less JavaScript will say something else one day without a record having changed.
constexpr uint64_t kForGoodSeconds = 24 * 3600;
}  // namespace

AttributeAnswers::AttributeAnswers(std::span<char> table)
    : slots_(reinterpret_cast<Slot*>(table.data()), table.size() / sizeof(Slot)) {
  assert((slots_.size() & (slots_.size() - 1)) == 0);
  assert(reinterpret_cast<uintptr_t>(table.data()) % alignof(Slot) == 0);
}

const AttrOut* AttributeAnswers::Find(const InHeader& header) const {
  if (header.opcode != kOpGetattr || slots_.empty()) return nullptr;
  const Slot& slot = SlotOf(header.nodeid);
  return slot.ino == header.nodeid ? &slot.answer : nullptr;
}

void AttributeAnswers::Learn(const InHeader& header, int error, const void* reply, size_t reply_bytes) {
  if (header.opcode != kOpGetattr || slots_.empty() || error != 0 || reply_bytes != sizeof(AttrOut)) return;
  AttrOut answer;
  memcpy(&answer, reply, sizeof(answer));
  // What has no name has no record either.
  if (answer.valid_seconds < kForGoodSeconds || answer.attr.nlink == 0) return;
  SlotOf(header.nodeid) = {header.nodeid, answer, {}};
}

void AttributeAnswers::Forget(uint64_t ino) {
  if (slots_.empty()) return;
  Slot& slot = SlotOf(ino);
  if (slot.ino == ino) slot.ino = 0;
}

}  // namespace podfs
