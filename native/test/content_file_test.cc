#include "fuse/content_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <random>
#include <thread>

#include "fuse/file_operations.h"
#include "test.h"

namespace podfs {

namespace {

constexpr uint32_t kBlock = 4096;
constexpr uint64_t kBlocks = 64;

// Fetches what is missed, on threads of its own: the byte at every place is a function of its block.
class Fetcher final : public ContentFile::Listener {
 public:
  explicit Fetcher(WorkerPool* pool) : pool_(pool) {}
  void Attach(const std::shared_ptr<ContentFile>& file) { file_ = file; }
  void OnTrigger(uint64_t) override { ++triggers; }
  void OnMiss(uint64_t first, uint64_t count) override {
    pool_->Post([this, first, count] {
      const std::shared_ptr<ContentFile> file = file_.lock();
      if (file == nullptr) return;
      for (const uint64_t block : file->Claim(first, count)) {
        if (++fetches % 5 == 0) {
          file->Fail(block, 1, EAGAIN);
          continue;
        }
        char bytes[kBlock];
        memset(bytes, static_cast<int>(block + 1), sizeof(bytes));
        WriteFully(file->fd(), bytes, sizeof(bytes), block * kBlock);
        file->Fill(block, 1);
      }
    });
  }

  std::atomic<int> fetches{0};
  std::atomic<int> triggers{0};

 private:
  WorkerPool* const pool_;
  std::weak_ptr<ContentFile> file_;
};

// Fetches nothing: the test does.
class Silence final : public ContentFile::Listener {
 public:
  void OnMiss(uint64_t, uint64_t) override {}
  void OnTrigger(uint64_t) override {}
};

std::shared_ptr<ContentFile> OpenPartial(const test::TemporaryDirectory& directory,
                                         const std::shared_ptr<ContentFile::Listener>& listener) {
  UniqueFd fd(open((directory / "file").c_str(), O_RDWR | O_CREAT, 0600));
  EXPECT(ftruncate(fd.get(), kBlocks * kBlock) == 0);
  std::shared_ptr<ContentFile> file;
  EXPECT(ContentFile::Open(std::move(fd), kBlock, directory / "map", listener, &file) == 0);
  return file;
}

int64_t RunAndWait(WorkerPool* pool, Attempt attempt) {
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<int64_t> result;
  RunOperation(pool, std::move(attempt), [&](int64_t value) {
    const std::lock_guard lock(mutex);
    result = value;
    changed.notify_one();
  });
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return result.has_value(); });
  return *result;
}

}  // namespace

// Readers, writers and a publisher on one file whose blocks arrive, or fail to, while they work.
TEST(ContentFileServesManyThreadsWhileItsBlocksArrive) {
  const test::TemporaryDirectory directory;
  WorkerPool operations("operations", 4);
  WorkerPool fetches("fetches", 2);
  const auto fetcher = std::make_shared<Fetcher>(&fetches);
  const auto file = OpenPartial(directory, fetcher);
  fetcher->Attach(file);

  std::atomic<bool> stop{false};
  std::thread publisher([&] {
    for (bool published = false; !stop; published = !published) {
      std::vector<uint64_t> dirty;
      EXPECT(file->BeginPublish(&dirty) == 0);
      std::this_thread::yield();
      file->EndPublish(published);
    }
  });
  std::vector<std::thread> workers;
  for (unsigned worker = 0; worker < 4; ++worker) {
    workers.emplace_back([&, worker] {
      std::mt19937 random(worker);
      std::vector<char> buffer(3 * kBlock);
      for (int i = 0; i < 400; ++i) {
        // Each worker has every fourth block; writes leave the bytes a fetch would bring.
        const uint64_t block = random() % (kBlocks / 4) * 4 + worker;
        const uint64_t within = random() % kBlock;
        const uint64_t length = random() % 3 == 0 ? kBlock - within : 1 + random() % (kBlock - within);
        const uint64_t offset = block * kBlock + within;
        const char expected = static_cast<char>(block + 1);
        int64_t result = 0;
        if (random() % 2 == 0) {
          memset(buffer.data(), expected, length);
          result = RunAndWait(&operations, WriteAttempt(file, buffer.data(), length, offset));
        } else {
          result = RunAndWait(&operations, ReadAttempt(file, buffer.data(), length, offset));
          for (int64_t at = 0; at < result; ++at) EXPECT(buffer[static_cast<size_t>(at)] == expected);
        }
        EXPECT(result == static_cast<int64_t>(length) || result == -EAGAIN);
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  stop = true;
  publisher.join();
  fetches.Stop();
  operations.Stop();
  file->Close();
}

TEST(ContentFileResumesWhatIsParkedExactlyOnce) {
  const test::TemporaryDirectory directory;
  const auto file = OpenPartial(directory, std::make_shared<Silence>());
  std::vector<int> resumed;
  const auto park = [&](uint64_t token) {
    return file->Park({Need::Kind::kPresent, 5 * kBlock, 10}, token, [&](int error) { resumed.push_back(error); });
  };
  EXPECT(file->TryRead(5 * kBlock, 10) == ContentFile::Access::kBlocked);
  EXPECT(park(1) && park(2) && park(3));
  EXPECT(file->Unpark(2) != nullptr);
  EXPECT(file->Unpark(2) == nullptr && file->Unpark(0) == nullptr);
  EXPECT(file->Claim(5, 1) == std::vector<uint64_t>{5});
  file->Fail(5, 1, EIO);
  EXPECT((resumed == std::vector<int>{EIO, EIO}));
  EXPECT(park(4));
  file->Claim(5, 1);
  file->Fill(5, 1);
  EXPECT((resumed == std::vector<int>{EIO, EIO, 0}));
  EXPECT(!park(5));
  file->Close();
  EXPECT(file->TryRead(0, 1) == ContentFile::Access::kClosed);
}

TEST(ContentFileWriteThatFailsLeavesItsBlocksAbsent) {
  const test::TemporaryDirectory directory;
  const auto file = OpenPartial(directory, std::make_shared<Silence>());
  WriteGrant grant;
  EXPECT(file->BeginWrite(kBlock, 3 * kBlock, &grant) == 0);
  EXPECT(file->Claim(0, 6) == (std::vector<uint64_t>{0, 4, 5}));
  // The disk was full after one and a half blocks.
  file->EndWrite(grant, kBlock + kBlock / 2);
  EXPECT(file->Has(1) && !file->Has(2) && !file->Has(3));
  EXPECT(file->Claim(0, 6) == (std::vector<uint64_t>{2, 3}));
  std::vector<uint64_t> dirty;
  EXPECT(file->BeginPublish(&dirty) == 0);
  EXPECT(dirty == std::vector<uint64_t>{1});
}

}  // namespace podfs
