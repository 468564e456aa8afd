#include "keeper_world.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "fuzzer.h"

namespace carrel::fuzz {
namespace {

using namespace sandbox;  // NOLINT(google-build-using-namespace)

// The pidfd of a process that does nothing: the jailer may kill it, and then there is another. A fresh one has not been
// killed, though its end is not to be seen yet.
int SleepingProcess(bool fresh) {
  static pid_t pid = -1;
  static UniqueFd pidfd;
  pollfd ended{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
  if (!fresh && pidfd && ::poll(&ended, 1, 0) == 0) return pidfd.get();
  if (pid > 0) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  const pid_t fuzzer = ::getpid();
  pid = ::fork();
  FUZZ_CHECK(pid >= 0);
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != fuzzer) ::_exit(0);  // it died before that: nobody would end us, and ctest waits for our stdout
    ::pause();
    ::_exit(0);
  }
  pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  FUZZ_CHECK(pidfd);
  return pidfd.get();
}

}  // namespace

KeeperWorld::KeeperWorld() : loop_(*EventLoop::Create()), null_(::open("/dev/null", O_RDONLY | O_CLOEXEC)) {
  for (const auto& [name, kind] : {std::pair{"exec", Policy::Kind::kExec}, {"zygote", Policy::Kind::kZygote}}) {
    Policy policy{.name = name, .kind = kind};
    policy.defaults = {.memory_bytes = 64 << 20, .processes = 64, .cpu_millis = 1000, .open_files = 64};
    policy.caps = {.memory_bytes = 1 << 30,
                   .processes = kProcessesCap,
                   .cpu_millis = 4000,
                   .workspace_bytes = 1 << 20,
                   .workspace_files = 100,
                   .tmp_bytes = 1 << 20,
                   .open_files = 1024,
                   .cpu_seconds = 60};
    policies_.push_back(std::move(policy));
  }
  for (const Policy& policy : policies_) {
    auto plan = EnterPlan::FromPolicy(policy);
    FUZZ_CHECK(plan.ok());
    plans_.push_back(*std::move(plan));
  }
  auto server = MakeSocketPair();
  auto nursery = MakeSocketPair();
  FUZZ_CHECK(server.ok() && nursery.ok());
  server_ = std::move(server->first);
  nursery_ = std::move(nursery->first);
  nursery_of_keeper_ = std::move(nursery->second);
  FUZZ_CHECK(SetNonBlocking(server_.get()).ok() && SetNonBlocking(nursery_.get()).ok());
  keeper_ = std::make_unique<SessionKeeper>(loop_.get(), std::move(server->second), nursery_of_keeper_.get(),
                                            SessionKeeper::Family{.policies = policies_, .plans = plans_},
                                            [this](const std::string&) { stopped_ = true; });
  const UniqueFd report(::memfd_create("report", MFD_CLOEXEC));
  FUZZ_CHECK(keeper_->Start(report.get()).ok());
  Turn();
}

void KeeperWorld::Say(int socket, std::span<const std::byte> bytes, size_t count, bool process) {
  if (bytes.empty()) return;
  std::vector<int> fds(count, null_.get());
  if (process && count > 0) fds[0] = SleepingProcess(false);
  // The jailer may have closed its end.
  (void)SendMessage(socket, bytes, fds);
}

void KeeperWorld::FromServer(std::span<const std::byte> bytes, size_t count) {
  Say(server_.get(), bytes, count, false);
}

void KeeperWorld::FromNursery(std::span<const std::byte> bytes, size_t count, bool process) {
  Say(nursery_.get(), bytes, count, process);
}

void KeeperWorld::FromInit(uint64_t session, std::span<const std::byte> bytes, size_t count, bool process) {
  const auto init = inits_.find(session);
  if (init != inits_.end()) Say(init->second.get(), bytes, count, process);
}

void KeeperWorld::StartAsOrdered(uint64_t session) {
  (void)SleepingProcess(true);
  FromNursery(BytesOf(NurseryMessage{.kind = NurseryMessageKind::kInitStarted, .session = session}), 1, true);
  Turn();
  FromInit(session, BytesOf(InitMessage{.kind = InitMessageKind::kBorn}), 1, false);
  FromInit(session, BytesOf(InitMessage{.kind = InitMessageKind::kReady}), kGoFdsMax + kReadyTmpfsFds, false);
  FromInit(session, BytesOf(InitMessage{.kind = InitMessageKind::kMainStarted}), 1, true);
  Turn();
}

void KeeperWorld::TakeOrders() {
  NurseryMessage order;
  while (true) {
    auto received = ReceiveMessage(nursery_.get(), WritableBytesOf(order));
    if (!received.ok() || received->size == 0) return;
    FUZZ_CHECK(received->size == sizeof order && order.policy < policies_.size());
    if (order.kind == NurseryMessageKind::kPing) continue;
    FUZZ_CHECK(!received->fds.empty());
    if (order.kind == NurseryMessageKind::kStartZygote) {
      zygotes_[order.zygote] = std::move(received->fds[0]);
    } else {
      FUZZ_CHECK(order.kind == NurseryMessageKind::kStartInit);
      FUZZ_CHECK(inits_.emplace(order.session, std::move(received->fds[0])).second);  // a number is given once
    }
  }
}

void KeeperWorld::TakeAnswers() {
  JailerMessage answer;
  while (true) {
    const auto received = ReceiveMessage(server_.get(), WritableBytesOf(answer));
    if (!received.ok() || received->size == 0) return;
    FUZZ_CHECK(received->size == sizeof answer);
    answers.push_back(answer);
  }
}

void KeeperWorld::Turn() {
  for (int i = 0; i < 8 && !stopped_; ++i) {
    FUZZ_CHECK(loop_->RunOnce(absl::ZeroDuration()).ok());
    TakeOrders();
    TakeAnswers();
  }
  if (!stopped_) keeper_->Tick(absl::Now());
}

void KeeperWorld::LetTimePass() {
  if (stopped_) return;
  keeper_->Tick(absl::Now() + absl::Hours(1));
  Turn();
}

std::vector<uint64_t> KeeperWorld::inits() const {
  std::vector<uint64_t> sessions;
  for (const auto& [session, socket] : inits_) sessions.push_back(session);
  return sessions;
}

}  // namespace carrel::fuzz
