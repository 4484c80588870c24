#include <cerrno>
#include <cstring>
#include <future>
#include <string>

#include "fake_cuda.h"
#include "staging/device_copier.h"
#include "test.h"

namespace podfs::staging {

namespace {

using test::FakeCuda;

constexpr uint64_t kSlotBytes = Ring::kSlotAlignment;

// A driver with rings and copiers of it. All copiers end before the driver does.
class Bench {
 public:
  FakeCuda& cuda() { return cuda_; }

  std::shared_ptr<Ring> MakeRing() {
    std::shared_ptr<Ring> ring;
    EXPECT(Ring::Create({2, kSlotBytes}, -1, &ring) == 0);
    return ring;
  }
  std::unique_ptr<DeviceCopier> Open(CudaOutcome* outcome = nullptr) {
    auto copier = std::make_unique<DeviceCopier>(driver_, pins_, 0);
    std::promise<CudaOutcome> opened;
    EXPECT(copier->Start([&](const CudaOutcome& how) { opened.set_value(how); }, [] {}) == 0);
    const CudaOutcome how = opened.get_future().get();
    EXPECT(how.ok() || outcome != nullptr);
    if (outcome != nullptr) *outcome = how;
    return copier;
  }

 private:
  FakeCuda cuda_;
  const std::shared_ptr<const CudaDriver> driver_ = std::make_shared<const CudaDriver>(FakeCuda::Functions());
  const std::shared_ptr<CudaPins> pins_ = std::make_shared<CudaPins>();
};

// What is added to a copier, and waited for.
template <typename Added>
CudaOutcome Finish(DeviceCopier* copier, Added added) {
  std::promise<CudaOutcome> done;
  copier->Add(std::move(added), [&](const CudaOutcome& outcome) { done.set_value(outcome); });
  return done.get_future().get();
}

CudaOutcome Do(DeviceCopier* copier, DeviceCopier::Work work) { return Finish(copier, std::move(work)); }

DeviceCopier::Piece PieceOf(const char* device, uint64_t bytes, uint64_t slot_offset) {
  return {reinterpret_cast<CudaDevicePointer>(device), bytes, slot_offset};
}

}  // namespace

TEST(DeviceCopierIsDoneWhenTheBytesAreThere) {
  Bench bench;
  const auto ring = bench.MakeRing();
  const auto copier = bench.Open();
  char device[] = "weights and biases";
  const DeviceCopier::Copy out = {
      DeviceCopier::Direction::kToSlot, ring, 1, {PieceOf(device, 7, 0), PieceOf(device + 12, 6, 100)}};
  EXPECT(Finish(copier.get(), out).ok());
  EXPECT(memcmp(ring->Slot(1), "weights", 7) == 0);
  EXPECT(memcmp(ring->Slot(1) + 100, "biases", 6) == 0);

  memcpy(ring->Slot(0), "zeros", 5);
  EXPECT(Finish(copier.get(), DeviceCopier::Copy{DeviceCopier::Direction::kFromSlot, ring, 0, {PieceOf(device, 5, 0)}})
             .ok());
  EXPECT(strcmp(device, "zerosts and biases") == 0);
}

TEST(DeviceCopierQueuesWhatItHasBeforeItWaits) {
  Bench bench;
  const auto ring = bench.MakeRing();
  const auto copier = bench.Open();
  char device[16] = {};
  std::promise<void> go;
  copier->Add(
      [&] {
        go.get_future().wait();
        return CudaOutcome{};
      },
      [](const CudaOutcome&) {});
  std::promise<void> done;
  std::vector<int> order;
  for (int i = 0; i < 3; ++i) {
    copier->Add(DeviceCopier::Copy{DeviceCopier::Direction::kToSlot, ring, 0, {PieceOf(device, 16, 0)}},
                [&, i](const CudaOutcome&) {
                  // All three have been recorded before the first is waited for.
                  EXPECT(bench.cuda().Calls("event_record") == 3);
                  order.push_back(i);
                  if (i == 2) done.set_value();
                });
  }
  go.set_value();
  done.get_future().wait();
  EXPECT((order == std::vector<int>{0, 1, 2}));
  // Events are used again.
  EXPECT(Finish(copier.get(), DeviceCopier::Copy{DeviceCopier::Direction::kToSlot, ring, 0, {}}).ok());
  EXPECT(bench.cuda().Calls("event_create") == 3);
}

TEST(DeviceCopierFailsACopyWhenNothingOfItIsUnderWay) {
  Bench bench;
  const auto ring = bench.MakeRing();
  const auto copier = bench.Open();
  char device[16] = {};
  bench.cuda().FailNext("event_record", 700);
  const CudaOutcome outcome =
      Finish(copier.get(), DeviceCopier::Copy{DeviceCopier::Direction::kToSlot, ring, 0, {PieceOf(device, 16, 0)}});
  EXPECT(outcome.result == 700 && strcmp(outcome.what, "cuEventRecord") == 0);
  EXPECT(bench.cuda().LastCall("stream_synchronize") > bench.cuda().LastCall("memcpy_to_host"));

  bench.cuda().FailNext("event_synchronize", 719);
  const CudaOutcome late =
      Finish(copier.get(), DeviceCopier::Copy{DeviceCopier::Direction::kToSlot, ring, 0, {PieceOf(device, 16, 0)}});
  EXPECT(late.result == 719 && strcmp(late.what, "cuEventSynchronize") == 0);
}

TEST(DeviceCopiersPinARingOnce) {
  Bench bench;
  const auto ring = bench.MakeRing();
  const auto first = bench.Open();
  const auto second = bench.Open();
  EXPECT(Do(first.get(), [&] { return first->Pin(ring); }).ok());
  EXPECT(Do(second.get(), [&] { return second->Pin(ring); }).ok());
  EXPECT(bench.cuda().Calls("mem_host_register") == 1);
  EXPECT(Do(first.get(), [&] { return first->Unpin(ring.get()); }).ok());
  EXPECT(bench.cuda().Calls("mem_host_unregister") == 0);
  EXPECT(Do(first.get(), [&] { return first->Unpin(ring.get()); }).error == -EINVAL);
  second->Close();
  second->Join();
  EXPECT(bench.cuda().Calls("mem_host_unregister") == 1);
}

TEST(DeviceCopierTriesAgainToPinWhatCouldNotBePinned) {
  Bench bench;
  const auto ring = bench.MakeRing();
  const auto copier = bench.Open();
  bench.cuda().FailNext("mem_host_register", 2);
  EXPECT(Do(copier.get(), [&] { return copier->Pin(ring); }).result == 2);
  EXPECT(Do(copier.get(), [&] { return copier->Pin(ring); }).ok());
}

TEST(DeviceCopierUndoesAtItsEndWhatWasLeft) {
  Bench bench;
  const auto ring = bench.MakeRing();
  const auto copier = bench.Open();
  CudaIpcHandle handle = {};
  handle.bytes[0] = 3;
  CudaDevicePointer address = 0;
  CudaDevicePointer allocated = 0;
  EXPECT(Do(copier.get(), [&] { return copier->Pin(ring); }).ok());
  uint64_t bytes = 0;
  for (int i = 0; i < 3; ++i) EXPECT(Do(copier.get(), [&] { return copier->OpenIpc(handle, &address, &bytes); }).ok());
  EXPECT(address == 3 * 4096 && bytes == 4000);
  EXPECT(Do(copier.get(), [&] { return copier->CloseIpc(address); }).ok());
  EXPECT(Do(copier.get(), [&] { return copier->CloseIpc(1); }).error == -EINVAL);
  EXPECT(Do(copier.get(), [&] { return copier->Allocate(100, &allocated); }).ok());
  EXPECT(Do(copier.get(), [&] { return copier->Free(1); }).error == -EINVAL);

  copier->Close();
  copier->Join();
  EXPECT(bench.cuda().Calls("ipc_close_mem_handle") == 3);
  EXPECT(bench.cuda().Calls("mem_free") == 1);
  EXPECT(bench.cuda().Calls("mem_host_unregister") == 1);
  EXPECT(bench.cuda().Calls("primary_context_release") == 1);
  EXPECT(Do(copier.get(), [] { return CudaOutcome{}; }).error == -EBADF);
}

TEST(DeviceCopierOpensMemoryWhoseSizeTheDriverDoesNotTell) {
  Bench bench;
  const auto copier = bench.Open();
  CudaDevicePointer address = 0;
  uint64_t bytes = 0;
  bench.cuda().FailNext("mem_get_address_range", 1);
  EXPECT(Do(copier.get(), [&] { return copier->OpenIpc(CudaIpcHandle{}, &address, &bytes); }).ok());
  EXPECT(bytes == UINT64_MAX);
}

TEST(DeviceCopierDoesWhatItHasBeforeItEnds) {
  Bench bench;
  const auto ring = bench.MakeRing();
  const auto copier = bench.Open();
  char device[] = "late";
  int done = 0;
  for (int i = 0; i < 20; ++i) {
    copier->Add(DeviceCopier::Copy{DeviceCopier::Direction::kToSlot, ring, 0, {PieceOf(device, 4, 0)}},
                [&](const CudaOutcome& outcome) { done += outcome.ok() ? 1 : 0; });
  }
  copier->Close();
  copier->Join();
  EXPECT(done == 20);
  EXPECT(memcmp(ring->Slot(0), "late", 4) == 0);
}

TEST(DeviceCopierSaysWhyADeviceCannotBeOpened) {
  Bench bench;
  bench.cuda().FailNext("stream_create", 2);
  CudaOutcome outcome;
  const auto copier = bench.Open(&outcome);
  EXPECT(outcome.result == 2 && strcmp(outcome.what, "cuStreamCreate") == 0);
  copier->Join();
  EXPECT(bench.cuda().Calls("primary_context_release") == 1);
  EXPECT(bench.cuda().Calls("stream_destroy") == 0);
}

}  // namespace podfs::staging
