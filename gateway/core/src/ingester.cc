#include "gateway/core/ingester.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "gateway/types/error.h"
#include "gateway/types/status_macros.h"

namespace carrel::gateway {
namespace {

// Between two questions about the same file: short at first, for small files; then patient.
constexpr absl::Duration kPauseMax = absl::Milliseconds(500);
// After a failure that is not the file's (no retrieval service, say).
constexpr absl::Duration kFailurePause = absl::Seconds(1);
// As often as that in a row, over a minute, before the file is called failed.
constexpr int kFailuresMax = 60;
// After the search tool said that it is full: the files wait here, it has room again when it has read some.
constexpr absl::Duration kFullPause = absl::Seconds(2);
// Without a kick, for files that another process made.
constexpr absl::Duration kIdlePause = absl::Seconds(30);

std::string KeyOf(const VectorStoreFile& file) { return file.store_id.value + "/" + file.file_id.value; }

}  // namespace

Ingester::Ingester(Backing backing) : backing_(backing), thread_([this] { Loop(); }) {}

Ingester::~Ingester() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  thread_.join();
}

void Ingester::Kick() {
  absl::MutexLock lock(&mutex_);
  kicked_ = true;
}

void Ingester::Loop() {
  absl::Time next_look = absl::InfinitePast();
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      auto due = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return kicked_ || stopping_; };
      // The wall clock, not backing_.clock: tests that stop time must not stop the pauses.
      mutex_.AwaitWithDeadline(absl::Condition(&due), next_look);
      if (stopping_) return;
      kicked_ = false;
    }
    next_look = LookAtAll();
  }
}

absl::Time Ingester::LookAtAll() {
  std::vector<VectorStoreFile> pending;
  absl::Status read = backing_.repository.Read([&](const Snapshot& s) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(pending, s.AllPendingStoreFiles());
    return absl::OkStatus();
  });
  if (!read.ok()) return absl::Now() + kFailurePause;
  std::unordered_map<std::string, Progress> still;
  absl::Time next = absl::Now() + kIdlePause;
  for (const VectorStoreFile& file : pending) {
    std::string key = KeyOf(file);
    auto known = progress_.find(key);
    Progress progress = known == progress_.end() ? Progress{} : known->second;
    if (!progress.handed_over) progress.next_look = std::max(progress.next_look, full_until_);
    // Nothing is kept of one that is settled: it may be attached again before the next look.
    if (progress.next_look <= absl::Now() && LookAt(file, progress)) continue;
    next = std::min(next, progress.next_look);
    still.emplace(std::move(key), progress);
  }
  progress_ = std::move(still);
  TakeBackUnwanted();
  return handed_over_.empty() ? next : std::min(next, absl::Now() + kFailurePause);
}

bool Ingester::LookAt(const VectorStoreFile& file, Progress& progress) {
  absl::StatusOr<StoreFileState> state =
      progress.handed_over ? backing_.search.FileState(file.project, file.store_id, file.file_id) : HandOver(file);
  if (absl::IsNotFound(state.status()) && progress.handed_over) {
    progress.handed_over = false;  // lost over there: once more
    progress.next_look = absl::Now();
    return false;
  }
  // Refused for what it is: no other try will change that.
  if (absl::IsInvalidArgument(state.status())) {
    state = StoreFileState{.status = StoreFileStatus::kFailed,
                           .error = StoreFileError{.code = StoreFileError::Code::kInvalidFile,
                                                   .message = std::string(state.status().message())},
                           .usage_bytes = 0};
  }
  // Its time will come; that is no failure.
  if (absl::IsResourceExhausted(state.status())) {
    progress.next_look = full_until_ = absl::Now() + kFullPause;
    return false;
  }
  if (!state.ok()) {
    progress.next_look = absl::Now() + kFailurePause;
    if (++progress.failures < kFailuresMax) return false;
    state = StoreFileState{
        .status = StoreFileStatus::kFailed,
        .error = StoreFileError{.code = StoreFileError::Code::kServerError,
                                .message = "The file could not be processed: " + std::string(state.status().message())},
        .usage_bytes = 0};
  }
  progress.failures = 0;
  progress.handed_over = true;
  progress.next_look = absl::Now() + progress.pause;
  progress.pause = std::min(progress.pause * 2, kPauseMax);
  if (state->status == StoreFileStatus::kInProgress) return false;
  if (Settle(file, *state).ok()) return true;
  progress.next_look = absl::Now() + kFailurePause;
  return false;
}

absl::StatusOr<StoreFileState> Ingester::HandOver(const VectorStoreFile& file) {
  FileObject object;
  VectorStore store;
  absl::Status found = backing_.repository.Read([&](const Snapshot& s) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(object, s.GetFile(file.project, file.file_id));
    GATEWAY_ASSIGN_OR_RETURN(store, s.GetStore(file.project, file.store_id));
    return absl::OkStatus();
  });
  if (ErrorOf(found).has_value()) {
    return StoreFileState{.status = StoreFileStatus::kFailed,
                          .error = StoreFileError{.code = StoreFileError::Code::kInvalidFile,
                                                  .message = "The file was deleted before it was processed."},
                          .usage_bytes = 0};
  }
  GATEWAY_RETURN_IF_ERROR(found);
  if (store.expired) return StoreFileState{.status = StoreFileStatus::kCancelled};
  handed_over_.push_back(file);
  GATEWAY_RETURN_IF_ERROR(backing_.search.EnsureStore(file.project, file.store_id, store.chunking));
  absl::StatusOr<StoreFileState> added = backing_.search.AddFile(file, object);
  if (!absl::IsAlreadyExists(added.status())) return added;
  // With other settings: what is there is of an earlier attachment, which has ended here.
  GATEWAY_RETURN_IF_ERROR(backing_.search.DeleteFile(file.project, file.store_id, file.file_id));
  return backing_.search.AddFile(file, object);
}

void Ingester::TakeBackUnwanted() {
  // Those about which the answer failed are asked about once more.
  std::erase_if(handed_over_, [this](const VectorStoreFile& file) { return TakeBack(file).ok(); });
}

absl::StatusOr<bool> Ingester::TakeBack(const VectorStoreFile& file) {
  bool store_gone = false, file_gone = false;
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Read([&](const Snapshot& s) -> absl::Status {
    const absl::StatusOr<VectorStore> store = s.GetStore(file.project, file.store_id);
    store_gone = store.ok() ? store->expired : ErrorOf(store.status()).has_value();
    if (!store.ok() && !store_gone) return store.status();
    const absl::StatusOr<VectorStoreFile> now = s.GetStoreFile(file.project, file.store_id, file.file_id);
    file_gone = now.ok() ? now->status == StoreFileStatus::kCancelled : ErrorOf(now.status()).has_value();
    return now.ok() || file_gone ? absl::OkStatus() : now.status();
  }));
  if (store_gone) {
    GATEWAY_RETURN_IF_ERROR(backing_.search.DeleteStore(file.project, file.store_id));
  } else if (file_gone) {
    GATEWAY_RETURN_IF_ERROR(backing_.search.DeleteFile(file.project, file.store_id, file.file_id));
  }
  return store_gone || file_gone;
}

absl::Status Ingester::Settle(const VectorStoreFile& file, const StoreFileState& state) {
  bool gone = false;
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Write([&](Transaction& t) -> absl::Status {
    absl::StatusOr<VectorStoreFile> now = t.GetStoreFile(file.project, file.store_id, file.file_id);
    gone = ErrorOf(now.status()).has_value();
    if (gone) return absl::OkStatus();
    GATEWAY_RETURN_IF_ERROR(now.status());
    if (now->status != StoreFileStatus::kInProgress) return absl::OkStatus();  // cancelled meanwhile
    now->status = state.status;
    now->last_error = state.error;
    now->usage_bytes = state.usage_bytes;
    now->facts = state.facts;
    return t.PutStoreFile(*now);
  }));
  // Deleted while it was on its way: what the search tool has of it must go too.
  return gone ? backing_.search.DeleteFile(file.project, file.store_id, file.file_id) : absl::OkStatus();
}

}  // namespace carrel::gateway
