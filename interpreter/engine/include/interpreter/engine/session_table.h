// All sessions of a server: who owns them, how many there may be, when they end.
//
// Thread-safety: every method may be called from any thread. A session of another owner does not exist.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "interpreter/engine/session.h"
#include "sandbox/jail.h"

namespace carrel::interpreter {

struct TableOptions {
  uint64_t sessions_max = 64;
  uint64_t sessions_per_owner_max = 32;
  // The memory limits of all sessions together. 0: three quarters of the machine's memory.
  uint64_t memory_bytes_total_max = 0;
  uint64_t calls_waiting_max = 16;
  absl::Duration idle_timeout = absl::Minutes(20);
  absl::Duration linger = absl::Minutes(1);
  absl::Duration interrupt_grace = absl::Seconds(2);
};

struct CreateOptions {
  std::string owner;
  std::string runtime;                                 // "": python
  Limits limits;                                       // 0: the default
  absl::Duration idle_timeout = absl::ZeroDuration();  // 0: the default
  std::string session_id;                              // "": one is made
};

struct ExecuteOptions {
  std::string owner;
  std::string session_id;  // "": a throw-away session
  std::string runtime;
  std::string_view code;
  Limits limits;
  ReturnFiles return_files = ReturnFiles::kReferences;
  bool end_at_output_limit = false;
  bool save_figures = false;
};

class SessionTable final {
 public:
  // `jails` must outlive the table.
  SessionTable(TableOptions options, sandbox::JailMaker& jails);
  SessionTable(const SessionTable&) = delete;
  SessionTable& operator=(const SessionTable&) = delete;
  // Deletes all sessions. No call may be running any more.
  ~SessionTable();

  // INVALID_ARGUMENT, ALREADY_EXISTS (the id is taken by another owner or with another runtime), RESOURCE_EXHAUSTED,
  // UNAVAILABLE. The same id, owner and runtime again: the session there is.
  [[nodiscard]] absl::StatusOr<std::shared_ptr<Session>> Create(const CreateOptions& options);
  [[nodiscard]] absl::StatusOr<std::shared_ptr<Session>> Find(std::string_view owner, std::string_view session_id);
  // Oldest first.
  [[nodiscard]] std::vector<std::shared_ptr<Session>> List(std::string_view owner);
  // false: there was none.
  [[nodiscard]] bool Delete(std::string_view owner, std::string_view session_id);
  [[nodiscard]] absl::StatusOr<Outcome> Execute(const ExecuteOptions& options, EventSink& sink);
  // Ends what runs and makes every later call fail.
  void Stop();

  [[nodiscard]] uint64_t size();
  [[nodiscard]] const TableOptions& options() const { return options_; }
  [[nodiscard]] sandbox::JailMaker& jails() const { return jails_; }

 private:
  struct Reservation {
    std::string owner;
    uint64_t memory_bytes = 0;
  };
  [[nodiscard]] absl::StatusOr<SessionOptions> Prepare(const CreateOptions& options) const;
  // Takes the room for a session that is about to be made. With mutex_ held.
  [[nodiscard]] absl::Status Admit(const SessionOptions& options) const;
  [[nodiscard]] absl::StatusOr<Outcome> ExecuteOnce(const ExecuteOptions& options, EventSink& sink);
  void ExpireLoop();

  const TableOptions options_;
  sandbox::JailMaker& jails_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::map<std::string, std::shared_ptr<Session>, std::less<>> sessions_;
  std::map<std::string, Reservation, std::less<>> starting_;  // ids that are being made
  std::thread expirer_;
};

}  // namespace carrel::interpreter
