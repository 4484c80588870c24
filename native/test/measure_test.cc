#include <sys/stat.h>

#include <cerrno>
#include <thread>

#include "measure/measurement.h"
#include "test.h"

namespace {

using podfs::measure::FindLoop;
using podfs::measure::Histogram;
using podfs::measure::Measurement;
using podfs::measure::Result;
using podfs::measure::Spec;
using podfs::test::TemporaryDirectory;

constexpr uint64_t kMinute = 60'000'000;

Spec LargeFile(const char* loop, const std::string& path) {
  Spec spec;
  spec.loop = FindLoop(loop);
  spec.path = path;
  spec.block_size = 64 << 10;
  spec.file_size = 1 << 20;
  spec.micros_max = kMinute;
  return spec;
}

Spec Tree(const char* loop, const std::string& path) {
  Spec spec;
  spec.loop = FindLoop(loop);
  spec.path = path;
  spec.prefix = "f";
  spec.files = 100;
  spec.files_per_directory = 30;
  spec.block_size = 5000;
  spec.block_size_min = 100;
  spec.micros_max = kMinute;
  return spec;
}

Result Run(Spec spec) { return Measurement(std::move(spec)).Run(); }

TEST(MeasureHasNarrowBucketsThatHoldWhatIsCountedInThem) {
  for (uint64_t value = 0; value < 5'000'000'000; value += 1 + value / 7) {
    const size_t bucket = Histogram::BucketOf(value);
    EXPECT(value <= Histogram::UpperBound(bucket));
    EXPECT(bucket == 0 || value > Histogram::UpperBound(bucket - 1));
    EXPECT(static_cast<double>(Histogram::UpperBound(bucket)) <= static_cast<double>(value) * 1.032);
  }
  EXPECT(Histogram::BucketOf(UINT64_MAX) == Histogram::kBuckets - 1);
  EXPECT(Histogram::UpperBound(Histogram::kBuckets - 1) == UINT64_MAX);
}

TEST(MeasureDividesALargeFileBetweenThreads) {
  const TemporaryDirectory directory;
  const std::string path = directory / "file";
  EXPECT(Run(LargeFile("write", path)).operations == 16);
  for (const char* loop : {"read", "map"}) {
    Spec spec = LargeFile(loop, path);
    spec.threads = 3;
    const Result result = Run(spec);
    EXPECT(result.error == 0);
    EXPECT(result.operations == 16 && result.operations_min == 5);
    EXPECT(result.amount == 1 << 20);
    EXPECT(result.latencies.count() == 16);
  }
}

TEST(MeasureEndsWhenItIsCancelled) {
  const TemporaryDirectory directory;
  const std::string path = directory / "file";
  Run(LargeFile("write", path));
  Spec spec = LargeFile("read-random", path);
  spec.threads = 4;
  spec.repeat = true;
  Measurement measurement(spec);
  std::thread canceller([&] {
    while (measurement.Operations() < 100) std::this_thread::yield();
    measurement.Cancel();
  });
  const Result result = measurement.Run();
  canceller.join();
  EXPECT(result.error == 0);
  EXPECT(result.operations >= 100);
}

TEST(MeasureMapsNoFileThatIsTooShort) {
  const TemporaryDirectory directory;
  const std::string path = directory / "file";
  Run(LargeFile("write", path));
  Spec spec = LargeFile("map", path);
  spec.file_size = 2 << 20;
  const Result result = Run(spec);
  EXPECT(result.error == -ENODATA);
  EXPECT(result.what == "mmap '" + path + "'");
}

TEST(MeasureDividesATreeBetweenProcessesEachFileOnce) {
  const TemporaryDirectory directory;
  for (const char* name : {"d0", "d1", "d2", "d3"}) mkdir((directory / name).c_str(), 0755);
  const Result created = Run(Tree("create", directory.path()));
  EXPECT(created.error == 0 && created.operations == 100);
  for (const bool shuffle : {false, true}) {
    uint64_t operations = 0;
    uint64_t amount = 0;
    for (uint32_t share = 0; share < 3; ++share) {
      Spec spec = Tree("read-files", directory.path());
      spec.threads = 2;
      spec.share = share;
      spec.shares = 3;
      spec.shuffle = shuffle;
      const Result result = Run(spec);
      EXPECT(result.error == 0);
      operations += result.operations;
      amount += result.amount;
    }
    // Sizes differ, so that a file read twice would show.
    EXPECT(operations == 100 && amount == created.amount);
  }
}

TEST(MeasureNamesTheCallAndTheFileOfAnError) {
  const TemporaryDirectory directory;
  const Result result = Run(Tree("create", directory.path()));
  EXPECT(result.error == -ENOENT);
  EXPECT(result.what == "create '" + directory.path() + "/d0/f0'");
}

}  // namespace
