#include "interpreter/engine/session.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "interpreter/engine/errors.h"
#include "interpreter/engine/text.h"
#include "sandbox/base/error.h"

namespace carrel::interpreter {
namespace {

constexpr auto kTurnPoll = std::chrono::milliseconds(25);
constexpr absl::Duration kRetryAfterFullQueue = absl::Seconds(1);
// Every entry of a full workspace must fit into one listing.
constexpr sandbox::ListOptions kListOptions = {
    .entries_max = 10'000, .depth_max = 16, .time_max = absl::Milliseconds(250)};
// A workspace with less than a page left refuses the next write.
constexpr uint64_t kPageBytes = 4096;

WorkspaceFile ToFile(const sandbox::WorkspaceEntry& entry) {
  return {.path = entry.path, .size_bytes = entry.size_bytes, .modified_at = absl::FromUnixNanos(entry.modified_ns)};
}

bool WorkspaceFull(const sandbox::WorkspaceListing& listing, const Limits& limits) {
  if (listing.full) return true;
  uint64_t bytes = 0;
  for (const sandbox::WorkspaceEntry& entry : listing.entries) bytes += entry.blocks_bytes;
  return bytes + kPageBytes > limits.workspace_bytes || listing.entries.size() + 2 > limits.workspace_files;
}

void Touch(Outcome& outcome, LimitName limit) {
  std::vector<LimitName>& touched = outcome.limits_touched;
  if (outcome.limit != limit && std::find(touched.begin(), touched.end(), limit) == touched.end()) {
    touched.push_back(limit);
  }
}

// What the kernel refused during the call, beside what ended it.
void ReportLimits(const sandbox::JailStats& before, const sandbox::JailStats& after, int error_number,
                  Outcome& outcome) {
  if (after.oom_kills > before.oom_kills) Touch(outcome, LimitName::kMemory);
  const bool refused = after.counted ? after.process_refusals > before.process_refusals : error_number == EAGAIN;
  if (refused) Touch(outcome, LimitName::kProcesses);
  if (error_number == ENOSPC || error_number == EDQUOT) Touch(outcome, LimitName::kWorkspace);
}

}  // namespace

// One call's place in the queue, from its arrival to its end.
class Session::Turn final {
 public:
  explicit Turn(Session& session) : session_(session) {}
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() {
    const std::lock_guard lock(session_.mutex_);
    std::erase(session_.turns_, this);
    session_.last_used_at_ = absl::Now();
    session_.turn_changed_.notify_all();
  }

 private:
  Session& session_;
};

Session::Session(SessionOptions options, InterpreterProcess process, Admission::Room room,
                 const sandbox::JailReport& report, Statistics& statistics)
    : room_(std::move(room)),
      statistics_(statistics),
      options_(std::move(options)),
      jail_(std::move(process.jail)),
      pipes_(std::move(process.pipes)),
      isolation_(report.tier),
      weakened_(report.weakened),
      created_at_(absl::Now()),
      last_used_at_(created_at_),
      idle_timeout_(options_.idle_timeout) {}

Session::~Session() {
  const absl::Time since = absl::Now();
  jail_.reset();
  statistics_.Add(Step::kEnd, absl::Now() - since);
}

absl::Status Session::DeadStatus() const {
  return absl::FailedPreconditionError(StrCat("session ", options_.session_id, " is dead: ", death_reason_));
}

void Session::NoticeExit() {
  if (!death_reason_.empty() || !turns_.empty()) return;
  const std::optional<sandbox::JailExit> exit = jail_->exit();
  if (!exit) return;
  const absl::StatusOr<sandbox::JailStats> stats = jail_->Stats();
  const bool by_memory = exit->memory_limit && (!stats.ok() || stats->oom_kills > oom_kills_seen_);
  death_reason_ =
      by_memory ? "its memory limit ended it between two calls"
                : StrCat("the interpreter ended between two calls (", exit->signal != 0 ? "signal " : "exit code ",
                         exit->signal != 0 ? exit->signal : exit->exit_code, ")");
}

absl::StatusOr<std::unique_ptr<Session::Turn>> Session::TakeTurn(const EventSink& sink) {
  auto turn = std::make_unique<Turn>(*this);
  std::unique_lock lock(mutex_);
  NoticeExit();
  if (!death_reason_.empty()) {
    const absl::Status dead = DeadStatus();
    lock.unlock();  // ~Turn locks
    return dead;
  }
  if (turns_.size() > options_.calls_waiting_max) {
    lock.unlock();
    return TryLater(StrCat("session ", options_.session_id, " has ", options_.calls_waiting_max,
                           " calls waiting for their turn already"),
                    kRetryAfterFullQueue);
  }
  turns_.push_back(turn.get());
  while (turns_.front() != turn.get() && death_reason_.empty()) {
    turn_changed_.wait_for(lock, kTurnPoll);
    if (sink.Cancelled()) {
      lock.unlock();
      return absl::CancelledError("cancelled while it waited for its turn");
    }
  }
  if (!death_reason_.empty()) {
    const absl::Status dead = DeadStatus();
    lock.unlock();
    return dead;
  }
  return turn;
}

absl::StatusOr<Outcome> Session::Execute(const Cell& cell, EventSink& sink) {
  const absl::Time arrived = absl::Now();
  absl::StatusOr<Limits> limits = ResolveCallLimits(cell.limits, options_.limits, options_.maxima);
  if (!limits.ok()) return limits.status();
  const absl::StatusOr<std::unique_ptr<Turn>> turn = TakeTurn(sink);
  if (!turn.ok()) return turn.status();

  const absl::StatusOr<sandbox::JailStats> before = jail_->Stats();
  if (before.ok()) {
    if (absl::Status status = CheckCpu(*before); !status.ok()) return status;
  }
  CallOptions options{.call = calls_ + 1,
                      .code = cell.code,
                      .limits = *limits,
                      .cpu_ns_before = std::nullopt,
                      .forget_interrupts = last_was_interrupted_,
                      .interrupt_grace = options_.interrupt_grace,
                      .end_at_output_limit = cell.end_at_output_limit,
                      .save_figures = cell.save_figures};
  if (before.ok()) {
    options.cpu_ns_before = before->cpu_ns;
    options.session_cpu_before = CpuUsed(*before);
    options.oom_kills_before = before->oom_kills;
  }
  {
    const std::lock_guard lock(interrupt_mutex_);
    cell_runs_ = true;
    interrupts_ = 0;
  }
  // Who hears it may interrupt the call.
  sink.OnStarted(options_.session_id, absl::Now() - arrived, cell.linger);
  CallResult result = RunCall(options, *jail_, pipes_, sink, deleted_);
  {
    const std::lock_guard lock(interrupt_mutex_);
    cell_runs_ = false;
    last_was_interrupted_ = interrupts_ > 0 || result.interrupted;
  }
  const absl::StatusOr<sandbox::JailStats> after = jail_->Stats();
  if (after.ok()) oom_kills_seen_ = after->oom_kills;

  Outcome outcome = std::move(result.outcome);
  outcome.isolation = isolation_;
  outcome.weakened = weakened_;
  if (after.ok()) {
    outcome.usage.memory_peak_bytes = after->memory_peak_bytes;
    if (before.ok()) outcome.usage.cpu_ms = (after->cpu_ns - before->cpu_ns) / 1'000'000;
    outcome.usage.session_cpu_ms = static_cast<uint64_t>(absl::ToInt64Milliseconds(CpuUsed(*after)));
  }
  if (before.ok() && after.ok()) ReportLimits(*before, *after, result.error_number, outcome);
  ReportFiles(cell, *limits, outcome, sink);

  const std::lock_guard lock(mutex_);
  ++calls_;
  if (!result.death_reason.empty() && death_reason_.empty()) death_reason_ = result.death_reason;
  if (!death_reason_.empty()) outcome.state_kept = false;
  return outcome;
}

absl::Duration Session::CpuUsed(const sandbox::JailStats& now) const {
  return absl::Nanoseconds(static_cast<int64_t>(now.cpu_ns - cpu_ns_at_first_.value_or(now.cpu_ns)));
}

absl::Status Session::CheckCpu(const sandbox::JailStats& now) {
  if (!cpu_ns_at_first_) cpu_ns_at_first_ = now.cpu_ns;
  if (CpuUsed(now) < absl::Milliseconds(options_.limits.session_cpu_ms)) return absl::OkStatus();
  (void)jail_->KillAll();
  const std::lock_guard lock(mutex_);
  death_reason_ = StrCat("over the session's CPU time limit of ", options_.limits.session_cpu_ms,
                         " ms, by what a call had left running");
  return DeadStatus();
}

void Session::ReportFiles(const Cell& cell, const Limits& limits, Outcome& outcome, EventSink& sink) {
  const std::lock_guard lock(workspace_mutex_);
  const absl::StatusOr<sandbox::WorkspaceListing> listing = jail_->workspace().List(kListOptions);
  if (!listing.ok()) {
    outcome.skipped.push_back({"", "unreadable"});
    return;
  }
  WorkspaceChanges changes = Compare(workspace_, *listing);
  if (WorkspaceFull(*listing, limits)) Touch(outcome, LimitName::kWorkspace);
  if (cell.return_files != ReturnFiles::kNone &&
      Collect(jail_->workspace(), limits, cell.return_files, changes,
              [&](Artifact artifact) { sink.OnArtifact(std::move(artifact)); })) {
    Touch(outcome, LimitName::kArtifacts);
  }
  outcome.skipped = std::move(changes.skipped);
  outcome.removed = std::move(changes.removed);
  workspace_ = StateOf(*listing);
}

absl::StatusOr<bool> Session::Interrupt() {
  const std::lock_guard lock(interrupt_mutex_);
  if (!cell_runs_) return false;
  // Who has to ask twice has met code that waits for a child with its own SIGINT ignored.
  if (absl::Status status = interrupts_++ == 0 ? jail_->Interrupt() : jail_->InterruptAll(); !status.ok())
    return status;
  return true;
}

absl::StatusOr<WorkspaceFile> Session::WriteFile(const std::string& path, UniqueFd source, bool replace) {
  const std::lock_guard lock(workspace_mutex_);
  absl::StatusOr<sandbox::WorkspaceEntry> entry =
      jail_->workspace().Write(path, std::move(source), {.replace = replace});
  if (!entry.ok()) return entry.status();
  workspace_[path] = *entry;  // it is no artifact of the next call
  return ToFile(*entry);
}

absl::StatusOr<Session::Files> Session::ListFiles() {
  const absl::StatusOr<sandbox::WorkspaceListing> listing = jail_->workspace().List(kListOptions);
  if (!listing.ok()) return listing.status();
  // Against nothing, everything is new: the same rules as for artifacts.
  WorkspaceChanges all = Compare({}, *listing);
  Files files;
  for (const sandbox::WorkspaceEntry& entry : all.files) files.files.push_back(ToFile(entry));
  files.skipped = std::move(all.skipped);
  return files;
}

absl::StatusOr<Session::OpenFile> Session::OpenRead(const std::string& path) {
  absl::StatusOr<sandbox::OpenedFile> opened = jail_->workspace().OpenRead(path);
  if (!opened.ok()) return opened.status();
  struct ::stat facts {};
  if (::fstat(opened->fd.get(), &facts) != 0) return ErrnoStatus(errno, "fstat");
  return OpenFile{
      .file = {.path = path, .size_bytes = opened->size_bytes, .modified_at = absl::TimeFromTimespec(facts.st_mtim)},
      .fd = std::move(opened->fd)};
}

absl::StatusOr<bool> Session::RemoveFile(const std::string& path) {
  const std::lock_guard lock(workspace_mutex_);
  absl::StatusOr<bool> removed = jail_->workspace().Remove(path);
  if (removed.ok()) workspace_.erase(path);
  return removed;
}

absl::StatusOr<ArchiveSummary> Session::ExportWorkspace(const TarWriter::Sink& sink) {
  return WriteArchive(jail_->workspace(), sink);
}

absl::StatusOr<ArchiveSummary> Session::ImportWorkspace(int archive, uint64_t archive_bytes, bool replace) {
  const std::lock_guard lock(workspace_mutex_);
  absl::StatusOr<ImportedArchive> imported =
      ReadArchive(jail_->workspace(), archive, archive_bytes, options_.limits.workspace_bytes, replace);
  if (!imported.ok()) return imported.status();
  for (sandbox::WorkspaceEntry& entry : imported->written) workspace_[entry.path] = entry;
  return std::move(imported->summary);
}

void Session::Kill(std::string_view reason) {
  {
    const std::lock_guard lock(mutex_);
    if (death_reason_.empty()) death_reason_ = std::string(reason);
    turn_changed_.notify_all();
  }
  deleted_.store(true);
  (void)jail_->KillAll();  // what it did shows in the exit; the jail's end kills for certain
}

void Session::Delete(std::string_view reason) {
  {
    const std::lock_guard lock(mutex_);
    if (turns_.empty()) {
      if (death_reason_.empty()) death_reason_ = std::string(reason);
      deleted_.store(true);
      // At once all of it: to kill first what runs would be a question more.
      return jail_->BeginEnd();
    }
  }
  Kill(reason);
}

SessionInfo Session::Info() {
  const std::lock_guard lock(mutex_);
  NoticeExit();
  SessionInfo info{.session_id = options_.session_id,
                   .owner = options_.owner,
                   .runtime = options_.runtime,
                   .death_reason = death_reason_,
                   .limits = options_.limits,
                   .idle_timeout = idle_timeout_,
                   .lifetime = options_.lifetime,
                   .created_at = created_at_,
                   .last_used_at = last_used_at_,
                   .calls = calls_,
                   .isolation = isolation_,
                   .predecessor = options_.predecessor};
  info.state = !death_reason_.empty() ? SessionState::kDead
               : turns_.empty()       ? SessionState::kReady
                                      : SessionState::kBusy;
  return info;
}

Session::Expiry Session::ExpiresAt() {
  const std::lock_guard lock(mutex_);
  const Expiry absolute{created_at_ + options_.lifetime,
                        StrCat("its lifetime of ", absl::FormatDuration(options_.lifetime), " was over")};
  const absl::Time idle_at = turns_.empty() ? last_used_at_ + idle_timeout_ : absl::InfiniteFuture();
  if (absolute.at <= idle_at) return absolute;
  return {idle_at, StrCat("no call for ", absl::FormatDuration(idle_timeout_))};
}

void Session::SetIdleTimeout(absl::Duration timeout) {
  const std::lock_guard lock(mutex_);
  idle_timeout_ = timeout;
}

}  // namespace carrel::interpreter
