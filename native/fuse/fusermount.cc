// Mounting with the help of fusermount3: it opens /dev/fuse, mounts it, and passes the descriptor over a socket.
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "fuse/mount.h"

extern char** environ;

namespace podfs {

namespace {

constexpr const char* kHelper = "fusermount3";
// Where the helper finds its end of the socket: any number that is not a standard stream.
constexpr int kHelperSocket = 3;

struct Helper {
  pid_t pid = -1;
  UniqueFd socket;
  UniqueFd errors;
};

// Starts the helper with its messages in a pipe and, if asked, a socket for the descriptor.
int StartHelper(const std::vector<std::string>& arguments, bool with_socket, Helper* helper) {
  int sockets[2] = {-1, -1};
  if (with_socket && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) return -errno;
  const UniqueFd theirs(sockets[1]);
  helper->socket.reset(sockets[0]);
  int errors[2];
  if (pipe2(errors, O_CLOEXEC) != 0) return -errno;
  helper->errors.reset(errors[0]);
  const UniqueFd their_errors(errors[1]);

  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  std::vector<char*> environment;
  for (char** variable = environ; *variable != nullptr; ++variable) environment.push_back(*variable);
  std::string socket_variable = "_FUSE_COMMFD=" + std::to_string(kHelperSocket);
  if (with_socket) environment.push_back(socket_variable.data());
  environment.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, their_errors.get(), 2);
  if (with_socket) posix_spawn_file_actions_adddup2(&actions, theirs.get(), kHelperSocket);
  // The thread that starts it blocks every signal; the helper must not.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  const int error = posix_spawnp(&helper->pid, kHelper, &actions, &attributes, argv.data(), environment.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return -error;
}

// Waits for the helper: true if it succeeded. `errors` gets what it printed, on one line.
bool FinishHelper(Helper* helper, std::string* errors) {
  char buffer[512];
  for (;;) {
    const ssize_t n = read(helper->errors.get(), buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    errors->append(buffer, static_cast<size_t>(n));
  }
  while (!errors->empty() && errors->back() == '\n') errors->pop_back();
  for (char& c : *errors) c = c == '\n' ? ' ' : c;
  int status = 0;
  while (waitpid(helper->pid, &status, 0) < 0) {
    // ECHILD: somebody else's handler has reaped it, so its status is unknown.
    if (errno != EINTR) return errors->empty();
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

UniqueFd ReceiveFd(int socket) {
  char byte = 0;
  iovec data = {&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ssize_t got = 0;
  do {
    got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  const cmsghdr* const header = got > 0 ? CMSG_FIRSTHDR(&message) : nullptr;
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS) return UniqueFd();
  int fd = -1;
  memcpy(&fd, CMSG_DATA(header), sizeof(fd));
  return UniqueFd(fd);
}

std::string NotStarted(int error) {
  return error == -ENOENT ? "this process may not mount(2), and fusermount3 is not installed (Debian package fuse3)"
                          : std::string("cannot start fusermount3: ") + strerror(-error);
}

// The helper takes commas and backslashes in values escaped.
std::string Escape(const std::string& value) {
  std::string escaped;
  for (const char c : value) {
    if (c == ',' || c == '\\') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

}  // namespace

MountResult MountByHelper(const std::string& mountpoint, const std::string& options, const std::string& source) {
  MountResult result;
  Helper helper;
  const std::string all = options + (options.empty() ? "" : ",") + "fsname=" + Escape(source);
  const int status = StartHelper({kHelper, "-o", all, "--", mountpoint}, true, &helper);
  if (status != 0) {
    result.error = status == -ENOENT ? -EPERM : status;
    result.message = NotStarted(status);
    return result;
  }
  // The helper closes its end when it fails: then nothing comes.
  result.fd = ReceiveFd(helper.socket.get());
  std::string errors;
  const bool succeeded = FinishHelper(&helper, &errors);
  if (succeeded && result.fd.valid()) return result;
  result.fd.reset();
  result.error = -EPERM;
  result.message = errors.empty() ? "fusermount3 failed and did not say why" : errors;
  return result;
}

int UnmountByHelper(const std::string& mountpoint, bool lazy, std::string* message) {
  std::vector<std::string> arguments = {kHelper, "-u", "-q"};
  if (lazy) arguments.emplace_back("-z");
  arguments.insert(arguments.end(), {"--", mountpoint});
  Helper helper;
  const int status = StartHelper(arguments, false, &helper);
  if (status != 0) {
    *message = NotStarted(status);
    return status == -ENOENT ? -EPERM : status;
  }
  if (FinishHelper(&helper, message)) return 0;
  if (message->empty()) *message = "fusermount3 -u of " + mountpoint + " failed";
  return -EBUSY;
}

}  // namespace podfs
