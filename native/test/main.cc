#include "test.h"

int main() {
  using podfs::test::Failures;
  using podfs::test::Skipped;
  size_t skipped = 0;
  for (const auto& test : podfs::test::Tests()) {
    const int before = Failures();
    Skipped() = nullptr;
    test.run();
    if (Skipped() != nullptr) {
      ++skipped;
      printf("skip %s (%s)\n", test.name, Skipped());
    } else {
      printf("%s %s\n", Failures() == before ? "ok  " : "FAIL", test.name);
    }
  }
  printf("%zu tests, %zu skipped, %d failures\n", podfs::test::Tests().size(), skipped, Failures());
  return Failures() == 0 ? 0 : 1;
}
