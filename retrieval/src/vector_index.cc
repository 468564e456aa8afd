#include "retrieval/vector_index.h"

#include <faiss/Clustering.h>
#include <faiss/IndexFlat.h>
#include <faiss/impl/ScalarQuantizer.h>
#ifdef __AVX2__
// gcc 12 takes what its own intrinsics leave undefined on purpose for a mistake.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#endif
#include <omp.h>
#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>
#include <numeric>
#include <string>

#include "absl/strings/str_cat.h"

namespace carrel::retrieval {
namespace {

constexpr uint32_t kBlock = 1u << 14;   // vectors; so that growing copies nothing but the first, which begins small
constexpr uint32_t kBlockFirst = 64;    // vectors: most stores are small, and thousands may be in memory
constexpr size_t kHugePage = 2u << 20;  // bytes; vectors of a cell are scattered, and each would miss the TLB
constexpr uint32_t kScanMax = 20'000;   // allowed positions up to which all are looked at
constexpr uint32_t kCellsMax = 4096;    // 16 bits hold them, and more cost more to find than they save
constexpr size_t kAtOnce = 8;           // vectors that are compared together
constexpr size_t kAssignAtOnce = 4096;  // vectors
constexpr int kTrainingRounds = 8;
constexpr uint32_t kProbeQuestions = 40;
constexpr size_t kProbeDepth = 30;
constexpr double kProbeRecall = 0.997;

// The best `count` of what is offered. A heap whose top is the worst.
class Best {
 public:
  explicit Best(size_t count) : count_(count) { heap_.reserve(count); }
  void Offer(uint32_t position, float cosine) {
    if (heap_.size() == count_ && cosine < heap_.front().cosine) return;
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

// One question's cosines with codes. FAISS compares one code at a time and adds up in one register, so each addition
// waits for the one before it; with AVX2 four codes go side by side, and with AVX-512, where the processor has it, they
// are as fast as memory gives them.
class Comparer {
 public:
  Comparer(const faiss::ScalarQuantizer& quantizer, std::span<const float> query)
      : query_(query), one_(quantizer.get_distance_computer(faiss::METRIC_INNER_PRODUCT)) {
    one_->set_query(query.data());
  }
  void Compare(const uint8_t* const* codes, size_t count, float* cosines) const {
    size_t i = 0;
#ifdef __AVX2__
    if (wide_) {
      for (; i + 4 <= count; i += 4) FourWide(codes + i, cosines + i);
    } else if (query_.size() % 8 == 0) {
      for (; i + 4 <= count; i += 4) Four(codes + i, cosines + i);
    }
#endif
    for (; i < count; ++i) cosines[i] = one_->query_to_code(codes[i]);
  }

 private:
#ifdef __AVX2__
  void Four(const uint8_t* const* codes, float* cosines) const {
    __m256 sum[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
    for (size_t d = 0; d < query_.size(); d += 8) {
      const __m256 query = _mm256_loadu_ps(query_.data() + d);
      for (size_t i = 0; i < 4; ++i) {
        const auto* const at = reinterpret_cast<const __m128i*>(codes[i] + d * sizeof(uint16_t));
        sum[i] = _mm256_fmadd_ps(query, _mm256_cvtph_ps(_mm_loadu_si128(at)), sum[i]);
      }
    }
    // Across: after two rounds of pairwise sums each half holds half of each of the four.
    const __m256 all = _mm256_hadd_ps(_mm256_hadd_ps(sum[0], sum[1]), _mm256_hadd_ps(sum[2], sum[3]));
    _mm_storeu_ps(cosines, _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1)));
  }

  __attribute__((target("avx512f"))) void FourWide(const uint8_t* const* codes, float* cosines) const {
    __m512 sum[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
    for (size_t d = 0; d < query_.size(); d += 16) {
      const __m512 query = _mm512_loadu_ps(query_.data() + d);
      for (size_t i = 0; i < 4; ++i) {
        const auto* const at = reinterpret_cast<const __m256i*>(codes[i] + d * sizeof(uint16_t));
        sum[i] = _mm512_fmadd_ps(query, _mm512_cvtph_ps(_mm256_loadu_si256(at)), sum[i]);
      }
    }
    for (size_t i = 0; i < 4; ++i) cosines[i] = _mm512_reduce_add_ps(sum[i]);
  }
#endif

  const std::span<const float> query_;
  const std::unique_ptr<faiss::ScalarQuantizer::SQDistanceComputer> one_;
#ifdef __AVX2__
  const bool wide_ = __builtin_cpu_supports("avx512f") && query_.size() % 16 == 0;
#endif
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
  parts.probed = listed();
  return std::shared_ptr<const VectorLists>(new VectorLists(std::make_unique<Impl>(std::move(parts))));
}

namespace {

struct FreeBytes {
  void operator()(uint8_t* bytes) const { std::free(bytes); }
};
using Bytes = std::unique_ptr<uint8_t, FreeBytes>;

// Not zeroed. Whole blocks lie on huge pages where the kernel has them.
Bytes Allocate(size_t size) {
  const size_t alignment = size < kHugePage ? 64 : kHugePage;
  size = (size + alignment - 1) / alignment * alignment;
  Bytes bytes(static_cast<uint8_t*>(std::aligned_alloc(alignment, size)));
  if (bytes == nullptr) throw std::bad_alloc();
  if (alignment == kHugePage) ::madvise(bytes.get(), size, MADV_HUGEPAGE);
  return bytes;
}

}  // namespace

struct VectorIndex::Impl {
  explicit Impl(uint32_t d) : quantizer(d, faiss::ScalarQuantizer::QT_fp16), dimensions(d) {}

  uint8_t* Code(uint32_t position) const {
    return blocks[position / kBlock].get() + size_t{position % kBlock} * quantizer.code_size;
  }
  // Makes room for at least one more, and says for how many.
  uint32_t Room() {
    if (size == capacity) {
      const uint32_t within = size % kBlock;
      const uint32_t wanted = size >= kBlock ? kBlock : within == 0 ? kBlockFirst : within * 2;
      Bytes block = Allocate(wanted * quantizer.code_size);
      if (within == 0) {
        blocks.push_back(std::move(block));
      } else {
        std::memcpy(block.get(), blocks.back().get(), within * quantizer.code_size);
        blocks.back() = std::move(block);
      }
      capacity = size - within + wanted;
    }
    return capacity - size;
  }
  const faiss::ScalarQuantizer quantizer;
  const uint32_t dimensions;
  uint32_t size = 0;
  uint32_t capacity = 0;
  std::vector<Bytes> blocks;
  std::shared_ptr<const VectorLists> lists;
};

// Offers the positions that it is told to `best`, several at a time. Those of a cell are scattered: memory is asked for
// them while the ones before are compared.
class VectorIndex::Looker {
 public:
  Looker(const Impl& index, std::span<const float> query, Best& best)
      : index_(index), comparer_(index.quantizer, query), best_(best) {}
  void Look(uint32_t position) {
    const uint8_t* const code = index_.Code(position);
    for (size_t line = 0; line < index_.quantizer.code_size; line += 64) __builtin_prefetch(code + line);
    positions_[waiting_] = position;
    codes_[waiting_] = code;
    if (++waiting_ < 2 * kAtOnce) return;
    Compare(kAtOnce);
    std::copy(positions_ + kAtOnce, positions_ + waiting_, positions_);
    std::copy(codes_ + kAtOnce, codes_ + waiting_, codes_);
    waiting_ -= kAtOnce;
  }
  void End() {
    Compare(waiting_);
    waiting_ = 0;
  }

 private:
  void Compare(size_t count) {
    float cosines[2 * kAtOnce];
    comparer_.Compare(codes_, count, cosines);
    for (size_t i = 0; i < count; ++i) best_.Offer(positions_[i], cosines[i]);
  }

  const Impl& index_;
  const Comparer comparer_;
  Best& best_;
  size_t waiting_ = 0;
  uint32_t positions_[2 * kAtOnce];
  const uint8_t* codes_[2 * kAtOnce];
};

VectorIndex::VectorIndex(uint32_t dimensions) : impl_(std::make_unique<Impl>(dimensions)) {}
VectorIndex::~VectorIndex() = default;

uint32_t VectorIndex::dimensions() const { return impl_->dimensions; }
uint32_t VectorIndex::size() const { return impl_->size; }
size_t VectorIndex::bytes() const {
  const size_t lists = impl_->lists == nullptr ? 0 : impl_->lists->bytes();
  return impl_->capacity * impl_->quantizer.code_size + lists;
}

void VectorIndex::Add(std::span<const float> vector) {
  impl_->Room();
  uint8_t* const code = impl_->Code(impl_->size);
  if (vector.empty()) {
    std::memset(code, 0, impl_->quantizer.code_size);
  } else {
    impl_->quantizer.compute_codes(vector.data(), code, 1);
  }
  ++impl_->size;
}

size_t VectorIndex::code_size() const { return impl_->quantizer.code_size; }

std::span<uint8_t> VectorIndex::AddCodes(uint32_t most) {
  const uint32_t count = std::min(most, impl_->Room());
  uint8_t* const codes = impl_->Code(impl_->size);
  impl_->size += count;
  return {codes, count * impl_->quantizer.code_size};
}

std::span<const uint8_t> VectorIndex::Codes(uint32_t begin, uint32_t end) const {
  end = std::min({end, impl_->size, (begin / kBlock + 1) * kBlock});
  return {impl_->Code(begin), size_t{end - begin} * impl_->quantizer.code_size};
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
  Best best(std::min<size_t>(count, candidates));
  Looker looker(*impl_, query, best);
  if (allowed != nullptr) {
    allowed->ForEach([&](uint32_t p) { looker.Look(p); });
  } else {
    for (uint32_t p = 0; p < impl_->size; ++p) looker.Look(p);
  }
  looker.End();
  return best.Take();
}

std::vector<float> VectorIndex::Cosines(std::span<const float> query, std::span<const uint32_t> positions) const {
  const Comparer comparer(impl_->quantizer, query);
  std::vector<const uint8_t*> codes;
  codes.reserve(positions.size());
  for (const uint32_t position : positions) codes.push_back(impl_->Code(position));
  std::vector<float> out(positions.size());
  comparer.Compare(codes.data(), codes.size(), out.data());
  return out;
}

std::vector<VectorMatch> VectorIndex::SearchLists(const VectorLists& lists, std::span<const float> query, size_t count,
                                                  const PositionSet* allowed) const {
  const uint32_t candidates = allowed == nullptr ? impl_->size : allowed->count();
  if (count == 0 || candidates == 0) return {};
  Best best(std::min<size_t>(count, candidates));
  Looker looker(*impl_, query, best);
  // Of a filter that lets every tenth pass, ten times as many cells hold as many candidates.
  const double passing = static_cast<double>(candidates) / impl_->size;
  const auto probes = static_cast<size_t>(std::ceil(lists.parts().probes / passing));
  for (const faiss::Index::idx_t cell : lists.impl_->Near(query, probes)) {
    if (cell < 0) continue;
    for (const uint32_t p : lists.impl_->members[static_cast<size_t>(cell)]) {
      if (allowed == nullptr || allowed->Has(p)) looker.Look(p);
    }
  }
  for (uint32_t p = std::min(lists.listed(), impl_->size); p < impl_->size; ++p) {
    if (allowed == nullptr || allowed->Has(p)) looker.Look(p);
  }
  looker.End();
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
