#include "init.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string>
#include <utility>

#include "confined_policy.h"
#include "confined_processes.h"
#include "disk_keeper.h"
#include "mounts.h"
#include "namespaces.h"
#include "porter.h"
#include "process_setup.h"
#include "sandbox/base/message_socket.h"
#include "sandbox/cgroup.h"
#include "sandbox/zygote_protocol.h"

namespace carrel::sandbox {
namespace {

// What the porter needs to read, replace and give away the session's files and to end its processes. It keeps uid 0 of
// the outer user namespace (in `full`), not the session's: with that, the jailed code could change its limits, its
// priority and its affinity. The rights end at the namespace, which has mapped nothing else of value.
constexpr uint64_t kPorterCapabilities = uint64_t{1} << CAP_KILL | uint64_t{1} << CAP_DAC_OVERRIDE |
                                         uint64_t{1} << CAP_DAC_READ_SEARCH | uint64_t{1} << CAP_CHOWN |
                                         uint64_t{1} << CAP_FOWNER;

// Looks at whether everything of a confined session has ended.
constexpr int kKillRounds = 1000;

// The descriptors that an init has, from START_INIT; from 3 on.
enum InitFd : uint32_t { kInitControl, kInitPorter, kInitStdin, kInitStdout, kInitStderr, kInitMainControl };

class Init final {
 public:
  Init(const NurseryMessage& order, std::vector<UniqueFd> fds, const Policy& policy, const EnterPlan& plan)
      : order_(order), fds_(std::move(fds)), policy_(policy), plan_(plan) {}

  [[noreturn]] void Run() {
    if (const int error = KeepOnlyDescriptors(&fds_); error != 0) Fail({SetupStage::kDescriptors, error});
    if (order_.on_disk != 0) {
      disk_ = std::move(fds_.back());
      fds_.pop_back();
    }
    ::prctl(PR_SET_NAME, "carrel-init");
    // Before anything of the user's runs: nobody may look into us, whatever his uid.
    if (::prctl(PR_SET_DUMPABLE, 0) != 0) Fail({SetupStage::kInitIdentity, errno});
    Be(Born());
    Be(policy_.is_confined ? TakePlaces() : MakeRoot());
    Be(JoinCgroup());
    Be(Announce());
    if (policy_.kind == Policy::Kind::kExec) StartMain();
    fds_.resize(kInitPorter + 1);  // the program's descriptors are its own now; a spare has no porter yet
    Be(GiveUp());
    Serve();
  }

 private:
  [[noreturn]] void Fail(SetupError error, EnterReport enter = {}) {
    (void)SendMessage(
        control(), BytesOf(InitMessage{
                       .kind = InitMessageKind::kFailed, .stage = error.stage, .error = error.error, .enter = enter}));
    ::_exit(1);
  }
  // An error of `stage` when more of our user's descriptors are on their way, in anybody's sockets, than we may have
  // open.
  SetupError Tell(const InitMessage& message, std::span<const int> fds, SetupStage stage) {
    const absl::Status sent = SendMessage(control(), BytesOf(message), fds);
    if (absl::IsResourceExhausted(sent)) return {stage, EMFILE};
    if (!sent.ok()) ::_exit(1);  // who would hear it is gone
    return {};
  }
  void Be(SetupError error) {
    if (error.stage != SetupStage::kNone) Fail(error);
  }
  [[nodiscard]] int control() const { return fds_[kInitControl].get(); }

  SetupError Born() {
    const UniqueFd own(::open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC));
    if (!own) return {SetupStage::kNamespaceFds, errno};
    const int fd = own.get();
    return Tell({.kind = InitMessageKind::kBorn}, std::span(&fd, 1), SetupStage::kNamespaceFds);
  }

  SetupError MakeRoot() {
    if (::setsid() < 0) return {SetupStage::kInitIdentity, errno};
    if (policy_.empty_proc) {
      // The nursery's, which will be out of sight: what we need of our own processes' we look up there.
      proc_.reset(::open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
      if (!proc_) return {SetupStage::kProc, errno};
    }
    if (::sethostname("carrel", 6) != 0) return {SetupStage::kInitIdentity, errno};
    UniqueFd disk;
    if (disk_) {
      int error = 0;
      disk = AwaitDiskWorkspace(disk_.get(), &error);
      if (!disk) return {SetupStage::kDisk, error};
    }
    if (const SetupError error = EnterSessionRoot({.policy = order_.policy,
                                                   .limits = order_.limits,
                                                   .uid = order_.identity.uid,
                                                   .gid = order_.identity.gid,
                                                   .home = HomeOf(policy_),
                                                   .empty_proc = policy_.empty_proc,
                                                   .disk = disk.get()});
        error.stage != SetupStage::kNone) {
      return error;
    }
    workspace_.reset(::open("/mnt/data", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return workspace_ ? SetupError{} : SetupError{SetupStage::kWorkspace, errno};
  }

  // The tier `confined`: what MakeRoot would mount is there, emptied by the jailer.
  SetupError TakePlaces() {
    if (::setsid() < 0) return {SetupStage::kInitIdentity, errno};
    for (const char* path : kConfinedPlaces) {
      if (order_.identity.uid == ::geteuid()) break;
      const UniqueFd place(::open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!place || ::fchmod(place.get(), 0700) != 0 ||
          ::fchown(place.get(), order_.identity.uid, order_.identity.gid) != 0) {
        return {SetupStage::kWorkspace, errno};
      }
    }
    workspace_.reset(::open("/mnt/data", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return workspace_ ? SetupError{} : SetupError{SetupStage::kWorkspace, errno};
  }

  SetupError JoinCgroup() {
    InitMessage message;
    const auto received = ReceiveMessage(control(), WritableBytesOf(message));
    // An end of file: the jailer gave the session up.
    if (!received.ok() || received->size != sizeof message) ::_exit(0);
    if (received->fds_lost) return {SetupStage::kCgroup, EMFILE};  // never without one of them
    for (const UniqueFd& entrance : received->fds) {
      if (const int error = EnterCgroup(entrance.get()); error != 0) return {SetupStage::kCgroup, error};
    }
    if (policy_.is_confined) return {};
    return ::unshare(CLONE_NEWCGROUP) == 0 ? SetupError{} : SetupError{SetupStage::kCgroupNamespace, errno};
  }

  SetupError Announce() {
    std::vector<UniqueFd> given;
    std::vector<int> numbers;
    for (const char* name : {"mnt", "net", "ipc", "uts", "cgroup"}) {  // in the order of GoFd
      const std::string path = std::string("self/ns/") + name;
      given.emplace_back(proc_ ? ::openat(proc_.get(), path.c_str(), O_RDONLY | O_CLOEXEC)
                               : ::open(("/proc/" + path).c_str(), O_RDONLY | O_CLOEXEC));
    }
    for (const char* path : {"/mnt/data", "/tmp", "/dev/shm"}) given.emplace_back(::open(path, O_PATH | O_CLOEXEC));
    for (const UniqueFd& fd : given) {
      if (!fd) return {SetupStage::kNamespaceFds, errno};
      numbers.push_back(fd.get());
    }
    return Tell({.kind = InitMessageKind::kReady}, numbers, SetupStage::kNamespaceFds);
  }

  void StartMain() {
    auto gate = MakeSocketPair();
    if (!gate.ok()) Fail({SetupStage::kFork, EMFILE});
    std::vector<char*> argv;
    for (const std::string& word : policy_.command) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    std::vector<char*> env;
    for (const std::string& word : policy_.env) env.push_back(const_cast<char*>(word.c_str()));
    env.push_back(nullptr);
    const EnterRequest request{.identity = order_.identity,
                               .rlimits = order_.rlimits,
                               .stdio = {fds_[kInitStdin].get(), fds_[kInitStdout].get(), fds_[kInitStderr].get(),
                                         fds_.size() > kInitMainControl ? fds_[kInitMainControl].get() : -1},
                               .own_user_namespace = order_.own_user_namespace != 0,
                               .gate = gate->second.get(),
                               .proc = proc_.get()};
    main_ = ::fork();
    if (main_ < 0) Fail({SetupStage::kFork, errno});
    if (main_ == 0) {
      ResetSignals();
      EnterReport report = EnterJail(plan_, request);
      if (report.stage == EnterStage::kNone) {
        ::execve(argv[0], argv.data(), env.data());
        report = {EnterStage::kExec, errno};
      }
      ReportAndExit(kEnterGateFd, report);
    }
    gate->second.reset();
    EnterReport report;
    const auto received = ReceiveMessage(gate->first.get(), WritableBytesOf(report));
    if (received.ok() && received->size == sizeof report) Fail({SetupStage::kEnter, report.error}, report);
    const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, main_, 0)));
    if (!pidfd) Fail({SetupStage::kFork, errno});
    const int fd = pidfd.get();
    Be(Tell({.kind = InitMessageKind::kMainStarted}, std::span(&fd, 1), SetupStage::kFork));
  }

  SetupError GiveUp() {
    if (!policy_.is_confined || ::geteuid() == 0) {
      if (const int error = KeepOnlyCapabilities(kPorterCapabilities); error != 0) {
        return {SetupStage::kInitIdentity, error};
      }
    }
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return {SetupStage::kInitIdentity, errno};
    return {};
  }

  void Reap() {
    while (true) {
      int status = 0;
      const pid_t pid = ::waitpid(-1, &status, WNOHANG);
      if (pid <= 0) return;
      if (pid != main_) continue;
      (void)SendMessage(control(), BytesOf(InitMessage{.kind = InitMessageKind::kMainExited, .status = status}));
    }
  }

  void Obey(Porter* porter) {
    InitMessage message;
    auto received = ReceiveMessage(control(), WritableBytesOf(message));
    // The jailer closed: the end of the session, and of everything in our namespace with us.
    if (!received.ok() || received->size != sizeof message) ::_exit(0);
    // ESRCH: nobody is left. A pid below 2 would be ourselves or a group.
    if (message.kind == InitMessageKind::kKillAll) (void)SignalAll()(SIGKILL);
    if (message.kind == InitMessageKind::kAdopt) {
      if (received->fds.size() != 1) ::_exit(1);  // no descriptor was left: better no session than one without files
      porter->Open(std::move(received->fds[0]));
    }
    if (message.kind == InitMessageKind::kKillOne && message.pid > 1 && IsOfSession(message.pid)) {
      ::kill(message.pid, SIGKILL);
    }
  }

  // In a pid namespace of the session's own every number is.
  [[nodiscard]] bool IsOfSession(pid_t pid) const {
    if (!policy_.is_confined) return true;
    const auto jailed = JailedBelow(::getppid());
    return jailed.ok() && std::find(jailed->begin(), jailed->end(), pid) != jailed->end();
  }

  // Our parent is the nursery, above everything jailed; there is one session.
  static int SignalSession(int signal) {
    if (signal == SIGKILL) return KillJailedBelow(::getppid(), kKillRounds) ? 0 : EAGAIN;
    return SignalJailedBelow(::getppid(), signal).ok() ? 0 : EAGAIN;
  }
  [[nodiscard]] Porter::SignalAll SignalAll() const {
    return policy_.is_confined ? &SignalSession : &Porter::SignalNamespace;
  }

  [[noreturn]] void Serve() {
    const UniqueFd children = WatchChildren();
    if (!children) Fail({SetupStage::kInitIdentity, errno});
    Porter porter(std::move(fds_[kInitPorter]), std::move(workspace_),
                  {.uid = order_.identity.uid, .gid = order_.identity.gid}, SignalAll(), proc_.get());
    Reap();  // who ended before we watched
    while (true) {
      std::vector<pollfd> polled{{.fd = control(), .events = POLLIN, .revents = 0},
                                 {.fd = children.get(), .events = POLLIN, .revents = 0}};
      porter.AddTo(&polled);
      if (::poll(polled.data(), polled.size(), -1) < 0) {
        if (errno == EINTR) continue;
        ::_exit(1);
      }
      if (polled[1].revents != 0) {
        signalfd_siginfo info;
        while (::read(children.get(), &info, sizeof info) > 0) {
        }
        Reap();
      }
      porter.Serve(polled, 2);
      // After the porter, whose place in `polled` it may change.
      if (polled[0].revents != 0) Obey(&porter);
    }
  }

  const NurseryMessage& order_;
  std::vector<UniqueFd> fds_;
  const Policy& policy_;
  const EnterPlan& plan_;
  UniqueFd workspace_;
  UniqueFd proc_;  // the nursery's /proc, where the session has none
  UniqueFd disk_;  // to the disk keeper: open as long as the session is
  pid_t main_ = -1;
};

}  // namespace

int InitNamespaces() { return CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS; }

void RunInit(const NurseryMessage& order, std::vector<UniqueFd> fds, const Policy& policy, const EnterPlan& plan) {
  Init(order, std::move(fds), policy, plan).Run();
}

}  // namespace carrel::sandbox
