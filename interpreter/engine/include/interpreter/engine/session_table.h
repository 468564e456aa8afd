// All sessions of a server: who owns them, how many there may be, when they end.
//
// Thread-safety: every method may be called from any thread. A session of another owner does not exist.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
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
#include "interpreter/engine/admission.h"
#include "interpreter/engine/ledger.h"
#include "interpreter/engine/pool.h"
#include "interpreter/engine/session.h"
#include "interpreter/engine/statistics.h"
#include "sandbox/jail.h"

namespace carrel::interpreter {

struct TableOptions {
  uint64_t sessions_max = 64;
  uint64_t sessions_per_owner_max = 32;
  // As in AdmissionOptions. 0: three quarters of the memory that this process may use
  // (sandbox/usable_resources.h): a container's where it is limited, else the machine's.
  uint64_t memory_bytes_total_max = 0;
  uint64_t memory_overcommit_percent = 100;
  // What a session is made of that names none.
  std::string default_runtime = "python";
  uint64_t calls_waiting_max = 16;
  // Requests that may wait for room, and how long (admission.h). 0: they are refused at once.
  uint64_t admission_waiting_max = 64;
  absl::Duration admission_wait_max = absl::ZeroDuration();
  PoolOptions pool;
  // What sessions and calls have that ask for nothing; 0: the runtime's, else the contract's.
  Limits default_limits;
  absl::Duration idle_timeout = absl::Minutes(20);
  absl::Duration lifetime = absl::Hours(24);
  absl::Duration linger = absl::Minutes(1);
  absl::Duration interrupt_grace = absl::Seconds(2);
};

struct CreateOptions {
  std::string owner;
  std::string runtime;                                 // "": python
  Limits limits;                                       // 0: the default
  absl::Duration idle_timeout = absl::ZeroDuration();  // 0: the default
  absl::Duration lifetime = absl::ZeroDuration();      // 0: the default, which is the most too
  std::string session_id;                              // "": one is made
  std::function<bool()> cancelled;                     // nobody waits for it any more; may be unset
  bool throw_away = false;                             // for one call: the ledger need not know of it
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
  // `jails` and `ledger` must outlive the table. Without a ledger it keeps one that nobody else sees.
  SessionTable(TableOptions options, sandbox::JailMaker& jails, Ledger* ledger = nullptr);
  SessionTable(const SessionTable&) = delete;
  SessionTable& operator=(const SessionTable&) = delete;
  // Deletes all sessions. No call may be running any more.
  ~SessionTable();

  // INVALID_ARGUMENT, ALREADY_EXISTS (the id is taken by another owner or with another runtime), RESOURCE_EXHAUSTED,
  // CANCELLED, UNAVAILABLE. The same id, owner and runtime again: the session there is.
  [[nodiscard]] absl::StatusOr<std::shared_ptr<Session>> Create(const CreateOptions& options);
  // NOT_FOUND; of one that has ended it says when and why.
  [[nodiscard]] absl::StatusOr<std::shared_ptr<Session>> Find(std::string_view owner, std::string_view session_id);
  // Oldest first.
  [[nodiscard]] std::vector<std::shared_ptr<Session>> List(std::string_view owner);
  // false: there was none.
  [[nodiscard]] bool Delete(std::string_view owner, std::string_view session_id);
  [[nodiscard]] absl::StatusOr<Outcome> Execute(const ExecuteOptions& options, EventSink& sink);
  // Ends what runs and makes every later call fail.
  void Stop();
  // What sessions can be made of; none may have more memory than there is for all.
  [[nodiscard]] std::vector<sandbox::PolicyInfo> Runtimes() const;

  [[nodiscard]] uint64_t size();
  [[nodiscard]] uint64_t waiting() { return admission_.waiting(); }
  [[nodiscard]] Pool& pool() { return pool_; }
  [[nodiscard]] const Statistics& statistics() const { return statistics_; }
  [[nodiscard]] const TableOptions& options() const { return options_; }
  [[nodiscard]] sandbox::JailMaker& jails() const { return jails_; }

 private:
  [[nodiscard]] absl::StatusOr<SessionOptions> Prepare(const CreateOptions& options) const;
  [[nodiscard]] absl::StatusOr<std::shared_ptr<Session>> Make(SessionOptions options,
                                                              const std::function<bool()>& cancelled);
  [[nodiscard]] absl::StatusOr<InterpreterProcess> TakeOrStart(const SessionOptions& options);
  [[nodiscard]] bool IsStopping();
  [[nodiscard]] absl::StatusOr<Outcome> ExecuteOnce(const ExecuteOptions& options, EventSink& sink);
  // Takes it out of the table. Null: it is not there any more.
  [[nodiscard]] std::shared_ptr<Session> TakeOut(const std::string& session_id);
  void Bury(std::shared_ptr<Session> session);
  void ExpireLoop();
  void BuryLoop();

  const TableOptions options_;
  sandbox::JailMaker& jails_;
  Ledger own_ledger_;
  Ledger& ledger_;
  Statistics statistics_;
  Admission admission_;  // before all that takes room
  Pool pool_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::map<std::string, std::shared_ptr<Session>, std::less<>> sessions_;
  std::set<std::string, std::less<>> starting_;  // ids that are being made
  // Ended, and not gone yet: nobody is kept waiting for it. Bounded by the room that they hold.
  std::vector<std::shared_ptr<Session>> dying_;
  std::condition_variable dying_changed_;
  bool buried_all_ = false;
  std::thread expirer_;
  std::thread burier_;
};

}  // namespace carrel::interpreter
