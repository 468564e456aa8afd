#include "zygote_keeper.h"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "runtime_files.h"
#include "sandbox/base/log_line.h"
#include "sandbox/base/message_socket.h"

namespace carrel::sandbox {
namespace {

constexpr int kFailuresMax = 3;
constexpr absl::Duration kRestartDelay = absl::Milliseconds(200);
// A successor that does not come up leaves the old one in its place; it is tried again after this.
constexpr absl::Duration kSuccessorDelay = absl::Seconds(60);
// How often the runtimes' files are looked at (0.3 ms for 200 entries).
constexpr absl::Duration kLookPeriod = absl::Seconds(5);
// For a replaced zygote to answer what it was asked, and to end.
constexpr absl::Duration kRetireMax = absl::Seconds(10);
// A fork takes milliseconds. Who needs so much longer is stopped, or hangs.
constexpr absl::Duration kForkAnswerMax = absl::Seconds(10);
// It may import for long on a slow machine.
constexpr absl::Duration kReadyMax = absl::Seconds(180);
// After a start for which the jailer itself had no descriptor or no memory.
constexpr absl::Duration kScarcityPause = absl::Seconds(1);

void Say(const Policy& policy, const std::string& what) {
  LogLineWithoutWaiting(absl::StrCat("carrel-jailer: zygote of ", policy.name, ": ", what));
}

}  // namespace

ZygoteKeeper::ZygoteKeeper(EventLoop* loop, const std::vector<Policy>& policies, const std::vector<EnterPlan>& plans,
                           uint64_t forks_max, Events events)
    : loop_(loop),
      policies_(policies),
      plans_(plans),
      forks_max_(forks_max),
      events_(std::move(events)),
      slots_(policies.size()) {
  for (size_t i = 0; i < policies.size(); ++i) slots_[i].wanted = policies[i].kind == Policy::Kind::kZygote;
}

ZygoteKeeper::~ZygoteKeeper() {
  for (Slot& slot : slots_) {
    for (Process* process : {slot.current.get(), slot.coming.get()}) {
      if (process != nullptr) loop_->Forget(process->socket.get());
    }
    for (const Process& process : slot.retired) loop_->Forget(process.socket.get());
  }
}

void ZygoteKeeper::StartDue(absl::Time now) {
  for (uint32_t policy = 0; policy < slots_.size(); ++policy) {
    Slot& slot = slots_[policy];
    if (!slot.wanted || !slot.given_up.empty()) continue;
    KillOverdue(&slot, now);
    LookForChange(policy, now);
    if (slot.coming != nullptr || now < slot.start_at || (slot.current != nullptr && !slot.replace)) continue;
    if (absl::Status s = Start(policy); !s.ok()) {
      slot.start_at = now + kScarcityPause;
      Say(policies_[policy], absl::StrCat("cannot be started now: ", s.message()));
    }
  }
}

void ZygoteKeeper::EndHung(absl::Time now) {
  for (uint32_t policy = 0; policy < slots_.size(); ++policy) {
    const Slot& slot = slots_[policy];
    if (slot.coming != nullptr && now - slot.coming->started > kReadyMax) {
      Lose(policy, slot.coming->number,
           absl::StrCat("it was not ready after ", absl::FormatDuration(kReadyMax), " and was killed"));
    }
    if (slot.current == nullptr) continue;
    const auto& unanswered = slot.current->unanswered;
    const bool hangs = std::any_of(unanswered.begin(), unanswered.end(),
                                   [now](const auto& order) { return now - order.second > kForkAnswerMax; });
    if (!hangs) continue;
    Lose(policy, slot.current->number,
         absl::StrCat("it has not answered for ", absl::FormatDuration(kForkAnswerMax), " and was killed"));
  }
}

void ZygoteKeeper::ForgiveLeap(absl::Time now) {
  for (const Slot& slot : slots_) {
    for (Process* process : {slot.current.get(), slot.coming.get()}) {
      if (process == nullptr) continue;
      process->started = now;
      for (auto& [session, since] : process->unanswered) since = now;
    }
  }
}

void ZygoteKeeper::KillOverdue(Slot* slot, absl::Time now) {
  for (Process& process : slot->retired) {
    if (now < process.kill_at || !process.pidfd) continue;
    ::syscall(SYS_pidfd_send_signal, process.pidfd.get(), SIGKILL, nullptr, 0);
    process.kill_at = absl::InfiniteFuture();
  }
}

void ZygoteKeeper::LookForChange(uint32_t policy, absl::Time now) {
  Slot& slot = slots_[policy];
  if (slot.current == nullptr || slot.replace || now < slot.look_at) return;
  slot.look_at = now + kLookPeriod;
  if (FingerprintRuntime(policies_[policy]) == slot.current->fingerprint) return;
  Say(policies_[policy], "the runtime's files have changed: starting another");
  slot.replace = true;
}

absl::Status ZygoteKeeper::Start(uint32_t policy) {
  auto pair = MakeSocketPair();
  if (!pair.ok()) return pair.status();
  auto plan = plans_[policy].ToMemfd();
  if (!plan.ok()) return plan.status();
  const int fd = plan->get();
  // Waits in the socket until the zygote has started far enough to read it.
  const ZygoteMessage setup{.kind = ZygoteMessageKind::kSetup};
  if (absl::Status s = SendMessage(pair->first.get(), BytesOf(setup), std::span(&fd, 1)); !s.ok()) return s;
  auto process = std::make_unique<Process>();
  process->number = ++last_number_;
  process->started = absl::Now();
  // Before it reads anything: a change while it imports is a change.
  process->fingerprint = FingerprintRuntime(policies_[policy]);
  if (absl::Status s = SetNonBlocking(pair->first.get()); !s.ok()) return s;
  const uint64_t number = process->number;
  const int socket = pair->first.get();
  // What can fail comes before there is a process; one whose socket is closed ends.
  if (absl::Status s = loop_->Watch(socket, [this, policy, number] { Receive(policy, number); }); !s.ok()) return s;
  if (absl::Status s = events_.start(policy, number, pair->second.get()); !s.ok()) {
    loop_->Forget(socket);
    return s;
  }
  process->socket = std::move(pair->first);
  slots_[policy].coming = std::move(process);
  return absl::OkStatus();
}

ZygoteKeeper::Process* ZygoteKeeper::Find(uint32_t policy, uint64_t zygote) {
  Slot& slot = slots_[policy];
  for (Process* process : {slot.current.get(), slot.coming.get()}) {
    if (process != nullptr && process->number == zygote) return process;
  }
  for (Process& process : slot.retired) {
    if (process.number == zygote) return &process;
  }
  return nullptr;
}

void ZygoteKeeper::OnStarted(uint32_t policy, uint64_t zygote, UniqueFd pidfd) {
  if (Process* process = Find(policy, zygote); process != nullptr) process->pidfd = std::move(pidfd);
}

void ZygoteKeeper::OnStartFailed(uint32_t policy, uint64_t zygote, const std::string& why) {
  Lose(policy, zygote, why);
}

absl::StatusOr<uint64_t> ZygoteKeeper::Fork(uint32_t policy, const ZygoteMessage& order, std::span<const int> fds) {
  Slot& slot = slots_[policy];
  if (absl::Status s = SendMessage(slot.current->socket.get(), BytesOf(order), fds); !s.ok()) return s;
  slot.current->unanswered[order.session] = absl::Now();
  if (++slot.current->forks == forks_max_) slot.replace = true;
  return slot.current->number;
}

void ZygoteKeeper::Receive(uint32_t policy, uint64_t zygote) {
  Process* process = Find(policy, zygote);
  if (process == nullptr) return;
  ZygoteMessage message;
  auto received = ReceiveMessage(process->socket.get(), WritableBytesOf(message));
  if (!received.ok() && absl::IsResourceExhausted(received.status())) return;
  if (!received.ok() || received->size != sizeof message) return Lose(policy, zygote, "it ended");
  switch (message.kind) {
    case ZygoteMessageKind::kReady:
      if (slots_[policy].coming.get() != process) break;
      return TakeOver(policy);
    case ZygoteMessageKind::kForked:
      process->unanswered.erase(message.session);
      if (received->fds_lost) {
        // The child waits at its gate, and ends with its session.
        message = {.kind = ZygoteMessageKind::kFailed, .error = EMFILE, .session = message.session};
        return events_.message(message, {});
      }
      if (received->fds.size() != 1) return Lose(policy, zygote, "it broke the protocol");
      return events_.message(message, std::move(received->fds[0]));
    case ZygoteMessageKind::kFailed:
      process->unanswered.erase(message.session);
      return events_.message(message, {});
    case ZygoteMessageKind::kExited:
      return events_.message(message, {});
    case ZygoteMessageKind::kSetup:
    case ZygoteMessageKind::kFork:
      break;
  }
  Lose(policy, zygote, "it broke the protocol");
}

void ZygoteKeeper::TakeOver(uint32_t policy) {
  Slot& slot = slots_[policy];
  if (slot.current != nullptr) {
    if (slot.current->fingerprint != slot.coming->fingerprint) ++slot.generation;
    // It takes the orders that are on their way, and ends; its children become the nursery's.
    ::shutdown(slot.current->socket.get(), SHUT_WR);
    slot.current->kill_at = absl::Now() + kRetireMax;
    slot.retired.push_back(std::move(*slot.current));
  }
  slot.current = std::move(slot.coming);
  slot.replace = false;
  slot.failures = 0;
  slot.look_at = absl::Now() + kLookPeriod;
  events_.ready(policy);
}

void ZygoteKeeper::Drop(Process* process) {
  if (process->pidfd) ::syscall(SYS_pidfd_send_signal, process->pidfd.get(), SIGKILL, nullptr, 0);
  loop_->Forget(process->socket.get());
}

void ZygoteKeeper::Lose(uint32_t policy, uint64_t zygote, const std::string& why) {
  Slot& slot = slots_[policy];
  Process* process = Find(policy, zygote);
  if (process == nullptr) return;
  Drop(process);
  const bool was_current = slot.current.get() == process;
  const bool was_coming = slot.coming.get() == process;
  if (was_current) slot.current.reset();
  if (was_coming) slot.coming.reset();
  std::erase_if(slot.retired, [zygote](const Process& other) { return other.number == zygote; });
  if (was_coming) {
    // One that was ready and died starts over at once; one that never gets ready is given up, unless another serves.
    ++slot.failures;
    slot.start_at = absl::Now() + (slot.current != nullptr ? kSuccessorDelay : kRestartDelay * slot.failures);
    if (slot.failures >= kFailuresMax && slot.current == nullptr) {
      slot.given_up = absl::StrCat("the zygote of ", policies_[policy].name, " failed ", slot.failures,
                                   " times to start (", why, "); its own words are in the jailer's log");
    }
  }
  if (was_current || was_coming) Say(policies_[policy], why);
  events_.lost(policy, zygote, !slot.given_up.empty());
}

}  // namespace carrel::sandbox
