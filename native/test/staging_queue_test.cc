#include <cerrno>
#include <vector>

#include "staging/transfer_queue.h"
#include "staging_support.h"

namespace podfs::staging {

namespace {

// Transfers that nothing moves: the test says what became of their pieces.
class Desk {
 public:
  explicit Desk(Disturbance* disturbance = nullptr) : queue(disturbance) {}

  std::shared_ptr<StagedFile> File(uint32_t lane) {
    return NewFile(directory_ / ("file" + std::to_string(lane)).c_str(), lane);
  }
  void Add(const std::shared_ptr<StagedFile>& file, uint64_t length,
           Transfer::Direction direction = Transfer::Direction::kToFile) {
    const Move move = {file, ring_, 0, 0, length, direction};
    EXPECT(queue.Add(ToTransfer(move, [this](int64_t result) { results.push_back(result); })));
  }
  Piece Next() {
    Piece piece;
    EXPECT(queue.TryNext(&piece));
    return piece;
  }
  bool Empty() {
    Piece piece;
    return !queue.TryNext(&piece);
  }

  TransferQueue queue;
  std::vector<int64_t> results;

 private:
  const test::TemporaryDirectory directory_;
  const std::shared_ptr<Ring> ring_ = NewRing(1);
};

constexpr int64_t kMiB = 1 << 20;

}  // namespace

TEST(StagingQueueLetsLanesTakeTurns) {
  Desk desk;
  const auto greedy = desk.File(1);
  const auto modest = desk.File(2);
  for (int i = 0; i < 2; ++i) desk.Add(greedy, 3 * kMiB);
  desk.Add(modest, 2 * kMiB);
  std::string lanes;
  for (int i = 0; i < 8; ++i) lanes += std::to_string(desk.Next().transfer->file->lane());
  EXPECT(lanes == "12121111");
  EXPECT(desk.Empty());
}

TEST(StagingQueueMovesEverythingOnceAndPadsTheLastPiece) {
  Desk desk;
  desk.Add(desk.File(1), 2 * kMiB + 1);
  std::vector<Piece> pieces = {desk.Next(), desk.Next(), desk.Next()};
  EXPECT(desk.Empty());
  EXPECT(pieces[1].offset == kMiB && pieces[1].length == kMiB);
  EXPECT(pieces[2].offset == 2 * kMiB && pieces[2].length == kAlignment);
  for (const Piece& piece : pieces) {
    EXPECT(desk.results.empty());
    desk.queue.Complete(piece, piece.length);
  }
  EXPECT((desk.results == std::vector<int64_t>{2 * kMiB + 1}));
}

TEST(StagingQueueGoesOnWhereAShortPieceHasEnded) {
  Desk desk;
  desk.Add(desk.File(1), kMiB);
  desk.queue.Complete(desk.Next(), 2 * kAlignment + 5);
  const Piece rest = desk.Next();
  EXPECT(rest.offset == 2 * kAlignment && rest.length == kMiB - 2 * kAlignment);
  desk.queue.Complete(rest, rest.length);
  EXPECT((desk.results == std::vector<int64_t>{kMiB}));
}

TEST(StagingQueueDropsWhatIsLeftOfATransferThatHasFailed) {
  Desk desk;
  const auto file = desk.File(1);
  desk.Add(file, 4 * kMiB);
  desk.Add(file, kMiB);
  const Piece first = desk.Next();
  const Piece second = desk.Next();
  desk.queue.Complete(first, -ENOSPC);
  // Not told before the kernel has let go of all of it.
  EXPECT(desk.results.empty());
  const Piece of_other = desk.Next();
  EXPECT(of_other.transfer != first.transfer);
  EXPECT(desk.Empty());
  desk.queue.Complete(second, -EIO);
  EXPECT((desk.results == std::vector<int64_t>{-ENOSPC}));
  desk.queue.Complete(of_other, of_other.length);
  EXPECT((desk.results == std::vector<int64_t>{-ENOSPC, kMiB}));
}

TEST(StagingQueueTriesAgainButNotForEver) {
  for (const int64_t nothing : {int64_t{-EAGAIN}, int64_t{-EINTR}, int64_t{0}}) {
    Desk desk;
    desk.Add(desk.File(1), kMiB);
    int attempts = 0;
    for (Piece piece; desk.queue.TryNext(&piece); ++attempts) desk.queue.Complete(piece, nothing);
    EXPECT(attempts > 10 && attempts < 1000);
    EXPECT((desk.results == std::vector<int64_t>{nothing == 0 ? -EIO : nothing}));
  }
}

TEST(StagingQueueFindsTheEndOfAFileInAnyOrder) {
  constexpr auto kFromFile = Transfer::Direction::kFromFile;
  Desk desk;
  desk.Add(desk.File(1), 3 * kMiB, kFromFile);
  const Piece first = desk.Next();
  const Piece second = desk.Next();
  const Piece third = desk.Next();
  desk.queue.Complete(third, 0);
  desk.queue.Complete(second, 2 * kAlignment + 7);
  // It may just have been short: asked again from the last whole block.
  const Piece rest = desk.Next();
  EXPECT(rest.offset == kMiB + 2 * kAlignment);
  desk.queue.Complete(rest, 7);
  desk.queue.Complete(first, first.length);
  EXPECT((desk.results == std::vector<int64_t>{kMiB + 2 * kAlignment + 7}));

  // What was asked for is there, if not the padding: nothing more to ask.
  desk.Add(desk.File(2), kAlignment + 7, kFromFile);
  desk.queue.Complete(desk.Next(), kAlignment + 7);
  EXPECT(desk.Empty());
  EXPECT(desk.results.back() == kAlignment + 7);
}

TEST(StagingQueueGivesUpDirectIoWhereItIsRefused) {
  Desk desk;
  const auto file = desk.File(1);
  if (!file->direct()) SKIP("the temporary directory's filesystem has no O_DIRECT");
  desk.Add(file, 2 * kMiB);
  const Piece first = desk.Next();
  const Piece second = desk.Next();
  desk.queue.Complete(first, -EINVAL);
  desk.queue.Complete(second, -EINVAL);
  EXPECT(!file->direct());
  EXPECT((fcntl(file->fd(), F_GETFL) & O_DIRECT) == 0);
  desk.queue.Complete(desk.Next(), kMiB);
  // Now it is an error.
  desk.queue.Complete(desk.Next(), -EINVAL);
  EXPECT((desk.results == std::vector<int64_t>{-EINVAL}));
}

TEST(StagingQueueFinishesWhatItHasWhenItIsClosed) {
  Desk desk;
  const auto file = desk.File(1);
  desk.Add(file, kMiB);
  desk.Add(file, 0);
  EXPECT((desk.results == std::vector<int64_t>{0}));
  desk.queue.Close();
  EXPECT(!desk.queue.Add(ToTransfer({file, NewRing(1), 0, 0, kMiB}, nullptr)));
  EXPECT(!desk.queue.Finished());
  desk.queue.Complete(desk.Next(), kMiB);
  EXPECT(desk.queue.Finished());
  EXPECT((desk.results == std::vector<int64_t>{0, kMiB}));
}

}  // namespace podfs::staging
