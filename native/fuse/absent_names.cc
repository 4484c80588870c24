#include "fuse/absent_names.h"

#include <algorithm>
#include <cstring>

namespace podfs {

namespace {

// Longer ones are an error, which is JavaScript's to say.
constexpr size_t kNameBytesMax = 255;

// FNV-1a, 64 bits (http://www.isthe.com/chongo/tech/comp/fnv/), begun with the directory.
uint64_t FingerprintOf(uint64_t directory, std::string_view name) {
  constexpr uint64_t kOffset = 0xCBF29CE484222325;
  constexpr uint64_t kPrime = 0x100000001B3;
  uint64_t hash = (kOffset ^ directory) * kPrime;
  for (const char byte : name) hash = (hash ^ static_cast<unsigned char>(byte)) * kPrime;
  // The set takes the middle bits for a place, which short names hardly reach; and no number may be 0.
  hash ^= hash >> 29;
  return hash == 0 ? 1 : hash;
}

// The name at the start of `bytes`, without its NUL.
std::string_view NameAt(const char* at, size_t bytes) { return {at, strnlen(at, bytes)}; }

// The name behind the fixed part, which is as large as T.
template <typename T>
std::string_view NameBehind(const char* body, size_t bytes) {
  return bytes < sizeof(T) ? std::string_view() : NameAt(body + sizeof(T), bytes - sizeof(T));
}

}  // namespace

const EntryOut* AbsentNames::Find(const InHeader& header, const char* body, size_t bytes) {
  if (!enabled_) return nullptr;
  if (header.opcode != kOpLookup) {
    AddMade(header, body, bytes);
    return nullptr;
  }
  if (!absent_.has_value() || !directories_.Contains(header.nodeid)) return nullptr;
  const std::string_view name = NameAt(body, bytes);
  if (name.empty() || name.size() > kNameBytesMax || name == "." || name == "..") return nullptr;
  return names_.Contains(FingerprintOf(header.nodeid, name)) ? nullptr : &*absent_;
}

void AbsentNames::AddMade(const InHeader& header, const char* body, size_t bytes) {
  switch (header.opcode) {
    case kOpCreate:
      return Add(header.nodeid, NameBehind<CreateIn>(body, bytes));
    case kOpMknod:
      return Add(header.nodeid, NameBehind<MknodIn>(body, bytes));
    case kOpMkdir:
      return Add(header.nodeid, NameBehind<MkdirIn>(body, bytes));
    case kOpSymlink:
      return Add(header.nodeid, NameAt(body, bytes));
    case kOpLink:
      return Add(header.nodeid, NameBehind<LinkIn>(body, bytes));
    case kOpRename:
    case kOpRename2: {
      RenameIn in;
      if (bytes < sizeof(in)) return;
      memcpy(&in, body, sizeof(in));
      const bool is_long = header.opcode == kOpRename2;
      const std::string_view old_name =
          is_long ? NameBehind<Rename2In>(body, bytes) : NameBehind<RenameIn>(body, bytes);
      const char* const new_name = old_name.data() + old_name.size() + 1;
      if (old_name.data() == nullptr || new_name >= body + bytes) return;
      return Add(in.new_parent, NameAt(new_name, static_cast<size_t>(body + bytes - new_name)));
    }
    default:
      return;
  }
}

void AbsentNames::Learn(const InHeader& header, int error, const void* reply, size_t reply_bytes) {
  if (!enabled_ || error != 0 || reply_bytes < sizeof(EntryOut)) return;
  EntryOut entry;
  memcpy(&entry, reply, sizeof(entry));
  if (header.opcode == kOpLookup && entry.nodeid == 0) absent_ = entry;
  if (header.opcode == kOpMkdir && entry.nodeid != 0) directories_.Insert(entry.nodeid);
}

void AbsentNames::Know(uint64_t directory, std::string_view names) {
  if (!enabled_) return;
  directories_.Insert(directory);
  while (!names.empty()) {
    const std::string_view name = NameAt(names.data(), names.size());
    Add(directory, name);
    names.remove_prefix(std::min(name.size() + 1, names.size()));
  }
}

void AbsentNames::Add(uint64_t directory, std::string_view name) {
  if (!directories_.Contains(directory)) return;
  if (!names_.full()) return names_.Insert(FingerprintOf(directory, name));
  // A name that is not remembered would be one that is not there.
  names_.Clear();
  directories_.Clear();
}

}  // namespace podfs
