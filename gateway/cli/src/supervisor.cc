#include "cli/supervisor.h"

#include <fcntl.h>
#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/time/clock.h"
#include "become_user.h"
#include "sandbox/base/error.h"
#include "sandbox/base/unique_fd.h"
#include "strings.h"

namespace carrel::cli {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(50);
// What a program exits with when it was called wrongly.
constexpr int kConfigurationExit = 2;
constexpr absl::Duration kHealthEvery = absl::Milliseconds(100);
// The clock alone does not make a program hang: a machine that slept, or was that busy, has asked no question
// meanwhile.
constexpr uint32_t kUnansweredMin = 5;
// Deaths that are soon enough after each other to be said loudly.
constexpr uint32_t kManyDeaths = 5;
// As a shell, and carrel-jailer for its server, say that a signal ended a program.
constexpr int kSignalExit = 128;

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
  if (!entry.process.has_value()) {
    // Only at first: later it can tell its clients what is missing.
    const bool needs_others = entry.program.uses_the_others && !entry.was_healthy;
    const bool wait = absl::Now() < entry.next || (needs_others && !OthersAreHealthy(entry));
    if (wait) return absl::OkStatus();
    const absl::Status started = Start(entry);
    return started.ok() ? started : NotStarted(entry, started);
  }
  if (const auto end = entry.process->Wait(absl::ZeroDuration()); end.has_value()) {
    // All our programs say so when it is their configuration: another try would be the same.
    if (!entry.was_healthy && end->signal == 0 && end->exit_code == kConfigurationExit) {
      return Refused(entry, Describe(*end));
    }
    return Died(entry, Describe(*end), end->signal != 0 || end->exit_code > kSignalExit);
  }
  return entry.healthy ? CheckAlive(entry) : CheckStarting(entry);
}

bool Supervisor::OthersAreHealthy(const Entry& entry) const {
  return std::all_of(entries_.data(), &entry, [](const Entry& other) { return other.healthy; });
}

absl::Status Supervisor::Start(Entry& entry) {
  SpawnOptions options{
      .argv = entry.program.argv, .env = entry.program.env, .dies_with_parent = true, .own_session = true};
  // Opened by us: the other user may not be able to follow the path to it.
  UniqueFd program;
  uid_t uid = 0;
  if (entry.program.uid.has_value()) {
    program = UniqueFd(::open(entry.program.argv.front().c_str(), O_PATH | O_CLOEXEC));
    if (!program) return ErrnoStatus(errno, StrCat("opening ", entry.program.argv.front()));
    uid = *entry.program.uid;
    options.program = program.get();
    options.before_exec = {.run = BecomeUser, .context = &uid};
  }
  auto process = ChildProcess::Spawn(options);
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
  const bool again = entry.was_healthy && entry.program.answers != nullptr;
  const absl::Status health = again ? entry.program.answers() : entry.program.health();
  if (health.ok()) {
    entry.healthy = true;
    entry.was_healthy = true;
    entry.answered = now;
    entry.unanswered = 0;
    listener_({.kind = SupervisorEvent::Kind::kReady, .program = entry.program.name, .pid = entry.process->pid()});
    return absl::OkStatus();
  }
  entry.last_complaint = Text(health);
  if (now - entry.started < limits_.start_max) return absl::OkStatus();
  return Replace(entry, StrCat("was not healthy after ", absl::FormatDuration(limits_.start_max), " (",
                               entry.last_complaint, ")"));
}

absl::Status Supervisor::CheckAlive(Entry& entry) {
  if (absl::Now() < entry.next) return absl::OkStatus();
  const absl::Status alive = entry.program.alive != nullptr ? entry.program.alive() : entry.program.health();
  const absl::Time now = absl::Now();
  if (alive.ok()) {
    entry.answered = now;
    entry.unanswered = 0;
    entry.next = now + limits_.check_every;
    return absl::OkStatus();
  }
  ++entry.unanswered;
  entry.last_complaint = Text(alive);
  entry.next = now + std::min(limits_.check_every, limits_.hung / kUnansweredMin);
  if (entry.unanswered < kUnansweredMin || now - entry.answered < limits_.hung) return absl::OkStatus();
  return Replace(
      entry, StrCat("has not answered for ", absl::FormatDuration(absl::Trunc(now - entry.answered, absl::Seconds(1))),
                    " (", entry.last_complaint, ")"));
}

absl::Status Supervisor::Replace(Entry& entry, std::string why) {
  static_cast<void>(entry.process->Signal(SIGKILL));
  static_cast<void>(entry.process->Wait(limits_.stop_max));
  return Died(entry, StrCat(why, " and was killed"), /*by_signal=*/false);
}

absl::Status Supervisor::Refused(Entry& entry, const std::string& how) {
  listener_({.kind = SupervisorEvent::Kind::kDied,
             .program = entry.program.name,
             .pid = entry.process->pid(),
             .detail = how});
  entry.process.reset();
  return absl::InvalidArgumentError(StrCat(
      entry.program.name, " refuses its configuration: its words are above; `carrel serve --print-config` shows it"));
}

absl::Status Supervisor::Died(Entry& entry, std::string how, bool by_signal) {
  const bool steady = entry.healthy && absl::Now() - entry.started >= limits_.steady;
  const pid_t pid = entry.process->pid();
  entry.process.reset();
  entry.healthy = false;
  entry.only_signals = by_signal && (steady || entry.deaths == 0 || entry.only_signals);
  entry.deaths = steady ? 1 : entry.deaths + 1;
  const absl::Duration delay = Delay(entry);
  entry.next = absl::Now() + delay;
  std::string detail = how;
  if (entry.was_healthy && entry.deaths >= kManyDeaths) {
    StrAppend(&detail, "; that is ", entry.deaths,
              " times in a row soon after its start. It worked before, so it is started again in ",
              absl::FormatDuration(delay), "; until then its part of the service is missing");
  }
  listener_({.kind = SupervisorEvent::Kind::kDied, .program = entry.program.name, .pid = pid, .detail = detail});
  if (entry.was_healthy) return absl::OkStatus();
  // A program that never worked will not by patience: its own words, just above, say why.
  const uint32_t deaths_max = entry.only_signals ? limits_.deaths_max : std::min<uint32_t>(2, limits_.deaths_max);
  if (entry.deaths < deaths_max) return absl::OkStatus();
  return absl::UnavailableError(StrCat(entry.program.name, " ", how, ", ", entry.deaths,
                                       " times in a row, and has never worked: giving up. Its last words are above",
                                       entry.program.advice.empty() ? "" : "; ", entry.program.advice));
}

absl::Status Supervisor::NotStarted(Entry& entry, const absl::Status& why) {
  if (!entry.was_healthy) return why;
  ++entry.deaths;
  const absl::Duration delay = Delay(entry);
  entry.next = absl::Now() + delay;
  listener_(
      {.kind = SupervisorEvent::Kind::kDied,
       .program = entry.program.name,
       .detail = StrCat("could not be started (", Text(why), "); the next try is in ", absl::FormatDuration(delay))});
  return absl::OkStatus();
}

absl::Duration Supervisor::Delay(const Entry& entry) const {
  return std::min(limits_.backoff * (1u << std::min<uint32_t>(entry.deaths - 1, 16)), limits_.backoff_max);
}

void Supervisor::StopAll(const std::string& why) {
  listener_({.kind = SupervisorEvent::Kind::kStopping, .detail = why});
  StopThose(/*uses_the_others=*/true);
  StopThose(/*uses_the_others=*/false);
  listener_({.kind = SupervisorEvent::Kind::kStopped});
}

void Supervisor::StopThose(bool uses_the_others) {
  const absl::Time deadline = absl::Now() + limits_.stop_max;
  // The last first, as they were started; each gets its SIGTERM before any is waited for.
  for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry) {
    if (entry->program.uses_the_others != uses_the_others || !entry->process.has_value()) continue;
    static_cast<void>(entry->process->Signal(SIGTERM));
  }
  for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry) {
    if (entry->program.uses_the_others != uses_the_others || !entry->process.has_value()) continue;
    auto end = entry->process->Wait(std::max(deadline - absl::Now(), absl::ZeroDuration()));
    const std::string how = end.has_value() ? Describe(*end) : "did not end in time and was killed";
    const pid_t pid = entry->process->pid();
    entry->process.reset();  // kills what is still there, and reaps it
    listener_({.kind = SupervisorEvent::Kind::kStopped, .program = entry->program.name, .pid = pid, .detail = how});
  }
}

void Supervisor::ReportAllReady() {
  if (all_ready_reported_) return;
  if (!std::all_of(entries_.begin(), entries_.end(), [](const Entry& entry) { return entry.healthy; })) return;
  all_ready_reported_ = true;
  listener_({.kind = SupervisorEvent::Kind::kAllReady});
}

}  // namespace carrel::cli
