#include "gateway/storage/sqlite_storage.h"

#include <sys/stat.h>

#include <deque>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "database.h"
#include "gateway/types/status_macros.h"
#include "run_channel.h"
#include "schema.h"
#include "transaction.h"

namespace carrel::gateway {
namespace {

// Pieces of work that one commit takes at most: the first of them waits for the last.
constexpr size_t kGroupMax = 256;
// How long a piece of work that nobody waits for may wait for company. One that somebody waits for takes it along.
constexpr absl::Duration kLazyMax = absl::Milliseconds(10);

bool IsFinal(const std::vector<RunEvent>& events) {
  for (const RunEvent& event : events) {
    if (event.kind == RunEventKind::kError) return true;
    const auto* run = std::get_if<Run>(&event.payload);
    if (run != nullptr && !IsActive(run->status)) return true;
  }
  return false;
}

bool OnlyDeltas(const std::vector<RunEvent>& events) {
  for (const RunEvent& event : events) {
    if (!IsDelta(event.kind)) return false;
  }
  return true;
}

}  // namespace

class SqliteStorage::Impl final : public Repository, public RunLog {
 public:
  static absl::StatusOr<std::unique_ptr<Impl>> Open(const Options& options);
  ~Impl() override;

  absl::Status Read(const ReadWork& work) override;
  void WriteAsync(WriteWork work, Done done) override { Queue({.work = std::move(work), .done = std::move(done)}); }
  absl::Status Write(WriteWork work) override;

  void Append(const RunId& run, std::vector<RunEvent> events, Publish publish, Done done) override;
  std::unique_ptr<RunSubscription> Subscribe(const RunId& run, uint64_t from) override {
    return MakeSubscription(channels_.Get(run), from);
  }
  uint64_t NextSequence(const RunId& run) override { return channels_.Get(run)->next_sequence(); }

 private:
  struct Item {
    WriteWork work;
    Done done;
    bool lazy = false;
    absl::Time queued_at = absl::Now();
  };
  // Events that a piece of work announced, to be settled with its commit.
  struct Announced {
    RunId run;
    std::shared_ptr<RunChannel> channel;
    uint64_t ticket;
    bool final;
  };

  Impl() : channels_([this](const RunId& run) { return StoredSequence(run); }) {}

  void Queue(Item item);
  void WriterLoop();
  void Apply(std::deque<Item> group);
  absl::Status ApplyOne(WriteWork& work, std::vector<Announced>& announced);
  uint64_t StoredSequence(const RunId& run);

  RunChannels channels_;

  absl::Mutex readers_mutex_;
  std::vector<std::unique_ptr<Database>> idle_readers_ ABSL_GUARDED_BY(readers_mutex_);

  std::unique_ptr<Database> writer_;  // the writer thread's
  absl::Mutex queue_mutex_;
  std::deque<Item> queue_ ABSL_GUARDED_BY(queue_mutex_);
  size_t urgent_ ABSL_GUARDED_BY(queue_mutex_) = 0;  // of the queue, those that are not lazy
  bool stopping_ ABSL_GUARDED_BY(queue_mutex_) = false;
  std::thread writer_thread_;
};

absl::StatusOr<std::unique_ptr<SqliteStorage::Impl>> SqliteStorage::Impl::Open(const Options& options) {
  std::unique_ptr<Impl> impl(new Impl);
  GATEWAY_ASSIGN_OR_RETURN(impl->writer_, Database::Open(options.path, true));
  // The file holds everybody's conversations; SQLite gives its journals the same mode.
  if (chmod(options.path.c_str(), 0600) != 0) return absl::InternalError("cannot set the mode of " + options.path);
  GATEWAY_RETURN_IF_ERROR(impl->writer_->Execute(
      absl::StrCat("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 4000; PRAGMA synchronous = ",
                   options.sync == Sync::kFull ? "FULL" : "NORMAL", ";")));
  GATEWAY_RETURN_IF_ERROR(Migrate(*impl->writer_));
  for (int i = 0; i < options.readers; ++i) {
    GATEWAY_ASSIGN_OR_RETURN(std::unique_ptr<Database> reader, Database::Open(options.path, false));
    absl::MutexLock lock(&impl->readers_mutex_);
    impl->idle_readers_.push_back(std::move(reader));
  }
  impl->writer_thread_ = std::thread([raw = impl.get()] { raw->WriterLoop(); });
  return impl;
}

SqliteStorage::Impl::~Impl() {
  {
    absl::MutexLock lock(&queue_mutex_);
    stopping_ = true;
  }
  if (writer_thread_.joinable()) writer_thread_.join();
}

absl::Status SqliteStorage::Impl::Read(const ReadWork& work) {
  std::unique_ptr<Database> reader;
  {
    absl::MutexLock lock(&readers_mutex_);
    auto available = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(readers_mutex_) { return !idle_readers_.empty(); };
    readers_mutex_.Await(absl::Condition(&available));
    reader = std::move(idle_readers_.back());
    idle_readers_.pop_back();
  }
  absl::Status status = reader->Execute("BEGIN");
  if (status.ok()) {
    status = work(SqliteTransaction(*reader));
    absl::Status ended = reader->Execute("COMMIT");
    if (status.ok()) status = ended;
  }
  absl::MutexLock lock(&readers_mutex_);
  idle_readers_.push_back(std::move(reader));
  return status;
}

absl::Status SqliteStorage::Impl::Write(WriteWork work) {
  absl::Status status;
  absl::Notification done;
  WriteAsync(std::move(work), [&](absl::Status result) {
    status = std::move(result);
    done.Notify();
  });
  done.WaitForNotification();
  return status;
}

void SqliteStorage::Impl::Append(const RunId& run, std::vector<RunEvent> events, Publish publish, Done done) {
  std::shared_ptr<RunChannel> channel = channels_.Get(run);
  const bool only_deltas = OnlyDeltas(events);
  const bool final = IsFinal(events);
  uint64_t ticket = channel->Enqueue(events, publish == Publish::kAtOnce || only_deltas);
  if (only_deltas && !done) return;
  auto persist = [run, events = std::move(events)](Transaction& t) {
    return static_cast<SqliteTransaction&>(t).Persist(run, events);
  };
  auto settle = [this, run, channel, ticket, final, done = std::move(done)](absl::Status status) mutable {
    channel->Settle(ticket, status.ok());
    if (final) channels_.Retire(run);
    if (done) done(std::move(status));
  };
  Queue({.work = std::move(persist), .done = std::move(settle), .lazy = publish == Publish::kAtOnce});
}

uint64_t SqliteStorage::Impl::StoredSequence(const RunId& run) {
  // Its own connection state is not needed: what is asked is how far a former process came.
  uint64_t next = 1;
  absl::Status read = Read([&](const Snapshot& snapshot) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(next, static_cast<const SqliteTransaction&>(snapshot).NextSequence(run));
    return absl::OkStatus();
  });
  return read.ok() ? next : 1;
}

void SqliteStorage::Impl::Queue(Item item) {
  absl::MutexLock lock(&queue_mutex_);
  if (!item.lazy) ++urgent_;
  queue_.push_back(std::move(item));
}

void SqliteStorage::Impl::WriterLoop() {
  while (true) {
    std::deque<Item> group;
    {
      absl::MutexLock lock(&queue_mutex_);
      auto due = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(queue_mutex_) { return !queue_.empty() || stopping_; };
      queue_mutex_.Await(absl::Condition(&due));
      if (queue_.empty()) return;  // stopping, and everything is written
      auto pressing = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(queue_mutex_) {
        return urgent_ > 0 || queue_.size() >= kGroupMax || stopping_;
      };
      queue_mutex_.AwaitWithDeadline(absl::Condition(&pressing), queue_.front().queued_at + kLazyMax);
      while (!queue_.empty() && group.size() < kGroupMax) {
        if (!queue_.front().lazy) --urgent_;
        group.push_back(std::move(queue_.front()));
        queue_.pop_front();
      }
    }
    Apply(std::move(group));
  }
}

absl::Status SqliteStorage::Impl::ApplyOne(WriteWork& work, std::vector<Announced>& announced) {
  SqliteTransaction transaction(*writer_, [&](const RunId& run, std::vector<RunEvent>& events) {
    std::shared_ptr<RunChannel> channel = channels_.Get(run);
    uint64_t ticket = channel->Enqueue(events, false);
    announced.push_back({run, std::move(channel), ticket, IsFinal(events)});
  });
  GATEWAY_RETURN_IF_ERROR(writer_->Execute("SAVEPOINT piece"));
  absl::Status status = work(transaction);
  if (!status.ok()) GATEWAY_RETURN_IF_ERROR(writer_->Execute("ROLLBACK TO piece"));
  GATEWAY_RETURN_IF_ERROR(writer_->Execute("RELEASE piece"));
  return status;
}

void SqliteStorage::Impl::Apply(std::deque<Item> group) {
  std::vector<absl::Status> results(group.size());
  std::vector<std::vector<Announced>> announced(group.size());
  absl::Status committed = writer_->Execute("BEGIN IMMEDIATE");
  if (committed.ok()) {
    for (size_t i = 0; i < group.size(); ++i) {
      results[i] = ApplyOne(group[i].work, announced[i]);
      group[i].work = nullptr;
    }
    committed = writer_->Execute("COMMIT");
    // A commit that failed leaves the transaction open; without one this says so and changes nothing.
    if (!committed.ok()) writer_->Execute("ROLLBACK").IgnoreError();
  }
  for (size_t i = 0; i < group.size(); ++i) {
    if (results[i].ok()) results[i] = committed;
    for (const Announced& events : announced[i]) {
      events.channel->Settle(events.ticket, results[i].ok());
      if (events.final) channels_.Retire(events.run);
    }
    if (group[i].done) group[i].done(std::move(results[i]));
  }
}

SqliteStorage::SqliteStorage(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SqliteStorage::~SqliteStorage() = default;

absl::StatusOr<std::unique_ptr<SqliteStorage>> SqliteStorage::Open(const Options& options) {
  GATEWAY_ASSIGN_OR_RETURN(std::unique_ptr<Impl> impl, Impl::Open(options));
  return std::unique_ptr<SqliteStorage>(new SqliteStorage(std::move(impl)));
}

Repository& SqliteStorage::repository() { return *impl_; }
RunLog& SqliteStorage::run_log() { return *impl_; }

}  // namespace carrel::gateway
