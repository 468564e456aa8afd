// A session: one jailed interpreter with live variables and a workspace.
//
// Thread-safety: every method may be called from any thread; calls run one at a time, in the order they came.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "interpreter/engine/admission.h"
#include "interpreter/engine/artifacts.h"
#include "interpreter/engine/call.h"
#include "interpreter/engine/interpreter_process.h"
#include "interpreter/engine/limits.h"
#include "interpreter/engine/outcome.h"
#include "interpreter/engine/statistics.h"
#include "interpreter/engine/workspace_archive.h"
#include "sandbox/jail.h"

namespace carrel::interpreter {

enum class SessionState : uint8_t { kReady = 1, kBusy, kDead };

struct SessionOptions {
  std::string session_id;
  std::string owner;
  std::string runtime;
  Limits limits;  // every field set
  Limits maxima;  // for the limits of calls
  absl::Duration idle_timeout;
  // From its making, however much it is used.
  absl::Duration lifetime = absl::InfiniteDuration();
  // Calls that may wait for their turn.
  uint64_t calls_waiting_max = 16;
  absl::Duration interrupt_grace = absl::Seconds(2);
  // How the session that had the id before has ended; "": there was none.
  std::string predecessor;
};

struct SessionInfo {
  std::string session_id;
  std::string owner;
  std::string runtime;
  SessionState state = SessionState::kReady;
  std::string death_reason;
  Limits limits;
  absl::Duration idle_timeout;
  absl::Duration lifetime;
  absl::Time created_at;
  absl::Time last_used_at;
  uint64_t calls = 0;
  std::string isolation;
  std::string predecessor;
};

struct Cell {
  std::string_view code;
  Limits limits;  // of this call; 0: the session's
  ReturnFiles return_files = ReturnFiles::kReferences;
  bool end_at_output_limit = false;
  bool save_figures = false;
  // Only told to the sink.
  absl::Duration linger = absl::ZeroDuration();
};

struct WorkspaceFile {
  std::string path;
  uint64_t size_bytes = 0;
  absl::Time modified_at;
};

class Session final {
 public:
  // `process` has run nothing yet; `report` is of who jailed it. `room` is given back when all of it is gone.
  // `statistics` must outlive the session.
  Session(SessionOptions options, InterpreterProcess process, Admission::Room room, const sandbox::JailReport& report,
          Statistics& statistics);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();

  // Waits for its turn, runs the cell, reports the files. FAILED_PRECONDITION: dead. RESOURCE_EXHAUSTED: too many wait.
  // INVALID_ARGUMENT: a limit. CANCELLED: the sink gave up before the turn came.
  [[nodiscard]] absl::StatusOr<Outcome> Execute(const Cell& cell, EventSink& sink);
  // Raises KeyboardInterrupt in the running call; asked again during the same call, in all its processes. false: none
  // runs.
  [[nodiscard]] absl::StatusOr<bool> Interrupt();

  // `source` is read to its end. The errors of sandbox::Workspace.
  [[nodiscard]] absl::StatusOr<WorkspaceFile> WriteFile(const std::string& path, UniqueFd source, bool replace);
  struct Files {
    std::vector<WorkspaceFile> files;
    std::vector<SkippedFile> skipped;
  };
  [[nodiscard]] absl::StatusOr<Files> ListFiles();
  struct OpenFile {
    WorkspaceFile file;
    UniqueFd fd;
  };
  [[nodiscard]] absl::StatusOr<OpenFile> OpenRead(const std::string& path);
  [[nodiscard]] absl::StatusOr<bool> RemoveFile(const std::string& path);
  // The whole workspace as an archive, and back (workspace_archive.h). What was imported is no artifact of the next
  // call.
  [[nodiscard]] absl::StatusOr<ArchiveSummary> ExportWorkspace(const TarWriter::Sink& sink);
  [[nodiscard]] absl::StatusOr<ArchiveSummary> ImportWorkspace(int archive, uint64_t archive_bytes, bool replace);

  // Kills what runs; the call that runs ends as CANCELLED. The files stay readable.
  void Kill(std::string_view reason);
  // Kill, and begins what the destructor ends: the files go too, unless a call runs that still has to report them.
  void Delete(std::string_view reason);

  [[nodiscard]] SessionInfo Info();
  struct Expiry {
    absl::Time at;
    std::string reason;  // "no call for 20m"
  };
  // When it is to be deleted: for want of calls (not while one runs or waits), or at the end of its lifetime.
  [[nodiscard]] Expiry ExpiresAt();
  void SetIdleTimeout(absl::Duration timeout);

  [[nodiscard]] const std::string& id() const { return options_.session_id; }
  [[nodiscard]] const std::string& owner() const { return options_.owner; }
  [[nodiscard]] const std::string& runtime() const { return options_.runtime; }
  [[nodiscard]] const Limits& limits() const { return options_.limits; }
  [[nodiscard]] absl::Time created_at() const { return created_at_; }

 private:
  // The turn of one call: made by TakeTurn, ends with it.
  class Turn;
  [[nodiscard]] absl::StatusOr<std::unique_ptr<Turn>> TakeTurn(const EventSink& sink);
  [[nodiscard]] absl::Status DeadStatus() const;  // with mutex_ held
  void NoticeExit();                              // with mutex_ held: READY becomes DEAD when the process is gone
  // What the calls, and what they left running, have used.
  [[nodiscard]] absl::Duration CpuUsed(const sandbox::JailStats& now) const;
  // The session's CPU time is used up: FAILED_PRECONDITION, and it is dead.
  [[nodiscard]] absl::Status CheckCpu(const sandbox::JailStats& now);
  void ReportFiles(const Cell& cell, const Limits& limits, Outcome& outcome, EventSink& sink);

  Admission::Room room_;  // goes last
  Statistics& statistics_;
  SessionOptions options_;
  std::unique_ptr<sandbox::Jail> jail_;
  SessionPipes pipes_;  // of the call whose turn it is
  const std::string isolation_;
  const std::vector<std::string> weakened_;
  const absl::Time created_at_;

  std::mutex mutex_;
  std::condition_variable turn_changed_;
  std::deque<const Turn*> turns_;  // front: runs
  std::string death_reason_;       // "": alive
  absl::Time last_used_at_;
  absl::Duration idle_timeout_;
  uint64_t calls_ = 0;
  std::atomic<bool> deleted_ = false;

  std::mutex interrupt_mutex_;  // held while a SIGINT is sent, and while a call begins and ends
  bool cell_runs_ = false;
  uint64_t interrupts_ = 0;  // asked for during this call

  // Of the call whose turn it is.
  bool last_was_interrupted_ = false;
  std::optional<uint64_t> cpu_ns_at_first_;  // what the making of the session had used
  std::atomic<uint64_t> oom_kills_seen_ = 0;

  std::mutex workspace_mutex_;
  WorkspaceState workspace_;  // what has been reported
};

}  // namespace carrel::interpreter
