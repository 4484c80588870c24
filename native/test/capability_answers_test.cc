// What is remembered about capabilities, and when it is forgotten.
#include "fuse/capability_answers.h"

#include <cerrno>
#include <cstring>
#include <random>
#include <unordered_set>
#include <vector>

#include "fuse/number_set.h"
#include "test.h"

namespace podfs {

namespace {

constexpr uint64_t kIno = 7;

// Requests as the session sees them.
class Asker {
 public:
  bool Answered(uint32_t opcode, uint64_t ino, const char* name = "security.capability") {
    Build(opcode, ino, name);
    return answers_.Answers(header_, body_.data(), body_.size());
  }
  bool Known(uint64_t ino) { return Answered(kOpGetxattr, ino); }
  // JavaScript's answer to a GETXATTR.
  void Learn(uint64_t ino, const char* name, int error) {
    Build(kOpGetxattr, ino, name);
    answers_.Learn(header_, body_.data(), body_.size(), error, nullptr, 0);
  }
  void LearnNew(uint32_t opcode, uint64_t ino, int error) {
    Build(opcode, 1, "name");
    answers_.Learn(header_, body_.data(), body_.size(), error, &ino, error == 0 ? sizeof(ino) : 0);
  }
  void ForgetBatch(const std::vector<uint64_t>& inos) {
    header_ = {};
    header_.opcode = kOpBatchForget;
    const BatchForgetIn in = {static_cast<uint32_t>(inos.size()), 0};
    body_.assign(sizeof(in) + inos.size() * sizeof(ForgetOne), 0);
    memcpy(body_.data(), &in, sizeof(in));
    for (size_t i = 0; i < inos.size(); ++i) {
      const ForgetOne one = {inos[i], 1};
      memcpy(body_.data() + sizeof(in) + i * sizeof(one), &one, sizeof(one));
    }
    EXPECT(!answers_.Answers(header_, body_.data(), body_.size()));
  }
  void Postpone(uint32_t opcode) {
    Build(opcode, kIno, "user.any");
    answers_.Postponed(header_);
  }
  CapabilityAnswers& answers() { return answers_; }

  explicit Asker(bool enabled = true) : answers_(enabled) {}

 private:
  void Build(uint32_t opcode, uint64_t ino, const char* name) {
    header_ = {};
    header_.opcode = opcode;
    header_.nodeid = ino;
    body_.assign(sizeof(GetxattrIn), 0);
    body_.insert(body_.end(), name, name + strlen(name) + 1);
  }

  CapabilityAnswers answers_;
  InHeader header_ = {};
  std::vector<char> body_;
};

}  // namespace

TEST(NumberSetKeepsWhatASetKeeps) {
  NumberSet set(100'000);
  std::unordered_set<uint64_t> model;
  std::mt19937_64 random(1);
  for (int i = 0; i < 200'000; ++i) {
    const uint64_t ino = 1 + random() % 5'000;
    if (random() % 2 == 0) {
      set.Insert(ino);
      model.insert(ino);
    } else {
      set.Erase(ino);
      model.erase(ino);
    }
  }
  EXPECT(set.count() == model.size());
  for (uint64_t ino = 1; ino <= 5'000; ++ino) EXPECT(set.Contains(ino) == model.contains(ino));
  set.Clear();
  EXPECT(set.count() == 0 && !set.Contains(1));
}

TEST(NumberSetForgetsAllWhenItIsFull) {
  NumberSet set(3);
  for (uint64_t ino = 1; ino <= 4; ++ino) set.Insert(ino);
  EXPECT(set.count() == 1 && set.Contains(4) && !set.Contains(1));
}

TEST(CapabilityAnswersKnowsNewFilesAndWhatWasAskedBefore) {
  Asker asker;
  EXPECT(!asker.Known(kIno));
  asker.Learn(kIno, "security.capability", -ENODATA);
  EXPECT(asker.Known(kIno));
  for (const uint32_t opcode : {kOpCreate, kOpMknod, kOpSymlink, kOpTmpfile}) {
    asker.LearnNew(opcode, 100 + opcode, 0);
    EXPECT(asker.Known(100 + opcode));
  }
  EXPECT(!asker.Answered(kOpGetxattr, kIno, "security.capabilit"));
  EXPECT(!asker.Answered(kOpGetxattr, kIno, "security.capability2"));
  EXPECT(!asker.Answered(kOpGetxattr, kIno, "user.capability"));
}

TEST(CapabilityAnswersLearnsNothingElse) {
  Asker asker;
  asker.Learn(kIno, "user.any", -ENODATA);
  asker.Learn(kIno, "security.capability", 0);
  asker.Learn(kIno, "security.capability", -EIO);
  asker.LearnNew(kOpLookup, kIno, 0);
  asker.LearnNew(kOpCreate, kIno, -EEXIST);
  asker.LearnNew(kOpCreate, 0, 0);
  EXPECT(!asker.Known(kIno));
  Asker follower(false);
  follower.Learn(kIno, "security.capability", -ENODATA);
  follower.LearnNew(kOpCreate, kIno, 0);
  EXPECT(!follower.Known(kIno));
}

TEST(CapabilityAnswersForgetsBeforeAnythingMayChange) {
  Asker asker;
  const auto learn = [&] {
    for (uint64_t ino = kIno; ino < kIno + 3; ++ino) asker.Learn(ino, "security.capability", -ENODATA);
  };
  learn();
  EXPECT(!asker.Answered(kOpSetxattr, kIno) && !asker.Known(kIno) && asker.Known(kIno + 1));
  learn();
  EXPECT(!asker.Answered(kOpForget, kIno) && !asker.Known(kIno) && asker.Known(kIno + 1));
  learn();
  asker.ForgetBatch({kIno, kIno + 2});
  EXPECT(!asker.Known(kIno) && asker.Known(kIno + 1) && !asker.Known(kIno + 2));
  learn();
  asker.answers().Forget(kIno);
  EXPECT(!asker.Known(kIno));
  learn();
  asker.Postpone(kOpLookup);
  EXPECT(asker.Known(kIno));
  asker.Postpone(kOpSetxattr);
  EXPECT(!asker.Known(kIno));
  learn();
  EXPECT(!asker.Known(kIno));
}

}  // namespace podfs
