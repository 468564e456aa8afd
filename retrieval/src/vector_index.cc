#include "retrieval/vector_index.h"

#include <faiss/Clustering.h>
#include <faiss/IndexFlat.h>
#include <faiss/impl/ScalarQuantizer.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "absl/strings/str_cat.h"

namespace carrel::retrieval {
namespace {

constexpr uint32_t kBlock = 1u << 14;   // vectors; so that growing copies nothing
constexpr uint32_t kScanMax = 20'000;   // allowed positions up to which all are looked at
constexpr uint32_t kCellsMax = 4096;    // 16 bits hold them, and more cost more to find than they save
constexpr uint32_t kPrefetchAhead = 4;  // vectors of a cell are scattered: ask memory for the next ones early
constexpr size_t kAssignAtOnce = 4096;  // vectors
constexpr int kTrainingRounds = 8;
constexpr uint32_t kProbeQuestions = 40;
constexpr size_t kProbeDepth = 100;
constexpr double kProbeRecall = 0.997;

// The best `count` of what is offered. A heap whose top is the worst.
class Best {
 public:
  explicit Best(size_t count) : count_(count) { heap_.reserve(count); }
  void Offer(uint32_t position, float cosine) {
    const VectorMatch match{position, cosine};
    if (heap_.size() < count_) {
      heap_.push_back(match);
      std::push_heap(heap_.begin(), heap_.end(), Better);
    } else if (Better(match, heap_.front())) {
      std::pop_heap(heap_.begin(), heap_.end(), Better);
      heap_.back() = match;
      std::push_heap(heap_.begin(), heap_.end(), Better);
    }
  }
  std::vector<VectorMatch> Take() {
    std::sort_heap(heap_.begin(), heap_.end(), Better);
    return std::move(heap_);
  }

 private:
  static bool Better(const VectorMatch& a, const VectorMatch& b) {
    return a.cosine != b.cosine ? a.cosine > b.cosine : a.position < b.position;
  }
  const size_t count_;
  std::vector<VectorMatch> heap_;
};

// Sets OpenMP's threads for what this thread calls, and back.
class OmpThreads {
 public:
  explicit OmpThreads(uint32_t threads) : before_(omp_get_max_threads()) {
    omp_set_num_threads(static_cast<int>(std::max(1u, threads)));
  }
  ~OmpThreads() { omp_set_num_threads(before_); }
  OmpThreads(const OmpThreads&) = delete;
  OmpThreads& operator=(const OmpThreads&) = delete;

 private:
  const int before_;
};

}  // namespace

std::string_view VectorInstructions() { return CARREL_FAISS_KIND; }

absl::Status CheckVectorInstructions() {
#ifdef __AVX2__
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
    return absl::FailedPreconditionError(
        "this program was built for processors with AVX2 and FMA, and this one has not both: build it here, or with "
        "-DCARREL_PACKAGED_FAISS=ON");
  }
#endif
  return absl::OkStatus();
}

struct VectorLists::Impl {
  explicit Impl(Parts p) : parts(std::move(p)), coarse(parts.dimensions) {
    coarse.add(static_cast<faiss::Index::idx_t>(parts.centroids.size() / parts.dimensions), parts.centroids.data());
    members.resize(static_cast<size_t>(coarse.ntotal));
    for (size_t i = 0; i < parts.cell_of.size(); ++i) members[parts.cell_of[i]].push_back(static_cast<uint32_t>(i));
  }
  // Cells by how near they are to the question.
  std::vector<faiss::Index::idx_t> Near(std::span<const float> query, size_t count) const {
    count = std::min(count, members.size());
    std::vector<float> scores(count);
    std::vector<faiss::Index::idx_t> cells(count);
    const OmpThreads one(1);
    coarse.search(1, query.data(), static_cast<faiss::Index::idx_t>(count), scores.data(), cells.data());
    return cells;
  }
  Parts parts;
  faiss::IndexFlatIP coarse;
  std::vector<std::vector<uint32_t>> members;  // positions by cell, ascending
};

VectorLists::VectorLists(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
VectorLists::~VectorLists() = default;

uint32_t VectorLists::CellsFor(uint32_t size) {
  const double wanted = 4 * std::sqrt(static_cast<double>(size));
  uint32_t cells = 16;
  while (cells < kCellsMax && cells * 1.5 < wanted) cells *= 2;
  return cells;
}

std::shared_ptr<const VectorLists> VectorLists::Train(std::span<const float> sample, uint32_t dimensions,
                                                      uint32_t cells, uint32_t threads_max) {
  const OmpThreads threads(threads_max);
  const size_t count = sample.size() / dimensions;
  faiss::ClusteringParameters parameters;
  parameters.spherical = true;
  parameters.niter = kTrainingRounds;
  parameters.min_points_per_centroid = 1;
  parameters.max_points_per_centroid = static_cast<int>(count);  // the sample is what it is
  parameters.seed = 1234;                                        // the same vectors give the same cells
  faiss::Clustering clustering(static_cast<int>(dimensions), static_cast<int>(std::min<size_t>(cells, count)),
                               parameters);
  faiss::IndexFlatIP assign(dimensions);
  clustering.train(static_cast<faiss::Index::idx_t>(count), sample.data(), assign);
  return std::shared_ptr<const VectorLists>(new VectorLists(
      std::make_unique<Impl>(Parts{.dimensions = dimensions, .centroids = std::move(clustering.centroids)})));
}

absl::StatusOr<std::shared_ptr<const VectorLists>> VectorLists::FromParts(Parts parts) {
  const size_t cells = parts.dimensions == 0 ? 0 : parts.centroids.size() / parts.dimensions;
  const bool whole = cells > 0 && cells <= kCellsMax && cells * parts.dimensions == parts.centroids.size() &&
                     parts.probes > 0 && parts.probes <= cells &&
                     std::all_of(parts.cell_of.begin(), parts.cell_of.end(), [&](uint16_t c) { return c < cells; });
  if (!whole) return absl::DataLossError("the cells of an index do not fit together");
  return std::shared_ptr<const VectorLists>(new VectorLists(std::make_unique<Impl>(std::move(parts))));
}

const VectorLists::Parts& VectorLists::parts() const { return impl_->parts; }
uint32_t VectorLists::cells() const { return static_cast<uint32_t>(impl_->members.size()); }
uint32_t VectorLists::listed() const { return static_cast<uint32_t>(impl_->parts.cell_of.size()); }
size_t VectorLists::bytes() const {
  return 2 * impl_->parts.centroids.size() * sizeof(float) + impl_->parts.cell_of.size() * 6 +
         impl_->members.size() * 24;
}

std::shared_ptr<const VectorLists> VectorLists::With(std::span<const float> more) const {
  const OmpThreads one(1);
  Parts parts = impl_->parts;
  const size_t count = more.size() / parts.dimensions;
  std::vector<float> scores(kAssignAtOnce);
  std::vector<faiss::Index::idx_t> cells(kAssignAtOnce);
  for (size_t begin = 0; begin < count; begin += kAssignAtOnce) {
    const size_t n = std::min(kAssignAtOnce, count - begin);
    impl_->coarse.search(static_cast<faiss::Index::idx_t>(n), more.data() + begin * parts.dimensions, 1, scores.data(),
                         cells.data());
    // Not a number compares with nothing, and is put anywhere.
    for (size_t i = 0; i < n; ++i) {
      parts.cell_of.push_back(static_cast<uint16_t>(std::max<faiss::Index::idx_t>(0, cells[i])));
    }
  }
  return std::shared_ptr<const VectorLists>(new VectorLists(std::make_unique<Impl>(std::move(parts))));
}

std::shared_ptr<const VectorLists> VectorLists::WithProbes(uint32_t probes) const {
  Parts parts = impl_->parts;
  parts.probes = std::clamp(probes, 1u, cells());
  return std::shared_ptr<const VectorLists>(new VectorLists(std::make_unique<Impl>(std::move(parts))));
}

struct VectorIndex::Impl {
  explicit Impl(uint32_t d) : quantizer(d, faiss::ScalarQuantizer::QT_fp16), dimensions(d) {}

  const uint8_t* Code(uint32_t position) const {
    return blocks[position / kBlock].get() + size_t{position % kBlock} * quantizer.code_size;
  }
  std::unique_ptr<faiss::ScalarQuantizer::SQDistanceComputer> ComputerFor(std::span<const float> query) const {
    std::unique_ptr<faiss::ScalarQuantizer::SQDistanceComputer> computer(
        quantizer.get_distance_computer(faiss::METRIC_INNER_PRODUCT));
    computer->set_query(query.data());
    return computer;
  }
  void Scan(const faiss::ScalarQuantizer::SQDistanceComputer& computer, uint32_t begin, uint32_t end,
            const PositionSet* allowed, Best& best) const {
    for (uint32_t p = begin; p < end; ++p) {
      if (allowed == nullptr || allowed->Has(p)) best.Offer(p, computer.query_to_code(Code(p)));
    }
  }

  const faiss::ScalarQuantizer quantizer;
  const uint32_t dimensions;
  uint32_t size = 0;
  std::vector<std::unique_ptr<uint8_t[]>> blocks;
  std::shared_ptr<const VectorLists> lists;
};

VectorIndex::VectorIndex(uint32_t dimensions) : impl_(std::make_unique<Impl>(dimensions)) {}
VectorIndex::~VectorIndex() = default;

uint32_t VectorIndex::dimensions() const { return impl_->dimensions; }
uint32_t VectorIndex::size() const { return impl_->size; }
size_t VectorIndex::bytes() const {
  const size_t lists = impl_->lists == nullptr ? 0 : impl_->lists->bytes();
  return impl_->blocks.size() * kBlock * impl_->quantizer.code_size + lists;
}

void VectorIndex::Add(std::span<const float> vector) {
  const size_t code_size = impl_->quantizer.code_size;
  if (impl_->size % kBlock == 0) impl_->blocks.push_back(std::make_unique<uint8_t[]>(kBlock * code_size));
  if (!vector.empty()) {
    impl_->quantizer.compute_codes(vector.data(), const_cast<uint8_t*>(impl_->Code(impl_->size)), 1);
  }
  ++impl_->size;
}

std::vector<float> VectorIndex::Read(uint32_t begin, uint32_t end) const {
  std::vector<float> out(size_t{end - begin} * impl_->dimensions);
  for (uint32_t p = begin; p < end; ++p) {
    impl_->quantizer.decode(impl_->Code(p), out.data() + size_t{p - begin} * impl_->dimensions, 1);
  }
  return out;
}

void VectorIndex::Install(std::shared_ptr<const VectorLists> lists) { impl_->lists = std::move(lists); }
const std::shared_ptr<const VectorLists>& VectorIndex::lists() const { return impl_->lists; }

std::vector<VectorMatch> VectorIndex::Search(std::span<const float> query, size_t count,
                                             const PositionSet* allowed) const {
  const uint32_t candidates = allowed == nullptr ? impl_->size : allowed->count();
  if (impl_->lists == nullptr || candidates <= kScanMax) return SearchExactly(query, count, allowed);
  return SearchLists(*impl_->lists, query, count, allowed);
}

std::vector<VectorMatch> VectorIndex::SearchExactly(std::span<const float> query, size_t count,
                                                    const PositionSet* allowed) const {
  const uint32_t candidates = allowed == nullptr ? impl_->size : allowed->count();
  if (count == 0 || candidates == 0) return {};
  const auto computer = impl_->ComputerFor(query);
  Best best(std::min<size_t>(count, candidates));
  if (allowed != nullptr && candidates <= impl_->size / 8) {
    allowed->ForEach([&](uint32_t p) { best.Offer(p, computer->query_to_code(impl_->Code(p))); });
  } else {
    impl_->Scan(*computer, 0, impl_->size, allowed, best);
  }
  return best.Take();
}

std::vector<float> VectorIndex::Cosines(std::span<const float> query, std::span<const uint32_t> positions) const {
  const auto computer = impl_->ComputerFor(query);
  std::vector<float> out;
  for (const uint32_t position : positions) out.push_back(computer->query_to_code(impl_->Code(position)));
  return out;
}

std::vector<VectorMatch> VectorIndex::SearchLists(const VectorLists& lists, std::span<const float> query, size_t count,
                                                  const PositionSet* allowed) const {
  const uint32_t candidates = allowed == nullptr ? impl_->size : allowed->count();
  if (count == 0 || candidates == 0) return {};
  const auto computer = impl_->ComputerFor(query);
  Best best(std::min<size_t>(count, candidates));
  // Of a filter that lets every tenth pass, ten times as many cells hold as many candidates.
  const double passing = static_cast<double>(candidates) / impl_->size;
  const auto probes = static_cast<size_t>(std::ceil(lists.parts().probes / passing));
  std::vector<uint32_t> chosen;
  for (const faiss::Index::idx_t cell : lists.impl_->Near(query, probes)) {
    if (cell < 0) continue;
    const std::vector<uint32_t>& members = lists.impl_->members[static_cast<size_t>(cell)];
    chosen.clear();
    std::copy_if(members.begin(), members.end(), std::back_inserter(chosen),
                 [&](uint32_t p) { return allowed == nullptr || allowed->Has(p); });
    for (size_t i = 0; i < chosen.size(); ++i) {
      if (i + kPrefetchAhead < chosen.size()) {
        const uint8_t* const ahead = impl_->Code(chosen[i + kPrefetchAhead]);
        for (size_t line = 0; line < impl_->quantizer.code_size; line += 64) __builtin_prefetch(ahead + line);
      }
      best.Offer(chosen[i], computer->query_to_code(impl_->Code(chosen[i])));
    }
  }
  impl_->Scan(*computer, std::min(lists.listed(), impl_->size), impl_->size, allowed, best);
  return best.Take();
}

uint32_t ProbesFor(const VectorIndex& index, const VectorLists& lists, std::shared_mutex* mutex) {
  const auto locked = [&] {
    return mutex == nullptr ? std::shared_lock<std::shared_mutex>() : std::shared_lock(*mutex);
  };
  std::vector<std::vector<float>> questions;
  std::vector<std::vector<uint32_t>> truth;
  for (uint32_t i = 0; i < kProbeQuestions && lists.listed() > 0; ++i) {
    const auto lock = locked();
    const auto p = static_cast<uint32_t>((uint64_t{lists.listed()} * (2 * i + 1)) / (2 * kProbeQuestions));
    questions.push_back(index.Read(p, p + 1));
    truth.emplace_back();
    for (const VectorMatch& match : index.SearchExactly(questions.back(), kProbeDepth, nullptr)) {
      truth.back().push_back(match.position);
    }
    std::sort(truth.back().begin(), truth.back().end());
  }
  for (uint32_t probes = 2; probes < lists.cells(); probes += std::max(1u, probes / 3)) {
    const std::shared_ptr<const VectorLists> tried = lists.WithProbes(probes);
    size_t found = 0, all = 0;
    for (size_t i = 0; i < questions.size(); ++i) {
      const auto lock = locked();
      all += truth[i].size();
      for (const VectorMatch& match : index.SearchLists(*tried, questions[i], kProbeDepth, nullptr)) {
        found += std::binary_search(truth[i].begin(), truth[i].end(), match.position);
      }
    }
    if (static_cast<double>(found) >= kProbeRecall * static_cast<double>(all)) {
      return std::min(lists.cells(), probes + probes / 2);
    }
  }
  return lists.cells();
}

}  // namespace carrel::retrieval
