#include "sandbox/zygote.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "sandbox/base/error.h"
#include "sandbox/base/message_socket.h"
#include "sandbox/cgroup.h"

namespace carrel::sandbox {
namespace {

// The kind that setns checks each descriptor of "go" against.
constexpr std::array<int, kGoFdsMax> kGoKinds = {CLONE_NEWNS, CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS,
                                                 CLONE_NEWCGROUP};

// Waits for "go" and enters the cgroup and the namespaces that come with it. `proc`: the one that came along, or -1.
// Async-signal-safe.
EnterReport PassGate(int gate, bool namespaces, int* proc) noexcept {
  uint8_t entrances;
  iovec part{&entrances, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * (kGoFdsMax + kCgroupEntrancesMax + 1))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t got;
  do {
    got = ::recvmsg(gate, &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got != 1) return {EnterStage::kGate, got < 0 ? errno : ECANCELED};
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS) return {EnterStage::kGate, EPROTO};
  const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
  const size_t namespaces_and_entrances = kGoFdsMax + size_t{entrances};
  if (count != namespaces_and_entrances && count != namespaces_and_entrances + 1) return {EnterStage::kGate, EPROTO};
  const auto fd_at = [header](size_t i) noexcept {
    int fd;
    std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
    return fd;
  };
  *proc = count > namespaces_and_entrances ? fd_at(count - 1) : -1;
  for (size_t i = kGoFdsMax; i < namespaces_and_entrances; ++i) {
    if (const int error = EnterCgroup(fd_at(i)); error != 0) return {EnterStage::kCgroup, error};
  }
  for (size_t i = 0; namespaces && i < kGoFdsMax; ++i) {
    if (::setns(fd_at(i), kGoKinds[i]) != 0) return {EnterStage::kNamespaces, errno};
  }
  return {};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Zygote>> Zygote::Connect() {
  const char* variable = std::getenv(kZygoteFdVariable);
  if (variable == nullptr) return absl::FailedPreconditionError("CARREL_ZYGOTE_FD is not set: not started by a jailer");
  UniqueFd socket(std::atoi(variable));
  ::unsetenv(kZygoteFdVariable);
  if (::fcntl(socket.get(), F_SETFD, FD_CLOEXEC) != 0) return ErrnoStatus(errno, "the zygote's socket");
  UniqueFd own(::open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC));
  // By policy there is no /proc. setns takes a process in a namespace's stead.
  if (!own) own.reset(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  if (!own) return ErrnoStatus(errno, "/proc/self/ns/pid");
  ZygoteMessage message;
  auto received = ReceiveMessage(socket.get(), WritableBytesOf(message));
  if (!received.ok()) return received.status();
  if (received->size != sizeof message || message.kind != ZygoteMessageKind::kSetup || received->fds.size() != 1) {
    return absl::UnavailableError("the jailer did not send the set-up");
  }
  auto plan = EnterPlan::FromMemfd(received->fds[0].get());
  if (!plan.ok()) return plan.status();
  return std::unique_ptr<Zygote>(new Zygote(std::move(socket), std::move(own), *std::move(plan)));
}

bool Zygote::Send(const ZygoteMessage& message, int fd) {
  const std::span<const int> fds(&fd, fd >= 0 ? 1 : 0);
  const absl::Status sent = SendMessage(socket_.get(), BytesOf(message), fds);
  if (!sent.ok()) std::fprintf(stderr, "zygote: %s\n", sent.ToString().c_str());
  return sent.ok();
}

absl::Status Zygote::Ready() {
  return SendMessage(socket_.get(), BytesOf(ZygoteMessage{.kind = ZygoteMessageKind::kReady}));
}

std::optional<ForkOrder> Zygote::Next() {
  while (true) {
    std::vector<pollfd> polled{{.fd = socket_.get(), .events = POLLIN, .revents = 0}};
    std::vector<uint64_t> sessions{0};
    for (const auto& [session, child] : children_) {
      polled.push_back({.fd = child.pidfd.get(), .events = POLLIN, .revents = 0});
      sessions.push_back(session);
    }
    const int ready = ::poll(polled.data(), polled.size(), -1);
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return std::nullopt;
    for (size_t i = 1; i < polled.size(); ++i) {
      if (polled[i].revents != 0) Reap(sessions[i]);
    }
    if (polled[0].revents == 0) continue;
    ForkOrder order;
    auto received = ReceiveMessage(socket_.get(), WritableBytesOf(order.message));
    if (!received.ok() || received->size == 0) return std::nullopt;
    if (received->fds_lost && order.message.kind == ZygoteMessageKind::kFork) {
      (void)Send({.kind = ZygoteMessageKind::kFailed, .error = EMFILE, .session = order.message.session});
      continue;
    }
    if (received->size != sizeof order.message || order.message.kind != ZygoteMessageKind::kFork ||
        received->fds.size() < kForkControl || received->fds.size() > kForkFdsMax) {
      std::fprintf(stderr, "zygote: the jailer broke the protocol\n");
      return std::nullopt;
    }
    for (size_t i = 0; i < received->fds.size(); ++i) order.fds[i] = std::move(received->fds[i]);
    return order;
  }
}

void Zygote::Reap(uint64_t session) {
  const auto at = children_.find(session);
  if (at == children_.end()) return;
  int status = 0;
  const pid_t pid = at->second.pid;
  if (::waitpid(pid, &status, WNOHANG) != pid) return;
  children_.erase(at);
  (void)Send({.kind = ZygoteMessageKind::kExited, .session = session, .pid = pid, .status = status});
}

pid_t Zygote::Fork(ForkOrder& order) {
  const uint64_t session = order.message.session;
  ZygoteMessage answer{.kind = ZygoteMessageKind::kFailed, .session = session};
  pid_t pid = -1;
  const bool namespaces = order.message.no_namespaces == 0;
  if (namespaces && ::setns(order.fds[kForkPidNs].get(), CLONE_NEWPID) != 0) {
    answer.error = errno;
  } else {
    pid = ::fork();
    if (pid == 0) return 0;
    if (pid < 0) answer.error = errno;
    // Without this the next fork would land in a stranger's session: better no zygote at all.
    if (namespaces && ::setns(pid_namespace_.get(), CLONE_NEWPID) != 0) ::abort();
  }
  order.fds = {};
  if (pid > 0) {
    Child child{pid, UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)))};
    if (child.pidfd) {
      answer.kind = ZygoteMessageKind::kForked;
      answer.pid = pid;
      if (Send(answer, child.pidfd.get())) {
        children_.emplace(session, std::move(child));
        return pid;
      }
    }
    // It waits at a gate that nobody opens any more; without a pidfd nobody could watch it.
    answer = {.kind = ZygoteMessageKind::kFailed, .error = errno, .session = session};
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  (void)Send(answer);
  return -1;
}

void Zygote::EnterChild(ForkOrder& order) noexcept {
  const int gate = order.fds[kForkGate].get();
  int proc = -1;
  if (const EnterReport report = PassGate(gate, order.message.no_namespaces == 0, &proc);
      report.stage != EnterStage::kNone) {
    ReportAndExit(gate, report);
  }
  const EnterRequest request{.identity = order.message.identity,
                             .rlimits = order.message.rlimits,
                             .stdio = {order.fds[kForkStdin].get(), order.fds[kForkStdout].get(),
                                       order.fds[kForkStderr].get(), order.fds[kForkControl].get()},
                             .own_user_namespace = order.message.own_user_namespace != 0,
                             .gate = gate,
                             .proc = proc};
  const EnterReport report = EnterJail(plan_, request);
  // Whatever happened, the numbers below now belong to the session (or to nobody): forget them without closing.
  for (UniqueFd& fd : order.fds) (void)fd.release();
  (void)socket_.release();
  (void)pid_namespace_.release();
  for (auto& [session, child] : children_) (void)child.pidfd.release();
  if (report.stage != EnterStage::kNone) ReportAndExit(kEnterGateFd, report);
  ::close(kEnterGateFd);  // entered
}

}  // namespace carrel::sandbox
