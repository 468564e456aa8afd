// Stores of the gateway and the search tool behind them: what is cancelled, deleted or expired while it is handed over
// is taken back, what is full is waited for, and what is asked is passed on.
#include "gateway/core/stores.h"

#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "gateway/core/files.h"
#include "gateway/core/ingester.h"
#include "gateway/core/system.h"
#include "gateway/storage/blob_directory.h"
#include "gateway/storage/sqlite_storage.h"
#include "gateway/types/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace carrel::gateway {
namespace {

const ProjectId kProject("p");

class SettableClock final : public Clock {
 public:
  absl::Time Now() override { return absl::Now() + absl::Milliseconds(ahead_ms.load()); }
  std::atomic<int64_t> ahead_ms = 0;
};

// What the retrieval service would have; files stay in progress until Finish.
class RememberingSearch final : public SearchTool {
 public:
  absl::Status EnsureStore(const ProjectId&, const StoreId& store, const Chunking&) override {
    const absl::MutexLock lock(&mutex_);
    stores_[store.value];
    return absl::OkStatus();
  }
  absl::Status DeleteStore(const ProjectId&, const StoreId& store) override {
    const absl::MutexLock lock(&mutex_);
    if (!reachable) return absl::UnavailableError("nobody there");
    stores_.erase(store.value);
    return absl::OkStatus();
  }
  absl::StatusOr<Citation> Cite(const ProjectId&, const StoreId&, const FileId&, const TextSpan&) override {
    return absl::UnimplementedError("nothing is cited here");
  }
  absl::StatusOr<PagePicture> RenderPage(const PictureRequest&) override {
    return absl::UnimplementedError("nothing is drawn here");
  }
  absl::StatusOr<StoreModel> Model(const ProjectId&, const StoreId& store) override {
    const absl::MutexLock lock(&mutex_);
    if (!stores_.contains(store.value)) return absl::NotFoundError("no such store");
    return StoreModel{.name = "small", .change = StoreModel::Change{.name = model, .documents = 2}};
  }
  absl::StatusOr<StoreModel> SetModel(const ProjectId&, const StoreId&, const std::string& wanted) override {
    const absl::MutexLock lock(&mutex_);
    if (wanted == "none") return absl::InvalidArgumentError("there is no model none");
    model = wanted;
    return StoreModel{.name = "small"};
  }
  absl::StatusOr<StoreFileState> AddFile(const VectorStoreFile& file, const FileObject&) override {
    if (while_handed_over) while_handed_over();
    const absl::MutexLock lock(&mutex_);
    ++adds;
    if (full) return absl::ResourceExhaustedError("the queue is full");
    const auto there = chunk_sizes_.find(file.store_id.value + file.file_id.value);
    if (there != chunk_sizes_.end() && there->second != file.chunking.max_chunk_size_tokens) {
      return absl::AlreadyExistsError("it is there with another chunking");
    }
    chunk_sizes_[file.store_id.value + file.file_id.value] = file.chunking.max_chunk_size_tokens;
    stores_[file.store_id.value][file.file_id.value] = StoreFileStatus::kInProgress;
    return StoreFileState{.progress = {.phase = "queued"}};
  }
  absl::StatusOr<StoreFileState> FileState(const ProjectId&, const StoreId& store, const FileId& file) override {
    const absl::MutexLock lock(&mutex_);
    if (!stores_.contains(store.value)) return absl::NotFoundError("no such store");
    const auto found = stores_[store.value].find(file.value);
    if (found == stores_[store.value].end()) return absl::NotFoundError("no such document");
    return StoreFileState{
        .status = finished  ? StoreFileStatus::kCompleted
                  : failing ? StoreFileStatus::kFailed
                            : found->second,
        .progress = {.phase = "embedding", .pages_done = 3, .pages = 3, .embedded = 8, .to_embed = 40}};
  }
  absl::Status SetAttributes(const ProjectId&, const StoreId&, const FileId&, const Attributes&) override {
    return absl::OkStatus();
  }
  absl::Status DeleteFile(const ProjectId&, const StoreId& store, const FileId& file) override {
    const absl::MutexLock lock(&mutex_);
    if (stores_.contains(store.value)) stores_[store.value].erase(file.value);
    chunk_sizes_.erase(store.value + file.value);
    return absl::OkStatus();
  }
  absl::StatusOr<std::string> FileText(const ProjectId&, const StoreId&, const FileId&) override { return "text"; }
  absl::StatusOr<SearchAnswer> Search(const SearchRequest&) override { return SearchAnswer{}; }

  bool HasStore(const StoreId& store) {
    const absl::MutexLock lock(&mutex_);
    return stores_.contains(store.value);
  }
  bool Has(const StoreId& store, const FileId& file) {
    const absl::MutexLock lock(&mutex_);
    return stores_.contains(store.value) && stores_[store.value].contains(file.value);
  }

  std::function<void()> while_handed_over;
  std::atomic<bool> full = false, finished = false, failing = false, reachable = true;
  std::atomic<int> adds = 0;
  std::string model;

 private:
  absl::Mutex mutex_;
  std::map<std::string, std::map<std::string, StoreFileStatus>> stores_;
  std::map<std::string, int> chunk_sizes_;  // by store and file
};

class StoresTest : public ::testing::Test {
 protected:
  StoresTest() {
    std::string name = (std::filesystem::temp_directory_path() / "carrel_stores_XXXXXX").string();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
    storage_ = *SqliteStorage::Open({.path = directory_ + "/db", .sync = SqliteStorage::Sync::kNormal});
    blobs_ = *OpenBlobDirectory(directory_ + "/blobs");
    backing_.emplace(Backing{storage_->repository(), *blobs_, search_, clock_, ids_});
    files_ = std::make_unique<Files>(*backing_);
    Start();
  }
  ~StoresTest() override {
    stores_.reset();
    ingester_.reset();
    files_.reset();
    storage_.reset();
    blobs_.reset();
    std::filesystem::remove_all(directory_);
  }
  void Start() {
    stores_.reset();
    ingester_.reset();
    ingester_ = std::make_unique<Ingester>(*backing_);
    stores_ = std::make_unique<Stores>(*backing_, *ingester_);
  }
  FileId Upload(const std::string& filename = "a.txt") {
    auto writer = *blobs_->Create(5);
    EXPECT_TRUE(writer->Append("bytes").ok());
    const auto file = files_->Create(
        kProject,
        {.filename = filename, .purpose = "assistants", .expires_after = std::nullopt, .stored = *writer->Finish()});
    EXPECT_TRUE(file.ok()) << file.status();
    return file->id;
  }
  static void Await(const std::function<bool()>& that) {
    const absl::Time end = absl::Now() + absl::Seconds(20);
    while (!that() && absl::Now() < end) absl::SleepFor(absl::Milliseconds(5));
    EXPECT_TRUE(that());
  }

  std::string directory_;
  SettableClock clock_;
  RandomIds ids_;
  RememberingSearch search_;
  std::unique_ptr<SqliteStorage> storage_;
  std::unique_ptr<FileStore> blobs_;
  std::optional<Backing> backing_;
  std::unique_ptr<Files> files_;
  std::unique_ptr<Ingester> ingester_;
  std::unique_ptr<Stores> stores_;
};

TEST_F(StoresTest, WhatIsCancelledWhileItIsHandedOverIsTakenBack) {
  std::optional<FileBatch> batch;
  const VectorStore store = *stores_->Create(kProject, {});
  std::atomic<bool> cancelled = false;
  absl::Mutex made;
  search_.while_handed_over = [&] {
    if (cancelled.exchange(true)) return;
    const absl::MutexLock lock(&made);
    EXPECT_TRUE(stores_->CancelBatch(kProject, store.id, batch->id).ok());
  };
  const FileId file = Upload();
  {
    const absl::MutexLock lock(&made);
    batch = *stores_->CreateBatch(kProject, store.id, {{.file_id = file}});
  }
  Await([&] { return cancelled && search_.adds > 0 && !search_.Has(store.id, file); });
  EXPECT_EQ(stores_->GetFile(kProject, store.id, file)->status, StoreFileStatus::kCancelled);
  EXPECT_EQ(stores_->GetBatch(kProject, store.id, batch->id)->counts.cancelled, 1);
}

TEST_F(StoresTest, WhatIsRemovedWhileItIsHandedOverIsTakenBack) {
  for (const bool whole_store : {false, true}) {
    const VectorStore store = *stores_->Create(kProject, {});
    const FileId file = Upload();
    std::atomic<bool> removed = false;
    const int adds = search_.adds;
    search_.while_handed_over = [&] {
      if (removed.exchange(true)) return;
      EXPECT_TRUE(
          (whole_store ? stores_->Delete(kProject, store.id) : stores_->RemoveFile(kProject, store.id, file)).ok());
    };
    ASSERT_TRUE(stores_->AddFile(kProject, store.id, {.file_id = file}).ok());
    Await([&] { return removed && search_.adds > adds && !search_.Has(store.id, file); });
    if (whole_store) Await([&] { return !search_.HasStore(store.id); });
  }
}

TEST_F(StoresTest, AFullQueueIsWaitedForAndNoFailure) {
  search_.full = true;
  const VectorStore store = *stores_->Create(kProject, {.files = {{.file_id = Upload()}, {.file_id = Upload()}}});
  Await([&] { return search_.adds > 0; });
  absl::SleepFor(absl::Milliseconds(100));
  EXPECT_EQ(search_.adds, 1) << "the bytes of the second were sent to be refused";
  EXPECT_EQ(stores_->Get(kProject, store.id)->counts.in_progress, 2);
  search_.full = false;
  search_.finished = true;
  Await([&] { return stores_->Get(kProject, store.id)->counts.completed == 2; });
}

TEST_F(StoresTest, AFailedFileIsHandedOverAgainWhenItIsAttachedAgain) {
  const VectorStore store = *stores_->Create(kProject, {});
  const FileId file = Upload();
  const auto status = [&] { return stores_->GetFile(kProject, store.id, file)->status; };
  search_.failing = true;
  ASSERT_TRUE(stores_->AddFile(kProject, store.id, {.file_id = file}).ok());
  Await([&] { return status() == StoreFileStatus::kFailed; });
  // At once, before the ingester has looked again, and then in other pieces than what the search tool has.
  ASSERT_TRUE(stores_->AddFile(kProject, store.id, {.file_id = file}).ok());
  Await([&] { return search_.adds == 2 && status() == StoreFileStatus::kFailed; });
  search_.failing = false;
  search_.finished = true;
  const Chunking chunking{.max_chunk_size_tokens = 200, .chunk_overlap_tokens = 50};
  ASSERT_TRUE(stores_->AddFile(kProject, store.id, {.file_id = file, .chunking = chunking}).ok());
  Await([&] { return status() == StoreFileStatus::kCompleted; });
  EXPECT_EQ(search_.adds, 4) << "refused once, then taken in place of the old one";
}

TEST_F(StoresTest, ProgressAndModelAreAskedFor) {
  const VectorStore store = *stores_->Create(kProject, {});
  EXPECT_EQ(stores_->GetWithModel(kProject, store.id)->model->name, "") << "nothing is in it yet";
  const FileId file = Upload();
  ASSERT_TRUE(stores_->AddFile(kProject, store.id, {.file_id = file}).ok());
  Await([&] { return search_.Has(store.id, file); });
  const VectorStoreFile found = *stores_->GetFileWithProgress(kProject, store.id, file);
  ASSERT_TRUE(found.progress.has_value());
  EXPECT_EQ(found.progress->phase, "embedding");
  EXPECT_EQ(found.progress->to_embed, 40u);
  EXPECT_FALSE(stores_->GetFile(kProject, store.id, file)->progress.has_value());
  ASSERT_TRUE(stores_->Update(kProject, store.id, {.model = "large"}).ok());
  EXPECT_EQ(stores_->GetWithModel(kProject, store.id)->model->change->name, "large");
  const absl::Status refused = stores_->Update(kProject, store.id, {.model = "none"}).status();
  EXPECT_EQ(ErrorOf(refused)->kind, ErrorKind::kInvalidRequest);
  EXPECT_EQ(ErrorOf(refused)->param, "x_carrel.model");
}

TEST_F(StoresTest, ExpiredStoresSaySoAndLeaveNothingBehind) {
  search_.finished = true;
  const FileId file = Upload();
  const VectorStore store = *stores_->Create(kProject, {.files = {{.file_id = file}}, .expires_after_days = 1});
  Await([&] { return stores_->Get(kProject, store.id)->counts.completed == 1; });
  clock_.ahead_ms = 23 * 3'600'000;
  ASSERT_TRUE(stores_->Search({.project = kProject, .stores = {store.id}, .queries = {"a use"}}).ok());
  clock_.ahead_ms = 46 * 3'600'000;
  ASSERT_TRUE(stores_->ExpireDue().ok());
  EXPECT_EQ(stores_->Get(kProject, store.id)->status(), VectorStore::Status::kCompleted);
  clock_.ahead_ms = 48 * 3'600'000;
  search_.reachable = false;
  EXPECT_FALSE(stores_->ExpireDue().ok());
  EXPECT_EQ(stores_->Get(kProject, store.id)->status(), VectorStore::Status::kExpired);
  EXPECT_TRUE(search_.HasStore(store.id));
  search_.reachable = true;
  ASSERT_TRUE(stores_->ExpireDue().ok());
  EXPECT_FALSE(search_.HasStore(store.id)) << "its texts and vectors are still there";
  ASSERT_TRUE(stores_->ExpireDue().ok());
  const auto expired = [](const absl::Status& status) { return ErrorOf(status)->kind; };
  EXPECT_EQ(expired(stores_->Search({.project = kProject, .stores = {store.id}, .queries = {"q"}}).status()),
            ErrorKind::kStoreExpired);
  EXPECT_EQ(expired(stores_->AddFile(kProject, store.id, {.file_id = Upload()}).status()), ErrorKind::kStoreExpired);
  EXPECT_EQ(expired(stores_->FileText(kProject, store.id, file).status()), ErrorKind::kStoreExpired);
  EXPECT_EQ(expired(stores_->Update(kProject, store.id, {.model = "large"}).status()), ErrorKind::kStoreExpired);
  EXPECT_EQ(stores_->GetWithModel(kProject, store.id)->model->name, "");
  EXPECT_EQ(stores_->List(kProject, {})->items.size(), 1u) << "it is listed, as OpenAI's are";
  EXPECT_TRUE(stores_->Delete(kProject, store.id).ok());
}

TEST_F(StoresTest, AFileOfAStoreThatExpiresOnTheWayIsCancelled) {
  const FileId file = Upload();
  const VectorStore store = *stores_->Create(kProject, {.files = {{.file_id = file}}, .expires_after_days = 1});
  Await([&] { return search_.Has(store.id, file); });
  clock_.ahead_ms = 25 * 3'600'000;
  ASSERT_TRUE(stores_->ExpireDue().ok());
  Await([&] { return stores_->GetFile(kProject, store.id, file)->status == StoreFileStatus::kCancelled; });
  Await([&] { return !search_.HasStore(store.id); });
}

}  // namespace
}  // namespace carrel::gateway
