// Which answers to GETATTR are repeated.
#include "fuse/attribute_answers.h"

#include <cerrno>
#include <vector>

#include "test.h"

namespace podfs {

namespace {

constexpr uint64_t kIno = 7;
constexpr size_t kSlots = 16;
constexpr uint64_t kYear = 365 * 24 * 3600;

struct Table {
  std::vector<AttributeAnswers::Slot> slots{kSlots};
  AttributeAnswers answers{{reinterpret_cast<char*>(slots.data()), kSlots * sizeof(AttributeAnswers::Slot)}};

  static InHeader Request(uint32_t opcode, uint64_t ino) {
    InHeader header = {};
    header.opcode = opcode;
    header.nodeid = ino;
    return header;
  }
  static AttrOut AnswerOf(uint64_t ino) {
    AttrOut out = {};
    out.valid_seconds = kYear;
    out.attr.ino = ino;
    out.attr.nlink = 1;
    return out;
  }
  void Learn(uint64_t ino, const AttrOut& out) { answers.Learn(Request(kOpGetattr, ino), 0, &out, sizeof(out)); }
  const AttrOut* Find(uint64_t ino) { return answers.Find(Request(kOpGetattr, ino)); }
};

}  // namespace

TEST(AttributeAnswersRepeatsWhatWasSaid) {
  Table table;
  EXPECT(table.Find(kIno) == nullptr);
  table.Learn(kIno, Table::AnswerOf(kIno));
  const AttrOut* const found = table.Find(kIno);
  EXPECT(found != nullptr && found->attr.ino == kIno && found->valid_seconds == kYear);
  EXPECT(table.answers.Find(Table::Request(kOpLookup, kIno)) == nullptr);
  table.answers.Forget(kIno + kSlots);
  EXPECT(table.Find(kIno) != nullptr);
  table.answers.Forget(kIno);
  EXPECT(table.Find(kIno) == nullptr);
}

TEST(AttributeAnswersHasOnePlaceForInodesOfOneRemainder) {
  Table table;
  table.Learn(kIno, Table::AnswerOf(kIno));
  table.Learn(kIno + kSlots, Table::AnswerOf(kIno + kSlots));
  EXPECT(table.Find(kIno) == nullptr && table.Find(kIno + kSlots)->attr.ino == kIno + kSlots);
}

TEST(AttributeAnswersDoesNotRepeatWhatMayChangeWithoutARecord) {
  Table table;
  AttrOut written = Table::AnswerOf(kIno);
  written.valid_seconds = 0;
  table.Learn(kIno, written);
  AttrOut unlinked = Table::AnswerOf(kIno);
  unlinked.attr.nlink = 0;
  table.Learn(kIno, unlinked);
  const AttrOut out = Table::AnswerOf(kIno);
  table.answers.Learn(Table::Request(kOpGetattr, kIno), -ESTALE, nullptr, 0);
  table.answers.Learn(Table::Request(kOpGetattr, kIno), 0, &out, sizeof(out) - 1);
  table.answers.Learn(Table::Request(kOpMknod, kIno), 0, &out, sizeof(out));
  EXPECT(table.Find(kIno) == nullptr);
}

TEST(AttributeAnswersWithoutATableKnowsNothing) {
  AttributeAnswers answers({});
  const AttrOut out = Table::AnswerOf(kIno);
  answers.Learn(Table::Request(kOpGetattr, kIno), 0, &out, sizeof(out));
  answers.Forget(kIno);
  EXPECT(answers.Find(Table::Request(kOpGetattr, kIno)) == nullptr);
}

}  // namespace podfs
