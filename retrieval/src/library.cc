#include "retrieval/library.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "adding.h"
#include "blobs.h"
#include "citation.h"
#include "contents.h"
#include "database.h"
#include "index_registry.h"
#include "ingest.h"
#include "maintenance.h"
#include "records.h"
#include "reembedding.h"
#include "removal.h"
#include "searcher.h"
#include "status_macros.h"

namespace carrel::retrieval {
namespace {

constexpr int64_t kTouchEveryMillis = 60'000;  // a search is a use, but not worth a write each
constexpr int kVacuumPages = 2'000;            // given back at once, the writer held
constexpr uint32_t kOrphansAtOnce = 16;        // contents that are removed at once, the writer held
constexpr int kSearchesMax = 3;                // of a question, while stores change their model under it
constexpr uint32_t kReadAtOnce = 1u << 20;     // characters of a document's text in memory

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
                                             .tail_max = options_.index_tail_max,
                                             .purge_pause = options_.index_purge_pause}}),
        searcher_(*database_, indexes_, embedders_) {}

  // Its last round uses the rest.
  ~LibraryOnDisk() override { maintenance_.End(); }

  // What an ended process left: blobs without a record, and files of indexes, now; contents without a document, and
  // stores whose last content for another model is ready, with the first maintenance.
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
        IngestOptions{.workers = options_.ingest_workers,
                      .slice = options_.ingest_slice,
                      .limits = options_.extraction,
                      .now_ms = [this] { return Now(); },
                      .postponed = options_.postponed,
                      // What fails here is tried again by Maintain.
                      .finished = [this](int64_t content) { FinishReembeddings(content).IgnoreError(); }},
        *database_, blobs_, indexes_, extractor, embedders_);
    maintenance_.Need({.orphans = true});
    maintenance_.Start();
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
    bool switched = false;
    if (change.model) {
      const Embedder* const model = FindEmbedder(embedders_, *change.model);
      if (model == nullptr) return absl::InvalidArgumentError(absl::StrCat("there is no model ", *change.model));
      if (model->name() == store.model) {
        if (!store.next_model.empty()) RETURN_IF_ERROR(CallOffReembedding(*writer, store.row));
      } else {
        RETURN_IF_ERROR(StartReembedding(*writer, store, model->name(), Now()));
        // There may be nothing to do: no document, or the same bytes with that model elsewhere.
        ASSIGN_OR_RETURN(switched, FinishReembedding(*writer, store.row));
      }
    }
    RETURN_IF_ERROR(RunSql(*writer, "UPDATE stores SET active_ms = ?2 WHERE row = ?1", store.row, Now()));
    ASSIGN_OR_RETURN(StoreInfo info, ReadStore(*writer, store.row));
    RETURN_IF_ERROR(switched ? CommitSwitch(transaction, store.row) : transaction.Commit());
    if (change.model) {
      maintenance_.Need({.orphans = true});
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
    maintenance_.Need({});
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
    if (!there.ok() && !absl::IsNotFound(there.status())) return there.status();
    ASSIGN_OR_RETURN(const std::optional<ContentRow> known, FindContent(*writer, key));
    if (there.ok() && !MayBeTriedAgain(*there, key, known)) return SameDocument(*there, key);

    const Adding adding{.db = *writer, .blobs = blobs_, .queue_length_max = options_.queue_length_max, .now_ms = Now()};
    ASSIGN_OR_RETURN(const ContentRow content, QueueContent(adding, key, known, *file, document.file_name));
    const DocumentRow* const failed = there.ok() ? &*there : nullptr;
    Removal removal;
    ASSIGN_OR_RETURN(const int64_t row, WriteDocument(adding, store, failed, id, document, content.row, removal));
    if (!store.next_model.empty()) {
      RETURN_IF_ERROR(AddNextContent(*writer, store, row, key, file->size_bytes(), Now()));
    }
    RETURN_IF_ERROR(RunSql(*writer, "UPDATE stores SET active_ms = ?2 WHERE row = ?1", store.row, Now()));
    ASSIGN_OR_RETURN(const bool indexed, IsIndexed(*writer, store.row, content.row));
    std::vector<int64_t> found_in;  // from now on
    if (content.state == ContentState::kReady && !indexed) found_in.push_back(store.row);
    if (!found_in.empty()) RETURN_IF_ERROR(IndexContent(*writer, store.row, content.row));
    ASSIGN_OR_RETURN(DocumentRow added, FindDocument(*writer, store.row, id));
    RETURN_IF_ERROR(indexes_.CommitContent(*writer, transaction, found_in, content.row));
    FinishRemoval(removal);
    if (failed != nullptr && failed->next_content) maintenance_.Need({.orphans = true});
    indexes_.DocumentChanged(store.row, added.row, content.row, document.attributes);
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
    if (document->next_content) {
      RETURN_IF_ERROR(ReleaseContent(*writer, store.row, *document->next_content, removal));
    }
    RETURN_IF_ERROR(transaction.Commit());
    indexes_.DocumentRemoved(store.row, document->row);
    FinishRemoval(removal);
    maintenance_.Need({});
    return true;
  }

  absl::Status ReadContent(const DocumentName& name, std::optional<Span> span, const TextSink& sink) override {
    ASSIGN_OR_RETURN(const DocumentRow document, FindReadDocumentNow(name));
    const auto size = static_cast<uint32_t>(document.info.characters);
    const Span wanted = span.value_or(Span{0, size});
    if (wanted.begin > wanted.end || wanted.end > size) {
      return absl::OutOfRangeError(absl::StrCat("the text has ", size, " characters"));
    }
    // Nothing of the database is held while `sink` waits for a slow reader, or its log could not be cut. A content's
    // text never changes; it can only go.
    for (Span part{wanted.begin, wanted.begin}; part.end < wanted.end; part.begin = part.end) {
      part.end = part.begin + std::min(kReadAtOnce, wanted.end - part.begin);
      std::vector<std::pair<uint32_t, std::string>> pieces;
      {
        ASSIGN_OR_RETURN(const Database::Reader db, database_->Read());
        RETURN_IF_ERROR(ReadTextPieces(*db, document.content, part, [&](uint32_t begin, std::string_view utf8) {
          pieces.emplace_back(begin, utf8);
          return true;
        }));
      }
      if (pieces.empty()) return absl::AbortedError("the document was deleted while its text was read");
      for (const auto& [begin, utf8] : pieces) {
        if (!sink(begin, utf8)) return absl::OkStatus();
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Citation> Cite(const DocumentName& name, Span span) override {
    ASSIGN_OR_RETURN(const Database::Reader db, database_->Read());
    ASSIGN_OR_RETURN(const Transaction snapshot, Transaction::Begin(*db));
    ASSIGN_OR_RETURN(const DocumentRow document, FindReadDocument(*db, name));
    if (span.empty() || span.end > document.info.characters) {
      return absl::OutOfRangeError(absl::StrCat("the text has ", document.info.characters, " characters"));
    }
    return MakeCitation(*db, document.content, span);
  }

  absl::StatusOr<OriginalPage> OpenPage(const DocumentName& name, uint32_t number) override {
    ASSIGN_OR_RETURN(const Database::Reader db, database_->Read());
    ASSIGN_OR_RETURN(const Transaction snapshot, Transaction::Begin(*db));
    ASSIGN_OR_RETURN(const DocumentRow document, FindReadDocument(*db, name));
    ASSIGN_OR_RETURN(const std::optional<Page> page, ReadPage(*db, document.content, number));
    if (!page) {
      return absl::OutOfRangeError(absl::StrCat("the document has ", document.info.pages, " pages",
                                                number >= 1 && number <= document.info.pages
                                                    ? absl::StrCat(", of which page ", number, " could not be read")
                                                    : ""));
    }
    if (page->width <= 0 || page->height <= 0) {
      return absl::FailedPreconditionError(absl::StrCat(
          document.info.file_name, " has no layout that could be drawn: it is text; only pages of PDFs are"));
    }
    ASSIGN_OR_RETURN(UniqueFd bytes, blobs_.OpenRead(document.info.sha256));
    return OriginalPage{.bytes = std::move(bytes),
                        .label = page->label,
                        .pages = document.info.pages,
                        .width = page->width,
                        .height = page->height};
  }

  absl::StatusOr<SearchAnswer> Search(const SearchQuery& query) override {
    for (int searches = 1;; ++searches) {
      const uint64_t before = switches_;
      ASSIGN_OR_RETURN(const std::vector<StoreRow> stores, StoresOf(query));
      if (searches == 1) Touch(stores);
      absl::StatusOr<SearchAnswer> answer = searcher_.Search(query, stores);
      // A store that changed its model meanwhile may have been asked with the one's question in the other's vectors.
      if (searches == kSearchesMax || (before % 2 == 0 && switches_ == before)) return answer;
      const Database::Writer until_it_is_done = database_->Write();
    }
  }

  absl::StatusOr<LibraryStatistics> Statistics() override {
    ASSIGN_OR_RETURN(const Database::Reader db, database_->Read());
    ASSIGN_OR_RETURN(const QueueCounts queue, CountQueue(*db));
    LibraryStatistics out{.queue_length = queue.length, .postponed = queue.postponed, .index_bytes = indexes_.bytes()};
    Statement q(*db, "SELECT count(*) FROM stores");
    if (!q.Step()) return q.status();
    out.stores = static_cast<uint64_t>(q.Int(0));
    return out;
  }

  void WaitForIndexes() override { indexes_.WaitForBackground(); }

  absl::Status Maintain() override { return maintenance_.RunNow(); }

 private:
  int64_t Now() const { return options_.now_ms ? options_.now_ms() : absl::ToUnixMillis(absl::Now()); }

  absl::StatusOr<StoreInfo> SameStore(Connection& db, int64_t row, const NewStore& wanted, const std::string& model) {
    ASSIGN_OR_RETURN(StoreInfo there, ReadStore(db, row));
    if (there.owner != wanted.owner || there.name != wanted.name || !(there.chunking == wanted.chunking) ||
        (!wanted.model.empty() && there.model != model) || there.expires_after_days != wanted.expires_after_days) {
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

  DocumentInfo WithProgress(DocumentRow row) {
    if (row.info.status == DocumentStatus::kInProgress) {
      if (std::optional<DocumentProgress> progress = ingest_->ProgressOf(row.content)) row.info.progress = *progress;
      if (std::string reason = ingest_->HeldFor(row.content); !reason.empty()) row.info.message = std::move(reason);
    }
    return std::move(row.info);
  }

  // After the commit of a removal. It is done then: what cannot be removed from the disk now is with a later round.
  void FinishRemoval(const Removal& removal) {
    for (const auto& [store, content] : removal.unindexed) indexes_.ContentRemoved(store, content);
    for (const int64_t content : removal.purged) ingest_->Cancel(content);
    for (const std::string& sha256 : removal.blobs) {
      if (!blobs_.Remove(sha256).ok()) blobs_to_remove_.insert(sha256);
    }
  }

  absl::Status RemoveStore(Connection& db, int64_t store) {
    ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(db));
    Removal removal;
    RETURN_IF_ERROR(RemoveStoreRecords(db, store, removal));
    RETURN_IF_ERROR(transaction.Commit());
    indexes_.StoreRemoved(store);
    FinishRemoval(removal);
    return absl::OkStatus();
  }

  // Stores whose last content for another model may be ready; with a content, those that waited for it.
  absl::Status FinishReembeddings(std::optional<int64_t> content) {
    const Database::Writer writer = database_->Write();
    ASSIGN_OR_RETURN(const std::vector<int64_t> stores, StoresReembedding(*writer, content));
    for (const int64_t store : stores) {
      ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(*writer));
      ASSIGN_OR_RETURN(const bool switched, FinishReembedding(*writer, store));
      if (!switched) continue;
      RETURN_IF_ERROR(CommitSwitch(transaction, store));
      maintenance_.Need({.orphans = true});
    }
    return absl::OkStatus();
  }

  // The store has another model from here on, and another index in memory.
  absl::Status CommitSwitch(Transaction& transaction, int64_t store) {
    ++switches_;
    absl::Status status = transaction.Commit();
    if (status.ok()) indexes_.StoreRemoved(store);
    ++switches_;
    return status;
  }

  // Expired stores, stores that come to their next model, what no document names, the space that all of them had.
  absl::Status Tidy(const MaintenanceWork& work) {
    {
      const Database::Writer writer = database_->Write();
      ASSIGN_OR_RETURN(const std::vector<int64_t> expired, ExpiredStores(*writer, Now()));
      for (const int64_t store : expired) RETURN_IF_ERROR(RemoveStore(*writer, store));
    }
    RETURN_IF_ERROR(FinishReembeddings(std::nullopt));
    for (bool more = work.orphans; more;) {
      const Database::Writer writer = database_->Write();
      ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(*writer));
      Removal removal;
      ASSIGN_OR_RETURN(more, ReleaseOrphans(*writer, kOrphansAtOnce, removal));
      RETURN_IF_ERROR(transaction.Commit());
      FinishRemoval(removal);
    }
    RETURN_IF_ERROR(RemoveBlobs());
    RETURN_IF_ERROR(MergeTerms());
    return GiveBackSpace();
  }

  absl::Status RemoveBlobs() {
    const Database::Writer writer = database_->Write();
    for (const std::string& sha256 : std::vector<std::string>(blobs_to_remove_.begin(), blobs_to_remove_.end())) {
      ASSIGN_OR_RETURN(const bool needed, BlobIsNeeded(*writer, sha256));  // it may have come again
      if (!needed) RETURN_IF_ERROR(blobs_.Remove(sha256));
      blobs_to_remove_.erase(sha256);
    }
    return absl::OkStatus();
  }

  // In steps, between which others write.
  absl::Status MergeTerms() {
    std::vector<UnmergedStore> stores;
    {
      ASSIGN_OR_RETURN(const Database::Reader db, database_->Read());
      ASSIGN_OR_RETURN(stores, UnmergedStores(*db));
    }
    for (const UnmergedStore& store : stores) {
      bool more = true;
      for (bool first = true; more; first = false) {
        if (maintenance_.ending()) return absl::OkStatus();
        const Database::Writer writer = database_->Write();
        {
          Statement q(*writer, "SELECT 1 FROM stores WHERE row = ?1", store.store);
          more = q.Step();
          if (!q.ok()) return q.status();
        }
        if (!more) break;  // deleted meanwhile
        ASSIGN_OR_RETURN(more, MergeTermIndex(*writer, store.store, first));
        if (!more) RETURN_IF_ERROR(SetMerged(*writer, store));
      }
    }
    return absl::OkStatus();
  }

  absl::Status GiveBackSpace() {
    while (!maintenance_.ending()) {
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
    ASSIGN_OR_RETURN(const bool cut, writer->Checkpoint());
    if (!cut) maintenance_.Need({});  // a search is still in an older state: soon once more
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<StoreRow>> StoresOf(const SearchQuery& query) {
    std::vector<StoreRow> stores;
    ASSIGN_OR_RETURN(const Database::Reader db, database_->Read());
    for (const std::string& id : query.store_ids) {
      ASSIGN_OR_RETURN(StoreRow store, FindStore(*db, query.owner, id, Now()));
      const bool twice =
          std::any_of(stores.begin(), stores.end(), [&](const StoreRow& s) { return s.row == store.row; });
      if (!twice) stores.push_back(std::move(store));
    }
    return stores;
  }

  absl::StatusOr<DocumentRow> FindReadDocumentNow(const DocumentName& name) {
    ASSIGN_OR_RETURN(const Database::Reader db, database_->Read());
    return FindReadDocument(*db, name);
  }

  // FAILED_PRECONDITION: it has no text, or none yet.
  absl::StatusOr<DocumentRow> FindReadDocument(Connection& db, const DocumentName& name) {
    ASSIGN_OR_RETURN(const StoreRow store, FindStore(db, name.owner, name.store_id, Now()));
    ASSIGN_OR_RETURN(DocumentRow document, FindDocument(db, store.row, name.document_id));
    if (document.state == ContentState::kQueued) {
      return absl::FailedPreconditionError("the document has not been read yet");
    }
    if (document.state == ContentState::kFailed) {
      return absl::FailedPreconditionError(absl::StrCat("the document has no text: ", document.info.message));
    }
    return document;
  }

  // A use that cannot be written down is no reason to refuse the search: with a full disk stores are still asked. Nor
  // to wait for who writes: the next search notes it.
  void Touch(const std::vector<StoreRow>& stores) {
    const int64_t now = Now();
    for (const StoreRow& store : stores) {
      if (now - store.active_ms < kTouchEveryMillis) continue;
      const std::optional<Database::Writer> writer = database_->TryWrite();
      if (!writer) return;
      RunSql(**writer, "UPDATE stores SET active_ms = ?2 WHERE row = ?1", store.row, now).IgnoreError();
    }
  }

  const LibraryOptions options_;
  const std::vector<Embedder*> embedders_;
  const UniqueFd lock_;
  const std::unique_ptr<Database> database_;
  Blobs blobs_;
  IndexRegistry indexes_;
  Searcher searcher_;
  std::atomic<uint64_t> switches_ = 0;                // of models, begun and done; odd while one is being committed
  absl::flat_hash_set<std::string> blobs_to_remove_;  // sha256; with the writer held
  std::unique_ptr<Ingest> ingest_;
  Maintenance maintenance_{[this](const MaintenanceWork& work) { return Tidy(work); }};
};

absl::StatusOr<UniqueFd> LockDirectory(const std::string& directory) {
  if (::mkdir(directory.c_str(), 0700) == 0) {
    const std::string parent = std::filesystem::path(directory).parent_path().string();
    const UniqueFd fd(::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd || ::fsync(fd.get()) != 0) return absl::ErrnoToStatus(errno, absl::StrCat("fsync ", parent));
  } else if (errno != EEXIST) {
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
