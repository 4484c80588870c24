// Which names are said not to be there.
#include "fuse/absent_names.h"

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "test.h"

namespace podfs {

namespace {

using namespace std::string_view_literals;

constexpr uint64_t kDirectory = 7;
constexpr uint64_t kOther = 8;

// Requests as the session sees them, and answers as JavaScript gives them.
class Asker {
 public:
  explicit Asker(bool enabled = true) : names_(enabled) {}

  // True: said to be absent, without JavaScript.
  bool Absent(uint64_t directory, std::string_view name) {
    const EntryOut* const entry = Dispatch(kOpLookup, directory, Body({}, {name}));
    EXPECT(entry == nullptr || (entry->nodeid == 0 && entry->entry_valid_seconds == 5));
    return entry != nullptr;
  }
  void SayAbsent(uint64_t directory) {
    EntryOut entry = {};
    entry.entry_valid_seconds = 5;
    Answer(kOpLookup, directory, 0, entry);
  }
  void Make(uint64_t directory, uint64_t ino, uint32_t opcode = kOpMkdir, int error = 0) {
    EntryOut entry = {};
    entry.nodeid = ino;
    Answer(opcode, directory, error, entry);
  }
  const EntryOut* Dispatch(uint32_t opcode, uint64_t directory, const std::vector<char>& body) {
    return names_.Find(Header(opcode, directory), body.data(), body.size());
  }
  static std::vector<char> Body(std::vector<char> fixed, std::initializer_list<std::string_view> names) {
    for (const std::string_view name : names) {
      fixed.insert(fixed.end(), name.begin(), name.end());
      fixed.push_back('\0');
    }
    return fixed;
  }
  template <typename T>
  static std::vector<char> Fixed(const T& in) {
    std::vector<char> bytes(sizeof(in));
    memcpy(bytes.data(), &in, sizeof(in));
    return bytes;
  }
  AbsentNames& names() { return names_; }

 private:
  static InHeader Header(uint32_t opcode, uint64_t directory) {
    InHeader header = {};
    header.opcode = opcode;
    header.nodeid = directory;
    return header;
  }
  void Answer(uint32_t opcode, uint64_t directory, int error, const EntryOut& entry) {
    names_.Learn(Header(opcode, directory), error, &entry, error == 0 ? sizeof(entry) : 0);
  }

  AbsentNames names_;
};

}  // namespace

TEST(AbsentNamesKnowsNewDirectoriesAndThoseThatWereListed) {
  Asker asker;
  asker.Make(1, kDirectory);
  EXPECT(!asker.Absent(kDirectory, "a"));  // Nobody has said yet how to say so.
  asker.SayAbsent(1);
  EXPECT(asker.Absent(kDirectory, "a"));
  EXPECT(!asker.Absent(kOther, "a"));
  asker.names().Know(kOther, "one\0two\0"sv);
  EXPECT(asker.Absent(kOther, "three") && !asker.Absent(kOther, "one") && !asker.Absent(kOther, "two"));
  EXPECT(asker.Absent(kDirectory, "one"));
}

TEST(AbsentNamesLearnsOfDirectoriesOnlyWhenTheyAreMade) {
  Asker asker;
  asker.SayAbsent(1);
  asker.Make(1, kDirectory, kOpMkdir, -EEXIST);
  asker.Make(1, kDirectory, kOpMknod);
  asker.Make(1, kDirectory, kOpLookup);
  EXPECT(!asker.Absent(kDirectory, "a"));
}

TEST(AbsentNamesAddsWhatARequestMayMakeBeforeItIsDispatched) {
  Asker asker;
  asker.SayAbsent(1);
  asker.Make(1, kDirectory);
  asker.Make(1, kOther);
  const auto made = [&](uint32_t opcode, const std::vector<char>& body, const char* name, uint64_t in = kDirectory) {
    EXPECT(asker.Absent(in, name));
    EXPECT(asker.Dispatch(opcode, kDirectory, body) == nullptr);
    EXPECT(!asker.Absent(in, name));
  };
  made(kOpCreate, Asker::Body(Asker::Fixed(CreateIn{}), {"created"}), "created");
  made(kOpMknod, Asker::Body(Asker::Fixed(MknodIn{}), {"node"}), "node");
  made(kOpMkdir, Asker::Body(Asker::Fixed(MkdirIn{}), {"directory"}), "directory");
  made(kOpSymlink, Asker::Body({}, {"symlink", "target"}), "symlink");
  made(kOpLink, Asker::Body(Asker::Fixed(LinkIn{3}), {"link"}), "link");
  made(kOpRename, Asker::Body(Asker::Fixed(RenameIn{kOther}), {"created", "renamed"}), "renamed", kOther);
  made(kOpRename2, Asker::Body(Asker::Fixed(Rename2In{kOther, 0, 0}), {"node", "renamed2"}), "renamed2", kOther);
  // What has gone stays a question for JavaScript.
  EXPECT(!asker.Absent(kDirectory, "created"));
  EXPECT(asker.Absent(kDirectory, "target") && asker.Absent(kDirectory, "renamed"));
}

TEST(AbsentNamesAddsWhatTheDaemonMakes) {
  Asker asker;
  asker.SayAbsent(1);
  asker.Make(1, kDirectory);
  asker.names().Add(kDirectory, "linked");
  EXPECT(!asker.Absent(kDirectory, "linked"));
}

TEST(AbsentNamesLeavesWhatCannotBeANameToJavaScript) {
  Asker asker;
  asker.SayAbsent(1);
  asker.Make(1, kDirectory);
  for (const std::string& name : {std::string(), std::string("."), std::string(".."), std::string(256, 'x')}) {
    EXPECT(!asker.Absent(kDirectory, name));
  }
  EXPECT(asker.Absent(kDirectory, std::string(255, 'x')));
  // Cut off in the middle: nothing is read behind the end.
  EXPECT(asker.Dispatch(kOpCreate, kDirectory, {'x'}) == nullptr);
  EXPECT(asker.Dispatch(kOpRename, kDirectory, Asker::Body(Asker::Fixed(RenameIn{kOther}), {"alone"})) == nullptr);
  EXPECT(asker.Dispatch(kOpRename2, kDirectory, Asker::Fixed(RenameIn{kOther})) == nullptr);
}

TEST(AbsentNamesForgetsAllDirectoriesRatherThanOneName) {
  Asker asker;
  asker.SayAbsent(1);
  asker.Make(1, kDirectory);
  asker.Make(1, kOther);
  constexpr int kMore = 600'000;
  for (int i = 0; i < kMore; ++i) asker.names().Add(kDirectory, "name-" + std::to_string(i));
  EXPECT(!asker.Absent(kDirectory, "another") && !asker.Absent(kOther, "another"));
  asker.names().Know(kOther, "one\0"sv);
  EXPECT(asker.Absent(kOther, "another") && !asker.Absent(kOther, "one"));
}

TEST(AbsentNamesOfAFollowerKnowsNothing) {
  Asker asker(false);
  asker.SayAbsent(1);
  asker.Make(1, kDirectory);
  asker.names().Know(kDirectory, "one\0"sv);
  EXPECT(!asker.Absent(kDirectory, "a"));
}

}  // namespace podfs
