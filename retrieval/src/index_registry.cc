#include "index_registry.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "contents.h"
#include "records.h"
#include "retrieval/index_cache.h"
#include "status_macros.h"
#include "vector_file.h"

namespace carrel::retrieval {
namespace {

constexpr std::string_view kEndings[] = {".cells", ".terms", ".vectors"};

// The contents that a store's searches may find.
absl::StatusOr<absl::flat_hash_set<int64_t>> IndexedContents(Connection& db, int64_t store) {
  absl::flat_hash_set<int64_t> out;
  Statement q(db, "SELECT content FROM indexed WHERE store = ?1", store);
  while (q.Step()) out.insert(q.Int(0));
  if (!q.ok()) return q.status();
  return out;
}

// What a file holds, if it is there and whole.
struct CachedCells {
  std::vector<CachedPlace> places;
  std::shared_ptr<const VectorLists> lists;
};
struct CachedTerms {
  std::vector<CachedPlace> places;
  std::shared_ptr<const Postings> postings;
};

absl::StatusOr<CachedCells> ReadCells(const std::string& path) {
  ASSIGN_OR_RETURN(CacheReader in, CacheReader::Open(path));
  CachedCells out;
  VectorLists::Parts parts;
  RETURN_IF_ERROR(in.Array(out.places));
  RETURN_IF_ERROR(in.Value(parts.dimensions));
  RETURN_IF_ERROR(in.Value(parts.probes));
  RETURN_IF_ERROR(in.Value(parts.probed));
  RETURN_IF_ERROR(in.Array(parts.centroids));
  RETURN_IF_ERROR(in.Array(parts.cell_of));
  if (parts.cell_of.size() != Positions(out.places)) return absl::DataLossError("cells of other places");
  ASSIGN_OR_RETURN(out.lists, VectorLists::FromParts(std::move(parts)));
  return out;
}

absl::StatusOr<CachedTerms> ReadPostings(const std::string& path) {
  ASSIGN_OR_RETURN(CacheReader in, CacheReader::Open(path));
  CachedTerms out;
  RETURN_IF_ERROR(in.Array(out.places));
  ASSIGN_OR_RETURN(out.postings, Postings::Read(in));
  if (out.postings->positions() != Positions(out.places)) return absl::DataLossError("postings of other places");
  return out;
}

bool BeginsWith(const std::vector<CachedPlace>& whole, const std::vector<CachedPlace>& first) {
  return first.size() <= whole.size() && std::equal(first.begin(), first.end(), whole.begin(), [](auto& a, auto& b) {
           return a.count == b.count && (a.content == b.content || a.content == 0 || b.content == 0);
         });
}

}  // namespace

IndexRegistry::IndexRegistry(Database& database, IndexOptions options)
    : database_(database), options_(std::move(options)) {
  worker_ = std::thread([this] { Work(); });
}

IndexRegistry::~IndexRegistry() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  worker_.join();
}

std::string IndexRegistry::Path(int64_t store, const char* what) const {
  return absl::StrCat(options_.directory, "/", store, ".", what);
}

void IndexRegistry::RemoveFiles(int64_t store) {
  for (const char* what : {kTerms, kCells, kVectors}) ::unlink(Path(store, what).c_str());
}

absl::Status IndexRegistry::Sweep() {
  if (::mkdir(options_.directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return absl::ErrnoToStatus(errno, absl::StrCat("mkdir ", options_.directory));
  }
  ASSIGN_OR_RETURN(const Database::Reader db, database_.Read());
  std::error_code error;
  std::vector<std::filesystem::path> files;
  for (std::filesystem::directory_iterator it(options_.directory, error), end; !error && it != end;
       it.increment(error)) {
    files.push_back(it->path());
  }
  for (const std::filesystem::path& file : files) {
    const std::string stem = file.stem().string();
    int64_t store = 0;
    const bool named =
        std::from_chars(stem.data(), stem.data() + stem.size(), store).ec == std::errc() &&
        std::find(std::begin(kEndings), std::end(kEndings), file.extension().string()) != std::end(kEndings);
    bool keep = false;
    if (named) {
      Statement q(*db, "SELECT 1 FROM stores WHERE row = ?1", store);
      keep = q.Step();
      if (!q.ok()) return q.status();
    }
    if (keep && file.extension() == ".terms") {
      ASSIGN_OR_RETURN(const auto indexed, IndexedContents(*db, store));
      std::vector<CachedPlace> places;
      absl::StatusOr<CacheReader> in = CacheReader::Open(file.string());
      keep = in.ok() && in->Array(places).ok() && std::all_of(places.begin(), places.end(), [&](auto& place) {
               return place.content == 0 || indexed.contains(place.content);
             });
    }
    if (keep && file.extension() == ".vectors") {
      ASSIGN_OR_RETURN(const auto indexed, IndexedContents(*db, store));
      keep = ForgetInVectorFile(file.string(), [&](int64_t content) { return !indexed.contains(content); }).ok();
    }
    if (!keep) std::filesystem::remove(file, error);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<StoreIndex>> IndexRegistry::Get(int64_t store, bool with_attributes) {
  std::shared_ptr<StoreIndex> index;
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] {
      const auto found = stores_.find(store);
      return found == stores_.end() || found->second.index != nullptr || !found->second.loading;
    });
    Entry& entry = stores_[store];
    entry.used = ++searches_;
    index = entry.index;
    if (index == nullptr) {
      ASSIGN_OR_RETURN(index, LoadEntry(store, lock));
      Evict(store);
      ++wakes_;
      changed_.notify_all();
    }
  }
  if (with_attributes) {
    bool there = false;
    {
      const std::shared_lock lock(index->mutex);
      there = index->attributes != nullptr && !index->attributes->mostly_dead();
    }
    if (!there) RETURN_IF_ERROR(LoadAttributes(store, *index));
  }
  return index;
}

// The changes since the loading began are applied before anybody sees the index; those that the snapshot had already
// change nothing. On return the entry is whole, or gone.
absl::StatusOr<std::shared_ptr<StoreIndex>> IndexRegistry::LoadEntry(int64_t store,
                                                                     std::unique_lock<std::mutex>& lock) {
  Entry& begun = stores_[store];
  begun.loading = true;
  begun.pending.clear();
  if (begun.number == 0) begun.number = ++entries_;
  const uint64_t number = begun.number;
  lock.unlock();
  absl::StatusOr<std::shared_ptr<StoreIndex>> loaded = Load(store);
  lock.lock();
  while (true) {
    const auto found = stores_.find(store);
    // The store was deleted, or got another model, and may be on its way once more: what is loaded serves this once.
    if (found == stores_.end() || found->second.number != number) break;
    Entry& entry = found->second;
    if (!loaded.ok()) {
      entry.loading = false;
      if (entry.index == nullptr) stores_.erase(found);
      break;
    }
    if (entry.pending.empty()) {
      entry.index = *loaded;
      entry.loading = false;
      break;
    }
    const std::vector<Change> pending = std::exchange(entry.pending, {});
    lock.unlock();
    absl::Status status;
    {
      const absl::StatusOr<Database::Reader> db = database_.Read();
      status = db.status();
      for (const Change& change : pending) {
        if (status.ok()) status = Apply(&**db, change, **loaded);
      }
    }
    if (!status.ok()) loaded = status;
    lock.lock();
  }
  changed_.notify_all();
  return loaded;
}

absl::StatusOr<std::shared_ptr<StoreIndex>> IndexRegistry::Load(int64_t store) {
  ASSIGN_OR_RETURN(const Database::Reader db, database_.Read());
  ASSIGN_OR_RETURN(const Transaction snapshot, Transaction::Begin(*db));
  std::vector<int64_t> contents;
  {
    Statement q(*db, "SELECT content FROM indexed WHERE store = ?1 ORDER BY content", store);
    while (q.Step()) contents.push_back(q.Int(0));
    if (!q.ok()) return q.status();
  }
  auto index = std::make_shared<StoreIndex>();
  // A cache that is missing, damaged or of other contents is no error: what it saves is worked out again.
  const absl::flat_hash_set<int64_t> wanted(contents.begin(), contents.end());
  uint32_t dimensions = 0;
  {
    Statement q(*db, "SELECT length(vector) FROM sub_passages WHERE content = ?1 AND vector IS NOT NULL LIMIT 1",
                contents.empty() ? int64_t{0} : contents.front());
    if (q.Step()) dimensions = static_cast<uint32_t>(q.Int(0)) / sizeof(float);
    if (!q.ok()) return q.status();
  }
  if (dimensions == 0) return index;  // nothing in it yet
  LoadVectorFile(Path(store, kVectors), dimensions, wanted, *index);
  absl::StatusOr<CachedCells> cells = ReadCells(Path(store, kCells));
  absl::StatusOr<CachedTerms> terms = ReadPostings(Path(store, kTerms));
  if (absl::IsDataLoss(cells.status())) ::unlink(Path(store, kCells).c_str());
  if (absl::IsDataLoss(terms.status())) ::unlink(Path(store, kTerms).c_str());

  // The order in which contents stand: that of the vectors, and beyond them that of the longest other cache. Those that
  // contradict it are not used.
  std::vector<CachedPlace> places = PlacesOf(*index, index->size());
  const auto fit = [&places](auto& cache) {
    if (!cache.ok()) return;
    if (BeginsWith(cache->places, places)) {
      places = cache->places;
    } else if (!BeginsWith(places, cache->places)) {
      cache = absl::NotFoundError("of another order");
    }
  };
  fit(cells);
  fit(terms);
  if (index->vectors == nullptr && !places.empty()) index->vectors = std::make_unique<VectorIndex>(dimensions);
  bool whole = true;
  for (size_t i = index->slots.size(); i < places.size(); ++i) {
    const uint32_t begin = index->size();
    if (wanted.contains(places[i].content)) {
      RETURN_IF_ERROR(index->AddContent(*db, places[i].content));
    } else {
      index->AddDead(places[i].content, places[i].count);
    }
    whole = whole && index->size() == begin + places[i].count;
  }
  if (whole && cells.ok() && index->size() >= options_.thresholds.lists_min &&
      cells->lists->parts().dimensions == dimensions && cells->lists->listed() <= index->size()) {
    index->vectors->Install(cells->lists);
  }
  if (whole && terms.ok() && !places.empty() && terms->postings->positions() <= index->size()) {
    index->base = terms->postings;
    index->base_in_file = true;
    RETURN_IF_ERROR(index->FillTail(*db));
  }
  for (const int64_t content : contents) RETURN_IF_ERROR(index->AddContent(*db, content));
  ASSIGN_OR_RETURN(index->in_records, HasTermIndex(*db, store));
  RETURN_IF_ERROR(index->EnsureBase(*db));
  index->dead_since_base = 0;
  return index;
}

// In the index's place under both locks at the end, so that no change falls between.
absl::Status IndexRegistry::LoadAttributes(int64_t store, StoreIndex& index) {
  // The writer is held, so that nothing changes meanwhile; a million documents take some seconds, once.
  const Database::Writer writer = database_.Write();
  {
    const std::shared_lock lock(index.mutex);
    if (index.attributes != nullptr && !index.attributes->mostly_dead()) return absl::OkStatus();
  }
  auto attributes = std::make_unique<AttributeIndex>();
  RETURN_IF_ERROR(ReadAttributes(*writer, store, [&](const DocumentAttributes& document) {
    attributes->Put(document.document, document.content, document.attributes);
  }));
  const std::unique_lock lock(index.mutex);
  index.attributes = std::move(attributes);
  ++index.version;
  return absl::OkStatus();
}

absl::Status IndexRegistry::Apply(Connection* db, const Change& change, StoreIndex& index) {
  const std::unique_lock lock(index.mutex);
  ++index.version;
  switch (change.kind) {
    case Change::Kind::kContentAdded:
      RETURN_IF_ERROR(index.AddContent(*db, change.content));
      return index.EnsureBase(*db);
    case Change::Kind::kContentRemoved:
      index.RemoveContent(change.content);
      break;
    case Change::Kind::kDocumentChanged:
      if (index.attributes != nullptr) index.attributes->Put(change.document, change.content, change.attributes);
      break;
    case Change::Kind::kDocumentRemoved:
      if (index.attributes != nullptr) index.attributes->Remove(change.document);
      break;
  }
  return absl::OkStatus();
}

void IndexRegistry::Tell(Connection* writer, int64_t store, Change change) {
  std::shared_ptr<StoreIndex> index;
  {
    const std::lock_guard lock(mutex_);
    const auto found = stores_.find(store);
    if (found == stores_.end()) return;
    index = found->second.index;
    if (found->second.loading) found->second.pending.push_back(change);
    ++wakes_;
  }
  if (index != nullptr) ApplyOrDrop(writer, store, change, *index);
  changed_.notify_all();
}

void IndexRegistry::ApplyOrDrop(Connection* writer, int64_t store, const Change& change, StoreIndex& index) {
  if (Apply(writer, change, index).ok()) return;
  const std::lock_guard lock(mutex_);
  stores_.erase(store);
}

absl::Status IndexRegistry::CommitContent(Connection& writer, Transaction& transaction, std::span<const int64_t> stores,
                                          int64_t content) {
  for (const int64_t store : stores) ContentComing(writer, store, content);
  if (absl::Status status = transaction.Commit(); !status.ok()) {
    for (const int64_t store : stores) ContentRemoved(store, content);
    return status;
  }
  for (const int64_t store : stores) ContentAdded(writer, store, content);
  return absl::OkStatus();
}

// An index on its way would look for it in a snapshot that does not have it: it is told after the commit.
void IndexRegistry::ContentComing(Connection& writer, int64_t store, int64_t content) {
  std::shared_ptr<StoreIndex> index;
  {
    const std::lock_guard lock(mutex_);
    const auto found = stores_.find(store);
    if (found != stores_.end()) index = found->second.index;
  }
  if (index == nullptr) return;
  ApplyOrDrop(&writer, store, {.kind = Change::Kind::kContentAdded, .content = content}, *index);
}

void IndexRegistry::ContentAdded(Connection& writer, int64_t store, int64_t content) {
  Tell(&writer, store, {.kind = Change::Kind::kContentAdded, .content = content});
  {
    const std::lock_guard lock(mutex_);
    if (stores_.contains(store)) return;
  }
  // A store that grows large is made ready in the background, so that its first search does not wait for all of it.
  Statement q(writer, "SELECT count(*) FROM sub_passages WHERE content = ?1", content);
  if (!q.Step()) return;
  const std::lock_guard lock(mutex_);
  uint64_t& grown = grown_[store];
  grown += static_cast<uint64_t>(q.Int(0));
  if (grown < options_.thresholds.postings_min) return;
  grown_.erase(store);
  wanted_.push_back(store);
  ++wakes_;
  changed_.notify_all();
}

void IndexRegistry::ContentRemoved(int64_t store, int64_t content) {
  ::unlink(Path(store, kTerms).c_str());
  // What cannot be overwritten must not stay.
  const std::string vectors = Path(store, kVectors);
  if (!ForgetInVectorFile(vectors, [content](int64_t other) { return other == content; }).ok()) {
    ::unlink(vectors.c_str());
  }
  Tell(nullptr, store, {.kind = Change::Kind::kContentRemoved, .content = content});
}

void IndexRegistry::DocumentChanged(int64_t store, int64_t document, int64_t content, const Attributes& attributes) {
  Tell(nullptr, store,
       {.kind = Change::Kind::kDocumentChanged, .content = content, .document = document, .attributes = attributes});
}

void IndexRegistry::DocumentRemoved(int64_t store, int64_t document) {
  Tell(nullptr, store, {.kind = Change::Kind::kDocumentRemoved, .document = document});
}

void IndexRegistry::StoreRemoved(int64_t store) {
  RemoveFiles(store);
  const std::lock_guard lock(mutex_);
  stores_.erase(store);
  grown_.erase(store);
}

// The least recently searched go first; whoever searches one still holds it.
void IndexRegistry::Evict(int64_t keep) {
  while (true) {
    uint64_t sum = 0, oldest_use = ~uint64_t{0};
    int64_t oldest = keep;
    for (const auto& [store, entry] : stores_) {
      if (entry.index == nullptr) continue;
      {
        const std::shared_lock lock(entry.index->mutex);
        sum += entry.index->bytes();
      }
      if (store != keep && !entry.loading && entry.used < oldest_use) {
        oldest_use = entry.used;
        oldest = store;
      }
    }
    if (sum <= options_.bytes_max || oldest == keep) return;
    stores_.erase(oldest);
  }
}

uint64_t IndexRegistry::bytes() {
  const std::lock_guard lock(mutex_);
  uint64_t sum = 0;
  for (const auto& [store, entry] : stores_) {
    if (entry.index == nullptr) continue;
    const std::shared_lock index_lock(entry.index->mutex);
    sum += entry.index->bytes();
  }
  return sum;
}

size_t IndexRegistry::loaded() {
  const std::lock_guard lock(mutex_);
  return stores_.size();
}

void IndexRegistry::WaitForBackground() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return idle_ && seen_ == wakes_; });
}

bool IndexRegistry::stopping() {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

}  // namespace carrel::retrieval
