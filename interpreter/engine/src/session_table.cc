#include "interpreter/engine/session_table.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_join.h"
#include "interpreter/engine/errors.h"
#include "interpreter/engine/text.h"
#include "sandbox/usable_resources.h"

namespace carrel::interpreter {
namespace {

constexpr size_t kOwnerBytesMax = 128;
constexpr size_t kIdBytesMax = 64;
constexpr size_t kCodeBytesMax = 1 << 20;
constexpr absl::Duration kIdleMin = absl::Seconds(1);
constexpr absl::Duration kIdleMax = absl::Hours(24);
constexpr absl::Duration kRetryAfterNoStart = absl::Seconds(5);
constexpr auto kRoomPoll = std::chrono::milliseconds(200);
constexpr auto kExpiryPeriod = std::chrono::milliseconds(250);

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
  void OnHandedOver() override { sink_.OnHandedOver(); }
  void OnLasting() override { sink_.OnLasting(); }
  [[nodiscard]] bool Cancelled() const override { return sink_.Cancelled(); }
  [[nodiscard]] uint64_t artifacts() const { return artifacts_; }

 private:
  EventSink& sink_;
  uint64_t artifacts_ = 0;
};

}  // namespace

SessionTable::SessionTable(TableOptions options, sandbox::JailMaker& jails, Ledger* ledger)
    : options_([&] {
        options.pool.default_limits = options.default_limits;
        if (options.memory_bytes_total_max == 0) options.memory_bytes_total_max = sandbox::UsableMemoryBytes() / 4 * 3;
        options.pool.session_memory_bytes_max = options.memory_bytes_total_max;
        return options;
      }()),
      jails_(jails),
      ledger_(ledger != nullptr ? *ledger : own_ledger_),
      admission_({.sessions_max = options_.sessions_max,
                  .sessions_per_owner_max = options_.sessions_per_owner_max,
                  .memory_bytes_total_max = options_.memory_bytes_total_max,
                  .memory_overcommit_percent = options_.memory_overcommit_percent,
                  .waiting_max = options_.admission_waiting_max,
                  .wait_max = options_.admission_wait_max}),
      pool_(options_.pool, jails, statistics_),
      expirer_([this] { ExpireLoop(); }),
      burier_([this] { BuryLoop(); }) {}

SessionTable::~SessionTable() {
  Stop();
  {
    const std::lock_guard lock(mutex_);
    buried_all_ = true;
    dying_changed_.notify_all();
  }
  expirer_.join();
  burier_.join();
}

void SessionTable::Stop() {
  admission_.Stop();
  pool_.Stop();
  std::vector<std::shared_ptr<Session>> doomed;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
    for (auto& [id, session] : sessions_) doomed.push_back(std::move(session));
    sessions_.clear();
  }
  for (const std::shared_ptr<Session>& session : doomed) {
    ledger_.Ended(session->id(), session->owner(), "the service was stopped");
    session->Delete("the service stops");
  }
}

std::vector<sandbox::PolicyInfo> SessionTable::Runtimes() const {
  return RuntimesOf(jails_, options_.memory_bytes_total_max);
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
  const absl::Duration lifetime = options.lifetime == absl::ZeroDuration() ? options_.lifetime : options.lifetime;
  if (lifetime < kIdleMin || lifetime > options_.lifetime) {
    return InvalidField("lifetime_ms", StrCat(absl::ToInt64Milliseconds(lifetime)),
                        StrCat("1000 to ", absl::ToInt64Milliseconds(options_.lifetime)));
  }
  const std::string runtime = options.runtime.empty() ? options_.default_runtime : options.runtime;
  const std::vector<sandbox::PolicyInfo> policies = Runtimes();
  const auto policy =
      std::find_if(policies.begin(), policies.end(), [&](const auto& known) { return known.name == runtime; });
  if (policy == policies.end()) {
    std::vector<std::string> names;
    for (const sandbox::PolicyInfo& known : policies) names.push_back(known.name);
    return absl::NotFoundError(StrCat("no runtime \"", absl::CHexEscape(runtime.substr(0, 100)),
                                      "\"; there are: ", absl::StrJoin(names, ", ")));
  }
  const Limits maxima = MaximumLimits(*policy);
  absl::StatusOr<Limits> limits =
      ResolveSessionLimits(options.limits, DefaultLimits(*policy, options_.default_limits), maxima);
  if (!limits.ok()) return limits.status();
  return SessionOptions{.session_id = options.session_id.empty() ? MakeId() : options.session_id,
                        .owner = options.owner,
                        .runtime = runtime,
                        .limits = *limits,
                        .maxima = maxima,
                        .idle_timeout = idle,
                        .lifetime = lifetime,
                        .calls_waiting_max = options_.calls_waiting_max,
                        .interrupt_grace = options_.interrupt_grace};
}

absl::StatusOr<std::shared_ptr<Session>> SessionTable::Create(const CreateOptions& create) {
  const Pool::Request request(pool_);
  absl::StatusOr<SessionOptions> prepared = Prepare(create);
  if (!prepared.ok()) return prepared.status();
  const std::string id = prepared->session_id;
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !starting_.contains(id) || stopping_; });
    if (stopping_) return absl::UnavailableError("the server stops");
    if (const auto found = sessions_.find(id); found != sessions_.end()) {
      if (found->second->owner() == prepared->owner && found->second->runtime() == prepared->runtime) {
        return found->second;
      }
      return absl::AlreadyExistsError(StrCat("the session id ", id, " is taken"));
    }
    starting_.insert(id);
  }
  prepared->predecessor = ledger_.Fate(prepared->owner, id).value_or("");
  absl::StatusOr<std::shared_ptr<Session>> session = Make(*std::move(prepared), create.cancelled);
  const std::lock_guard lock(mutex_);
  starting_.erase(id);
  changed_.notify_all();
  if (!session.ok()) return session.status();
  if (stopping_) return absl::UnavailableError("the server stops");
  sessions_.emplace(id, *session);
  if (!create.throw_away) ledger_.Began(id, (*session)->owner());
  return session;
}

absl::StatusOr<std::shared_ptr<Session>> SessionTable::Make(SessionOptions options,
                                                            const std::function<bool()>& cancelled) {
  const absl::Time arrived = absl::Now();
  absl::StatusOr<Admission::Room> room = admission_.Enter(options.owner, options.limits.memory_bytes, cancelled);
  if (!room.ok()) {
    if (absl::IsResourceExhausted(room.status())) statistics_.Count(Event::kRefused);
    return room.status();
  }
  statistics_.Add(Step::kAdmission, absl::Now() - arrived);
  absl::StatusOr<InterpreterProcess> process = TakeOrStart(options);
  // A disk has room again when a session has ended to its last block, which is a moment after its admission ended.
  const absl::Time deadline =
      jails_.report().HasDiskWorkspaces() ? arrived + options_.admission_wait_max : absl::InfinitePast();
  while (absl::IsResourceExhausted(process.status()) && absl::Now() < deadline && !(cancelled && cancelled())) {
    std::this_thread::sleep_for(kRoomPoll);
    if (IsStopping()) break;
    process = TakeOrStart(options);
  }
  if (!process.ok()) {
    statistics_.Count(Event::kStartFailed);
    if (absl::IsResourceExhausted(process.status())) {
      const absl::string_view why = process.status().message();
      return TryLater(std::string_view(why.data(), why.size()), kRetryAfterNoStart);
    }
    return process.status();
  }
  return std::make_shared<Session>(std::move(options), *std::move(process), *std::move(room), jails_.report(),
                                   statistics_);
}

absl::StatusOr<InterpreterProcess> SessionTable::TakeOrStart(const SessionOptions& options) {
  const absl::Time since = absl::Now();
  const sandbox::JailLimits limits = ToJailLimits(options.limits);
  if (std::optional<InterpreterProcess> pooled = pool_.Take(options.runtime, limits)) {
    statistics_.Count(Event::kStartedPooled);
    statistics_.Add(Step::kStartPooled, absl::Now() - since);
    return *std::move(pooled);
  }
  absl::StatusOr<InterpreterProcess> started =
      StartInterpreter({.runtime = options.runtime, .limits = limits}, jails_, statistics_);
  if (!started.ok()) return started.status();
  statistics_.Count(Event::kStartedForked);
  statistics_.Add(Step::kStartForked, absl::Now() - since);
  return started;
}

absl::StatusOr<std::shared_ptr<Session>> SessionTable::Find(std::string_view owner, std::string_view session_id) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = sessions_.find(session_id);
    if (found != sessions_.end() && found->second->owner() == owner) return found->second;
  }
  const std::optional<std::string> fate = ledger_.Fate(owner, session_id);
  return absl::NotFoundError(StrCat("no session \"", absl::CHexEscape(ToAbsl(session_id.substr(0, kIdBytesMax))), "\"",
                                    fate ? StrCat(": ", *fate) : ""));
}

std::shared_ptr<Session> SessionTable::TakeOut(const std::string& session_id) {
  const std::lock_guard lock(mutex_);
  const auto found = sessions_.find(session_id);
  if (found == sessions_.end()) return nullptr;
  std::shared_ptr<Session> session = std::move(found->second);
  sessions_.erase(found);
  return session;
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
  ledger_.Ended(session->id(), session->owner(), "it was deleted");
  session->Delete("it was deleted");
  return true;
}

absl::StatusOr<Outcome> SessionTable::Execute(const ExecuteOptions& options, EventSink& sink) {
  if (options.code.size() > kCodeBytesMax) {
    return InvalidField("code", StrCat(options.code.size(), " bytes long"), "at most 1048576 bytes");
  }
  Pool::Request request(pool_);
  if (options.session_id.empty()) {
    request.IsLast();
    return ExecuteOnce(options, sink);
  }
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
  absl::StatusOr<std::shared_ptr<Session>> session = Create({.owner = options.owner,
                                                             .runtime = options.runtime,
                                                             .limits = options.limits,
                                                             .cancelled = [&sink] { return sink.Cancelled(); },
                                                             .throw_away = true});
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
    (void)TakeOut((*session)->id());  // or it was deleted meanwhile
    Bury(*std::move(session));
  }
  return outcome;
}

bool SessionTable::IsStopping() {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

uint64_t SessionTable::size() {
  const std::lock_guard lock(mutex_);
  return sessions_.size();
}

void SessionTable::ExpireLoop() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    changed_.wait_for(lock, kExpiryPeriod);
    std::vector<std::pair<std::shared_ptr<Session>, std::string>> expired;
    const absl::Time now = absl::Now();
    for (auto entry = sessions_.begin(); entry != sessions_.end();) {
      Session::Expiry expiry = entry->second->ExpiresAt();
      if (expiry.at <= now) {
        expired.emplace_back(std::move(entry->second), std::move(expiry.reason));
        entry = sessions_.erase(entry);
      } else {
        ++entry;
      }
    }
    lock.unlock();
    for (auto& [session, reason] : expired) {
      statistics_.Count(Event::kExpired);
      ledger_.Ended(session->id(), session->owner(), reason);
      session->Delete(reason);
      Bury(std::move(session));
    }
    lock.lock();
  }
}

void SessionTable::Bury(std::shared_ptr<Session> session) {
  const std::lock_guard lock(mutex_);
  dying_.push_back(std::move(session));
  dying_changed_.notify_one();
}

void SessionTable::BuryLoop() {
  std::unique_lock lock(mutex_);
  while (true) {
    dying_changed_.wait(lock, [this] { return buried_all_ || !dying_.empty(); });
    if (dying_.empty()) return;
    std::vector<std::shared_ptr<Session>> dead = std::exchange(dying_, {});
    lock.unlock();
    // All are told before one is waited for: together they take as long as one.
    for (const std::shared_ptr<Session>& session : dead) session->Delete("it has ended");
    dead.clear();
    lock.lock();
  }
}

}  // namespace carrel::interpreter
