// A session on a real mount, with an event loop of ten lines instead of Node's: for the sanitizers, which see all of
// the engine's threads here.
#include "fuse/session.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <random>
#include <thread>

#include "fuse/file_operations.h"
#include "fuse/mount.h"
#include "test.h"

namespace podfs {

namespace {

constexpr uint64_t kFileBytes = 16 << 20;
constexpr uint64_t kFileIno = 2;

// Parts of the protocol that JavaScript answers in the product.
struct Attr {
  uint64_t ino, size, blocks, atime, mtime, ctime;
  uint32_t atimensec, mtimensec, ctimensec, mode, nlink, uid, gid, rdev, blksize, flags;
};
struct EntryOut {
  uint64_t nodeid, generation, entry_valid, attr_valid;
  uint32_t entry_valid_nsec, attr_valid_nsec;
  Attr attr;
};
struct AttrOut {
  uint64_t attr_valid;
  uint32_t attr_valid_nsec, dummy;
  Attr attr;
};
struct OpenOut {
  uint64_t fh;
  uint32_t open_flags;
  int32_t backing_id;
};

Attr AttrOf(uint64_t ino) {
  Attr attr = {};
  attr.ino = ino;
  attr.mode = ino == kFileIno ? S_IFREG | 0644 : S_IFDIR | 0755;
  attr.nlink = 1;
  attr.size = ino == kFileIno ? kFileBytes : 0;
  return attr;
}

class Host final : public SessionHost {
 public:
  Host(UniqueFd device, std::shared_ptr<ContentFile> file) : file_(std::move(file)) {
    SessionOptions options;
    session_ = std::make_unique<Session>(std::move(device), options, this);
    wake_.reset(eventfd(0, EFD_NONBLOCK));
    EXPECT(session_->Start() == 0);
    thread_ = std::thread([this] { Loop(); });
  }
  ~Host() override {
    thread_.join();
    session_->Close();
  }
  Session& session() { return *session_; }
  int attribute_questions() const { return attribute_questions_; }

  void OnForward(std::vector<char> request) override {
    Post([this, request = std::move(request)] {
      if (session_->Admit(request.data(), request.size())) Answer(request.data(), true);
    });
  }
  void OnResumeReading() override {
    Post([this] { reading_ = true; });
  }
  void OnKillPrivileges(uint64_t) override {}
  void OnEnd(std::string error) override {
    EXPECT(error.empty());
    Post([this] { ended_ = true; });
  }

 private:
  void Post(std::function<void()> message) {
    const std::lock_guard lock(mutex_);
    messages_.push_back(std::move(message));
    eventfd_write(wake_.get(), 1);
  }

  void Loop() {
    std::vector<char> buffer((1 << 20) + 4096);
    while (!ended_) {
      pollfd fds[2] = {{wake_.get(), POLLIN, 0}, {reading_ ? session_->device_fd() : -1, POLLIN, 0}};
      poll(fds, 2, -1);
      eventfd_t ignored = 0;
      eventfd_read(wake_.get(), &ignored);
      std::vector<std::function<void()>> messages;
      {
        const std::lock_guard lock(mutex_);
        messages.swap(messages_);
      }
      for (const auto& message : messages) message();
      while (reading_ && !ended_ && ServeOne(buffer)) {
      }
    }
  }

  bool ServeOne(std::vector<char>& buffer) {
    size_t bytes = 0;
    switch (session_->ServeNext(buffer, &bytes)) {
      case Session::Outcome::kRequest:
        Answer(buffer.data(), false);
        return true;
      case Session::Outcome::kServed:
      case Session::Outcome::kNegotiated:
        return true;
      case Session::Outcome::kHandedOver:
      case Session::Outcome::kEnded:
        reading_ = false;
        return false;
      case Session::Outcome::kNothing:
        return false;
    }
    return false;
  }

  void Answer(const char* request, bool forwarded) {
    InHeader header;
    memcpy(&header, request, sizeof(header));
    const auto reply = [&](int error, const void* body, size_t bytes) {
      session_->Answer(request, header.len, forwarded, error, body, bytes);
    };
    switch (header.opcode) {
      case kOpForget:
      case kOpBatchForget:
      case kOpInterrupt:
        return;
      case kOpLookup: {
        if (strcmp(request + sizeof(header), "file") != 0) return reply(-ENOENT, nullptr, 0);
        EntryOut out = {};
        out.nodeid = kFileIno;
        out.attr = AttrOf(kFileIno);
        return reply(0, &out, sizeof(out));
      }
      case kOpGetattr: {
        AttrOut out = {};
        out.attr = AttrOf(header.nodeid);
        return reply(0, &out, sizeof(out));
      }
      case 14: {  // OPEN
        const OpenOut out = {next_handle_++, 0, 0};
        session_->Bind(out.fh, file_);
        return reply(0, &out, sizeof(out));
      }
      case 18: {  // RELEASE
        uint64_t handle = 0;
        memcpy(&handle, request + sizeof(header), sizeof(handle));
        session_->Unbind(handle);
        return reply(0, nullptr, 0);
      }
      case 25:  // FLUSH
        return reply(0, nullptr, 0);
      case kOpSetxattr: {
        // The fixed part, the name with its NUL, the value. All names are one here.
        const char* const name = request + sizeof(header) + sizeof(GetxattrIn);
        attribute_.assign(name + strlen(name) + 1, request + header.len);
        return reply(0, nullptr, 0);
      }
      case kOpGetxattr: {
        ++attribute_questions_;
        GetxattrIn in;
        memcpy(&in, request + sizeof(header), sizeof(in));
        if (attribute_.empty()) return reply(-ENODATA, nullptr, 0);
        if (in.size > 0) return reply(0, attribute_.data(), attribute_.size());
        const GetxattrIn out = {static_cast<uint32_t>(attribute_.size()), 0};
        return reply(0, &out, sizeof(out));
      }
      case 24:  // REMOVEXATTR
        attribute_.clear();
        return reply(0, nullptr, 0);
      default:
        return reply(-ENOSYS, nullptr, 0);
    }
  }

  const std::shared_ptr<ContentFile> file_;
  std::unique_ptr<Session> session_;
  UniqueFd wake_;
  std::thread thread_;
  bool reading_ = true;  // The loop's thread only, as what follows.
  bool ended_ = false;
  uint64_t next_handle_ = 1;
  std::string attribute_;
  std::atomic<int> attribute_questions_{0};
  std::mutex mutex_;
  std::vector<std::function<void()>> messages_;  // GUARDED BY mutex_
};

// Brings absent blocks, slowly.
class SlowFetcher final : public ContentFile::Listener {
 public:
  void Attach(const std::shared_ptr<ContentFile>& file) { file_ = file; }
  void OnTrigger(uint64_t) override {}
  void OnMiss(uint64_t first, uint64_t count) override {
    pool_.Post([this, first, count] {
      const std::shared_ptr<ContentFile> file = file_.lock();
      if (file == nullptr) return;
      const std::vector<uint64_t> claimed = file->Claim(first, count);
      usleep(2'000);
      for (const uint64_t block : claimed) file->Fill(block, 1);
    });
  }
  void Stop() { pool_.Stop(); }

 private:
  WorkerPool pool_{"fetch", 2};
  std::weak_ptr<ContentFile> file_;
};

}  // namespace

TEST(SessionServesAMountFromManyThreads) {
  if (getuid() != 0 || access("/dev/fuse", R_OK) != 0) SKIP("needs root and /dev/fuse");
  const test::TemporaryDirectory directory;
  const test::TemporaryDirectory mountpoint;
  UniqueFd fd(open((directory / "file").c_str(), O_RDWR | O_CREAT, 0600));
  EXPECT(ftruncate(fd.get(), kFileBytes) == 0);
  const auto fetcher = std::make_shared<SlowFetcher>();
  std::shared_ptr<ContentFile> file;
  EXPECT(ContentFile::Open(std::move(fd), 1 << 20, directory / "map", fetcher, &file) == 0);
  fetcher->Attach(file);
  MountResult mounted = Mount(mountpoint.path(), "default_permissions", "native-test");
  EXPECT(mounted.error == 0);
  if (mounted.error != 0) return;
  {
    Host host(std::move(mounted.fd), file);
    std::vector<std::thread> clients;
    for (unsigned client = 0; client < 4; ++client) {
      clients.emplace_back([&, client] {
        const std::string path = mountpoint / "file";
        std::mt19937 random(client);
        const UniqueFd own(open(path.c_str(), O_RDWR));
        EXPECT(own.valid());
        std::vector<char> mine(kFileBytes / 4);
        std::vector<char> buffer(1 << 20);
        const uint64_t base = client * mine.size();
        for (int i = 0; i < 60; ++i) {
          static constexpr size_t kSizes[] = {1, 4096, 100'000, 1 << 20};
          const size_t size = kSizes[random() % 4];
          const size_t at = random() % (mine.size() - size + 1);
          struct stat status;
          EXPECT(stat(path.c_str(), &status) == 0);
          if (random() % 2 == 0) {
            memset(mine.data() + at, static_cast<int>(random()), size);
            EXPECT(WriteFully(own.get(), mine.data() + at, size, base + at) == static_cast<int64_t>(size));
          } else {
            EXPECT(ReadFully(own.get(), buffer.data(), size, base + at) == static_cast<int64_t>(size));
            EXPECT(memcmp(buffer.data(), mine.data() + at, size) == 0);
          }
          if (random() % 8 == 0) host.session().notifier().InvalidateInode(kFileIno, 0, -1);
        }
      });
    }
    for (std::thread& client : clients) client.join();
    std::string message;
    EXPECT(Unmount(mountpoint.path(), false, &message) == 0);
  }
  fetcher->Stop();
  file->Close();
}

TEST(SessionAnswersForFilesWithoutCapabilities) {
  if (getuid() != 0 || access("/dev/fuse", R_OK) != 0) SKIP("needs root and /dev/fuse");
  const test::TemporaryDirectory mountpoint;
  MountResult mounted = Mount(mountpoint.path(), "default_permissions", "native-test");
  EXPECT(mounted.error == 0);
  if (mounted.error != 0) return;
  Host host(std::move(mounted.fd), nullptr);
  const std::string path = mountpoint / "file";
  constexpr char kCapability[] = "security.capability";
  char value[64];
  const auto has = [&] { return getxattr(path.c_str(), kCapability, value, sizeof(value)) > 0; };
  const auto asked_by = [&](const std::function<void()>& what) {
    const int before = host.attribute_questions();
    what();
    return host.attribute_questions() - before;
  };
  EXPECT(asked_by([&] { EXPECT(!has()); }) == 1);
  EXPECT(asked_by([&] { EXPECT(!has() && !has()); }) == 0);
  EXPECT(host.session().count(kOpGetxattr) == 3);
  // Known to have none, and set then: cap_net_raw, as setcap(8) writes it.
  const uint32_t capability[5] = {VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE, 1U << CAP_NET_RAW};
  EXPECT(setxattr(path.c_str(), kCapability, capability, sizeof(capability), 0) == 0);
  EXPECT(asked_by([&] { EXPECT(has() && has()); }) > 1);
  EXPECT(removexattr(path.c_str(), kCapability) == 0);
  EXPECT(asked_by([&] { EXPECT(!has() && !has()); }) == 1);
  std::string message;
  EXPECT(Unmount(mountpoint.path(), false, &message) == 0);
}

}  // namespace podfs
