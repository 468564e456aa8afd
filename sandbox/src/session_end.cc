// How a session ends: by itself, by the server's word, by a failure, by the watchdog.
#include <sys/wait.h>

#include <algorithm>
#include <csignal>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "descriptors.h"
#include "sandbox/base/log_line.h"
#include "sandbox/base/message_socket.h"
#include "session_keeper.h"
#include "watchdog.h"

namespace carrel::sandbox {

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
  session->cpu.Update(memory.cpu);
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
