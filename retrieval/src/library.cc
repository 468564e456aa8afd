#include "retrieval/library.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "blobs.h"
#include "contents.h"
#include "database.h"
#include "index_registry.h"
#include "ingest.h"
#include "records.h"
#include "searcher.h"
#include "status_macros.h"

namespace carrel::retrieval {
namespace {

constexpr absl::Duration kMaintenanceEvery = absl::Minutes(1);
constexpr int64_t kTouchEveryMillis = 60'000;  // a search is a use, but not worth a write each
constexpr int kVacuumPages = 2'000;            // given back at once, the writer held

// Verdicts that another try may change.
bool WorthAnotherTry(std::optional<Verdict> verdict) {
  return verdict == Verdict::kInternal || verdict == Verdict::kCrashed || verdict == Verdict::kLimit;
}

class LibraryOnDisk final : public Library {
 public:
  LibraryOnDisk(LibraryOptions options, std::vector<Embedder*> embedders, UniqueFd lock,
                std::unique_ptr<Database> database, Blobs blobs)
      : options_(std::move(options)),
        embedders_(std::move(embedders)),
        lock_(std::move(lock)),
        database_(std::move(database)),
        blobs_(std::move(blobs)),
        indexes_(*database_, {.directory = absl::StrCat(options_.directory, "/index"),
                              .bytes_max = options_.index_bytes_max,
                              .thresholds = {.lists_min = options_.indexed_vectors_min,
                                             .postings_min = options_.indexed_terms_min,
                                             .tail_max = options_.index_tail_max}}),
        searcher_(*database_, indexes_, embedders_) {}

  ~LibraryOnDisk() override {
    {
      const std::lock_guard lock(maintenance_mutex_);
      ending_ = true;
    }
    maintenance_wake_.notify_all();
    if (maintenance_.joinable()) maintenance_.join();
  }

  // What an ended process left: stores whose deletion was cut short are whole transactions, so only blobs without a
  // record remain to be swept.
  absl::Status Start(Extractor& extractor) {
    absl::flat_hash_set<std::string> known;
    {
      const Database::Writer writer = database_->Write();
      Statement q(*writer, "SELECT DISTINCT sha256 FROM contents");
      while (q.Step()) known.insert(q.Text(0));
      if (!q.ok()) return q.status();
    }
    RETURN_IF_ERROR(blobs_.Sweep(known));
    RETURN_IF_ERROR(indexes_.Sweep());
    ingest_ = std::make_unique<Ingest>(
        IngestOptions{
            .workers = options_.ingest_workers, .limits = options_.extraction, .now_ms = [this] { return Now(); }},
        *database_, blobs_, indexes_, extractor, embedders_);
    maintenance_ = std::thread([this] { MaintainNowAndThen(); });
    return absl::OkStatus();
  }

  absl::StatusOr<StoreInfo> CreateStore(const NewStore& store) override {
    const Embedder* const embedder = store.model.empty() ? embedders_.front() : FindEmbedder(embedders_, store.model);
    if (embedder == nullptr) return absl::InvalidArgumentError(absl::StrCat("there is no model ", store.model));
    const std::string& model = embedder->name();
    const std::string id = store.id.empty() ? MakeId("vs_") : store.id;
    const Database::Writer writer = database_->Write();
    ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(*writer));
    {
      Statement q(*writer, "SELECT row FROM stores WHERE id = ?1", id);
      if (q.Step()) return SameStore(*writer, q.Int(0), store, model);
      if (!q.ok()) return q.status();
    }
    RETURN_IF_ERROR(RunSql(*writer,
                           "INSERT INTO stores(id, owner, name, max_tokens, overlap_tokens, model, expires_after_days, "
                           "created_ms, active_ms) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)",
                           id, store.owner, store.name, store.chunking.max_tokens, store.chunking.overlap_tokens, model,
                           store.expires_after_days, Now()));
    const int64_t row = writer->last_row();
    RETURN_IF_ERROR(CreateTermIndex(*writer, row));
    ASSIGN_OR_RETURN(StoreInfo info, ReadStore(*writer, row));
    RETURN_IF_ERROR(transaction.Commit());
    return info;
  }

  absl::StatusOr<StoreInfo> GetStore(const std::string& owner, const std::string& id) override {
    ASSIGN_OR_RETURN(const Database::Reader db, database_->Read());
    ASSIGN_OR_RETURN(const StoreRow store, FindStore(*db, owner, id, Now()));
    return ReadStore(*db, store.row);
  }

  absl::StatusOr<std::vector<StoreInfo>> ListStores(const std::string& owner) override {
    ASSIGN_OR_RETURN(const Database::Reader db, database_->Read());
    return ReadStores(*db, owner, Now());
  }

  absl::StatusOr<StoreInfo> UpdateStore(const std::string& owner, const std::string& id,
                                        const StoreChange& change) override {
    const Database::Writer writer = database_->Write();
    ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(*writer));
    ASSIGN_OR_RETURN(const StoreRow store, FindStore(*writer, owner, id, Now()));
    if (change.name)
      RETURN_IF_ERROR(RunSql(*writer, "UPDATE stores SET name = ?2 WHERE row = ?1", store.row, *change.name));
    if (change.expires_after_days) {
      RETURN_IF_ERROR(RunSql(*writer, "UPDATE stores SET expires_after_days = ?2 WHERE row = ?1", store.row,
                             *change.expires_after_days));
    }
    Removal removal;
    const Embedder* const model = change.model ? FindEmbedder(embedders_, *change.model) : nullptr;
    if (change.model && model == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("there is no model ", *change.model));
    }
    const bool reembed = model != nullptr && model->name() != store.model;
    if (reembed) RETURN_IF_ERROR(Reembed(*writer, store, model->name(), removal));
    RETURN_IF_ERROR(RunSql(*writer, "UPDATE stores SET active_ms = ?2 WHERE row = ?1", store.row, Now()));
    ASSIGN_OR_RETURN(StoreInfo info, ReadStore(*writer, store.row));
    RETURN_IF_ERROR(transaction.Commit());
    if (reembed) {
      indexes_.StoreRemoved(store.row);  // its vectors are another model's
      RETURN_IF_ERROR(FinishRemoval(removal));
      NeedMaintenance(store.row);
      ingest_->Wake();
    }
    return info;
  }

  absl::StatusOr<bool> DeleteStore(const std::string& owner, const std::string& id) override {
    const Database::Writer writer = database_->Write();
    const absl::StatusOr<StoreRow> store = FindStore(*writer, owner, id, Now());
    if (absl::IsNotFound(store.status())) return false;
    if (!store.ok()) return store.status();
    RETURN_IF_ERROR(RemoveStore(*writer, store->row));
    NeedMaintenance(0);
    return true;
  }

  absl::StatusOr<std::unique_ptr<Upload>> NewUpload() override {
    ASSIGN_OR_RETURN(std::unique_ptr<IncomingFile> file, blobs_.NewFile());
    return file;
  }

  absl::StatusOr<DocumentInfo> AddDocument(const NewDocument& document, std::unique_ptr<Upload> upload) override {
    auto* const file = dynamic_cast<IncomingFile*>(upload.get());
    if (file == nullptr) return absl::InternalError("the upload is not of this library");
    ASSIGN_OR_RETURN(const std::string sha256, blobs_.Seal(*file));
    const std::optional<DocumentType> type = DocumentTypeOf(document.file_name);
    ContentKey key{.sha256 = sha256, .type = type ? static_cast<int>(*type) : 0};

    const Database::Writer writer = database_->Write();
    ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(*writer));
    ASSIGN_OR_RETURN(const StoreRow store, FindStore(*writer, document.owner, document.store_id, Now()));
    key.chunking = document.chunking.value_or(store.chunking);
    key.model = store.model;
    const std::string id = document.id.empty() ? MakeId("file-") : document.id;
    const absl::StatusOr<DocumentRow> there = FindDocument(*writer, store.row, id);
    if (there.ok()) return SameDocument(*there, key);
    if (!absl::IsNotFound(there.status())) return there.status();

    ASSIGN_OR_RETURN(std::optional<ContentRow> content, FindContent(*writer, key));
    if (!content) {
      RETURN_IF_ERROR(CheckQueue(*writer));
      // The bytes stand under their name before the record says so; a crash between leaves them to the sweep.
      RETURN_IF_ERROR(blobs_.Place(*file, sha256));
      ASSIGN_OR_RETURN(const int64_t row, InsertContent(*writer, key, file->size_bytes()));
      content = ContentRow{.row = row};
      if (!type) {
        RETURN_IF_ERROR(FailContent(*writer, row, Verdict::kUnsupported, UnreadableMessage(document.file_name)));
      }
    } else if (content->state == ContentState::kFailed && WorthAnotherTry(content->verdict)) {
      RETURN_IF_ERROR(
          RunSql(*writer, "UPDATE contents SET state = 0, attempts = 0, next_try_ms = 0 WHERE row = ?1", content->row));
    }
    RETURN_IF_ERROR(RunSql(*writer,
                           "INSERT INTO documents(store, id, content, file_name, attributes, created_ms) "
                           "VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
                           store.row, id, content->row, document.file_name, EncodeAttributes(document.attributes),
                           Now()));
    RETURN_IF_ERROR(RunSql(*writer, "UPDATE stores SET active_ms = ?2 WHERE row = ?1", store.row, Now()));
    ASSIGN_OR_RETURN(const bool indexed, IsIndexed(*writer, store.row, content->row));
    const bool index = content->state == ContentState::kReady && !indexed;
    if (index) RETURN_IF_ERROR(IndexContent(*writer, store.row, content->row));
    ASSIGN_OR_RETURN(DocumentRow added, FindDocument(*writer, store.row, id));
    RETURN_IF_ERROR(transaction.Commit());
    if (index) indexes_.ContentAdded(*writer, store.row, content->row);
    indexes_.DocumentChanged(store.row, added.row, content->row, document.attributes);
    ingest_->Wake();
    return added.info;
  }

  absl::StatusOr<DocumentInfo> GetDocument(const DocumentName& name) override {
    ASSIGN_OR_RETURN(const Database::Reader db, database_->Read());
    ASSIGN_OR_RETURN(const StoreRow store, FindStore(*db, name.owner, name.store_id, Now()));
    ASSIGN_OR_RETURN(DocumentRow document, FindDocument(*db, store.row, name.document_id));
    return WithProgress(std::move(document));
  }

  absl::StatusOr<DocumentInfo> WaitForDocument(const DocumentName& name, absl::Time deadline,
                                               const std::function<bool()>& cancelled) override {
    while (true) {
      ASSIGN_OR_RETURN(DocumentInfo info, GetDocument(name));
      const absl::Duration left = deadline - absl::Now();
      if (info.status != DocumentStatus::kInProgress || left <= absl::ZeroDuration() || cancelled()) return info;
      ingest_->WaitForChange(std::min(left, absl::Milliseconds(50)));
    }
  }

  absl::StatusOr<DocumentPage> ListDocuments(const DocumentList& list) override {
    ASSIGN_OR_RETURN(const Database::Reader db, database_->Read());
    ASSIGN_OR_RETURN(const StoreRow store, FindStore(*db, list.owner, list.store_id, Now()));
    int64_t after = 0;
    if (!list.after.empty()) {
      ASSIGN_OR_RETURN(const DocumentRow row, FindDocument(*db, store.row, list.after));
      after = row.row;
    }
    ASSIGN_OR_RETURN(std::vector<DocumentRow> rows,
                     ListDocumentRows(*db, store.row, list.status, after, list.limit + 1));
    DocumentPage page{.has_more = rows.size() > list.limit};
    if (page.has_more) rows.pop_back();
    for (DocumentRow& row : rows) page.documents.push_back(WithProgress(std::move(row)));
    return page;
  }

  absl::StatusOr<DocumentInfo> UpdateDocument(const DocumentName& name, const Attributes& attributes) override {
    const Database::Writer writer = database_->Write();
    ASSIGN_OR_RETURN(const StoreRow store, FindStore(*writer, name.owner, name.store_id, Now()));
    ASSIGN_OR_RETURN(const DocumentRow document, FindDocument(*writer, store.row, name.document_id));
    RETURN_IF_ERROR(RunSql(*writer, "UPDATE documents SET attributes = ?2 WHERE row = ?1", document.row,
                           EncodeAttributes(attributes)));
    indexes_.DocumentChanged(store.row, document.row, document.content, attributes);
    ASSIGN_OR_RETURN(DocumentRow changed, FindDocument(*writer, store.row, name.document_id));
    return WithProgress(std::move(changed));
  }

  absl::StatusOr<bool> DeleteDocument(const DocumentName& name) override {
    const Database::Writer writer = database_->Write();
    ASSIGN_OR_RETURN(const StoreRow store, FindStore(*writer, name.owner, name.store_id, Now()));
    const absl::StatusOr<DocumentRow> document = FindDocument(*writer, store.row, name.document_id);
    if (absl::IsNotFound(document.status())) return false;
    if (!document.ok()) return document.status();
    ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(*writer));
    RETURN_IF_ERROR(RunSql(*writer, "DELETE FROM documents WHERE row = ?1", document->row));
    Removal removal;
    RETURN_IF_ERROR(ReleaseContent(*writer, store.row, document->content, removal));
    RETURN_IF_ERROR(transaction.Commit());
    indexes_.DocumentRemoved(store.row, document->row);
    RETURN_IF_ERROR(FinishRemoval(removal));
    NeedMaintenance(store.row);
    return true;
  }

  absl::Status ReadContent(const DocumentName& name, std::optional<Span> span, const TextSink& sink) override {
    ASSIGN_OR_RETURN(const Database::Reader db, database_->Read());
    ASSIGN_OR_RETURN(const Transaction snapshot, Transaction::Begin(*db));
    ASSIGN_OR_RETURN(const StoreRow store, FindStore(*db, name.owner, name.store_id, Now()));
    ASSIGN_OR_RETURN(const DocumentRow document, FindDocument(*db, store.row, name.document_id));
    if (document.state != ContentState::kExtracted && document.state != ContentState::kReady) {
      return absl::FailedPreconditionError(document.state == ContentState::kQueued
                                               ? "the document has not been read yet"
                                               : absl::StrCat("the document has no text: ", document.info.message));
    }
    const auto size = static_cast<uint32_t>(document.info.characters);
    const Span wanted = span.value_or(Span{0, size});
    if (wanted.begin > wanted.end || wanted.end > size) {
      return absl::OutOfRangeError(absl::StrCat("the text has ", size, " characters"));
    }
    return ReadTextPieces(*db, document.content, wanted, sink);
  }

  absl::StatusOr<SearchAnswer> Search(const SearchQuery& query) override {
    std::vector<StoreRow> stores;
    {
      ASSIGN_OR_RETURN(const Database::Reader db, database_->Read());
      for (const std::string& id : query.store_ids) {
        ASSIGN_OR_RETURN(StoreRow store, FindStore(*db, query.owner, id, Now()));
        const bool twice =
            std::any_of(stores.begin(), stores.end(), [&](const StoreRow& s) { return s.row == store.row; });
        if (!twice) stores.push_back(std::move(store));
      }
    }
    RETURN_IF_ERROR(Touch(stores));
    return searcher_.Search(query, stores);
  }

  void WaitForIndexes() override { indexes_.WaitForBackground(); }

  absl::Status Maintain() override {
    absl::flat_hash_set<int64_t> dirty;
    {
      const std::lock_guard lock(maintenance_mutex_);
      dirty.swap(dirty_stores_);
    }
    {
      const Database::Writer writer = database_->Write();
      ASSIGN_OR_RETURN(const std::vector<int64_t> expired, ExpiredStores(*writer, Now()));
      for (const int64_t store : expired) RETURN_IF_ERROR(RemoveStore(*writer, store));
      for (const int64_t store : dirty) {
        Statement q(*writer, "SELECT 1 FROM stores WHERE row = ?1", store);
        if (q.Step()) RETURN_IF_ERROR(MergeTermIndex(*writer, store));
        if (!q.ok()) return q.status();
      }
    }
    while (true) {
      const Database::Writer writer = database_->Write();
      int64_t free_pages = 0;
      {
        Statement q(*writer, "PRAGMA freelist_count");
        if (q.Step()) free_pages = q.Int(0);
        if (!q.ok()) return q.status();
      }
      if (free_pages == 0) break;
      RETURN_IF_ERROR(writer->Execute(absl::StrCat("PRAGMA incremental_vacuum(", kVacuumPages, ")")));
    }
    const Database::Writer writer = database_->Write();
    // A reader in its snapshot may keep the log from being cut; the next time will do.
    return writer->Execute("PRAGMA wal_checkpoint(TRUNCATE)");
  }

 private:
  // What is to follow the commit of a deletion.
  struct Removal {
    std::vector<std::pair<int64_t, int64_t>> unindexed;  // store and content
    std::vector<int64_t> purged;
    std::vector<std::string> blobs;
  };

  int64_t Now() const { return options_.now_ms ? options_.now_ms() : absl::ToUnixMillis(absl::Now()); }

  absl::StatusOr<StoreInfo> SameStore(Connection& db, int64_t row, const NewStore& wanted, const std::string& model) {
    ASSIGN_OR_RETURN(StoreInfo there, ReadStore(db, row));
    if (there.owner != wanted.owner || there.name != wanted.name || !(there.chunking == wanted.chunking) ||
        there.model != model || there.expires_after_days != wanted.expires_after_days) {
      return absl::AlreadyExistsError(absl::StrCat("the id ", wanted.id, " is taken by a store with other settings"));
    }
    return there;
  }

  absl::StatusOr<DocumentInfo> SameDocument(const DocumentRow& there, const ContentKey& key) {
    if (there.info.sha256 != key.sha256 || !(there.info.chunking == key.chunking)) {
      return absl::AlreadyExistsError(
          absl::StrCat("the id ", there.info.id, " is taken by a document with other bytes"));
    }
    return WithProgress(there);
  }

  absl::Status CheckQueue(Connection& db) {
    Statement q(db, "SELECT count(*) FROM contents WHERE state < 2");
    if (!q.Step()) return q.status();
    if (static_cast<uint64_t>(q.Int(0)) < options_.queue_length_max) return absl::OkStatus();
    return absl::ResourceExhaustedError(
        absl::StrCat("the queue is full: ", options_.queue_length_max, " documents are waiting to be read"));
  }

  DocumentInfo WithProgress(DocumentRow row) {
    if (row.info.status == DocumentStatus::kInProgress) {
      if (std::optional<DocumentProgress> progress = ingest_->ProgressOf(row.content)) row.info.progress = *progress;
    }
    return std::move(row.info);
  }

  // After a document's record went: takes the content out of the store if no other document of it has it, and off the
  // disk if no document anywhere has.
  absl::Status ReleaseContent(Connection& db, int64_t store, int64_t content, Removal& removal) {
    bool in_store = false, anywhere = false;
    {
      Statement q(db, "SELECT store = ?2 FROM documents WHERE content = ?1", content, store);
      while (q.Step()) {
        anywhere = true;
        in_store = in_store || q.Int(0) != 0;
      }
      if (!q.ok()) return q.status();
    }
    if (!in_store) {
      RETURN_IF_ERROR(UnindexContent(db, store, content));
      removal.unindexed.emplace_back(store, content);
    }
    if (anywhere) return absl::OkStatus();
    ASSIGN_OR_RETURN(std::string sha256, PurgeContent(db, content));
    removal.purged.push_back(content);
    if (!sha256.empty()) removal.blobs.push_back(std::move(sha256));
    return absl::OkStatus();
  }

  absl::Status FinishRemoval(const Removal& removal) {
    for (const auto& [store, content] : removal.unindexed) indexes_.ContentRemoved(store, content);
    for (const int64_t content : removal.purged) ingest_->Cancel(content);
    for (const std::string& sha256 : removal.blobs) RETURN_IF_ERROR(blobs_.Remove(sha256));
    return absl::OkStatus();
  }

  // Every document of the store gets the content that its bytes are with the new model: one that is there already, or
  // one to be read and embedded. The old ones go as if the documents had been deleted.
  absl::Status Reembed(Connection& db, const StoreRow& store, const std::string& model, Removal& removal) {
    RETURN_IF_ERROR(RunSql(db, "UPDATE stores SET model = ?2 WHERE row = ?1", store.row, model));
    struct Old {
      int64_t content;
      ContentKey key;
      uint64_t size_bytes;
    };
    std::vector<Old> contents;
    {
      Statement q(
          db,
          "SELECT DISTINCT c.row, c.sha256, c.type, c.max_tokens, c.overlap_tokens, c.size_bytes FROM documents d "
          "JOIN contents c ON c.row = d.content WHERE d.store = ?1 AND c.model <> ?2",
          store.row, model);
      while (q.Step()) {
        contents.push_back({.content = q.Int(0),
                            .key = {.sha256 = q.Text(1),
                                    .type = static_cast<int>(q.Int(2)),
                                    .chunking = {static_cast<uint32_t>(q.Int(3)), static_cast<uint32_t>(q.Int(4))},
                                    .model = model},
                            .size_bytes = static_cast<uint64_t>(q.Int(5))});
      }
      if (!q.ok()) return q.status();
    }
    for (const Old& old : contents) {
      ASSIGN_OR_RETURN(std::optional<ContentRow> content, FindContent(db, old.key));
      if (!content) {
        ASSIGN_OR_RETURN(const int64_t row, InsertContent(db, old.key, old.size_bytes));
        content = ContentRow{.row = row};
        // What is of no readable type stays so, with its sentence.
        if (old.key.type == 0) {
          RETURN_IF_ERROR(RunSql(db,
                                 "UPDATE contents SET state = 3, (verdict, message) = (SELECT verdict, message FROM "
                                 "contents WHERE row = ?2) WHERE row = ?1",
                                 row, old.content));
        }
      }
      RETURN_IF_ERROR(RunSql(db, "UPDATE documents SET content = ?3 WHERE store = ?1 AND content = ?2", store.row,
                             old.content, content->row));
      if (content->state == ContentState::kReady) RETURN_IF_ERROR(IndexContent(db, store.row, content->row));
      RETURN_IF_ERROR(ReleaseContent(db, store.row, old.content, removal));
    }
    return absl::OkStatus();
  }

  absl::Status RemoveStore(Connection& db, int64_t store) {
    ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(db));
    std::vector<int64_t> contents;
    {
      Statement q(db, "SELECT DISTINCT content FROM documents WHERE store = ?1", store);
      while (q.Step()) contents.push_back(q.Int(0));
      if (!q.ok()) return q.status();
    }
    // The whole index goes at once; its entries need not be taken out one by one.
    RETURN_IF_ERROR(DropTermIndex(db, store));
    RETURN_IF_ERROR(RunSql(db, "DELETE FROM indexed WHERE store = ?1", store));
    RETURN_IF_ERROR(RunSql(db, "DELETE FROM documents WHERE store = ?1", store));
    Removal removal;
    for (const int64_t content : contents) RETURN_IF_ERROR(ReleaseContent(db, store, content, removal));
    RETURN_IF_ERROR(RunSql(db, "DELETE FROM stores WHERE row = ?1", store));
    RETURN_IF_ERROR(transaction.Commit());
    indexes_.StoreRemoved(store);
    return FinishRemoval(removal);
  }

  absl::Status Touch(const std::vector<StoreRow>& stores) {
    const int64_t now = Now();
    for (const StoreRow& store : stores) {
      if (now - store.active_ms < kTouchEveryMillis) continue;
      const Database::Writer writer = database_->Write();
      RETURN_IF_ERROR(RunSql(*writer, "UPDATE stores SET active_ms = ?2 WHERE row = ?1", store.row, now));
    }
    return absl::OkStatus();
  }

  void NeedMaintenance(int64_t store) {
    {
      const std::lock_guard lock(maintenance_mutex_);
      if (store != 0) dirty_stores_.insert(store);
      maintain_soon_ = true;
    }
    maintenance_wake_.notify_all();
  }

  void MaintainNowAndThen() {
    while (true) {
      {
        std::unique_lock lock(maintenance_mutex_);
        maintenance_wake_.wait_for(lock, absl::ToChronoMilliseconds(kMaintenanceEvery),
                                   [&] { return ending_ || maintain_soon_; });
        // Deletions come in groups: one round for all of them.
        if (!ending_) {
          maintenance_wake_.wait_for(lock, absl::ToChronoMilliseconds(absl::Milliseconds(500)),
                                     [&] { return ending_; });
        }
        if (ending_) return;
        maintain_soon_ = false;
      }
      // What fails now is tried again with the next round; the disk space waits.
      Maintain().IgnoreError();
    }
  }

  const LibraryOptions options_;
  const std::vector<Embedder*> embedders_;
  const UniqueFd lock_;
  const std::unique_ptr<Database> database_;
  Blobs blobs_;
  IndexRegistry indexes_;
  Searcher searcher_;
  std::mutex maintenance_mutex_;
  std::condition_variable maintenance_wake_;
  bool ending_ = false;
  bool maintain_soon_ = false;
  absl::flat_hash_set<int64_t> dirty_stores_;
  std::unique_ptr<Ingest> ingest_;
  std::thread maintenance_;
};

absl::StatusOr<UniqueFd> LockDirectory(const std::string& directory) {
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return absl::ErrnoToStatus(errno, absl::StrCat("mkdir ", directory));
  }
  const std::string path = absl::StrCat(directory, "/lock");
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) return absl::ErrnoToStatus(errno, absl::StrCat("open ", path));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(absl::StrCat(directory, " is in use by another process"));
  }
  return fd;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Library>> Library::Open(LibraryOptions options, std::vector<Embedder*> embedders,
                                                       Extractor& extractor) {
  ASSIGN_OR_RETURN(UniqueFd lock, LockDirectory(options.directory));
  ASSIGN_OR_RETURN(
      std::unique_ptr<Database> database,
      Database::Open({.path = absl::StrCat(options.directory, "/retrieval.db"), .sync_full = options.sync_full}));
  ASSIGN_OR_RETURN(Blobs blobs, Blobs::Open(options.directory));
  auto library = std::make_unique<LibraryOnDisk>(std::move(options), std::move(embedders), std::move(lock),
                                                 std::move(database), std::move(blobs));
  RETURN_IF_ERROR(library->Start(extractor));
  return library;
}

}  // namespace carrel::retrieval
