// A test runner small enough to read: TEST registers, EXPECT reports and goes on, SKIP says why.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace podfs::test {

struct Test {
  const char* name;
  void (*run)();
};

inline std::vector<Test>& Tests() {
  static std::vector<Test> tests;
  return tests;
}
inline int& Failures() {
  static int failures = 0;
  return failures;
}
inline const char*& Skipped() {
  static const char* reason = nullptr;
  return reason;
}

struct Registration {
  Registration(const char* name, void (*run)()) { Tests().push_back({name, run}); }
};

// A directory that goes with the test.
class TemporaryDirectory {
 public:
  TemporaryDirectory() : path_((std::filesystem::temp_directory_path() / "podfs-test-XXXXXX").string()) {
    if (mkdtemp(path_.data()) == nullptr) abort();
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string operator/(const char* name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace podfs::test

#define TEST(name)                                                     \
  static void name();                                                  \
  static const podfs::test::Registration register_##name(#name, name); \
  static void name()

#define EXPECT(condition)                                                      \
  do {                                                                         \
    if (!(condition)) {                                                        \
      fprintf(stderr, "%s:%d: expected %s\n", __FILE__, __LINE__, #condition); \
      ++podfs::test::Failures();                                               \
    }                                                                          \
  } while (false)

#define SKIP(reason)                   \
  do {                                 \
    podfs::test::Skipped() = (reason); \
    return;                            \
  } while (false)
