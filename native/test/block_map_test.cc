#include "fuse/block_map.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "test.h"

namespace podfs {

namespace {

constexpr uint32_t kBlock = 4096;

std::unique_ptr<BlockMap> OpenMap(const std::string& path, uint64_t count) {
  std::unique_ptr<BlockMap> map;
  EXPECT(BlockMap::Open(path, kBlock, count, &map) == 0);
  return map;
}

// What the machine that wrote the map was: another one than this.
void ChangeBootId(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_WRONLY));
  EXPECT(pwrite(fd.get(), "another machine!", 16, 24) == 16);
}

}  // namespace

TEST(BlockMapIsAbsentWhenNewAndKeepsItsBits) {
  const test::TemporaryDirectory directory;
  {
    const auto map = OpenMap(directory / "map", 10);
    for (uint64_t block = 0; block < 10; ++block) EXPECT(!map->present(block) && !map->dirty(block));
    map->set_present(3);
    map->set_present(9);
    map->set_dirty(9);
  }
  const auto map = OpenMap(directory / "map", 10);
  EXPECT(map->present(3) && !map->dirty(3));
  EXPECT(map->present(9) && map->dirty(9));
  EXPECT(!map->present(4));
}

TEST(BlockMapForgetsAWriteThatWasNotAnswered) {
  const test::TemporaryDirectory directory;
  OpenMap(directory / "map", 4)->set_dirty(2);
  const auto map = OpenMap(directory / "map", 4);
  EXPECT(!map->present(2) && !map->dirty(2));
}

TEST(BlockMapFollowsTheSizeOfItsFile) {
  const test::TemporaryDirectory directory;
  OpenMap(directory / "map", 4)->set_present(3);
  {
    const auto longer = OpenMap(directory / "map", 100'000);
    EXPECT(longer->present(3) && !longer->dirty(3) && !longer->present(2));
    EXPECT(longer->present(4) && longer->dirty(4) && longer->dirty(99'999));
  }
  const auto shorter = OpenMap(directory / "map", 3);
  EXPECT(shorter->count() == 3);
  EXPECT(shorter->Grow(5) == 0);
  EXPECT(shorter->present(3) && shorter->dirty(3));
}

TEST(BlockMapTrustsCleanBlocksAfterARebootOnlyIfSynced) {
  const test::TemporaryDirectory directory;
  {
    const auto map = OpenMap(directory / "map", 4);
    map->set_present(0);
    map->set_present(1);
    map->set_dirty(1);
  }
  ChangeBootId(directory / "map");
  {
    const auto map = OpenMap(directory / "map", 4);
    EXPECT(!map->present(0));
    EXPECT(map->present(1) && map->dirty(1));
    map->set_present(2);
    map->NoteSynced(map->version());
  }
  ChangeBootId(directory / "map");
  EXPECT(OpenMap(directory / "map", 4)->present(2));
}

TEST(BlockMapRefusesWhatIsNone) {
  const test::TemporaryDirectory directory;
  OpenMap(directory / "map", 4);
  std::unique_ptr<BlockMap> map;
  EXPECT(BlockMap::Open(directory / "map", kBlock * 2, 4, &map) == -EINVAL);
  const UniqueFd fd(open((directory / "other").c_str(), O_WRONLY | O_CREAT, 0600));
  EXPECT(write(fd.get(), "something else", 14) == 14);
  EXPECT(BlockMap::Open(directory / "other", kBlock, 4, &map) == -EUCLEAN);
  EXPECT(BlockMap::Open(directory / "no/such", kBlock, 4, &map) == -ENOENT);
}

}  // namespace podfs
