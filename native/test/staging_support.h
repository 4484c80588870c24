// What the tests of staging share: files and rings with known bytes, and transfers that are waited for.
#pragma once

#include <fcntl.h>

#include <cstring>
#include <fstream>
#include <functional>
#include <future>
#include <iterator>
#include <memory>
#include <random>
#include <string>

#include "staging/staging_io.h"
#include "test.h"

namespace podfs::staging {

constexpr uint64_t kSlotBytes = 4 << 20;

inline std::shared_ptr<Ring> NewRing(uint32_t slots) {
  std::shared_ptr<Ring> ring;
  EXPECT(Ring::Create({slots, kSlotBytes}, -1, &ring) == 0);
  return ring;
}

inline std::shared_ptr<StagedFile> NewFile(const std::string& path, uint32_t lane = 0) {
  UniqueFd(open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600));
  std::shared_ptr<StagedFile> file;
  EXPECT(StagedFile::Open(path, StagedFile::Access::kWrite, lane, &file) == 0);
  return file;
}

inline std::string RandomBytes(uint64_t bytes, uint32_t seed) {
  std::mt19937_64 random(seed);
  std::string result(Padded(bytes), 0);
  for (size_t at = 0; at < result.size(); at += sizeof(uint64_t)) {
    const uint64_t word = random();
    memcpy(&result[at], &word, sizeof(word));
  }
  result.resize(bytes);
  return result;
}

inline std::string Contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

struct Move {
  std::shared_ptr<StagedFile> file;
  std::shared_ptr<Ring> ring;
  uint32_t slot = 0;
  uint64_t position = 0;
  uint64_t length = 0;
  Transfer::Direction direction = Transfer::Direction::kToFile;
};

inline std::shared_ptr<Transfer> ToTransfer(const Move& move, Transfer::Done done) {
  auto transfer = std::make_shared<Transfer>();
  transfer->file = move.file;
  transfer->ring = move.ring;
  transfer->direction = move.direction;
  transfer->memory = move.ring->Slot(move.slot);
  transfer->position = move.position;
  transfer->length = move.length;
  transfer->done = std::move(done);
  return transfer;
}

inline std::future<int64_t> Begin(StagingIo* io, const Move& move) {
  const auto result = std::make_shared<std::promise<int64_t>>();
  if (!io->Start(ToTransfer(move, [result](int64_t value) { result->set_value(value); }))) {
    result->set_value(-ECANCELED);
  }
  return result->get_future();
}

// Runs a test with each engine. A machine without io_uring has one.
inline void WithEachEngine(Disturbance* disturbance, const std::function<void(StagingIo*)>& test) {
  for (const bool threads_only : {false, true}) {
    StagingIo io({threads_only, disturbance});
    test(&io);
  }
}

// Answers by a function.
class Disturber final : public Disturbance {
 public:
  explicit Disturber(std::function<int64_t(const Piece&)> answer) : answer_(std::move(answer)) {}
  int64_t Disturb(const Piece& piece) override { return answer_(piece); }

 private:
  const std::function<int64_t(const Piece&)> answer_;
};

}  // namespace podfs::staging
