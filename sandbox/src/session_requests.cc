// What the server asks for, and what it is told.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "descriptors.h"
#include "sandbox/base/message_socket.h"
#include "session_errors.h"
#include "session_keeper.h"

namespace carrel::sandbox {
namespace {

// A server that does not read its answers is broken.
constexpr size_t kUnsentMax = 10'000;

}  // namespace

// Descriptors do not wait: a message whose turn did not come at once goes without them, which all of them can.
void SessionKeeper::SendServer(const JailerMessage& message, std::span<const int> fds) {
  if (unsent_.empty()) {
    const absl::Status sent = SendMessage(server_.get(), BytesOf(message), fds);
    if (sent.ok()) return;
    // Gone: its pidfd tells the loop as well.
    if (!absl::IsResourceExhausted(sent)) return;
  }
  if (unsent_.size() >= kUnsentMax) return stop_("the server does not read its messages");
  unsent_.push_back(message);
  loop_->WatchWritable(server_.get(), true);
}

void SessionKeeper::FlushServer() {
  while (!unsent_.empty()) {
    if (absl::IsResourceExhausted(SendMessage(server_.get(), BytesOf(unsent_.front())))) return;
    unsent_.pop_front();
  }
  loop_->WatchWritable(server_.get(), false);
}

// With the nursery's queue full, one order more would have us wait for it; and it waits for us, when it has as much to
// tell. So it is the server that waits.
void SessionKeeper::PauseServer() {
  server_is_paused_ = true;
  loop_->Forget(server_.get());
  loop_->WatchWritable(nursery_, true);
}

void SessionKeeper::ResumeServer() {
  server_is_paused_ = false;
  loop_->WatchWritable(nursery_, false);
  if (absl::Status s = loop_->Watch(server_.get(), [this] { OnServer(); }); !s.ok()) {
    return stop_(std::string(s.message()));
  }
  if (!unsent_.empty()) loop_->WatchWritable(server_.get(), true);
}

void SessionKeeper::OnServer() {
  if (!unsent_.empty()) FlushServer();
  if (!NurseryTakesOrders()) return PauseServer();
  JailerMessage message;
  auto received = ReceiveMessage(server_.get(), WritableBytesOf(message));
  if (!received.ok() && absl::IsResourceExhausted(received.status())) return;
  if (!received.ok() || received->size == 0) return stop_("the server closed its socket");
  if (received->size != sizeof message) return stop_("the server broke the protocol");
  if (received->fds_lost) return Refuse(message.request, absl::ResourceExhaustedError(kNoDescriptors));
  switch (message.kind) {
    case JailerMessageKind::kCreate:
      return OnCreate(message, std::move(received->fds));
    case JailerMessageKind::kDestroy:
      return OnDestroy(message);
    case JailerMessageKind::kStats:
      return OnStats(message);
    case JailerMessageKind::kInterrupt:
      if (const Session* session = Find(message.session); session != nullptr) SendSignal(session->main_pidfd, SIGINT);
      // Who asks wants to know that it is on its way, before he lets the next call begin.
      if (message.request != 0) {
        SendServer({.kind = JailerMessageKind::kStats, .request = message.request, .session = message.session});
      }
      return;
    default:
      return stop_("the server broke the protocol");
  }
}

void SessionKeeper::Refuse(uint64_t request, const absl::Status& why) {
  JailerMessage answer{
      .kind = JailerMessageKind::kFailed, .request = request, .error = static_cast<int32_t>(why.code())};
  const std::string text(why.message());
  std::snprintf(answer.text, sizeof answer.text, "%s", text.c_str());
  SendServer(answer);
}

void SessionKeeper::OnCreate(const JailerMessage& message, std::vector<UniqueFd> fds) {
  if (message.policy >= family_.policies.size() || fds.size() < kCreateControl || fds.size() > kCreateFdsMax) {
    return Refuse(message.request, absl::InvalidArgumentError("no such policy, or not its descriptors"));
  }
  if (family_.confined && !TakeTurn(message, &fds)) return;
  if (sessions_.size() >= kSessionsMax) {
    return Refuse(message.request, absl::ResourceExhaustedError("too many sessions for one jailer"));
  }
  auto limits = EffectiveLimits(family_.policies[message.policy], message.limits);
  if (!limits.ok()) return Refuse(message.request, limits.status());
  const std::string& broken = zygotes_.given_up(message.policy);
  if (!broken.empty()) return Refuse(message.request, absl::UnavailableError(broken));
  if (!family_.confined) spares_at_ = absl::Now() + kSparePause;
  if (Session* spare = FindSpare(message.policy, *limits); spare != nullptr) {
    spare->request = message.request;
    if (absl::Status s = Adopt(spare, *limits, std::move(fds)); !s.ok()) Fail(spare, s);
    return;
  }
  Session* started = Add(message.policy, *limits);
  started->request = message.request;
  started->state = Session::State::kStarting;
  if (absl::Status s = Begin(started, std::move(fds)); !s.ok()) {
    Fail(started, s);
    // An init that is being cloned finds its socket closed and ends; nobody waits for its end.
    sessions_.erase(started->id);
  }
}

void SessionKeeper::OnDestroy(const JailerMessage& message) {
  Session* session = Find(message.session);
  if (message.session == 0) {
    // The caller lost patience before it knew the session's number.
    const auto at = std::find_if(sessions_.begin(), sessions_.end(), [&](const auto& entry) {
      return entry.second->request == message.request && entry.second->state == Session::State::kStarting;
    });
    if (at != sessions_.end()) session = at->second.get();
  }
  if (session == nullptr && waiting_ && waiting_->message.request == message.request) waiting_.reset();
  if (session == nullptr) {
    return SendServer({.kind = JailerMessageKind::kGone, .request = message.request, .session = message.session});
  }
  Kill(session);
}

void SessionKeeper::OnStats(const JailerMessage& message) {
  Session* session = Find(message.session);
  if (session == nullptr) return Refuse(message.request, absl::NotFoundError("the session is gone"));
  JailerMessage answer{.kind = JailerMessageKind::kStats, .request = message.request, .session = message.session};
  if (session->cgroup) {
    auto stats = session->cgroup->Stats();
    if (!stats.ok()) return Refuse(message.request, stats.status());
    answer.stats = *stats;
  } else {
    Measure(session);  // a call's usage is what it was at its end, not at the last look
    answer.stats = {.cpu_ns = session->cpu.ns(),
                    .memory_bytes = session->memory_bytes,
                    .memory_peak_bytes = session->memory_peak_bytes,
                    .oom_kills = session->watchdog_kills};
  }
  SendServer(answer);
}

}  // namespace carrel::sandbox
