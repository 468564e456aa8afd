// Sessions without namespaces: one after the other, and each gone to its last process and file before the next.
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "confined_places.h"
#include "confined_processes.h"
#include "namespaces.h"
#include "session_keeper.h"

namespace carrel::sandbox {

bool SessionKeeper::TakeTurn(const JailerMessage& message, std::vector<UniqueFd>* fds) {
  const bool alive = std::any_of(sessions_.begin(), sessions_.end(),
                                 [](const auto& entry) { return entry.second->state != Session::State::kDying; });
  if (alive || waiting_) {
    Refuse(message.request,
           absl::ResourceExhaustedError("the tier confined has one session at a time, and there is one: delete it, or "
                                        "run more servers"));
    return false;
  }
  if (sessions_.empty() && !zygotes_.starting()) return true;
  waiting_.emplace(Waiting{message, std::move(*fds)});
  return false;
}

void SessionKeeper::CallWaiting() {
  if (!waiting_ || !sessions_.empty() || zygotes_.starting()) return;
  Waiting called = *std::exchange(waiting_, std::nullopt);
  OnCreate(called.message, std::move(called.fds));
}

void SessionKeeper::Confine(Session* session) {
  session->nursery = family_.nursery_pid;
  JailLimits counted = session->limits;
  if (family_.ids_differ) {
    session->identity.uid += kHostIdBase;
    session->identity.gid += kHostIdBase;
  } else {
    session->identity = {.uid = ::geteuid(), .gid = ::getegid(), .groups_are_fixed = true, .has_no_capabilities = true};
    counted.processes += TasksOfUser(::geteuid());
  }
  session->rlimits = RlimitsFor(counted, false);
  // What is in force: the places are as large as whoever mounted them made them.
  if (const auto sizes = SizesOfConfinedPlaces(); sizes.ok()) {
    session->limits.workspace_bytes = sizes->workspace_bytes;
    session->limits.workspace_files = sizes->workspace_files;
    session->limits.tmp_bytes = sizes->tmp_bytes;
  }
}

void SessionKeeper::ForgetImports() {
  // What a zygote's libraries wrote while they were imported; in other tiers it has places of its own for that.
  if (!sessions_.empty()) return;
  if (absl::Status s = EmptyConfinedPlaces(); !s.ok())
    stop_(absl::StrCat("a zygote's files cannot be removed: ", s.message()));
}

bool SessionKeeper::Sweep(const Session& session) {
  if (session.main_pidfd) {
    pollfd main{.fd = session.main_pidfd.get(), .events = POLLIN, .revents = 0};
    // Still here: its init died first, or it takes its time.
    if (::poll(&main, 1, 0) == 0) {
      ::syscall(SYS_pidfd_send_signal, session.main_pidfd.get(), SIGKILL, nullptr, 0);
      return false;
    }
  }
  if (!KillJailedBelow(family_.nursery_pid, 1)) return false;
  if (absl::Status s = EmptyConfinedPlaces(); !s.ok()) {
    // The next session would find what this one has left.
    stop_(absl::StrCat("a session's files cannot be removed: ", s.message()));
  }
  return true;
}

void SessionKeeper::SweepAll() {
  std::vector<uint64_t> gone;
  for (const auto& [id, session] : sessions_) {
    if (session->is_swept && Sweep(*session)) gone.push_back(id);
  }
  for (const uint64_t id : gone) Bury(id);
}

}  // namespace carrel::sandbox
