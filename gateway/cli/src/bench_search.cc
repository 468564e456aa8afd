// carrel bench search: one store that grows, searched at each size; documents by type; questions during ingest.
#include "cli/bench_search.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <thread>

#include "absl/strings/str_join.h"
#include "bench_documents.h"
#include "bench_library.h"
#include "bench_series.h"
#include "documents.h"
#include "nlohmann/json.hpp"
#include "rpc/status.h"
#include "sandbox/base/temp_dir.h"
#include "strings.h"

namespace carrel::cli {
namespace {

namespace v1 = carrel::retrieval::v1;
namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using nlohmann::json;

constexpr uint32_t kChunkTokens = 100;       // of the store that grows: about one paragraph a passage
constexpr uint32_t kPagesPerDocument = 20;   // a hundred paragraphs
constexpr uint32_t kInFlightMax = 200;       // documents that wait to be read
constexpr uint32_t kWarm = 5;                // questions that are not counted
constexpr uint32_t kSlicePassages = 15'000;  // a filter that lets so few pass is scanned exactly (see Recall)
constexpr uint32_t kRecallQuestions = 50;
constexpr uint32_t kRecallHits = 10;
constexpr auto kPoll = std::chrono::milliseconds(5);

double MillisecondsSince(Clock::time_point since) {
  return std::chrono::duration<double, std::milli>(Clock::now() - since).count();
}

json ToObject(const Series& series) {
  return {{"n", series.size()},
          {"p50_ms", series.Quantile(0.5)},
          {"p95_ms", series.Quantile(0.95)},
          {"p99_ms", series.Quantile(0.99)},
          {"max_ms", series.Quantile(1)}};
}

enum class Legs { kBoth, kVectors, kKeywords };

v1::SearchRequest Question(const std::string& store, uint64_t number, Legs legs) {
  v1::SearchRequest request;
  request.add_store_ids(store);
  request.add_queries(BenchQuestion(number));
  if (legs != Legs::kBoth) {
    request.mutable_ranking()->set_embedding_weight(legs == Legs::kVectors ? 1 : 0);
    request.mutable_ranking()->set_text_weight(legs == Legs::kVectors ? 0 : 1);
  }
  return request;
}

void SetNumberFilter(v1::SearchRequest& request, double from, double to) {
  v1::Compound& both = *request.mutable_filter()->mutable_compound();
  both.set_op(v1::Compound::AND);
  for (const auto& [op, value] : {std::pair(v1::Comparison::GTE, from), std::pair(v1::Comparison::LT, to)}) {
    v1::Comparison& comparison = *both.add_filters()->mutable_comparison();
    comparison.set_key("number");
    comparison.set_op(op);
    comparison.add_values()->set_number(value);
  }
}

// What became of one document.
struct Read {
  v1::Document document;
  double ms = 0;            // from its first byte sent to the end
  double embedding_ms = 0;  // of it, while its phase was "embedding"
};

class Bench final {
 public:
  Bench(BenchLibrary& library, const BenchSearchOptions& options, Console& console)
      : library_(library), options_(options), console_(console) {}

  absl::Status Run() {
    report_["format"] = 1;
    if (absl::Status s = MeasureSizes(); !s.ok()) return s;
    if (absl::Status s = MeasureTypes(); !s.ok()) return s;
    if (absl::Status s = MeasureDuringIngest(); !s.ok()) return s;
    if (!options_.baselines.empty()) Compare();
    return absl::OkStatus();
  }
  [[nodiscard]] std::string Json() const { return report_.dump(); }

 private:
  template <typename... Args>
  void Printf(const char* format, Args... args) const {
    char line[256];
    std::snprintf(line, sizeof line, format, args...);
    console_.Print(line);
  }

  // --- sizes ---

  absl::Status MeasureSizes() {
    std::vector<uint32_t> sizes = options_.sizes;
    std::erase(sizes, 0u);
    std::sort(sizes.begin(), sizes.end());
    if (sizes.empty()) return absl::OkStatus();
    auto store = library_.CreateStore(kChunkTokens);
    if (!store.ok()) return store.status();
    store_ = *store;
    for (const uint32_t size : sizes) {
      if (absl::Status s = GrowTo(size); !s.ok()) return s;
      if (absl::Status s = MeasureSize(); !s.ok()) return s;
    }
    return absl::OkStatus();
  }

  absl::Status GrowTo(uint32_t size) {
    const Clock::time_point began = Clock::now();
    const uint64_t before = passages_;
    while (true) {
      auto store = library_.GetStore(store_);
      if (!store.ok()) return store.status();
      passages_ = store->passages();
      if (store->documents().failed() > 0) return absl::InternalError("a document could not be read");
      console_.Progress(StrCat("reading in: ", passages_, " of ", size, " passages"));
      const uint64_t waiting = store->documents().in_progress();
      // Each document of the past had so many; none is begun that is not wanted.
      const double each = store->documents().completed() == 0
                              ? kPagesPerDocument * 5.0
                              : static_cast<double>(passages_) / static_cast<double>(store->documents().completed());
      const double expected = static_cast<double>(passages_) + static_cast<double>(waiting) * each;
      if (waiting == 0 && passages_ >= size) break;
      if (expected < size && waiting < kInFlightMax) {
        auto document = MakeBenchDocument("txt", uint64_t{documents_} * kPagesPerDocument * 5, kPagesPerDocument);
        if (!document.ok()) return document.status();
        if (auto added = library_.Add(store_, *document, documents_++); !added.ok()) return added.status();
      } else {
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
      }
    }
    const double seconds = MillisecondsSince(began) / 1000;
    if (passages_ > before) {
      grown_per_second_ = static_cast<double>(passages_ - before) / seconds;
    }
    return absl::OkStatus();
  }

  absl::Status MeasureSize() {
    json size = {{"passages", passages_}, {"documents", documents_}, {"ingest_passages_per_second", grown_per_second_}};
    Printf("%llu passages in %u documents, read in with %.0f passages a second (embedded)",
           static_cast<unsigned long long>(passages_), documents_, grown_per_second_);
    const Clock::time_point began = Clock::now();
    if (auto first = library_.Search(Question(store_, 1, Legs::kBoth)); !first.ok()) return first.status();
    size["first_search_ms"] = MillisecondsSince(began);
    Printf("  first search after that: %.1f ms", size["first_search_ms"].get<double>());
    console_.Print(
        "  milliseconds                                               p50       p95       p99       max   n");
    double unfiltered = 0;
    for (const auto& [legs, name, key] :
         {std::tuple(Legs::kBoth, "both legs", "both"), std::tuple(Legs::kVectors, "vectors", "vectors"),
          std::tuple(Legs::kKeywords, "keywords", "keywords")}) {
      Series whole(name, key), embed("  of it the question's vector", "embed"), vectors("  of it the vectors", "v"),
          text("  of it the keywords", "t");
      for (uint32_t i = 0; i < options_.questions + kWarm; ++i) {
        console_.Progress(StrCat(passages_, " passages, ", name, ": ", i));
        const v1::SearchRequest request = Question(store_, i, legs);
        const Clock::time_point since = Clock::now();
        auto reply = library_.Search(request);
        if (!reply.ok()) return reply.status();
        if (i < kWarm) continue;
        whole.Add(MillisecondsSince(since));
        embed.Add(static_cast<double>(reply->embed_us()) / 1000);
        vectors.Add(static_cast<double>(reply->vector_us()) / 1000);
        text.Add(static_cast<double>(reply->text_us()) / 1000);
      }
      json entry = ToObject(whole);
      console_.Print(whole.Line());
      for (const Series* part : {&embed, &vectors, &text}) {
        if (part->Quantile(1) == 0) continue;
        console_.Print(part->Line());
        entry[part->key()] = ToObject(*part);
      }
      size[key] = std::move(entry);
      if (legs == Legs::kBoth) unfiltered = whole.Quantile(0.5);
    }
    if (absl::Status s = MeasureFilters(unfiltered, size); !s.ok()) return s;
    if (absl::Status s = Recall(size); !s.ok()) return s;
    size["memory_bytes"] = library_.MemoryBytes();
    size["disk_bytes"] = library_.DiskBytes();
    if (library_.MemoryBytes() > 0) {
      Printf("  memory of carrel-retrieval %s, on disk %s", HumanBytes(library_.MemoryBytes()).c_str(),
             HumanBytes(library_.DiskBytes()).c_str());
    }
    report_["sizes"].push_back(std::move(size));
    return absl::OkStatus();
  }

  absl::Status MeasureFilters(double unfiltered, json& size) {
    for (const double passing : options_.passing) {
      char name[64];
      std::snprintf(name, sizeof name, "both legs, a filter lets %g %% pass", passing * 100);
      Series whole(name, "filter");
      for (uint32_t i = 0; i < options_.questions + kWarm; ++i) {
        console_.Progress(StrCat(passages_, " passages, ", std::string(name), ": ", i));
        v1::SearchRequest request = Question(store_, i, Legs::kBoth);
        SetNumberFilter(request, 0, std::max(1.0, passing * documents_));
        const Clock::time_point since = Clock::now();
        auto reply = library_.Search(request);
        if (!reply.ok()) return reply.status();
        if (i >= kWarm) whole.Add(MillisecondsSince(since));
      }
      console_.Print(whole.Line());
      json entry = ToObject(whole);
      entry["passing"] = passing;
      if (unfiltered > 0) entry["times_unfiltered"] = whole.Quantile(0.5) / unfiltered;
      size["filters"].push_back(std::move(entry));
    }
    return absl::OkStatus();
  }

  // The truth: the store in slices that are small enough to be scanned, by filter, and the best of all of them.
  absl::Status Recall(json& size) {
    const double slices = std::ceil(static_cast<double>(passages_) / kSlicePassages);
    const double step = std::max(1.0, std::floor(documents_ / slices));
    const auto best_of = [](const v1::SearchResponse& reply, std::map<std::string, double>& best) {
      for (const v1::Hit& hit : reply.hits()) {
        best[StrCat(hit.document_id(), "/", hit.passage_span().begin())] = hit.vector_score();
      }
    };
    size_t found = 0, all = 0;
    for (uint32_t i = 0; i < std::min(kRecallQuestions, options_.questions); ++i) {
      console_.Progress(StrCat(passages_, " passages, recall: ", i));
      v1::SearchRequest request = Question(store_, i, Legs::kVectors);
      request.mutable_ranking()->set_ranker("none");
      request.set_max_results(kRecallHits);
      std::map<std::string, double> got, truth;
      auto reply = library_.Search(request);
      if (!reply.ok()) return reply.status();
      best_of(*reply, got);
      for (double from = 0; from < documents_; from += step) {
        SetNumberFilter(request, from, from + step);
        auto slice = library_.Search(request);
        if (!slice.ok()) return slice.status();
        request.clear_filter();
        best_of(*slice, truth);
      }
      std::vector<std::pair<double, std::string>> order;
      for (const auto& [hit, cosine] : truth) order.emplace_back(-cosine, hit);
      std::sort(order.begin(), order.end());
      order.resize(std::min<size_t>(order.size(), kRecallHits));
      all += order.size();
      for (const auto& [cosine, hit] : order) found += got.contains(hit);
    }
    const double recall = all == 0 ? 1 : static_cast<double>(found) / static_cast<double>(all);
    size["vector_recall_at_10"] = recall;
    Printf("  recall@10 of the vectors against an exact scan: %.4f", recall);
    return absl::OkStatus();
  }

  // --- documents ---

  absl::StatusOr<Read> ReadIn(const std::string& store, const BenchDocument& document) {
    Read out;
    const Clock::time_point began = Clock::now();
    auto added = library_.Add(store, document, 0);
    if (!added.ok()) return added.status();
    std::optional<Clock::time_point> embedding;
    out.document = *std::move(added);
    while (out.document.status() == v1::IN_PROGRESS) {
      std::this_thread::sleep_for(kPoll);
      auto now = library_.Get(store, out.document.document_id());
      if (!now.ok()) return now.status();
      out.document = *std::move(now);
      const bool embeds = out.document.progress().phase() == "embedding";
      if (embeds && !embedding) embedding = Clock::now();
      if (embeds && embedding) out.embedding_ms = MillisecondsSince(*embedding);
      console_.Progress(StrCat(document.file_name, ": ", out.document.progress().phase(), ", ",
                               out.document.progress().embedded(), " of ", out.document.progress().to_embed()));
    }
    out.ms = MillisecondsSince(began);
    return out;
  }

  absl::StatusOr<std::map<std::string, std::vector<BenchDocument>>> DocumentsByType() {
    std::map<std::string, std::vector<BenchDocument>> out;
    if (options_.documents.empty()) {
      for (const std::string& type : options_.types) {
        auto document = MakeBenchDocument(type, (uint64_t{1} << 40) + out.size() * 1'000'000, options_.pages);
        if (!document.ok()) return document.status();
        out[type].push_back(*std::move(document));
      }
      return out;
    }
    auto paths = FindDocuments({options_.documents}, console_);
    if (!paths.ok()) return paths.status();
    for (const DocumentPath& path : *paths) {
      std::ifstream in(path.path, std::ios::binary);
      std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
      if (in.bad() || !in.is_open()) return absl::InvalidArgumentError(StrCat(path.path, " cannot be read"));
      const std::string extension = fs::path(path.path).extension().string();
      out[extension.empty() ? "" : extension.substr(1)].push_back(
          {.file_name = fs::path(path.path).filename().string(), .bytes = std::move(bytes)});
    }
    return out;
  }

  absl::Status MeasureTypes() {
    auto documents = DocumentsByType();
    if (!documents.ok()) return documents.status();
    if (documents->empty()) return absl::OkStatus();
    auto store = library_.CreateStore(0);
    if (!store.ok()) return store.status();
    console_.Print("reading in, one document after the other   pages/s  passages/s      MB/s    beside the embedder");
    for (const auto& [type, all] : *documents) {
      double ms = 0, embedding = 0, bytes = 0, pages = 0, passages = 0;
      std::string refused;
      for (const BenchDocument& document : all) {
        auto read = ReadIn(*store, document);
        if (!read.ok()) return read.status();
        if (read->document.status() != v1::COMPLETED) {
          refused = StrCat(document.file_name, ": ", read->document.message());
          console_.Say(StrCat("not read: ", refused));
          continue;
        }
        ms += read->ms;
        embedding += read->embedding_ms;
        bytes += static_cast<double>(document.bytes.size());
        pages += read->document.pages();
        passages += static_cast<double>(read->document.passages());
      }
      json entry = {{"type", type}, {"documents", all.size()}};
      if (!refused.empty()) entry["refused"] = refused;
      if (ms > 0) {
        entry["seconds"] = ms / 1000;
        entry["bytes_per_second"] = bytes / (ms / 1000);
        entry["pages_per_second"] = pages / (ms / 1000);
        entry["passages_per_second"] = passages / (ms / 1000);
        entry["share_beside_the_embedder"] = 1 - embedding / ms;
        Printf("  %-38s %9.1f   %9.1f %9.3f   %6.1f %%", type.c_str(), pages / (ms / 1000), passages / (ms / 1000),
               bytes / 1e6 / (ms / 1000), 100 * (1 - embedding / ms));
      }
      report_["types"].push_back(std::move(entry));
    }
    return absl::OkStatus();
  }

  // Questions one after the other while a document is read in and embedded.
  absl::Status MeasureDuringIngest() {
    if (store_.empty()) return absl::OkStatus();
    auto document = MakeBenchDocument("pdf", uint64_t{1} << 50, options_.pages);
    if (!document.ok()) return document.status();
    auto other = library_.CreateStore(0);
    if (!other.ok()) return other.status();
    auto added = library_.Add(*other, *document, 0);
    if (!added.ok()) return added.status();
    Series series("both legs, while a document is read in", "during_ingest");
    for (uint32_t i = 0; true; ++i) {
      console_.Progress(StrCat("questions while a document is read in: ", i));
      const v1::SearchRequest request = Question(store_, 1'000 + i, Legs::kBoth);
      const Clock::time_point since = Clock::now();
      if (auto reply = library_.Search(request); !reply.ok()) return reply.status();
      series.Add(MillisecondsSince(since));
      auto now = library_.Get(*other, added->document_id());
      if (!now.ok()) return now.status();
      if (now->status() != v1::IN_PROGRESS) break;
    }
    console_.Print(series.Line());
    report_["during_ingest"] = ToObject(series);
    return absl::OkStatus();
  }

  // --- others ---

  // Vectors alone: ours as the reply says, others' over vectors of the same texts by the same model.
  void Compare() {
    const auto program = ProgramBeside("carrel");
    const fs::path script =
        fs::path(program.ok() ? *program : "").parent_path().parent_path() / "share/carrel/bench/search_baselines.py";
    auto directory = TempDir::Create();
    if (!directory.ok()) return console_.Say(StrCat("no comparison: ", directory.status().message()));
    const std::string prefix = directory->path() + "/vectors-";
    const uint32_t size = options_.sizes.empty() ? 1'000 : options_.sizes.back();
    if (size == 0) return;
    const auto write = [&](const char* name, uint32_t count, bool questions) -> absl::Status {
      std::ofstream out(prefix + name, std::ios::binary);
      for (uint32_t begin = 0; begin < count; begin += 64) {
        console_.Progress(StrCat("vectors for the comparison: ", begin, " of ", count));
        std::vector<std::string> texts;
        for (uint32_t i = begin; i < std::min(count, begin + 64); ++i) {
          texts.push_back(questions ? BenchQuestion(i) : BenchParagraph(i));
        }
        auto reply = library_.Embed(texts, questions);
        if (!reply.ok()) return reply.status();
        for (const v1::Vector& vector : reply->vectors()) {
          out.write(reinterpret_cast<const char*>(vector.values().data()),
                    static_cast<std::streamsize>(vector.values_size() * sizeof(float)));
        }
      }
      return out.good() ? absl::OkStatus() : absl::InternalError(StrCat(prefix, name, " cannot be written"));
    };
    for (const absl::Status& status :
         {write("all.f32", size, false), write("questions.f32", options_.questions, true)}) {
      if (!status.ok()) return console_.Say(StrCat("no comparison: ", status.message()));
    }
    console_.Print(StrCat("vectors alone, ", size, " of them, one thread (ours: `of it the vectors` above)"));
    const std::string command = StrCat("PYTHONPATH='", options_.baselines, "' OMP_NUM_THREADS=1 /usr/bin/python3 '",
                                       script.string(), "' '", prefix, "'");
    std::FILE* const pipe = ::popen(command.c_str(), "re");
    if (pipe == nullptr) return console_.Say("no comparison: /usr/bin/python3 cannot be started");
    char line[512];
    while (std::fgets(line, sizeof line, pipe) != nullptr) {
      const std::string text(line);
      const size_t tab = text.find('\t');
      if (tab == text.npos) continue;
      const double value = std::strtod(text.c_str() + tab, nullptr);
      report_["others"][text.substr(0, tab)] = value;
      Printf("  %-54s %9.4f", text.substr(0, tab).c_str(), value);
    }
    if (::pclose(pipe) != 0) console_.Say("the comparison ended early; what it said is above");
  }

  BenchLibrary& library_;
  const BenchSearchOptions& options_;
  Console& console_;
  json report_;
  std::string store_;
  uint64_t passages_ = 0;
  uint32_t documents_ = 0;
  double grown_per_second_ = 0;
};

}  // namespace

ExitCode BenchSearch(const CommonOptions& common, const BenchSearchOptions& options, Console& console) {
  const auto fail = [&console](const absl::Status& status) {
    console.Fail(status);
    return ExitCodeOf(status);
  };
  if (options.baselines.find('\'') != std::string::npos) {
    return fail(absl::InvalidArgumentError("--baselines: the directory's name has a ', which is not taken"));
  }
  const std::vector<std::string> types = BenchDocumentTypes();
  for (const std::string& type : options.types) {
    if (std::find(types.begin(), types.end(), type) == types.end()) {
      return fail(absl::InvalidArgumentError(StrCat("--types: there is no generated document of the type ", type,
                                                    "; there are: ", absl::StrJoin(types, ", "))));
    }
  }
  const auto place = FindPlace(common);
  if (!place.ok()) return fail(place.status());
  auto library = BenchLibrary::Open(*place, options.server);
  if (!library.ok()) return fail(library.status());
  Bench bench(**library, options, console);
  if (absl::Status s = bench.Run(); !s.ok()) return fail(s);
  console.PrintJsonText(bench.Json());
  return ExitCode::kOk;
}

}  // namespace carrel::cli
