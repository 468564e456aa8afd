#include "zygote_keeper.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "sandbox/base/message_socket.h"

namespace carrel::sandbox {
namespace {

constexpr int kFailuresMax = 3;
constexpr absl::Duration kRestartDelay = absl::Milliseconds(200);

}  // namespace

ZygoteKeeper::ZygoteKeeper(EventLoop* loop, const std::vector<Policy>& policies, const std::vector<EnterPlan>& plans,
                           Events events)
    : loop_(loop), policies_(policies), plans_(plans), events_(std::move(events)), zygotes_(policies.size()) {
  for (size_t i = 0; i < policies.size(); ++i) {
    zygotes_[i].state = policies[i].kind == Policy::Kind::kZygote ? State::kDown : State::kNone;
  }
}

ZygoteKeeper::~ZygoteKeeper() {
  for (const Zygote& zygote : zygotes_) {
    if (zygote.socket) loop_->Forget(zygote.socket.get());
  }
}

absl::Status ZygoteKeeper::StartDue(absl::Time now) {
  for (uint32_t policy = 0; policy < zygotes_.size(); ++policy) {
    Zygote& zygote = zygotes_[policy];
    if (zygote.state != State::kDown || now < zygote.start_at || !zygote.given_up.empty()) continue;
    auto pair = MakeSocketPair();
    if (!pair.ok()) return pair.status();
    auto plan = plans_[policy].ToMemfd();
    if (!plan.ok()) return plan.status();
    const int fd = plan->get();
    // Waits in the socket until the zygote has started far enough to read it.
    const ZygoteMessage setup{.kind = ZygoteMessageKind::kSetup};
    if (absl::Status s = SendMessage(pair->first.get(), BytesOf(setup), std::span(&fd, 1)); !s.ok()) return s;
    if (absl::Status s = events_.start(policy, pair->second.get()); !s.ok()) return s;
    if (absl::Status s = SetNonBlocking(pair->first.get()); !s.ok()) return s;
    zygote.socket = std::move(pair->first);
    zygote.state = State::kStarting;
    if (absl::Status s = loop_->Watch(zygote.socket.get(), [this, policy] { Receive(policy); }); !s.ok()) return s;
  }
  return absl::OkStatus();
}

void ZygoteKeeper::OnStarted(uint32_t policy, UniqueFd pidfd) { zygotes_[policy].pidfd = std::move(pidfd); }

void ZygoteKeeper::OnStartFailed(uint32_t policy, const std::string& why) { Lose(policy, why); }

absl::Status ZygoteKeeper::Fork(uint32_t policy, const ZygoteMessage& order, std::span<const int> fds) {
  return SendMessage(zygotes_[policy].socket.get(), BytesOf(order), fds);
}

void ZygoteKeeper::Receive(uint32_t policy) {
  Zygote& zygote = zygotes_[policy];
  ZygoteMessage message;
  auto received = ReceiveMessage(zygote.socket.get(), WritableBytesOf(message));
  if (!received.ok() && absl::IsResourceExhausted(received.status())) return;
  if (!received.ok() || received->size != sizeof message) return Lose(policy, "it ended");
  switch (message.kind) {
    case ZygoteMessageKind::kReady:
      zygote.state = State::kReady;
      zygote.failures = 0;
      return events_.ready(policy);
    case ZygoteMessageKind::kForked:
      if (received->fds.size() != 1) return Lose(policy, "it broke the protocol");
      return events_.message(message, std::move(received->fds[0]));
    case ZygoteMessageKind::kFailed:
    case ZygoteMessageKind::kExited:
      return events_.message(message, {});
    case ZygoteMessageKind::kSetup:
    case ZygoteMessageKind::kFork:
      break;
  }
  Lose(policy, "it broke the protocol");
}

void ZygoteKeeper::Lose(uint32_t policy, const std::string& why) {
  Zygote& zygote = zygotes_[policy];
  if (zygote.pidfd) ::syscall(SYS_pidfd_send_signal, zygote.pidfd.get(), SIGKILL, nullptr, 0);
  if (zygote.socket) loop_->Forget(zygote.socket.get());
  zygote.socket.reset();
  zygote.pidfd.reset();
  // One that was ready and died starts over at once; one that never gets ready is given up.
  if (zygote.state != State::kReady && ++zygote.failures >= kFailuresMax) {
    zygote.given_up = absl::StrCat("the zygote of ", policies_[policy].name, " failed ", zygote.failures,
                                   " times to start (", why, "); its own words are in the jailer's log");
  }
  zygote.state = State::kDown;
  zygote.start_at = absl::Now() + kRestartDelay * std::max(zygote.failures, 0);
  std::fprintf(stderr, "carrel-jailer: zygote of %s: %s\n", policies_[policy].name.c_str(), why.c_str());
  events_.lost(policy, !zygote.given_up.empty());
}

}  // namespace carrel::sandbox
