// Bytes on their way between a ring and a file, and the pieces they are moved in.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "staging/ring.h"
#include "staging/staged_file.h"

namespace podfs::staging {

// What is asked of the disk at once. Measured on ext4 (facts: 1 MiB x 32 in flight 2.44 GB/s, 16 MiB x 4 1.87).
constexpr uint32_t kPieceBytes = 1 << 20;

struct Transfer {
  enum class Direction { kToFile, kFromFile };
  // The bytes moved, fewer than asked for at the end of the file only, or a negative errno.
  using Done = std::function<void(int64_t result)>;

  std::shared_ptr<StagedFile> file;
  std::shared_ptr<Ring> ring;  // Keeps the memory.
  Direction direction = Direction::kToFile;
  // Both aligned to kAlignment; the memory reaches to Padded(length).
  char* memory = nullptr;
  uint64_t position = 0;
  uint64_t length = 0;
  Done done;

  // --- The queue's, GUARDED BY its mutex.
  uint64_t handed_out = 0;    // Up to Padded(length).
  uint32_t outstanding = 0;   // Pieces handed out, or to be handed out again.
  uint64_t end = UINT64_MAX;  // Where the file has ended, from `position` on.
  int error = 0;
};

struct Piece {
  std::shared_ptr<Transfer> transfer;
  uint64_t offset = 0;  // In the transfer.
  uint32_t length = 0;
  uint32_t asked = 0;     // To be asked of the kernel: `length`, unless a test says otherwise.
  uint32_t attempts = 0;  // In a row that moved nothing.
  bool direct = false;    // The file was, when the piece was handed out.

  int fd() const { return transfer->file->fd(); }
  bool to_file() const { return transfer->direction == Transfer::Direction::kToFile; }
  char* memory() const { return transfer->memory + offset; }
  uint64_t position() const { return transfer->position + offset; }
};

// For tests: what disks do to a piece, on demand.
class Disturbance {
 public:
  virtual ~Disturbance() = default;
  // Called before the kernel is asked, on any thread. Returns how much to ask for, `piece.length` at most; or a
  // negative errno that the kernel is to have answered, without asking it.
  virtual int64_t Disturb(const Piece& piece) = 0;
};

}  // namespace podfs::staging
