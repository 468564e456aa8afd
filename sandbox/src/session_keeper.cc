#include "session_keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "namespaces.h"
#include "sandbox/base/log_line.h"
#include "sandbox/base/message_socket.h"
#include "sandbox/base/process_info.h"
#include "session_ids.h"
#include "watchdog.h"

namespace carrel::sandbox {
namespace {

constexpr absl::Duration kCreateTimeMax = absl::Seconds(30);
// A zygote may import for long on a slow machine.
constexpr absl::Duration kZygoteTimeMax = absl::Seconds(180);
// A server that does not read its answers is broken.
constexpr size_t kUnsentMax = 10'000;
// How often the nursery is asked whether it is there, and how long it may leave that unanswered: it clones, which takes
// milliseconds, and must not be taken for dead on a machine that has no memory left.
constexpr absl::Duration kNurseryAskPeriod = absl::Seconds(2);
constexpr absl::Duration kNurseryAnswerMax = absl::Seconds(15);
// More than passes between two ticks of a jailer that runs.
constexpr absl::Duration kLeap = absl::Seconds(5);
constexpr char kNoDescriptors[] =
    "the jailer has no descriptor left for it (RLIMIT_NOFILE); try again when sessions have ended";
// Between two looks at whether a confined session is gone.
constexpr absl::Duration kSweepPeriod = absl::Milliseconds(2);

void SendSignal(const UniqueFd& pidfd, int signal) {
  // ESRCH: it ended on its own.
  if (pidfd) ::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0);
}

bool IsReadable(int fd) {
  pollfd polled{.fd = fd, .events = POLLIN, .revents = 0};  // a negative one is passed over
  return ::poll(&polled, 1, 0) > 0;
}

bool IsWritable(int fd) {
  pollfd polled{.fd = fd, .events = POLLOUT, .revents = 0};
  return ::poll(&polled, 1, 0) > 0;
}

std::vector<int> Numbers(const std::vector<UniqueFd>& fds) {
  std::vector<int> numbers;
  numbers.reserve(fds.size());
  for (const UniqueFd& fd : fds) numbers.push_back(fd.get());
  return numbers;
}

absl::Status EnterError(const EnterReport& report) {
  return absl::UnavailableError(
      absl::StrCat("the jail could not be closed: ", EnterStageName(report.stage), ": ", std::strerror(report.error)));
}

absl::Status SetupFailure(SetupStage stage, int error) {
  const char* mend =
      stage == SetupStage::kProc && error == EPERM
          ? " (a container that masks parts of /proc: run it with hostUsers: false and procMount: Unmasked)"
          : "";
  return absl::UnavailableError(
      absl::StrCat("the session could not be set up: ", SetupStageName(stage), ": ", std::strerror(error), mend));
}

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

void SessionKeeper::AskNursery(absl::Time now) {
  if (nursery_owes_ && now - nursery_asked_ > kNurseryAnswerMax) {
    return stop_(absl::StrCat("the nursery has not answered for ", absl::FormatDuration(kNurseryAnswerMax)));
  }
  if (nursery_owes_ || now - nursery_asked_ < kNurseryAskPeriod) return;
  nursery_asked_ = now;
  nursery_owes_ = true;
  // With its queue full it owes us an answer all the same: that it makes room.
  if (!NurseryTakesOrders()) return;
  SendMessage(nursery_, BytesOf(NurseryMessage{.kind = NurseryMessageKind::kPing})).IgnoreError();  // its end is told
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
                        .limits = policy.defaults,
                        .caps = policy.caps};
  std::snprintf(message.text, sizeof message.text, "%s", policy.name.c_str());
  SendServer(message);
}

// ---- the server

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

bool SessionKeeper::NurseryTakesOrders() const { return IsWritable(nursery_); }

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

Session* SessionKeeper::Add(uint32_t policy, const JailLimits& limits) {
  auto session = std::make_unique<Session>();
  const SessionIds ids = NextSessionIds(&next_session_, [this](uint32_t uid) {
    return family_.ids_differ && std::any_of(sessions_.begin(), sessions_.end(),
                                             [uid](const auto& entry) { return entry.second->identity.uid == uid; });
  });
  session->id = ids.session;
  session->policy = policy;
  session->limits = limits;
  session->created = absl::Now();
  // In `userns` there is only one uid, and no right to change the groups.
  const uint32_t id = family_.ids_differ ? ids.uid : kSessionIdBase;
  session->identity = {.uid = id, .gid = id, .groups_are_fixed = !family_.ids_differ};
  session->rlimits = RlimitsFor(limits, family_.cgroups != nullptr);
  if (family_.confined) Confine(session.get());
  Session* added = session.get();
  sessions_.emplace(added->id, std::move(session));
  return added;
}

absl::Status SessionKeeper::Begin(Session* session, std::vector<UniqueFd> fds) {
  auto pair = MakeSocketPair();
  if (!pair.ok()) return pair.status();
  const NurseryMessage order{.kind = NurseryMessageKind::kStartInit,
                             .policy = session->policy,
                             .session = session->id,
                             .limits = session->limits,
                             .identity = session->identity,
                             .rlimits = session->rlimits,
                             .own_user_namespace = family_.ids_differ || family_.confined ? 0U : 1U};
  std::vector<int> given{pair->second.get()};
  if (!fds.empty()) given.push_back(fds[kCreatePorter].get());
  if (family_.policies[session->policy].kind == Policy::Kind::kExec) {
    for (size_t i = kCreateStdin; i < fds.size(); ++i) given.push_back(fds[i].get());
  } else {
    for (size_t i = kCreateStdin; i < fds.size(); ++i) session->standard.push_back(std::move(fds[i]));
  }
  // The nursery clones while we make the cgroup.
  if (absl::Status s = SendMessage(nursery_, BytesOf(order), given); !s.ok()) return s;
  session->init_socket = std::move(pair->first);
  // An init that does not listen (it is stopped, it waits for memory) must not hold up the other sessions.
  if (absl::Status s = SetNonBlocking(session->init_socket.get()); !s.ok()) return s;
  const uint64_t id = session->id;
  if (absl::Status s = loop_->Watch(session->init_socket.get(), [this, id] { OnInit(id); }); !s.ok()) return s;
  if (family_.cgroups == nullptr) return absl::OkStatus();
  auto cgroup = family_.cgroups->Create(absl::StrCat("session-", session->id), session->limits);
  if (!cgroup.ok()) return absl::UnavailableError(absl::StrCat("cgroup: ", cgroup.status().message()));
  session->cgroup = *std::move(cgroup);
  auto entrances = session->cgroup->OpenEntrances();
  if (!entrances.ok()) return absl::UnavailableError(absl::StrCat("cgroup: ", entrances.status().message()));
  session->entrances = *std::move(entrances);
  auto counters = session->cgroup->OpenCounters();
  if (!counters.ok()) return absl::UnavailableError(absl::StrCat("cgroup: ", counters.status().message()));
  session->counters = *std::move(counters);
  session->times.cgroup_us = MicrosSince(session->created);
  return absl::OkStatus();
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
  const Session* session = Find(message.session);
  if (session == nullptr) return Refuse(message.request, absl::NotFoundError("the session is gone"));
  JailerMessage answer{.kind = JailerMessageKind::kStats, .request = message.request, .session = message.session};
  if (session->cgroup) {
    auto stats = session->cgroup->Stats();
    if (!stats.ok()) return Refuse(message.request, stats.status());
    answer.stats = *stats;
  } else {
    answer.stats = {.memory_bytes = session->memory_bytes,
                    .memory_peak_bytes = session->memory_peak_bytes,
                    .oom_kills = session->watchdog_kills};
  }
  SendServer(answer);
}

// ---- the nursery

void SessionKeeper::OnNursery() {
  if (server_is_paused_) {
    if (IsWritable(nursery_)) ResumeServer();
    if (!IsReadable(nursery_)) return;  // it only takes orders again
  }
  NurseryMessage message;
  auto received = ReceiveMessage(nursery_, WritableBytesOf(message));
  if (!received.ok() || received->size != sizeof message) return stop_("the nursery closed its socket");
  nursery_owes_ = false;  // whatever it says
  if (message.policy >= family_.policies.size()) return stop_("the nursery broke the protocol");
  switch (message.kind) {
    case NurseryMessageKind::kInitStarted:
    case NurseryMessageKind::kZygoteStarted:
      if (received->fds_lost) {
        if (message.kind == NurseryMessageKind::kZygoteStarted) {
          return zygotes_.OnStartFailed(message.policy, message.zygote, kNoDescriptors);
        }
        if (Session* session = Find(message.session); session != nullptr) {
          // Without its pidfd nobody would hear of its end; it ends when it finds its socket closed.
          Fail(session, absl::ResourceExhaustedError(kNoDescriptors));
          OnInitGone(message.session);
        }
        return;
      }
      if (received->fds.size() != 1) return stop_("the nursery broke the protocol");
      if (message.kind == NurseryMessageKind::kInitStarted) {
        return OnInitStarted(message.session, std::move(received->fds[0]));
      }
      return zygotes_.OnStarted(message.policy, message.zygote, std::move(received->fds[0]));
    case NurseryMessageKind::kFailed:
      if (message.session == 0) {
        return zygotes_.OnStartFailed(message.policy, message.zygote, std::strerror(message.error));
      }
      if (Session* session = Find(message.session); session != nullptr) {
        Fail(session, SetupFailure(message.stage, message.error));
        OnInitGone(message.session);
      }
      return;
    case NurseryMessageKind::kReaped:
      return OnReaped(message.pid, message.status);
    case NurseryMessageKind::kPong:
      return;
    default:
      return stop_("the nursery broke the protocol");
  }
}

void SessionKeeper::OnInitStarted(uint64_t id, UniqueFd pidfd) {
  Session* session = Find(id);
  if (session == nullptr) return;
  session->init_pidfd = std::move(pidfd);
  if (absl::Status s = loop_->Watch(session->init_pidfd.get(), [this, id] { OnInitGone(id); }); !s.ok()) {
    Fail(session, s);
    return OnInitGone(id);
  }
  if (session->state == Session::State::kDying) return SendSignal(session->init_pidfd, SIGKILL);
  auto pid = PidOfPidfd(session->init_pidfd.get());
  if (absl::IsNotFound(pid.status())) return;  // it is dead already, and its pidfd readable
  if (!pid.ok()) return Fail(session, absl::UnavailableError(pid.status().message()));
  session->init_pid = *pid;
  JoinIfPossible(session);
}

// Lets init into the cgroup, after the zygote was told to fork: that takes longest.
void SessionKeeper::JoinIfPossible(Session* session) {
  const bool starts = session->state == Session::State::kStarting || session->state == Session::State::kSpare;
  if (!starts || session->joined || !session->born || session->init_pid < 0) return;
  session->joined = true;
  if (session->cgroup) {
    if (absl::Status s = session->cgroup->AddToUnified(session->init_pid); !s.ok()) {
      return Fail(session, absl::UnavailableError(absl::StrCat("cgroup: ", s.message())));
    }
  }
  // A broken pipe means that it died, which its pidfd says.
  SendMessage(session->init_socket.get(), BytesOf(InitMessage{.kind = InitMessageKind::kJoin}),
              Numbers(session->entrances))
      .IgnoreError();
}

void SessionKeeper::OnReaped(pid_t pid, int status) {
  // An orphan of a dead zygote: the nursery took its place as the parent.
  for (auto& [id, session] : sessions_) {
    if (session->main_pid_in_nursery == pid) return OnMainExited(session.get(), status);
  }
}

// ---- init

void SessionKeeper::OnInit(uint64_t id) {
  Session* session = Find(id);
  if (session == nullptr) return;
  InitMessage message;
  auto received = ReceiveMessage(session->init_socket.get(), WritableBytesOf(message));
  if (absl::IsResourceExhausted(received.status())) return;
  if (!received.ok() || received->size != sizeof message) {
    // Its pidfd tells the rest.
    loop_->Forget(session->init_socket.get());
    session->init_socket.reset();
    return;
  }
  if (session->state == Session::State::kDying) return;
  if (received->fds_lost) return Fail(session, absl::ResourceExhaustedError(kNoDescriptors));
  switch (message.kind) {
    case InitMessageKind::kBorn:
      if (received->fds.size() != 1) return Fail(session, absl::InternalError("init broke the protocol"));
      session->pid_namespace = std::move(received->fds[0]);
      session->born = true;
      session->times.init_us = MicrosSince(session->created);
      ForkIfPossible(session);
      return JoinIfPossible(session);
    case InitMessageKind::kReady:
      return OnReady(session, std::move(received->fds));
    case InitMessageKind::kMainStarted:
      if (received->fds.size() != 1 || !session->ready)
        return Fail(session, absl::InternalError("init broke the protocol"));
      session->main_pidfd = std::move(received->fds[0]);
      session->main_pid = PidOfPidfd(session->main_pidfd.get()).value_or(-1);
      return Created(session);
    case InitMessageKind::kMainExited:
      return OnMainExited(session, message.status);
    case InitMessageKind::kFailed:
      if (message.stage == SetupStage::kEnter) return Fail(session, EnterError(message.enter));
      return Fail(session, SetupFailure(message.stage, message.error));
    case InitMessageKind::kJoin:
    case InitMessageKind::kKillOne:
    case InitMessageKind::kKillAll:
    case InitMessageKind::kAdopt:
      break;
  }
  Fail(session, absl::InternalError("init broke the protocol"));
}

// An init that fails takes the child along, and has said why.
void SessionKeeper::HearInit(Session* session) {
  while (session->state == Session::State::kStarting && IsReadable(session->init_socket.get())) OnInit(session->id);
}

void SessionKeeper::OnReady(Session* session, std::vector<UniqueFd> fds) {
  if (fds.size() != kGoFdsMax + kReadyTmpfsFds) return Fail(session, absl::InternalError("init broke the protocol"));
  for (size_t i = 0; i < kGoFdsMax; ++i) session->namespaces.push_back(std::move(fds[i]));
  session->workspace.reset(::fcntl(fds[kGoFdsMax].get(), F_DUPFD_CLOEXEC, 3));
  if (!session->workspace) return Fail(session, absl::ResourceExhaustedError("no descriptor is free"));
  if (family_.cgroups == nullptr) {
    for (size_t i = 0; i < kReadyTmpfsFds; ++i) session->tmpfs[i] = std::move(fds[kGoFdsMax + i]);
  }
  session->ready = true;
  session->times.mounts_us = MicrosSince(session->created);
  LetGoIfPossible(session);
}

// ---- a zygote's session

void SessionKeeper::ForkIfPossible(Session* session) {
  if (session->state != Session::State::kStarting || session->forked || !session->pid_namespace) return;
  if (!zygotes_.ready(session->policy)) return;
  auto gate = MakeSocketPair();
  if (!gate.ok()) return Fail(session, gate.status());
  std::vector<int> fds{session->pid_namespace.get(), gate->second.get()};
  for (const UniqueFd& fd : session->standard) fds.push_back(fd.get());
  const ZygoteMessage order{.kind = ZygoteMessageKind::kFork,
                            .session = session->id,
                            .identity = session->identity,
                            .rlimits = session->rlimits,
                            .own_user_namespace = family_.ids_differ || family_.confined ? 0U : 1U,
                            .no_namespaces = family_.confined ? 1U : 0U};
  const absl::StatusOr<uint64_t> zygote = zygotes_.Fork(session->policy, order, fds);
  if (!zygote.ok()) {
    if (!absl::IsResourceExhausted(zygote.status())) return Fail(session, zygote.status());
    zygote_is_full_ = true;  // of orders; Tick tries again
    return;
  }
  // What the order needs is kept until the answer, for the case that another zygote must be asked.
  session->forked = true;
  session->zygote = *zygote;
  session->gate = std::move(gate->first);
}

void SessionKeeper::OnZygote(const ZygoteMessage& message, UniqueFd pidfd) {
  Session* session = Find(message.session);
  if (session == nullptr || session->state == Session::State::kDying) return;  // the child dies with its namespace
  session->pid_namespace.reset();
  session->standard.clear();
  if (message.kind == ZygoteMessageKind::kFailed) {
    return Fail(session,
                absl::UnavailableError(absl::StrCat("the zygote could not fork: ", std::strerror(message.error))));
  }
  if (message.kind == ZygoteMessageKind::kExited) return OnMainExited(session, message.status);
  session->main_pidfd = std::move(pidfd);
  session->times.forked_us = MicrosSince(session->created);
  session->main_pid_in_nursery = message.pid;
  auto pid = PidOfPidfd(session->main_pidfd.get());
  if (!pid.ok()) {
    HearInit(session);
    return Fail(session,
                absl::UnavailableError(absl::IsNotFound(pid.status()) ? "the session's process died while it was made"
                                                                      : pid.status().message()));
  }
  session->main_pid = *pid;
  if (session->cgroup) {
    if (absl::Status s = session->cgroup->AddToUnified(*pid); !s.ok()) {
      return Fail(session, absl::UnavailableError(absl::StrCat("cgroup: ", s.message())));
    }
  }
  LetGoIfPossible(session);
}

void SessionKeeper::LetGoIfPossible(Session* session) {
  if (session->state != Session::State::kStarting || session->let_go || !session->ready || session->main_pid < 0 ||
      !session->gate) {
    return;
  }
  const auto go = static_cast<std::byte>(session->entrances.size());
  std::vector<int> fds = Numbers(session->namespaces);
  for (const UniqueFd& entrance : session->entrances) fds.push_back(entrance.get());
  if (absl::Status s = SendMessage(session->gate.get(), std::span(&go, 1), fds); !s.ok()) {
    HearInit(session);
    return Fail(session, absl::UnavailableError("the session's process died while it was made"));
  }
  session->let_go = true;
  session->times.let_go_us = MicrosSince(session->created);
  session->namespaces.clear();
  session->entrances.clear();
  const uint64_t id = session->id;
  if (absl::Status s = loop_->Watch(session->gate.get(), [this, id] { OnGate(id); }); !s.ok()) Fail(session, s);
}

void SessionKeeper::OnGate(uint64_t id) {
  Session* session = Find(id);
  if (session == nullptr || !session->gate || session->state != Session::State::kStarting) return;
  EnterReport report;
  const auto received = ReceiveMessage(session->gate.get(), WritableBytesOf(report));
  loop_->Forget(session->gate.get());
  session->gate.reset();
  if (received.ok() && received->size == sizeof report) return Fail(session, EnterError(report));
  Created(session);
}

void SessionKeeper::OnZygoteLost(uint32_t policy, uint64_t zygote, bool given_up) {
  AnnouncePolicy(policy);
  std::vector<Session*> lost;
  for (auto& [id, session] : sessions_) {
    if (session->policy != policy || session->state != Session::State::kStarting) continue;
    if (session->let_go || (session->forked ? session->zygote != zygote : !given_up)) continue;
    if (!given_up && session->pid_namespace && !std::exchange(session->asked_again, true)) {
      session->forked = false;  // the next that gets ready is asked; who had been forked ends at the closed gate
      session->gate.reset();
      continue;
    }
    lost.push_back(session.get());
  }
  for (Session* session : lost) {
    Fail(session, absl::UnavailableError(given_up ? zygotes_.given_up(policy)
                                                  : "the zygote that was to fork it ended, or did not answer and was "
                                                    "killed; try again"));
  }
}

// ---- life and death

void SessionKeeper::Created(Session* session) {
  if (session->state != Session::State::kStarting) return;
  session->state = Session::State::kRunning;
  session->entrances.clear();
  session->times.entered_us = MicrosSince(session->created);
  JailerMessage created{.kind = JailerMessageKind::kCreated,
                        .policy = session->policy,
                        .request = session->request,
                        .session = session->id,
                        .limits = session->limits,
                        .times = session->times};
  // The server reads the counters itself: before and after each call, for which a question to us would be dear.
  std::vector<int> fds{session->workspace.get()};
  if (session->counters) {
    for (const UniqueFd& file : session->counters->files()) fds.push_back(file.get());
    created.cpu_is_unified = session->counters->cpu_is_unified() ? 1U : 0U;
  }
  SendServer(created, fds);
  session->workspace.reset();
  session->counters.reset();
}

void SessionKeeper::OnMainExited(Session* session, int status) {
  // Gate and zygote are two sockets: what the child said at the gate came first.
  if (session->state == Session::State::kStarting && session->let_go) OnGate(session->id);
  HearInit(session);
  if (session->state == Session::State::kStarting) {
    return Fail(session, absl::UnavailableError("the session's process died while it was made"));
  }
  if (session->state != Session::State::kRunning) return;
  session->state = Session::State::kEnded;
  session->main_pid_in_nursery = -1;
  const bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  const bool by_limit = session->watchdog_killed_main || (session->cgroup && session->cgroup->OomKills() > 0);
  SendServer({.kind = JailerMessageKind::kExited,
              .session = session->id,
              .status = status,
              .memory_limit = killed && by_limit ? 1U : 0U});
}

void SessionKeeper::Fail(Session* session, const absl::Status& why) {
  if (session->state == Session::State::kSpare) spares_at_ = absl::Now() + kSpareFailurePause;
  if (session->state == Session::State::kStarting) Refuse(session->request, why);
  Kill(session);
}

void SessionKeeper::Kill(Session* session) {
  session->state = Session::State::kDying;
  if (session->gate) loop_->Forget(session->gate.get());
  session->gate.reset();
  if (session->init_socket) {
    loop_->Forget(session->init_socket.get());
    // An init that is only being cloned ends when it finds its socket closed.
    session->init_socket.reset();
  }
  if (family_.confined) SendSignal(session->main_pidfd, SIGKILL);  // Sweep sees to the rest
  // Pid 1 of the namespace: the kernel ends everything in it before the init is gone.
  SendSignal(session->init_pidfd, SIGKILL);
}

void SessionKeeper::OnInitGone(uint64_t id) {
  Session* session = Find(id);
  if (session == nullptr) return;
  // Pidfd and socket are two descriptors: what it said came before its end.
  while (session->state == Session::State::kStarting && IsReadable(session->init_socket.get())) OnInit(id);
  if (session->state == Session::State::kStarting) {
    Refuse(session->request, absl::UnavailableError("the session's init died while it was made"));
  }
  // Somebody killed it.
  if (session->state == Session::State::kSpare) spares_at_ = absl::Now() + kSpareFailurePause;
  for (UniqueFd* fd : {&session->init_pidfd, &session->init_socket, &session->gate}) {
    if (*fd) loop_->Forget(fd->get());
    fd->reset();
  }
  if (family_.confined && !Sweep(*session)) {
    session->state = Session::State::kDying;
    session->is_swept = true;
    return;
  }
  Bury(id);
}

void SessionKeeper::Bury(uint64_t id) {
  Session* session = Find(id);
  if (session->cgroup) {
    if (absl::Status s = session->cgroup->Remove(); !s.ok()) {
      // Its destructor tries again; what is left then is removed with the whole tree.
      LogLineWithoutWaiting(absl::StrCat("carrel-jailer: session ", id, ": cgroup: ", s.message()));
    }
  }
  // Of one that nobody had nobody wants to know.
  if (session->request != 0) {
    SendServer({.kind = JailerMessageKind::kGone, .request = session->request, .session = id});
  }
  sessions_.erase(id);
}

void SessionKeeper::Measure(Session* session) {
  if (session->state != Session::State::kRunning && session->state != Session::State::kEnded) return;
  const SessionMemory memory = MeasureSession(*session, session->limits.memory_bytes / 2);
  session->memory_bytes = memory.Total();
  session->memory_peak_bytes = std::max(session->memory_peak_bytes, session->memory_bytes);
  std::erase_if(session->dying, [&memory](pid_t pid) {
    return std::none_of(memory.processes.begin(), memory.processes.end(),
                        [pid](const ProcessMemory& process) { return process.pid == pid; });
  });
  const Victims victims = ChooseVictims(*session, memory, session->limits.memory_bytes);
  if (victims.hopeless) {
    if (!memory.processes.empty()) ++session->watchdog_kills;
    session->watchdog_killed_main = true;
    SendMessage(session->init_socket.get(), BytesOf(InitMessage{.kind = InitMessageKind::kKillAll})).IgnoreError();
    return;
  }
  // The init does it: in its namespace a number that was given anew meanwhile can only be one of the session's.
  for (const ProcessMemory& victim : victims.processes) {
    ++session->watchdog_kills;
    session->dying.insert(victim.pid);
    if (victim.pid == session->main_pid) session->watchdog_killed_main = true;
    const InitMessage order{.kind = InitMessageKind::kKillOne, .pid = victim.pid_in_session};
    SendMessage(session->init_socket.get(), BytesOf(order)).IgnoreError();
  }
}

}  // namespace carrel::sandbox
