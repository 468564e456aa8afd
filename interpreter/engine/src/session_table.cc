#include "interpreter/engine/session_table.h"

#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_join.h"
#include "interpreter/engine/errors.h"
#include "interpreter/engine/text.h"

namespace carrel::interpreter {
namespace {

constexpr std::string_view kDefaultRuntime = "python";
constexpr size_t kOwnerBytesMax = 128;
constexpr size_t kIdBytesMax = 64;
constexpr size_t kCodeBytesMax = 1 << 20;
constexpr absl::Duration kIdleMin = absl::Seconds(1);
constexpr absl::Duration kIdleMax = absl::Hours(24);
constexpr auto kExpiryPeriod = std::chrono::milliseconds(250);
constexpr absl::Duration kRetryWhenFull = absl::Seconds(5);

std::string MakeId() {
  std::array<char, 16> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) std::abort();
  return absl::BytesToHexString(absl::string_view(bytes.data(), bytes.size()));
}

bool GoodId(std::string_view id) {
  return !id.empty() && id.size() <= kIdBytesMax && std::all_of(id.begin(), id.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-';
  });
}

absl::Status CheckOwner(std::string_view owner) {
  if (owner.size() > kOwnerBytesMax) {
    return InvalidField("owner", StrCat(owner.size(), " bytes long"), "at most 128 bytes");
  }
  return absl::OkStatus();
}

uint64_t MachineMemory() {
  return static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

// Passes everything on and counts the artifacts.
class CountingSink final : public EventSink {
 public:
  explicit CountingSink(EventSink& sink) : sink_(sink) {}
  void OnStarted(const std::string& id, absl::Duration queued, absl::Duration linger) override {
    sink_.OnStarted(id, queued, linger);
  }
  void OnStdout(std::string text) override { sink_.OnStdout(std::move(text)); }
  void OnStderr(std::string text) override { sink_.OnStderr(std::move(text)); }
  void OnDisplay(Display display) override { sink_.OnDisplay(std::move(display)); }
  void OnArtifact(Artifact artifact) override {
    ++artifacts_;
    sink_.OnArtifact(std::move(artifact));
  }
  [[nodiscard]] bool Cancelled() const override { return sink_.Cancelled(); }
  [[nodiscard]] uint64_t artifacts() const { return artifacts_; }

 private:
  EventSink& sink_;
  uint64_t artifacts_ = 0;
};

}  // namespace

SessionTable::SessionTable(TableOptions options, sandbox::JailMaker& jails)
    : options_([&] {
        if (options.memory_bytes_total_max == 0) options.memory_bytes_total_max = MachineMemory() / 4 * 3;
        return options;
      }()),
      jails_(jails),
      expirer_([this] { ExpireLoop(); }) {}

SessionTable::~SessionTable() {
  Stop();
  expirer_.join();
}

void SessionTable::Stop() {
  std::vector<std::shared_ptr<Session>> doomed;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
    for (auto& [id, session] : sessions_) doomed.push_back(std::move(session));
    sessions_.clear();
  }
  for (const std::shared_ptr<Session>& session : doomed) session->Kill("the server stops");
}

absl::StatusOr<SessionOptions> SessionTable::Prepare(const CreateOptions& options) const {
  if (absl::Status status = CheckOwner(options.owner); !status.ok()) return status;
  if (!options.session_id.empty() && !GoodId(options.session_id)) {
    return InvalidField("session_id", absl::CHexEscape(options.session_id.substr(0, 200)),
                        "1 to 64 of [A-Za-z0-9_-], or none");
  }
  const absl::Duration idle =
      options.idle_timeout == absl::ZeroDuration() ? options_.idle_timeout : options.idle_timeout;
  if (idle < kIdleMin || idle > kIdleMax) {
    return InvalidField("idle_timeout_ms", StrCat(absl::ToInt64Milliseconds(idle)), "1000 to 86400000");
  }
  const std::string runtime = options.runtime.empty() ? std::string(kDefaultRuntime) : options.runtime;
  const std::vector<sandbox::PolicyInfo> policies = jails_.policies();
  const auto policy =
      std::find_if(policies.begin(), policies.end(), [&](const auto& known) { return known.name == runtime; });
  if (policy == policies.end()) {
    std::vector<std::string> names;
    for (const sandbox::PolicyInfo& known : policies) names.push_back(known.name);
    return absl::NotFoundError(StrCat("no runtime \"", absl::CHexEscape(runtime.substr(0, 100)),
                                      "\"; there are: ", absl::StrJoin(names, ", ")));
  }
  const Limits maxima = MaximumLimits(*policy);
  absl::StatusOr<Limits> limits = ResolveSessionLimits(options.limits, DefaultLimits(*policy), maxima);
  if (!limits.ok()) return limits.status();
  return SessionOptions{.session_id = options.session_id.empty() ? MakeId() : options.session_id,
                        .owner = options.owner,
                        .runtime = runtime,
                        .limits = *limits,
                        .maxima = maxima,
                        .idle_timeout = idle,
                        .calls_waiting_max = options_.calls_waiting_max,
                        .interrupt_grace = options_.interrupt_grace};
}

absl::Status SessionTable::Admit(const SessionOptions& options) const {
  if (stopping_) return absl::UnavailableError("the server stops");
  uint64_t sessions = sessions_.size() + starting_.size();
  uint64_t of_owner = 0;
  uint64_t memory = options.limits.memory_bytes;
  for (const auto& [id, session] : sessions_) {
    of_owner += session->owner() == options.owner ? 1 : 0;
    memory += session->limits().memory_bytes;
  }
  for (const auto& [id, reservation] : starting_) {
    of_owner += reservation.owner == options.owner ? 1 : 0;
    memory += reservation.memory_bytes;
  }
  if (sessions >= options_.sessions_max) {
    return TryLater(StrCat("there are ", sessions, " sessions already, the most this server has"), kRetryWhenFull);
  }
  if (of_owner >= options_.sessions_per_owner_max) {
    return TryLater(StrCat("the owner has ", of_owner, " sessions already, the most one may have"), kRetryWhenFull);
  }
  if (memory > options_.memory_bytes_total_max) {
    return TryLater(StrCat("the memory limits of all sessions together would be ", memory, " bytes, over ",
                           options_.memory_bytes_total_max),
                    kRetryWhenFull);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<Session>> SessionTable::Create(const CreateOptions& create) {
  absl::StatusOr<SessionOptions> prepared = Prepare(create);
  if (!prepared.ok()) return prepared.status();
  const std::string id = prepared->session_id;
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !starting_.contains(id) || stopping_; });
    if (const auto found = sessions_.find(id); found != sessions_.end()) {
      if (found->second->owner() == prepared->owner && found->second->runtime() == prepared->runtime) {
        return found->second;
      }
      return absl::AlreadyExistsError(StrCat("the session id ", id, " is taken"));
    }
    if (absl::Status status = Admit(*prepared); !status.ok()) return status;
    starting_.emplace(id, Reservation{prepared->owner, prepared->limits.memory_bytes});
  }
  absl::StatusOr<std::shared_ptr<Session>> session = Session::Start(*std::move(prepared), jails_);
  const std::lock_guard lock(mutex_);
  starting_.erase(id);
  changed_.notify_all();
  if (!session.ok()) return session.status();
  if (stopping_) return absl::UnavailableError("the server stops");
  sessions_.emplace(id, *session);
  return session;
}

absl::StatusOr<std::shared_ptr<Session>> SessionTable::Find(std::string_view owner, std::string_view session_id) {
  const std::lock_guard lock(mutex_);
  const auto found = sessions_.find(session_id);
  if (found == sessions_.end() || found->second->owner() != owner) {
    return absl::NotFoundError(
        StrCat("no session \"", absl::CHexEscape(ToAbsl(session_id.substr(0, kIdBytesMax))), "\""));
  }
  return found->second;
}

std::vector<std::shared_ptr<Session>> SessionTable::List(std::string_view owner) {
  std::vector<std::pair<absl::Time, std::shared_ptr<Session>>> found;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, session] : sessions_) {
      if (session->owner() == owner) found.emplace_back(session->created_at(), session);
    }
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first < b.first : a.second->id() < b.second->id();
  });
  std::vector<std::shared_ptr<Session>> sessions;
  for (auto& [created_at, session] : found) sessions.push_back(std::move(session));
  return sessions;
}

bool SessionTable::Delete(std::string_view owner, std::string_view session_id) {
  std::shared_ptr<Session> session;
  {
    const std::lock_guard lock(mutex_);
    const auto found = sessions_.find(session_id);
    if (found == sessions_.end() || found->second->owner() != owner) return false;
    session = std::move(found->second);
    sessions_.erase(found);
  }
  session->Delete();
  return true;
}

absl::StatusOr<Outcome> SessionTable::Execute(const ExecuteOptions& options, EventSink& sink) {
  if (options.code.size() > kCodeBytesMax) {
    return InvalidField("code", StrCat(options.code.size(), " bytes long"), "at most 1048576 bytes");
  }
  if (options.session_id.empty()) return ExecuteOnce(options, sink);
  if (!options.runtime.empty()) {
    return InvalidField("runtime", options.runtime, "nothing, for the session has its runtime already");
  }
  absl::StatusOr<std::shared_ptr<Session>> session = Find(options.owner, options.session_id);
  if (!session.ok()) return session.status();
  return (*session)->Execute({.code = options.code,
                              .limits = options.limits,
                              .return_files = options.return_files,
                              .end_at_output_limit = options.end_at_output_limit,
                              .save_figures = options.save_figures},
                             sink);
}

absl::StatusOr<Outcome> SessionTable::ExecuteOnce(const ExecuteOptions& options, EventSink& sink) {
  absl::StatusOr<std::shared_ptr<Session>> session =
      Create({.owner = options.owner, .runtime = options.runtime, .limits = options.limits});
  if (!session.ok()) return session.status();
  const absl::Duration linger =
      options.return_files == ReturnFiles::kReferences ? options_.linger : absl::ZeroDuration();
  CountingSink counting(sink);
  absl::StatusOr<Outcome> outcome = (*session)->Execute({.code = options.code,
                                                         .return_files = options.return_files,
                                                         .end_at_output_limit = options.end_at_output_limit,
                                                         .save_figures = options.save_figures,
                                                         .linger = linger},
                                                        counting);
  if (linger > absl::ZeroDuration() && counting.artifacts() > 0 && !sink.Cancelled()) {
    (*session)->SetIdleTimeout(linger);
    (*session)->Kill("it was made for one call, and that has ended; its files stay for a while");
  } else {
    (void)Delete(options.owner, (*session)->id());
  }
  return outcome;
}

uint64_t SessionTable::size() {
  const std::lock_guard lock(mutex_);
  return sessions_.size();
}

void SessionTable::ExpireLoop() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    changed_.wait_for(lock, kExpiryPeriod);
    std::vector<std::shared_ptr<Session>> expired;
    const absl::Time now = absl::Now();
    for (auto entry = sessions_.begin(); entry != sessions_.end();) {
      if (entry->second->ExpiresAt() <= now) {
        expired.push_back(std::move(entry->second));
        entry = sessions_.erase(entry);
      } else {
        ++entry;
      }
    }
    lock.unlock();
    for (const std::shared_ptr<Session>& session : expired) session->Delete();
    expired.clear();
    lock.lock();
  }
}

}  // namespace carrel::interpreter
