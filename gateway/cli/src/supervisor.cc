#include "cli/supervisor.h"

#include <signal.h>

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "strings.h"

namespace carrel::cli {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(50);
constexpr absl::Duration kHealthEvery = absl::Milliseconds(100);

std::string Text(const absl::Status& status) { return {status.message().data(), status.message().size()}; }

}  // namespace

Supervisor::Supervisor(std::vector<SupervisedProgram> programs, SupervisorLimits limits, Listener listener)
    : limits_(limits), listener_(std::move(listener)) {
  for (SupervisedProgram& program : programs) {
    Entry entry;
    entry.program = std::move(program);
    entry.next = absl::InfinitePast();
    entries_.push_back(std::move(entry));
  }
}

absl::Status Supervisor::Run(rpc::ShutdownSignals& signals) {
  for (;;) {
    for (Entry& entry : entries_) {
      if (auto status = Step(entry); !status.ok()) {
        StopAll(Text(status));
        return status;
      }
    }
    ReportAllReady();
    if (const int signal = signals.Wait(kTick); signal != 0) {
      StopAll(signal == SIGINT ? "interrupted" : "terminated");
      return absl::OkStatus();
    }
  }
}

absl::Status Supervisor::Step(Entry& entry) {
  if (!entry.process.has_value()) return absl::Now() < entry.next ? absl::OkStatus() : Start(entry);
  if (const auto end = entry.process->Wait(absl::ZeroDuration()); end.has_value()) return Died(entry, Describe(*end));
  return entry.healthy ? absl::OkStatus() : CheckStarting(entry);
}

absl::Status Supervisor::Start(Entry& entry) {
  auto process = ChildProcess::Spawn({.argv = entry.program.argv, .dies_with_parent = true, .own_session = true});
  if (!process.ok()) return process.status();
  entry.process = *std::move(process);
  entry.healthy = false;
  entry.started = absl::Now();
  entry.next = entry.started;
  entry.last_complaint.clear();
  listener_({.kind = SupervisorEvent::Kind::kStarted, .program = entry.program.name, .pid = entry.process->pid()});
  return absl::OkStatus();
}

absl::Status Supervisor::CheckStarting(Entry& entry) {
  const absl::Time now = absl::Now();
  if (now < entry.next) return absl::OkStatus();
  entry.next = now + kHealthEvery;
  const absl::Status health = entry.program.health();
  if (health.ok()) {
    entry.healthy = true;
    entry.was_healthy = true;
    listener_({.kind = SupervisorEvent::Kind::kReady, .program = entry.program.name, .pid = entry.process->pid()});
    return absl::OkStatus();
  }
  entry.last_complaint = Text(health);
  if (now - entry.started < limits_.start_max) return absl::OkStatus();
  static_cast<void>(entry.process->Signal(SIGKILL));
  static_cast<void>(entry.process->Wait(limits_.stop_max));
  return Died(entry, StrCat("was not healthy after ", absl::FormatDuration(limits_.start_max), " (",
                            entry.last_complaint, ") and was killed"));
}

absl::Status Supervisor::Died(Entry& entry, std::string how) {
  listener_({.kind = SupervisorEvent::Kind::kDied,
             .program = entry.program.name,
             .pid = entry.process->pid(),
             .detail = how});
  const bool steady = entry.healthy && absl::Now() - entry.started >= limits_.steady;
  entry.process.reset();
  entry.healthy = false;
  entry.deaths = steady ? 1 : entry.deaths + 1;
  // A program that never worked will not by patience: its own words, just above, say why.
  const uint32_t deaths_max = entry.was_healthy ? limits_.deaths_max : std::min<uint32_t>(2, limits_.deaths_max);
  if (entry.deaths >= deaths_max) {
    return absl::UnavailableError(StrCat(entry.program.name, " ", how, ", ", entry.deaths,
                                         " times in a row soon after its start: giving up. Its last words are above; "
                                         "`carrel doctor` tells what the jail lacks"));
  }
  const absl::Duration delay = limits_.backoff * (1u << std::min<uint32_t>(entry.deaths - 1, 16));
  entry.next = absl::Now() + std::min(delay, limits_.backoff_max);
  return absl::OkStatus();
}

void Supervisor::StopAll(const std::string& why) {
  listener_({.kind = SupervisorEvent::Kind::kStopping, .detail = why});
  const absl::Time deadline = absl::Now() + limits_.stop_max;
  // What was started last uses what was started first, so it goes first; each gets its SIGTERM before any is waited
  // for.
  for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry) {
    if (entry->process.has_value()) static_cast<void>(entry->process->Signal(SIGTERM));
  }
  for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry) {
    if (!entry->process.has_value()) continue;
    auto end = entry->process->Wait(std::max(deadline - absl::Now(), absl::ZeroDuration()));
    const std::string how = end.has_value() ? Describe(*end) : "did not end in time and was killed";
    const pid_t pid = entry->process->pid();
    entry->process.reset();  // kills what is still there, and reaps it
    listener_({.kind = SupervisorEvent::Kind::kStopped, .program = entry->program.name, .pid = pid, .detail = how});
  }
  listener_({.kind = SupervisorEvent::Kind::kStopped});
}

void Supervisor::ReportAllReady() {
  if (all_ready_reported_) return;
  if (!std::all_of(entries_.begin(), entries_.end(), [](const Entry& entry) { return entry.healthy; })) return;
  all_ready_reported_ = true;
  listener_({.kind = SupervisorEvent::Kind::kAllReady});
}

}  // namespace carrel::cli
