#include "nursery.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "confined_processes.h"
#include "init.h"
#include "mounts.h"
#include "namespaces.h"
#include "nursery_protocol.h"
#include "process_setup.h"
#include "sandbox/base/error.h"
#include "sandbox/base/message_socket.h"
#include "sandbox/base/process_info.h"
#include "sandbox/zygote_protocol.h"

namespace carrel::sandbox {
namespace {

// What a zygote may write while it imports: it is ours, but not unlimited.
constexpr uint64_t kZygoteWorkspaceBytes = 64 << 20;
constexpr uint64_t kZygoteFiles = 4096;
// What a fork of a zygote needs to become its session's user; no user namespace makes the others harmless.
constexpr uint64_t kConfinedZygoteCapabilities = uint64_t{1} << CAP_SETUID | uint64_t{1} << CAP_SETGID |
                                                 uint64_t{1} << CAP_SETPCAP | uint64_t{1} << CAP_KILL |
                                                 uint64_t{1} << CAP_DAC_OVERRIDE;
// Looks, of a millisecond and more each, at whether what is jailed has ended when the jailer has.
constexpr int kKillRounds = 2000;

class NurseryProcess final {
 public:
  NurseryProcess(UniqueFd socket, Tier tier, const std::vector<Policy>& policies, const std::vector<EnterPlan>& plans,
                 UniqueFd claim)
      : tier_(tier), policies_(policies), plans_(plans) {
    fds_.push_back(std::move(socket));
    if (claim) fds_.push_back(std::move(claim));
  }

  // The stem, from which the nursery grows: the outer pid namespace must be made by a process that is in the outer user
  // namespace already, or it would belong to the host's, and no zygote could enter a session's or come back.
  [[noreturn]] void RunStem() {
    if (const int error = KeepOnlyDescriptors(&fds_); error != 0) Fail(SetupStage::kDescriptors, error, "");
    HideArguments("carrel-nursery");
    // Also keeps a terminal's Ctrl-C away from everything below.
    if (::setsid() < 0) Fail(SetupStage::kDescriptors, errno, "setsid");
    if (tier_ == Tier::kConfined) RunConfined();
    DieWithJailer();
    if (tier_ == Tier::kUserns) AwaitMaps();
    if (const absl::Status status = BuildNurseryRoot(policies_); !status.ok()) {
      Fail(SetupStage::kTemplate, 0, std::string(status.message()));
    }
    if (tier_ == Tier::kFull) EnterUserNamespace();
    // The jailer's child, not ours.
    const pid_t pid = ForkInto(CLONE_PARENT | CLONE_NEWPID | CLONE_NEWNS);
    if (pid < 0) Fail(SetupStage::kFork, errno, "clone the nursery");
    if (pid == 0) RunNursery();
    const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!pidfd) Fail(SetupStage::kFork, errno, "pidfd_open");
    Send({.kind = NurseryMessageKind::kForked}, pidfd.get());
    ::_exit(0);
  }

 private:
  // No stem and no namespaces. What is below us does not end with us by itself, so it is we who end it.
  [[noreturn]] void RunConfined() {
    if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) Fail(SetupStage::kDescriptors, errno, "subreaper");
    if (::prctl(PR_SET_DUMPABLE, 0) != 0) Fail(SetupStage::kDescriptors, errno, "dumpable");
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) Fail(SetupStage::kDescriptors, errno, "no_new_privs");
    children_ = WatchChildren();
    if (!children_) Fail(SetupStage::kDescriptors, errno, "signalfd");
    const UniqueFd own(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
    if (!own) Fail(SetupStage::kFork, errno, "pidfd_open");
    Send({.kind = NurseryMessageKind::kForked}, own.get());
    Send({.kind = NurseryMessageKind::kUp});
    Serve();
  }

  [[noreturn]] void End() {
    if (tier_ == Tier::kConfined) (void)KillJailedBelow(::getpid(), kKillRounds);
    ::_exit(1);
  }

  [[nodiscard]] int socket() const { return fds_[0].get(); }

  void Send(const NurseryMessage& message, int fd = -1) {
    if (!SendMessage(socket(), BytesOf(message), std::span<const int>(&fd, fd >= 0 ? 1 : 0)).ok()) End();
  }

  [[noreturn]] void Fail(SetupStage stage, int error, const std::string& text) {
    NurseryMessage message{.kind = NurseryMessageKind::kFailed, .policy = ~0U, .stage = stage, .error = error};
    std::snprintf(message.text, sizeof message.text, "%s", text.c_str());
    Send(message);
    ::_exit(1);
  }

  // The kernel forgets this wish at every change of our credentials, so it is said again after each.
  void DieWithJailer() {
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) Fail(SetupStage::kDescriptors, errno, "PDEATHSIG");
    pollfd jailer{.fd = socket(), .events = 0, .revents = 0};
    if (::poll(&jailer, 1, 0) > 0 && (jailer.revents & POLLHUP) != 0) ::_exit(1);  // it died before we asked
  }

  void AwaitMaps() {
    NurseryMessage message;
    const auto received = ReceiveMessage(socket(), WritableBytesOf(message));
    if (!received.ok() || received->size != sizeof message || message.kind != NurseryMessageKind::kMapped) ::_exit(1);
  }

  void EnterUserNamespace() {
    if (::unshare(CLONE_NEWUSER) != 0) Fail(SetupStage::kUserNamespace, errno, "unshare");
    Send({.kind = NurseryMessageKind::kNeedsMap});
    AwaitMaps();
    if (::setgroups(0, nullptr) != 0 || ::setresgid(0, 0, 0) != 0 || ::setresuid(0, 0, 0) != 0) {
      Fail(SetupStage::kUserNamespace, errno, "become its root");
    }
    DieWithJailer();
  }

  [[noreturn]] void RunNursery() {
    DieWithJailer();
    // From here on nobody of the same uid may look into us.
    if (::prctl(PR_SET_DUMPABLE, 0) != 0) Fail(SetupStage::kUserNamespace, errno, "dumpable");
    children_ = WatchChildren();
    if (!children_) Fail(SetupStage::kDescriptors, errno, "signalfd");
    Send({.kind = NurseryMessageKind::kUp});
    Serve();
  }

  [[noreturn]] void Serve() {
    while (true) {
      pollfd polled[2] = {{.fd = socket(), .events = POLLIN, .revents = 0},
                          {.fd = children_.get(), .events = POLLIN, .revents = 0}};
      if (::poll(polled, 2, -1) < 0) {
        if (errno == EINTR) continue;
        End();
      }
      if (polled[1].revents != 0) Reap();
      if (polled[0].revents != 0) Receive();
    }
  }

  void Reap() {
    signalfd_siginfo info;
    while (::read(children_.get(), &info, sizeof info) > 0) {
    }
    while (true) {
      int status = 0;
      const pid_t pid = ::waitpid(-1, &status, WNOHANG);
      if (pid <= 0) return;
      Send({.kind = NurseryMessageKind::kReaped, .pid = pid, .status = status});
    }
  }

  void Receive() {
    NurseryMessage order;
    auto received = ReceiveMessage(socket(), WritableBytesOf(order));
    if (!received.ok() || received->size != sizeof order || order.policy >= policies_.size()) End();
    const bool confined = tier_ == Tier::kConfined;
    if (order.kind == NurseryMessageKind::kPing) return Send({.kind = NurseryMessageKind::kPong});
    if (received->fds_lost) {
      return Send({.kind = NurseryMessageKind::kFailed,
                   .policy = order.policy,
                   .session = order.session,
                   .zygote = order.zygote,
                   .stage = SetupStage::kDescriptors,
                   .error = EMFILE});
    }
    if (order.kind == NurseryMessageKind::kStartZygote) {
      constexpr int kZygoteNamespaces = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;
      Start(order, std::move(received->fds), confined ? 0 : kZygoteNamespaces, NurseryMessageKind::kZygoteStarted);
    } else if (order.kind == NurseryMessageKind::kStartInit) {
      Start(order, std::move(received->fds), confined ? 0 : InitNamespaces(), NurseryMessageKind::kInitStarted);
    } else {
      End();
    }
  }

  void Start(const NurseryMessage& order, std::vector<UniqueFd> fds, int namespaces, NurseryMessageKind started) {
    NurseryMessage answer{
        .kind = NurseryMessageKind::kFailed, .policy = order.policy, .session = order.session, .zygote = order.zygote};
    const pid_t pid = ForkInto(namespaces);
    if (pid == 0) {
      const Policy& policy = policies_[order.policy];
      // No pid namespace does it.
      if (tier_ == Tier::kConfined && ::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) ::_exit(1);
      if (started == NurseryMessageKind::kInitStarted) RunInit(order, std::move(fds), policy, plans_[order.policy]);
      RunZygote(order, std::move(fds), policy);
    }
    if (pid < 0) {
      answer.stage = SetupStage::kFork;
      answer.error = errno;
      return Send(answer);
    }
    const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!pidfd) {
      answer.stage = SetupStage::kFork;
      answer.error = errno;
      ::kill(pid, SIGKILL);
      return Send(answer);
    }
    NurseryMessage told = answer;
    told.kind = started;
    told.pid = pid;
    const int fd = pidfd.get();
    const absl::Status sent = SendMessage(socket(), BytesOf(told), std::span(&fd, 1));
    if (sent.ok()) return;
    if (!absl::IsResourceExhausted(sent)) End();
    // Of our user's descriptors more are on their way, in anybody's sockets, than we may have open.
    ::kill(pid, SIGKILL);
    answer.stage = SetupStage::kFork;
    answer.error = EMFILE;
    Send(answer);
  }

  // Executes the policy's command, with every capability of the user namespace.
  [[noreturn]] void RunZygote(const NurseryMessage& order, std::vector<UniqueFd> fds, const Policy& policy) {
    const auto fail = [&policy](const char* what, int error) {
      std::fprintf(stderr, "carrel-jailer: zygote of %s: %s: %s\n", policy.name.c_str(), what, std::strerror(error));
      ::_exit(127);
    };
    if (const int error = KeepOnlyDescriptors(&fds); error != 0) fail("descriptors", error);
    if (tier_ != Tier::kConfined) EnterZygoteRoot(order, policy, fail);
    if (::chdir("/") != 0) fail("/", errno);
    const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null < 0 || ::dup2(null, 0) < 0) fail("/dev/null", errno);
    ExecuteZygote(fds[0].get(), policy, fail);
  }

  template <typename Failure>
  void EnterZygoteRoot(const NurseryMessage& order, const Policy& policy, const Failure& fail) {
    JailLimits limits;
    limits.workspace_bytes = kZygoteWorkspaceBytes;
    limits.workspace_files = kZygoteFiles;
    limits.tmp_bytes = kZygoteWorkspaceBytes;
    const SessionRoot root{.policy = order.policy,
                           .limits = limits,
                           .uid = ::getuid(),
                           .gid = ::getgid(),
                           .home = HomeOf(policy),
                           .empty_proc = policy.empty_proc};
    if (const SetupError error = EnterSessionRoot(root); error.stage != SetupStage::kNone) {
      fail(SetupStageName(error.stage), error.error);
    }
    if (::sethostname("carrel", 6) != 0) fail("sethostname", errno);
  }

  template <typename Failure>
  [[noreturn]] void ExecuteZygote(int socket, const Policy& policy, const Failure& fail) {
    if (::fcntl(socket, F_SETFD, 0) != 0) fail("socket", errno);
    std::vector<std::string> env = policy.env;
    env.push_back(absl::StrCat(kZygoteFdVariable, "=", socket));
    std::vector<char*> argv;
    for (const std::string& word : policy.command) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    std::vector<char*> environment;
    environment.reserve(env.size() + 1);
    for (const std::string& word : env) environment.push_back(const_cast<char*>(word.c_str()));
    environment.push_back(nullptr);
    if (tier_ == Tier::kConfined && ::geteuid() == 0) {
      if (const int error = KeepOnlyCapabilities(kConfinedZygoteCapabilities); error != 0) fail("capabilities", error);
    }
    if (const int error = KeepCapabilitiesOverExec(); error != 0) fail("capabilities", error);
    ResetSignals();
    ::execve(argv[0], argv.data(), environment.data());
    fail(argv[0], errno);
    ::_exit(127);
  }

  const Tier tier_;
  const std::vector<Policy>& policies_;
  const std::vector<EnterPlan>& plans_;
  std::vector<UniqueFd> fds_;
  UniqueFd children_;
};

absl::Status MapNursery(Tier tier, pid_t pid) {
  const IdRange range =
      tier == Tier::kFull
          ? IdRange{.host_uid = kHostIdBase, .host_gid = kHostIdBase, .count = kHostIdCount}
          : IdRange{.inside = kSessionIdBase, .host_uid = ::geteuid(), .host_gid = ::getegid(), .count = 1};
  return WriteIdMaps(pid, range, tier == Tier::kUserns);
}

absl::Status Layer(absl::string_view layer, absl::string_view text) {
  return absl::UnavailableError(absl::StrCat(layer, ": ", text));
}

absl::Status Describe(const NurseryMessage& failed) {
  const std::string error = failed.error != 0 ? absl::StrCat(": ", std::strerror(failed.error)) : "";
  return Layer(failed.stage == SetupStage::kTemplate ? "mounts" : SetupStageName(failed.stage),
               absl::StrCat(failed.text, error));
}

// Maps the stem's ids when it asks, until the nursery is up, which it gives.
absl::StatusOr<ChildProcess> BringUp(Tier tier, int socket, pid_t stem) {
  const NurseryMessage mapped{.kind = NurseryMessageKind::kMapped};
  const auto map = [&]() -> absl::Status {
    if (absl::Status s = MapNursery(tier, stem); !s.ok()) {
      return Layer("user namespace", absl::StrCat("cannot map its ids: ", s.message()));
    }
    return SendMessage(socket, BytesOf(mapped));
  };
  if (tier == Tier::kUserns) {
    if (absl::Status s = map(); !s.ok()) return s;
  }
  bool up = false;
  std::optional<ChildProcess> nursery;
  while (true) {
    NurseryMessage message;
    const auto received = ReceiveMessage(socket, WritableBytesOf(message));
    if (!received.ok()) return received.status();
    if (received->size != sizeof message) return Layer("nursery", "it died while it was set up");
    if (message.kind == NurseryMessageKind::kFailed) return Describe(message);
    if (message.kind == NurseryMessageKind::kNeedsMap) {
      if (absl::Status s = map(); !s.ok()) return s;
    } else if (message.kind == NurseryMessageKind::kForked && received->fds.size() == 1) {
      auto pid = PidOfPidfd(received->fds[0].get());
      if (!pid.ok()) return Layer("nursery", "it died while it was set up");
      auto process = ChildProcess::Adopt(*pid);
      if (!process.ok()) return process.status();
      nursery = *std::move(process);
    } else if (message.kind == NurseryMessageKind::kUp) {
      up = true;
    }
    if (up && nursery) return *std::move(nursery);
  }
}

}  // namespace

const char* SetupStageName(SetupStage stage) noexcept {
  switch (stage) {
    case SetupStage::kNone:
      return "none";
    case SetupStage::kTemplate:
      return "template";
    case SetupStage::kUserNamespace:
      return "user namespace";
    case SetupStage::kMountNamespace:
      return "mount namespace";
    case SetupStage::kDescriptors:
      return "descriptors";
    case SetupStage::kRoot:
      return "root";
    case SetupStage::kDisk:
      return "workspace on disk";
    case SetupStage::kWorkspace:
      return "workspace";
    case SetupStage::kTmp:
      return "tmp";
    case SetupStage::kAccounts:
      return "accounts";
    case SetupStage::kProc:
      return "proc";
    case SetupStage::kPivot:
      return "pivot_root";
    case SetupStage::kCgroup:
      return "cgroup";
    case SetupStage::kCgroupNamespace:
      return "cgroup namespace";
    case SetupStage::kNamespaceFds:
      return "namespace descriptors";
    case SetupStage::kInitIdentity:
      return "init identity";
    case SetupStage::kFork:
      return "fork";
    case SetupStage::kEnter:
      return "enter";
  }
  return "unknown";
}

absl::StatusOr<Nursery> StartNursery(Tier tier, const std::vector<Policy>& policies,
                                     const std::vector<EnterPlan>& plans, UniqueFd claim) {
  auto pair = MakeSocketPair();
  if (!pair.ok()) return pair.status();
  const int outermost = CLONE_NEWNS | (tier == Tier::kUserns ? CLONE_NEWUSER : 0);
  const pid_t pid = ForkInto(tier == Tier::kConfined ? 0 : outermost);
  if (pid < 0) return Layer("namespaces", absl::StrCat("clone: ", std::strerror(errno)));
  if (pid == 0) {
    pair->first.reset();
    NurseryProcess(std::move(pair->second), tier, policies, plans, std::move(claim)).RunStem();
  }
  pair->second.reset();
  if (tier == Tier::kConfined) {
    auto itself = BringUp(tier, pair->first.get(), pid);
    if (itself.ok()) return Nursery{*std::move(itself), std::move(pair->first)};
    if (::waitpid(pid, nullptr, WNOHANG) == 0) {
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
    }
    return itself.status();
  }
  auto stem = ChildProcess::Adopt(pid);
  if (!stem.ok()) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return stem.status();
  }
  auto nursery = BringUp(tier, pair->first.get(), pid);
  if (!nursery.ok()) return nursery.status();
  (void)stem->Wait(absl::Seconds(5));
  return Nursery{*std::move(nursery), std::move(pair->first)};
}

}  // namespace carrel::sandbox
