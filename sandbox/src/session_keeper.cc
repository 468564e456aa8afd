#include "session_keeper.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "absl/time/clock.h"
#include "sandbox/base/message_socket.h"
#include "watchdog.h"

namespace carrel::sandbox {
namespace {

constexpr absl::Duration kCreateTimeMax = absl::Seconds(30);
// A zygote may import for long on a slow machine.
constexpr absl::Duration kZygoteTimeMax = absl::Seconds(180);
// More than passes between two ticks of a jailer that runs.
constexpr absl::Duration kLeap = absl::Seconds(5);
// Between two looks at whether a confined session is gone.
constexpr absl::Duration kSweepPeriod = absl::Milliseconds(2);

}  // namespace

SessionKeeper::SessionKeeper(EventLoop* loop, UniqueFd server, int nursery, const Family& family,
                             std::function<void(const std::string&)> stop)
    : loop_(loop),
      server_(std::move(server)),
      nursery_(nursery),
      family_(family),
      stop_(std::move(stop)),
      zygotes_(
          loop, family.policies, family.plans, family.zygote_forks_max,
          {.ready =
               [this](uint32_t policy) {
                 if (family_.confined) ForgetImports();
                 AnnouncePolicy(policy);
                 spares_at_ = family_.confined ? absl::InfiniteFuture() : absl::Now();
                 for (auto& [id, session] : sessions_) {
                   if (session->policy == policy) ForkIfPossible(session.get());
                 }
               },
           .message = [this](const ZygoteMessage& m, UniqueFd fd) { OnZygote(m, std::move(fd)); },
           .lost = [this](uint32_t policy, uint64_t zygote, bool given_up) { OnZygoteLost(policy, zygote, given_up); },
           .start =
               [this](uint32_t policy, uint64_t zygote, int socket) {
                 const NurseryMessage order{
                     .kind = NurseryMessageKind::kStartZygote, .policy = policy, .zygote = zygote};
                 return SendMessage(nursery_, BytesOf(order), std::span(&socket, 1));
               }}) {}

SessionKeeper::~SessionKeeper() {
  loop_->Forget(server_.get());
  loop_->Forget(nursery_);
  for (auto& [id, session] : sessions_) {
    for (const UniqueFd* fd : {&session->init_socket, &session->init_pidfd, &session->gate}) {
      if (*fd) loop_->Forget(fd->get());
    }
  }
}

absl::Status SessionKeeper::Start(int report) {
  if (absl::Status s = SetNonBlocking(server_.get()); !s.ok()) return s;
  if (absl::Status s = loop_->Watch(server_.get(), [this] { OnServer(); }); !s.ok()) return s;
  if (absl::Status s = loop_->Watch(nursery_, [this] { OnNursery(); }); !s.ok()) return s;
  SendServer({.kind = JailerMessageKind::kHello, .policy = static_cast<uint32_t>(family_.policies.size())},
             std::span(&report, 1));
  for (uint32_t policy = 0; policy < family_.policies.size(); ++policy) AnnouncePolicy(policy);
  zygotes_.StartDue(absl::Now());
  return absl::OkStatus();
}

absl::Duration SessionKeeper::period() const {
  const auto is_swept = [](const auto& entry) { return entry.second->is_swept; };
  if (family_.confined && std::any_of(sessions_.begin(), sessions_.end(), is_swept)) return kSweepPeriod;
  if (family_.cgroups == nullptr && !sessions_.empty()) return absl::Milliseconds(kWatchdogPeriodMillis);
  const absl::Duration to_spares = std::max(spares_at_ - absl::Now(), absl::Milliseconds(1));
  return std::min(absl::Milliseconds(200), to_spares);
}

void SessionKeeper::Tick(absl::Time now) {
  if (now >= spares_at_ && !family_.confined) MakeSpares(now);
  if (now - last_tick_ < period()) return;
  // The clock was set, or we did not run: then nobody had the time that seems to have passed.
  if (now - std::exchange(last_tick_, now) > kLeap) {
    nursery_asked_ = now;
    zygotes_.ForgiveLeap(now);
  }
  AskNursery(now);
  zygotes_.EndHung(now);
  std::vector<Session*> late;
  for (auto& [id, session] : sessions_) {
    const bool waits_for_zygote =
        !session->forked && session->ready && family_.policies[session->policy].kind == Policy::Kind::kZygote;
    const absl::Duration patience = waits_for_zygote ? kZygoteTimeMax : kCreateTimeMax;
    const bool starts =
        session->state == Session::State::kStarting || (session->state == Session::State::kSpare && !session->ready);
    if (starts && now - session->created > patience) late.push_back(session.get());
    if (family_.cgroups == nullptr) Measure(session.get());
  }
  for (Session* session : late) Fail(session, absl::DeadlineExceededError("the session took too long to start"));
  if (std::exchange(zygote_is_full_, false)) {
    for (auto& [id, session] : sessions_) ForkIfPossible(session.get());
  }
  if (!family_.confined) return zygotes_.StartDue(now);
  SweepAll();
  // A zygote imports from where sessions write, so no session may be there while it starts.
  if (sessions_.empty()) zygotes_.StartDue(now);
  CallWaiting();
}

Session* SessionKeeper::Find(uint64_t id) {
  const auto at = sessions_.find(id);
  return at == sessions_.end() ? nullptr : at->second.get();
}

void SessionKeeper::AnnouncePolicy(uint32_t index) {
  const Policy& policy = family_.policies[index];
  JailerMessage message{.kind = JailerMessageKind::kPolicy,
                        .policy = index,
                        .status = policy.kind == Policy::Kind::kExec || zygotes_.ready(index) ? 1 : 0,
                        .generation = zygotes_.generation(index),
                        .runtime = static_cast<uint32_t>(policy.runtime),
                        .limits = policy.defaults,
                        .caps = policy.caps};
  std::snprintf(message.text, sizeof message.text, "%s", policy.name.c_str());
  SendServer(message);
}

}  // namespace carrel::sandbox
