#include "sandbox/jailer.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "confined_places.h"
#include "confined_policy.h"
#include "confined_processes.h"
#include "disk_keeper.h"
#include "namespaces.h"
#include "nursery.h"
#include "sandbox/base/error.h"
#include "sandbox/base/event_loop.h"
#include "sandbox/base/log_line.h"
#include "sandbox/base/message_socket.h"
#include "sandbox/cgroup.h"
#include "sandbox/doctor.h"
#include "sandbox/identity.h"
#include "sandbox/jailer_protocol.h"
#include "sandbox/policy.h"
#include "session_keeper.h"

namespace carrel::sandbox {
namespace {

// Time for a server that closed its socket to end.
constexpr absl::Duration kServerLastWords = absl::Milliseconds(300);
// Time for the server to end by itself after SIGTERM.
constexpr absl::Duration kServerGrace = absl::Seconds(10);
// Looks, of a millisecond each, at whether the confined session has ended.
constexpr int kKillRounds = 2000;
// For the family of a jailer that was killed to end, and leave the places.
constexpr absl::Duration kClaimMax = absl::Seconds(5);
// `full`: above the sessions' range, so that no session can have it.
constexpr uint32_t kDefaultServerUid = kHostIdBase - 2;

absl::Status Missing(absl::string_view layer, absl::string_view why, absl::string_view mend) {
  return absl::UnavailableError(absl::StrCat(layer, ": ", why, mend.empty() ? "" : ". Mend: ", mend));
}

Tier ChooseTier(JailerOptions::TierChoice choice) {
  if (choice == JailerOptions::TierChoice::kFull) return Tier::kFull;
  if (choice == JailerOptions::TierChoice::kUserns) return Tier::kUserns;
  if (choice == JailerOptions::TierChoice::kConfined) return Tier::kConfined;
  return ::geteuid() == 0 ? Tier::kFull : Tier::kUserns;
}

// What this machine can hold, looked at before anything is built on it.
absl::Status CheckLayers(Tier tier, const DoctorReport& doctor) {
  for (const LayerState& layer : doctor.layers) {
    if (layer.active || layer.name == "cgroup") continue;                 // FindCgroups has its own words
    if (tier == Tier::kConfined && layer.name == "namespaces") continue;  // what the operator's word was about
    // By the kernel's version, not by the machine's set-up: reported, and the other layers do not rest on it.
    if (tier != Tier::kConfined && layer.name == "landlock") continue;
    return Missing(layer.name, layer.detail, layer.mend);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<EnterPlan>> MakePlans(const std::vector<Policy>& policies) {
  std::vector<EnterPlan> plans;
  for (const Policy& policy : policies) {
    auto plan = EnterPlan::FromPolicy(policy);
    if (!plan.ok()) return plan.status();
    plans.push_back(*std::move(plan));
  }
  return plans;
}

std::string OneLine(const std::string& text) { return absl::StrReplaceAll(text, {{"\t", " "}, {"\n", " "}}); }

// As HELLO carries it; see jailer_protocol.h.
std::string ReportText(Tier tier, const DoctorReport& doctor, const std::string& cgroup,
                       const std::vector<Policy>& policies) {
  std::string text = absl::StrCat("tier\t", TierName(tier), "\n");
  if (tier == Tier::kConfined) {
    absl::StrAppend(&text, "weakened\tnamespaces: none\n");  // every outcome carries it; the layer says what it means
  }
  for (const LayerState& layer : doctor.layers) {
    const bool weakened = layer.name == "cgroup" && cgroup.empty();
    const std::string detail = layer.name == "cgroup" && !weakened ? cgroup : layer.detail;
    absl::StrAppend(&text, "layer\t", OneLine(layer.name), "\t", layer.active && !weakened ? 1 : 0, "\t",
                    OneLine(detail), "\t", OneLine(layer.mend), "\n");
    if (!layer.active && layer.name == "landlock") absl::StrAppend(&text, "weakened\tlandlock: not in this kernel\n");
  }
  if (cgroup.empty()) absl::StrAppend(&text, "weakened\tmemory: watchdog\nweakened\tcpu: watchdog\n");
  for (const Policy& policy : policies) {
    // A view that programs miss, and nothing that an attacker gains.
    if (policy.empty_proc) absl::StrAppend(&text, "weakened\tproc: empty in ", policy.name, "\n");
  }
  return text;
}

absl::StatusOr<UniqueFd> TextAsMemfd(const std::string& text) {
  UniqueFd fd(::memfd_create("carrel-report", MFD_CLOEXEC));
  if (!fd) return ErrnoStatus(errno, "memfd_create");
  if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return ErrnoStatus(errno, "write the report");
  }
  return fd;
}

// Every session costs a handful of descriptors.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

int BecomeServer(void* identity) noexcept {
  // An ordinary user has nothing to drop, and no right to drop it.
  if (::geteuid() != 0) return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : errno;
  return DropTo(*static_cast<const Identity*>(identity));
}

class Jailer final {
 public:
  explicit Jailer(const JailerOptions& options) : options_(options), tier_(ChooseTier(options.tier)) {}

  absl::StatusOr<ExitStatus> Run() {
    for (const auto step : {&Jailer::Prepare, &Jailer::StartFamily, &Jailer::StartServer}) {
      if (absl::Status s = (this->*step)(); !s.ok()) return s;
    }
    return Loop();
  }

 private:
  absl::Status Prepare() {
    RaiseDescriptorLimit();
    auto policies = LoadAllPolicies(options_);
    if (!policies.ok()) return policies.status();
    policies_ = *std::move(policies);
    doctor_ = tier_ == Tier::kConfined ? ExamineConfined() : ExamineMachine("auto", NeedsProc(policies_));
    if (!options_.workspace_directory.empty()) {
      doctor_.layers.push_back(ExamineDiskWorkspaces(options_.workspace_directory, TierName(tier_)));
    }
    if (absl::Status s = CheckLayers(tier_, doctor_); !s.ok()) return s;
    if (absl::Status s = FindCgroups(); !s.ok()) return s;
    for (Policy& policy : policies_) policy.memory_is_watched = !cgroups_.has_value();
    if (tier_ == Tier::kConfined) {
      if (absl::Status s = Confine(); !s.ok()) return s;
    }
    auto plans = MakePlans(policies_);
    if (!plans.ok()) return plans.status();
    plans_ = *std::move(plans);
    return absl::OkStatus();
  }

  absl::Status Confine() {
    // Orphans of the nursery come to us, should it be killed.
    if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return ErrnoStatus(errno, "PR_SET_CHILD_SUBREAPER");
    auto claim = ClaimConfinedPlaces(kClaimMax);
    if (!claim.ok()) return claim.status();
    claim_ = *std::move(claim);
    // What a jailer that was killed has left.
    if (absl::Status s = EmptyConfinedPlaces(); !s.ok()) return s;
    for (Policy& policy : policies_) {
      if (policy.empty_proc) {
        return absl::InvalidArgumentError(
            absl::StrCat("policy ", policy.name,
                         ": `proc none` takes a mount namespace, and the tier confined has none: take it out; ",
                         "of /proc a session sees its own files there, and those of the machine"));
      }
      auto confined = ConfinePolicy(policy);
      if (!confined.ok()) return confined.status();
      policy = *std::move(confined);
    }
    return absl::OkStatus();
  }

  [[nodiscard]] bool IdsDiffer() const {
    return tier_ == Tier::kFull || (tier_ == Tier::kConfined && ::geteuid() == 0);
  }

  absl::Status FindCgroups() {
    auto tree = CgroupTree::Detect();
    if (tree.ok()) {
      cgroups_ = *std::move(tree);
      return absl::OkStatus();
    }
    if (options_.allow_no_cgroup) return absl::OkStatus();
    // Its message names the layer and ends with the mend.
    return absl::UnavailableError(absl::StrCat(tree.status().message(),
                                               "; or have the sessions' memory watched instead of limited: "
                                               "--allow-no-cgroup"));
  }

  absl::Status StartFamily() {
    auto loop = EventLoop::Create();
    if (!loop.ok()) return loop.status();
    loop_ = *std::move(loop);
    if (absl::Status s = WatchSignals(); !s.ok()) return s;
    if (!options_.workspace_directory.empty()) {
      auto disk = StartDiskKeeper(options_.workspace_directory);
      if (!disk.ok()) return disk.status();
      disk_ = *std::move(disk);
      if (absl::Status s = loop_->Watch(disk_->process.pidfd(), [this] { Stop("the disk keeper ended"); }); !s.ok()) {
        return s;
      }
    }
    auto nursery = StartNursery(tier_, policies_, plans_, std::move(claim_));
    if (!nursery.ok()) return nursery.status();
    nursery_ = *std::move(nursery);
    return loop_->Watch(nursery_->process.pidfd(), [this] { Stop("the nursery ended"); });
  }

  absl::Status WatchSignals() {
    // A log that nobody reads any more is no reason to die.
    ::signal(SIGPIPE, SIG_IGN);
    sigset_t wanted;
    ::sigemptyset(&wanted);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&wanted, signal);
    if (::sigprocmask(SIG_BLOCK, &wanted, nullptr) != 0) return ErrnoStatus(errno, "sigprocmask");
    signals_.reset(::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals_) return ErrnoStatus(errno, "signalfd");
    return loop_->Watch(signals_.get(), [this] {
      signalfd_siginfo info;
      while (::read(signals_.get(), &info, sizeof info) > 0) EndServer();
    });
  }

  absl::Status StartServer() {
    auto pair = MakeSocketPair();
    if (!pair.ok()) return pair.status();
    Identity identity = ServerIdentity();
    if (IdsDiffer() && !options_.data_directory.empty()) {
      if (absl::Status s = GiveDirectory(options_.data_directory, identity); !s.ok()) return s;
    }
    // Opened by us: the path may lead through a directory that the server's user cannot enter.
    const UniqueFd program(::open(options_.server.c_str(), O_PATH | O_CLOEXEC));
    if (!program) return ErrnoStatus(errno, options_.server);
    SpawnOptions spawn{.argv = {options_.server}, .program = program.get()};
    spawn.argv.insert(spawn.argv.end(), options_.server_arguments.begin(), options_.server_arguments.end());
    spawn.fds = {{pair->second.get(), 3}};
    spawn.dies_with_parent = true;
    spawn.before_exec = {.run = BecomeServer, .context = &identity};
    ::setenv(kJailerFdVariable, "3", 1);
    auto server = ChildProcess::Spawn(spawn);
    if (!server.ok()) return server.status();
    server_ = *std::move(server);
    keeper_ = std::make_unique<SessionKeeper>(loop_.get(), std::move(pair->first), nursery_->socket.get(),
                                              SessionKeeper::Family{.policies = policies_,
                                                                    .plans = plans_,
                                                                    .cgroups = cgroups_ ? &*cgroups_ : nullptr,
                                                                    .ids_differ = IdsDiffer(),
                                                                    .zygote_forks_max = options_.zygote_forks_max,
                                                                    .confined = tier_ == Tier::kConfined,
                                                                    .nursery_pid = nursery_->process.pid(),
                                                                    .disk = disk_ ? disk_->socket.get() : -1},
                                              [this](const std::string& why) { Stop(why); });
    auto report = TextAsMemfd(ReportText(tier_, doctor_, cgroups_ ? cgroups_->Describe() : "", policies_));
    if (!report.ok()) return report.status();
    if (absl::Status s = keeper_->Start(report->get()); !s.ok()) return s;
    return loop_->Watch(server_->pidfd(), [this] { Stop("the server ended"); });
  }

  [[nodiscard]] Identity ServerIdentity() const {
    if (tier_ == Tier::kConfined && ::geteuid() != 0) {
      return {.uid = ::geteuid(), .gid = ::getegid(), .groups_are_fixed = true, .has_no_capabilities = true};
    }
    if (tier_ == Tier::kUserns) return {.uid = ::geteuid(), .gid = ::getegid(), .groups_are_fixed = ::geteuid() != 0};
    const uint32_t uid = options_.server_uid.value_or(kDefaultServerUid);
    return {.uid = uid, .gid = uid};
  }

  static absl::Status GiveDirectory(const std::string& path, const Identity& identity) {
    const UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!directory) return ErrnoStatus(errno, path);
    if (::fchown(directory.get(), identity.uid, identity.gid) != 0) return ErrnoStatus(errno, path);
    if (::fchmod(directory.get(), 0700) != 0) return ErrnoStatus(errno, path);
    return absl::OkStatus();
  }

  void EndServer() {
    if (kill_at_ == absl::InfiniteFuture()) kill_at_ = absl::Now() + kServerGrace;
    if (server_) server_->Signal(SIGTERM).IgnoreError();
  }

  void Stop(const std::string& why) {
    if (!stopped_) LogLineWithoutWaiting(absl::StrCat("carrel-jailer: ", why));
    stopped_ = true;
  }

  absl::StatusOr<ExitStatus> Loop() {
    while (!stopped_) {
      if (absl::Status s = loop_->RunOnce(keeper_->period()); !s.ok()) return s;
      const absl::Time now = absl::Now();
      keeper_->Tick(now);
      if (now > kill_at_) server_->Signal(SIGKILL).IgnoreError();
    }
    // The server and everything jailed end with us. A server that is ending by itself is let finish its sentence: the
    // end of its socket comes before its last words and its exit code.
    auto end = server_->Wait(kServerLastWords);
    if (!end.has_value()) {
      server_->Signal(SIGTERM).IgnoreError();
      end = server_->Wait(kServerGrace);
    }
    // Below us, should the nursery have died.
    if (tier_ == Tier::kConfined && !KillJailedBelow(::getpid(), kKillRounds)) {
      LogLineWithoutWaiting("carrel-jailer: processes of the session do not end");
    }
    nursery_->process.Signal(SIGKILL).IgnoreError();
    (void)nursery_->process.Wait(absl::Seconds(5));
    keeper_.reset();
    if (disk_) {
      disk_->socket.reset();  // it sees the sessions' disks out
      (void)disk_->process.Wait(kServerLastWords);
    }
    return end.value_or(ExitStatus{.exit_code = 0, .signal = SIGKILL});
  }

  const JailerOptions& options_;
  const Tier tier_;
  std::vector<Policy> policies_;
  std::vector<EnterPlan> plans_;
  DoctorReport doctor_;
  std::optional<CgroupTree> cgroups_;  // before what is in it
  std::unique_ptr<EventLoop> loop_;
  UniqueFd claim_;  // confined: on the places; goes to the nursery
  UniqueFd signals_;
  std::optional<DiskKeeper> disk_;
  std::optional<Nursery> nursery_;
  std::optional<ChildProcess> server_;
  std::unique_ptr<SessionKeeper> keeper_;
  absl::Time kill_at_ = absl::InfiniteFuture();
  bool stopped_ = false;
};

}  // namespace

absl::StatusOr<std::vector<Policy>> LoadAllPolicies(const JailerOptions& options) {
  const PolicyOptions where{.places = {{"bin", options.bin_directory}, {"share", options.share_directory}},
                            .owner = ::geteuid()};
  std::vector<Policy> all;
  for (const std::string& directory : options.runtimes) {
    auto policies = LoadPolicies(directory, where);
    if (!policies.ok()) return policies.status();
    for (Policy& policy : *policies) {
      const bool twice = std::any_of(all.begin(), all.end(), [&](const Policy& p) { return p.name == policy.name; });
      if (twice) return absl::InvalidArgumentError(absl::StrCat("two policies are named ", policy.name));
      all.push_back(std::move(policy));
    }
  }
  if (all.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("no policy in ", absl::StrJoin(options.runtimes, ", "), " (--runtimes)"));
  }
  return all;
}

bool NeedsProc(const std::vector<Policy>& policies) {
  return std::any_of(policies.begin(), policies.end(), [](const Policy& policy) { return !policy.empty_proc; });
}

absl::StatusOr<ExitStatus> RunJailer(const JailerOptions& options) { return Jailer(options).Run(); }

}  // namespace carrel::sandbox
