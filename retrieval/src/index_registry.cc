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

namespace carrel::retrieval {
namespace {

constexpr char kCells[] = "cells";
constexpr char kTerms[] = "terms";

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

uint64_t Positions(const std::vector<CachedPlace>& places) {
  uint64_t sum = 0;
  for (const CachedPlace& place : places) sum += place.count;
  return sum;
}

absl::StatusOr<CachedCells> ReadCells(const std::string& path) {
  ASSIGN_OR_RETURN(CacheReader in, CacheReader::Open(path));
  CachedCells out;
  VectorLists::Parts parts;
  RETURN_IF_ERROR(in.Array(out.places));
  RETURN_IF_ERROR(in.Value(parts.dimensions));
  RETURN_IF_ERROR(in.Value(parts.probes));
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

void IndexRegistry::RemoveFiles(int64_t store, bool cells) {
  ::unlink(Path(store, kTerms).c_str());
  if (cells) ::unlink(Path(store, kCells).c_str());
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
    const bool named = std::from_chars(stem.data(), stem.data() + stem.size(), store).ec == std::errc() &&
                       (file.extension() == ".cells" || file.extension() == ".terms");
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
  absl::StatusOr<CachedCells> cells = ReadCells(Path(store, kCells));
  absl::StatusOr<CachedTerms> terms = ReadPostings(Path(store, kTerms));
  if (absl::IsDataLoss(cells.status())) ::unlink(Path(store, kCells).c_str());
  if (absl::IsDataLoss(terms.status())) ::unlink(Path(store, kTerms).c_str());
  if (cells.ok() && terms.ok() && !BeginsWith(cells->places, terms->places) &&
      !BeginsWith(terms->places, cells->places)) {
    terms = absl::NotFoundError("of another order");
  }
  std::vector<CachedPlace> places;
  if (cells.ok()) places = cells->places;
  if (terms.ok() && terms->places.size() > places.size()) places = terms->places;

  const absl::flat_hash_set<int64_t> wanted(contents.begin(), contents.end());
  if (!places.empty()) {
    // Dead places need vectors to stand between; what the first living content has says how long they are.
    Statement q(*db, "SELECT length(vector) FROM sub_passages WHERE content = ?1 AND vector IS NOT NULL LIMIT 1",
                contents.empty() ? int64_t{0} : contents.front());
    if (q.Step()) index->vectors = std::make_unique<VectorIndex>(static_cast<uint32_t>(q.Int(0)) / sizeof(float));
    if (!q.ok()) return q.status();
    if (index->vectors == nullptr) places.clear();
  }
  bool fits = true;
  for (const CachedPlace& place : places) {
    const uint32_t begin = index->size();
    if (wanted.contains(place.content)) {
      RETURN_IF_ERROR(index->AddContent(*db, place.content));
    } else {
      index->AddDead(place.content, place.count);
    }
    fits = fits && index->size() == begin + place.count;
  }
  if (fits && cells.ok() && index->vectors != nullptr &&
      cells->lists->parts().dimensions == index->vectors->dimensions() && cells->lists->listed() <= index->size()) {
    index->vectors->Install(cells->lists);
  }
  if (fits && terms.ok() && !places.empty() && terms->postings->positions() <= index->size()) {
    index->base = terms->postings;
    index->tail = std::make_unique<PostingsTail>(index->base.get());
    // Places between the end of the postings and that of the cells.
    for (const StoreIndex::Slot& slot : index->slots) {
      if (slot.begin < index->base->positions()) continue;
      uint32_t added = 0;
      if (slot.alive) {
        RETURN_IF_ERROR(ReadTerms(*db, slot.content, [&](std::string_view heading, std::string_view body) {
          index->tail->Add(heading, body);
          ++added;
        }));
      }
      for (; added < slot.end - slot.begin; ++added) index->tail->Add("", "");
    }
  }
  for (const int64_t content : contents) RETURN_IF_ERROR(index->AddContent(*db, content));
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
  return absl::OkStatus();
}

absl::Status IndexRegistry::Apply(Connection* db, const Change& change, StoreIndex& index) {
  const std::unique_lock lock(index.mutex);
  switch (change.kind) {
    case Change::Kind::kContentAdded:
      return index.AddContent(*db, change.content);
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
  if (index != nullptr) {
    if (!Apply(writer, change, *index).ok()) {
      const std::lock_guard lock(mutex_);
      stores_.erase(store);
    }
  }
  changed_.notify_all();
}

void IndexRegistry::ContentAdded(Connection& writer, int64_t store, int64_t content) {
  Tell(&writer, store, {.kind = Change::Kind::kContentAdded, .content = content});
}

void IndexRegistry::ContentRemoved(int64_t store, int64_t content) {
  RemoveFiles(store, false);
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
  RemoveFiles(store, true);
  const std::lock_guard lock(mutex_);
  stores_.erase(store);
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

// --- the background ---

void IndexRegistry::Work() {
  // Searches and ingest go first.
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), 10);
  while (true) {
    std::vector<std::pair<int64_t, std::shared_ptr<StoreIndex>>> indexes;
    {
      std::unique_lock lock(mutex_);
      if (seen_ == wakes_) {
        idle_ = true;
        changed_.notify_all();
      }
      changed_.wait(lock, [&] { return stopping_ || wakes_ != seen_; });
      if (stopping_) return;
      idle_ = false;
      seen_ = wakes_;
      for (const auto& [store, entry] : stores_) {
        if (entry.index != nullptr && !entry.loading) indexes.emplace_back(store, entry.index);
      }
    }
    for (auto& [store, index] : indexes) {
      while (!stopping() && WorkOn(store, index)) {
      }
      index.reset();
    }
  }
}

bool IndexRegistry::WorkOn(int64_t store, const std::shared_ptr<StoreIndex>& index) {
  const IndexThresholds& t = options_.thresholds;
  enum class Todo { kNothing, kLoadAnew, kLists, kMoreLists, kPostings } todo = Todo::kNothing;
  {
    const std::shared_lock lock(index->mutex);
    const uint32_t size = index->size();
    const uint32_t tail_max = std::max(t.tail_max, size / 10);
    const auto& lists = index->vectors == nullptr ? nullptr : index->vectors->lists();
    if (index->dead() >= t.dead_min && index->dead() > size / 3) {
      todo = Todo::kLoadAnew;
    } else if (index->vectors != nullptr && size >= t.lists_min &&
               (lists == nullptr || VectorLists::CellsFor(size) >= 4 * lists->cells())) {
      todo = Todo::kLists;
    } else if (lists != nullptr && size - lists->listed() > t.tail_max) {
      todo = Todo::kMoreLists;
    } else if (size >= t.postings_min &&
               (index->base == nullptr || index->tail->size() + index->dead_since_base > tail_max)) {
      todo = Todo::kPostings;
    }
  }
  switch (todo) {
    case Todo::kNothing:
      return false;
    case Todo::kLoadAnew:
      LoadAnew(store);
      return false;  // this index has been replaced; the new one has its turn
    case Todo::kLists:
      return MakeLists(store, *index, true);
    case Todo::kMoreLists:
      return MakeLists(store, *index, false);
    case Todo::kPostings:
      return MakePostings(store, *index);
  }
  return false;
}

void IndexRegistry::LoadAnew(int64_t store) {
  RemoveFiles(store, true);  // their places are those of the old one
  std::unique_lock lock(mutex_);
  const auto found = stores_.find(store);
  if (found == stores_.end() || found->second.loading) return;
  // A failure leaves the old one, which is slower but right.
  LoadEntry(store, lock).status().IgnoreError();
  ++wakes_;
}

namespace {

constexpr uint32_t kSamplePerCell = 48;   // vectors that k-means sees
constexpr uint32_t kReadAtOnce = 65'536;  // vectors, with the index's lock held

// Vectors spread evenly over the index.
std::vector<float> SampleOf(const StoreIndex& index, uint32_t size, uint32_t wanted) {
  std::vector<float> out;
  const uint32_t step = std::max(1u, size / std::max(1u, wanted));
  for (uint32_t p = 0; p < size; p += step) {
    const std::shared_lock lock(index.mutex);
    if (!index.live.Has(p)) continue;
    const std::vector<float> one = index.vectors->Read(p, p + 1);
    out.insert(out.end(), one.begin(), one.end());
  }
  return out;
}

}  // namespace

bool IndexRegistry::MakeLists(int64_t store, StoreIndex& index, bool anew) {
  uint32_t size = 0;
  std::shared_ptr<const VectorLists> lists;
  {
    const std::shared_lock lock(index.mutex);
    size = index.size();
    lists = index.vectors->lists();
  }
  if (anew) {
    const uint32_t cells = VectorLists::CellsFor(size);
    const std::vector<float> sample = SampleOf(index, size, cells * kSamplePerCell);
    if (stopping() || sample.empty()) return false;
    lists = VectorLists::Train(sample, index.vectors->dimensions(), cells, options_.threads_max);
  }
  while (lists->listed() < size) {
    if (stopping()) return false;
    std::vector<float> more;
    {
      const std::shared_lock lock(index.mutex);
      more = index.vectors->Read(lists->listed(), std::min(size, lists->listed() + kReadAtOnce));
    }
    lists = lists->With(more);
  }
  if (anew) lists = lists->WithProbes(ProbesFor(*index.vectors, *lists, &index.mutex));
  {
    const std::unique_lock lock(index.mutex);
    index.vectors->Install(lists);
  }
  // A cache that cannot be written is missed at the next start only.
  WriteLists(store, index, *lists).IgnoreError();
  return true;
}

absl::Status IndexRegistry::WriteLists(int64_t store, const StoreIndex& index, const VectorLists& lists) {
  std::vector<CachedPlace> places;
  {
    const std::shared_lock lock(index.mutex);
    places = PlacesOf(index, lists.listed());
  }
  if (Positions(places) != lists.listed()) return absl::OkStatus();  // it ends within a content: not this time
  ASSIGN_OR_RETURN(CacheWriter out, CacheWriter::Create(Path(store, kCells)));
  RETURN_IF_ERROR(out.Array(places));
  RETURN_IF_ERROR(out.Value(lists.parts().dimensions));
  RETURN_IF_ERROR(out.Value(lists.parts().probes));
  RETURN_IF_ERROR(out.Array(lists.parts().centroids));
  RETURN_IF_ERROR(out.Array(lists.parts().cell_of));
  return out.Commit();
}

bool IndexRegistry::MakePostings(int64_t store, StoreIndex& index) {
  std::vector<StoreIndex::Slot> slots;
  {
    const std::unique_lock lock(index.mutex);
    slots = index.slots;
    index.dead_since_base = 0;
  }
  Postings::Builder builder;
  const absl::StatusOr<Database::Reader> db = database_.Read();
  if (!db.ok()) return false;
  const auto add = [&](const StoreIndex::Slot& slot, Connection& from, auto take) {
    uint32_t added = 0;
    if (slot.alive) {
      const absl::Status read = ReadTerms(from, slot.content, [&](std::string_view heading, std::string_view body) {
        if (added++ < slot.end - slot.begin) take(heading, body);
      });
      if (!read.ok()) return false;
    }
    // Deleted meanwhile: its places stay, empty.
    for (; added < slot.end - slot.begin; ++added) take(std::string_view(), std::string_view());
    return true;
  };
  for (const StoreIndex::Slot& slot : slots) {
    if (stopping()) return false;
    if (!add(slot, **db, [&](auto heading, auto body) { builder.Add(heading, body); })) return false;
  }
  const std::shared_ptr<const Postings> base = builder.Finish();
  {
    // What came meanwhile is little; the writer is held so that it gets no more.
    const Database::Writer writer = database_.Write();
    const std::unique_lock lock(index.mutex);
    auto tail = std::make_unique<PostingsTail>(base.get());
    for (size_t i = slots.size(); i < index.slots.size(); ++i) {
      if (!add(index.slots[i], *writer, [&](auto heading, auto body) { tail->Add(heading, body); })) return false;
    }
    index.base = base;
    index.tail = std::move(tail);
  }
  WritePostings(store, index);
  return true;
}

// Only while nothing in them has been deleted: a deletion removes the file, and must not find it come back.
void IndexRegistry::WritePostings(int64_t store, const StoreIndex& index) {
  std::shared_ptr<const Postings> base;
  std::vector<CachedPlace> places;
  {
    const std::shared_lock lock(index.mutex);
    base = index.base;
    places = PlacesOf(index, base->positions());
    if (index.dead_since_base > 0) return;
  }
  const auto write = [&]() -> absl::StatusOr<CacheWriter> {
    ASSIGN_OR_RETURN(CacheWriter out, CacheWriter::Create(Path(store, kTerms)));
    RETURN_IF_ERROR(out.Array(places));
    RETURN_IF_ERROR(base->Write(out));
    return out;
  };
  absl::StatusOr<CacheWriter> out = write();
  if (!out.ok()) return;  // missed at the next start only
  const Database::Writer writer = database_.Write();
  const std::shared_lock lock(index.mutex);
  if (index.dead_since_base == 0 && index.base == base) out->Commit().IgnoreError();
}

}  // namespace carrel::retrieval
