// What IndexRegistry does in the background: files of vectors, cells, postings, and indexes that are mostly dead.
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "contents.h"
#include "index_registry.h"
#include "retrieval/index_cache.h"
#include "status_macros.h"
#include "vector_file.h"

namespace carrel::retrieval {

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
      const auto woken = [&] { return stopping_ || wakes_ != seen_; };
      if (later_) {
        changed_.wait_for(lock, absl::ToChronoMilliseconds(options_.thresholds.purge_pause), woken);
      } else {
        changed_.wait(lock, woken);
      }
      if (stopping_) return;
      idle_ = false;
      later_ = false;
      seen_ = wakes_;
      const std::vector<int64_t> wanted = std::exchange(wanted_, {});
      if (!wanted.empty()) {
        lock.unlock();
        for (const int64_t store : wanted) Prepare(store);
        lock.lock();
      }
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

namespace {

constexpr uint32_t kUnlistedMin = 1'024;  // vectors outside the cells: each search scans them

}  // namespace

bool IndexRegistry::WorkOn(int64_t store, const std::shared_ptr<StoreIndex>& index) {
  const IndexThresholds& t = options_.thresholds;
  bool later = false;
  enum class Todo { kNothing, kLoadAnew, kFile, kLists, kMoreLists, kPostings, kPurge, kWrite } todo = Todo::kNothing;
  {
    const std::shared_lock lock(index->mutex);
    const uint32_t size = index->size();
    const uint32_t tail_max = std::max(std::min(t.tail_max, size / 2), size / 10);
    const auto& lists = index->vectors == nullptr ? nullptr : index->vectors->lists();
    if (index->dead() >= t.dead_min && index->dead() > size / 3) {
      todo = Todo::kLoadAnew;
    } else if (size - index->InFile() >= std::max(1u, std::min(t.unfiled_max, t.tail_max))) {
      todo = Todo::kFile;
    } else if (index->vectors != nullptr && size >= t.lists_min &&
               (lists == nullptr || VectorLists::CellsFor(size) >= 2 * lists->cells())) {
      todo = Todo::kLists;
    } else if (lists != nullptr && size - lists->listed() > std::min(t.tail_max, std::max(kUnlistedMin, size / 20))) {
      todo = Todo::kMoreLists;
    } else if (index->base == nullptr ? size >= t.postings_min
                                      : index->tail->size() + index->dead_since_base > tail_max) {
      todo = Todo::kPostings;
    } else if (index->base != nullptr && index->dead_since_base == 0 && !index->base_in_file) {
      todo = Todo::kWrite;
    } else if (index->base != nullptr && index->dead_since_base > 0) {
      if (absl::Now() - index->last_death >= t.purge_pause) {
        todo = Todo::kPurge;
      } else {
        later = true;
      }
    }
  }
  if (later) {
    const std::lock_guard lock(mutex_);
    later_ = true;
  }
  switch (todo) {
    case Todo::kNothing:
      return false;
    case Todo::kLoadAnew:
      LoadAnew(store);
      return false;  // this index has been replaced; the new one has its turn
    case Todo::kFile:
      return FileVectors(store, index);
    case Todo::kLists:
      return MakeLists(store, *index, true);
    case Todo::kMoreLists:
      return MakeLists(store, *index, false);
    case Todo::kPostings:
      return MakePostings(store, *index);
    case Todo::kPurge:
      return PurgePostings(store, *index);
    case Todo::kWrite:
      WritePostings(store, *index);
      return true;
  }
  return false;
}

void IndexRegistry::Prepare(int64_t store) {
  std::unique_lock lock(mutex_);
  if (stopping_ || stores_.contains(store)) return;
  // Without it the first search loads, or says what is wrong.
  LoadEntry(store, lock).status().IgnoreError();
  Evict(-1);
  ++wakes_;
}

void IndexRegistry::LoadAnew(int64_t store) {
  RemoveFiles(store);  // their places are those of the old one
  std::unique_lock lock(mutex_);
  const auto found = stores_.find(store);
  if (found == stores_.end() || found->second.loading) return;
  // A failure leaves the old one, which is slower but right.
  LoadEntry(store, lock).status().IgnoreError();
  ++wakes_;
}

namespace {

constexpr uint32_t kSamplePerCell = 32;   // vectors that k-means sees
constexpr double kProbeAgain = 1.5;       // times the vectors that there were when the probes were measured
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

bool IndexRegistry::FileVectors(int64_t store, const std::shared_ptr<StoreIndex>& index) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = stores_.find(store);
    // One that was dropped has no say in the file of the one that took its place.
    if (found == stores_.end() || found->second.index != index) return false;
  }
  const size_t first = index->slots_in_file;
  const std::string path = Path(store, kVectors);
  // A cache that cannot be written is missed at the next start only.
  if (!AppendVectorFile(path, *index).ok()) return false;
  // A deletion that came between the copy and the file found nothing to overwrite. The writer is held, so that none
  // comes now.
  const Database::Writer writer = database_.Write();
  absl::flat_hash_set<int64_t> gone;
  {
    const std::shared_lock lock(index->mutex);
    for (size_t i = first; i < index->slots_in_file; ++i) {
      if (!index->slots[i].alive) gone.insert(index->slots[i].content);
    }
  }
  Statement q(*writer, "SELECT 1 FROM stores WHERE row = ?1", store);
  const bool there = q.Step();
  if (!there || !ForgetInVectorFile(path, [&](int64_t content) { return gone.contains(content); }).ok()) {
    ::unlink(path.c_str());
    return false;
  }
  return true;
}

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
  // How near the nearest are changes with how many there are.
  if (anew || lists->listed() >= lists->parts().probed * kProbeAgain)
    lists = lists->WithProbes(ProbesFor(*index.vectors, *lists, &index.mutex));
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
  RETURN_IF_ERROR(out.Value(lists.parts().probed));
  RETURN_IF_ERROR(out.Array(lists.parts().centroids));
  RETURN_IF_ERROR(out.Array(lists.parts().cell_of));
  return out.Commit();
}

bool IndexRegistry::MakePostings(int64_t store, StoreIndex& index) {
  std::vector<StoreIndex::Slot> slots;
  {
    // With the writer held, so that what stands there is in the records too, and not just on its way (CommitContent).
    const Database::Writer writer = database_.Write();
    const std::unique_lock lock(index.mutex);
    slots = index.slots;
    index.dead_since_base = 0;
  }
  Postings::Builder builder;
  const absl::StatusOr<Database::Reader> db = database_.Read();
  if (!db.ok()) return false;
  for (const StoreIndex::Slot& slot : slots) {
    if (stopping()) return false;
    const auto add = [&](auto heading, auto body) { builder.Add(heading, body); };
    if (!StoreIndex::ReadSlotTerms(**db, slot, add).ok()) return false;
  }
  const std::shared_ptr<const Postings> base = builder.Finish();
  {
    // What came meanwhile is little; the writer is held so that it gets no more.
    const Database::Writer writer = database_.Write();
    const std::unique_lock lock(index.mutex);
    auto tail = std::make_unique<PostingsTail>(base.get());
    const auto add = [&](auto heading, auto body) { tail->Add(heading, body); };
    for (size_t i = slots.size(); i < index.slots.size(); ++i) {
      if (!StoreIndex::ReadSlotTerms(*writer, index.slots[i], add).ok()) return false;
    }
    index.base = base;
    index.tail = std::move(tail);
  }
  WritePostings(store, index);
  return true;
}

// A deletion removed the file of postings. Without one the next start would read all terms from the records.
bool IndexRegistry::PurgePostings(int64_t store, StoreIndex& index) {
  std::shared_ptr<const Postings> base;
  PositionSet gone;
  uint32_t dead = 0;
  {
    const std::shared_lock lock(index.mutex);
    base = index.base;
    gone = index.live;
    dead = index.dead_since_base;
  }
  gone.Complement();
  base = base->Without(gone);
  {
    const std::unique_lock lock(index.mutex);
    index.base = base;
    index.dead_since_base -= dead;
  }
  WritePostings(store, index);
  return true;
}

// Only while nothing in them has been deleted: a deletion removes the file, and must not find it come back.
void IndexRegistry::WritePostings(int64_t store, StoreIndex& index) {
  std::shared_ptr<const Postings> base;
  std::vector<CachedPlace> places;
  {
    const std::unique_lock lock(index.mutex);
    index.base_in_file = true;
    base = index.base;
    places = PlacesOf(index, base->positions());
    if (index.dead_since_base > 0 || base->positions() < options_.thresholds.postings_min) return;
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
  // Of a store that was deleted meanwhile no word must come back.
  Statement q(*writer, "SELECT 1 FROM stores WHERE row = ?1", store);
  if (!q.Step()) return;
  const std::shared_lock lock(index.mutex);
  if (index.dead_since_base == 0 && index.base == base) out->Commit().IgnoreError();
}

}  // namespace carrel::retrieval
