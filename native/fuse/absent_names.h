// Answers LOOKUP for names that are certainly not there.
//
// Before it makes a file the kernel asks for its name (fuse_atomic_open, filename_create): a request for every file
// that is unpacked, cloned or installed, and the answer is no. Of a directory all of whose names are known here, that
// answer needs no JavaScript (docs/decisions/0011):
//
//   a directory is known  when it was just made; when JavaScript has listed it (Know)
//   a name is added       before a request that may make it is dispatched; when the daemon made it itself, and tells
//   the
//                         kernel so
//
// Names that go are kept: about those JavaScript is asked. So what is known is never less than what is there, as long
// as a directory is not listed while a request that makes a name in it is under way: Know must not be called then.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "fuse/number_set.h"
#include "fuse/protocol.h"

namespace podfs {

// One thread: the event loop's.
class AbsentNames {
 public:
  // Not where others write to the volume (followers).
  explicit AbsentNames(bool enabled) : enabled_(enabled) {}

  // Every request, in the order in which they are read. The answer when the name is not there, else nullptr.
  const EntryOut* Find(const InHeader& header, const char* body, size_t bytes);
  // What JavaScript has answered, in the turn in which it was asked.
  void Learn(const InHeader& header, int error, const void* reply, size_t reply_bytes);
  // `names`: all that are in the directory, each with its NUL.
  void Know(uint64_t directory, std::string_view names);
  // The daemon has made the name.
  void Add(uint64_t directory, std::string_view name);

 private:
  // Together 9 MiB at most, when full.
  static constexpr size_t kDirectoriesMax = size_t{64} * 1024;
  static constexpr size_t kNamesMax = size_t{512} * 1024;

  void AddMade(const InHeader& header, const char* body, size_t bytes);

  bool enabled_;
  // How JavaScript says no: it is the one that decides how long the kernel may keep it.
  std::optional<EntryOut> absent_;
  NumberSet directories_{kDirectoriesMax};  // All names of these are in names_.
  NumberSet names_{kNamesMax};              // Fingerprints: two names with one are both taken for present.
};

}  // namespace podfs
