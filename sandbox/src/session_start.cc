// How a session is made: from the order to the nursery, by way of init, zygote and gate, to the answer.
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "descriptors.h"
#include "disk_keeper.h"
#include "namespaces.h"
#include "sandbox/base/message_socket.h"
#include "sandbox/base/process_info.h"
#include "session_errors.h"
#include "session_ids.h"
#include "session_keeper.h"

namespace carrel::sandbox {

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

// The init's end of what it and the disk keeper say to each other.
absl::StatusOr<UniqueFd> SessionKeeper::OrderDisk(const Session& session) {
  auto pair = MakeSocketPair();
  if (!pair.ok()) return pair.status();
  const DiskOrder order{.bytes = session.limits.workspace_bytes,
                        .files = session.limits.workspace_files,
                        .uid = kHostIdBase + session.identity.uid,
                        .gid = kHostIdBase + session.identity.gid};
  const int theirs = pair->first.get();
  const absl::Status sent = SendMessage(family_.disk, BytesOf(order), std::span(&theirs, 1));
  if (absl::IsResourceExhausted(sent)) {
    return absl::ResourceExhaustedError("the disk of the workspaces is slow, and too many wait for it; try again");
  }
  if (!sent.ok()) return sent;
  return std::move(pair->second);
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
                             .own_user_namespace = family_.ids_differ || family_.confined ? 0U : 1U,
                             .on_disk = family_.disk >= 0 ? 1U : 0U};
  std::vector<int> given{pair->second.get()};
  if (!fds.empty()) given.push_back(fds[kCreatePorter].get());
  if (family_.policies[session->policy].kind == Policy::Kind::kExec) {
    for (size_t i = kCreateStdin; i < fds.size(); ++i) given.push_back(fds[i].get());
  } else {
    for (size_t i = kCreateStdin; i < fds.size(); ++i) session->standard.push_back(std::move(fds[i]));
  }
  UniqueFd disk;
  if (family_.disk >= 0) {
    auto ordered = OrderDisk(*session);
    if (!ordered.ok()) return ordered.status();
    disk = *std::move(ordered);
    given.push_back(disk.get());
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
    // The workspace comes first. On a disk it is no memory; what of it is in the page cache can be had back any time.
    for (size_t i = family_.disk >= 0 ? 1 : 0; i < kReadyTmpfsFds; ++i) {
      session->tmpfs[i] = std::move(fds[kGoFdsMax + i]);
    }
  }
  session->ready = true;
  session->times.mounts_us = MicrosSince(session->created);
  LetGoIfPossible(session);
}

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
  UniqueFd proc;
  if (family_.policies[session->policy].empty_proc) {
    proc.reset(::open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!proc) return Fail(session, absl::ResourceExhaustedError(absl::StrCat("/proc: ", std::strerror(errno))));
    fds.push_back(proc.get());
  }
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

}  // namespace carrel::sandbox
