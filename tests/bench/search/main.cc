// carrel-bench-search: how long searching takes by the size of the store and the selectivity of a filter, how much of
// what an exact search finds the indexes find, what they take of memory and disk; and the vectors alone beside chromadb
// and faiss-cpu in the same run.
//
// Whole searches go over gRPC on a unix socket through the real service and library, both legs, with the question
// embedded by the real model. The texts are synthetic with a natural vocabulary, the vectors clustered (corpus.h), so
// that a million need not be embedded; what the model gives for a question is thrown away after it was paid for.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "carrel/retrieval/v1/retrieval.grpc.pb.h"
#include "corpus.h"
#include "nlohmann/json.hpp"
#include "retrieval/extraction.h"
#include "retrieval/library.h"
#include "retrieval/openvino_embedder.h"
#include "retrieval/service/retrieval_service.h"
#include "retrieval/vector_index.h"
#include "rpc/client.h"
#include "rpc/log.h"
#include "rpc/server.h"

namespace carrel::bench {
namespace {

using nlohmann::json;
using retrieval::Embedder;
using retrieval::Embedding;
using retrieval::TextRole;
namespace v1 = retrieval::v1;

constexpr uint32_t kParagraphsPerDocument = 100;

struct Options {
  uint32_t passages = 100'000;
  uint32_t questions = 200;
  std::string directory;  // "": a temporary one
  bool exact = true;      // measure without indexes first; the truth for recall
  bool baselines = true;
  bool as_json = false;
};

template <typename Value>
Value OrDie(absl::StatusOr<Value> value, const char* what) {
  if (value.ok()) return *std::move(value);
  std::fprintf(stderr, "carrel-bench-search: %s: %s\n", what, value.status().ToString().c_str());
  std::exit(6);
}

double Percentile(std::vector<double> values, double p) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, static_cast<size_t>(p * static_cast<double>(values.size())))];
}

double MsSince(absl::Time start) { return absl::ToDoubleMilliseconds(absl::Now() - start); }

uint64_t ResidentBytes() {
  std::ifstream in("/proc/self/statm");
  uint64_t all = 0, resident = 0;
  in >> all >> resident;
  return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

// Passages get clustered vectors at once; a question is embedded by the real model, and gets such a vector too.
class CorpusEmbedder final : public Embedder {
 public:
  explicit CorpusEmbedder(Embedder& real) : real_(real) {}
  const std::string& name() const override { return real_.name(); }
  const std::string& alias() const override { return real_.alias(); }
  const std::string& licence() const override { return real_.licence(); }
  uint32_t dimensions() const override { return Vectors::kDimensions; }
  uint32_t window_tokens() const override { return real_.window_tokens(); }
  uint32_t batch() const override { return real_.batch(); }
  size_t CountTokens(std::string_view utf8) const override { return utf8.empty() ? 0 : utf8.size() / 6 + 1; }
  absl::StatusOr<std::vector<Embedding>> Embed(std::span<const std::string_view> texts, TextRole role) override {
    std::vector<Embedding> out;
    if (role == TextRole::kQuery) {
      absl::StatusOr<std::vector<Embedding>> real = real_.Embed(texts, role);
      if (!real.ok()) return real;
    }
    for (const std::string_view text : texts) out.push_back({.values = vectors_.OfText(text)});
    return out;
  }

 private:
  Embedder& real_;
  const Vectors vectors_;
};

// The bytes of a document are the number of its first paragraph.
class CorpusExtractor final : public retrieval::Extractor {
 public:
  explicit CorpusExtractor(const Corpus& corpus) : corpus_(corpus) {}
  absl::StatusOr<retrieval::Extraction> Extract(retrieval::ExtractionRequest request) override {
    char buffer[32] = {};
    if (::read(request.bytes.get(), buffer, sizeof(buffer) - 1) <= 0) return absl::InternalError("read");
    const uint64_t first = std::strtoull(buffer, nullptr, 10);
    std::string text;
    for (uint64_t i = first; i < first + kParagraphsPerDocument; ++i) {
      absl::StrAppend(&text, text.empty() ? "" : "\n\n", corpus_.Paragraph(i));
    }
    retrieval::Extraction out{.verdict = retrieval::Verdict::kRead, .pages = 1};
    absl::StatusOr<std::u32string> wide = retrieval::FromUtf8(text);
    if (!wide.ok()) return wide.status();
    const auto size = static_cast<uint32_t>(wide->size());
    out.document.text = *std::move(wide);
    out.document.body_end = size;
    out.document.pages.push_back({.number = 1, .label = "1", .body = {0, size}, .margin = {size, size}});
    return out;
  }

 private:
  const Corpus& corpus_;
};

// The library behind its service, and a client.
class Served {
 public:
  Served(const std::string& directory, Embedder& embedder, retrieval::Extractor& extractor, bool indexes)
      : socket_(absl::StrCat(directory, "/bench.sock")) {
    retrieval::LibraryOptions options{.directory = directory + "/data", .sync_full = false};
    if (!indexes) options.indexed_vectors_min = ~0u;
    library_ = OrDie(retrieval::Library::Open(std::move(options), {&embedder}, extractor), "open");
    service_ = retrieval::MakeRetrievalService({.version = "bench"}, *library_, {&embedder}, nullptr);
    const rpc::Address address = OrDie(rpc::ParseAddress("unix:" + socket_), "address");
    server_ = OrDie(
        rpc::Server::Start({.listen = address}, {{service_.get(), std::string(v1::Retrieval::service_full_name())}}),
        "serve");
    server_->SetServing(true);
    stub_ = v1::Retrieval::NewStub(OrDie(rpc::MakeChannel({.address = address}), "connect"));
  }
  ~Served() { server_->Shutdown(); }
  Served(const Served&) = delete;
  Served& operator=(const Served&) = delete;

  retrieval::Library& library() { return *library_; }
  v1::SearchResponse Search(const v1::SearchRequest& request) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(3));
    v1::SearchResponse reply;
    const grpc::Status status = stub_->Search(&context, request, &reply);
    if (!status.ok()) {
      std::fprintf(stderr, "carrel-bench-search: search: %s\n", status.error_message().c_str());
      std::exit(6);
    }
    return reply;
  }

 private:
  const std::string socket_;
  std::unique_ptr<retrieval::Library> library_;
  std::unique_ptr<v1::Retrieval::Service> service_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<v1::Retrieval::Stub> stub_;
};

class Bench {
 public:
  explicit Bench(Options options) : options_(std::move(options)), corpus_(CARREL_TESTDATA) {
    const auto model =
        OrDie(retrieval::OpenModelDirectory(CARREL_SHARE "/models/bge-small-en-v1.5"), "the embedding model");
    real_ = OrDie(retrieval::MakeOpenVinoEmbedder(model, {.threads_max = 1, .fastest_precision = true}), "the model");
    embedder_ = std::make_unique<CorpusEmbedder>(*real_);
    extractor_ = std::make_unique<CorpusExtractor>(corpus_);
    report_["passages"] = options_.passages;
    report_["instructions"] = std::string(retrieval::VectorInstructions());
  }

  void Run() {
    const bool temporary = options_.directory.empty();
    if (temporary) {
      std::string path = (std::filesystem::temp_directory_path() / "carrel-bench-XXXXXX").string();
      if (::mkdtemp(path.data()) == nullptr) OrDie(absl::StatusOr<int>(absl::ErrnoToStatus(errno, path)), "mkdtemp");
      options_.directory = path;
    } else {
      std::filesystem::create_directories(options_.directory + "/data");
    }
    if (options_.exact) {
      Served served(options_.directory, *embedder_, *extractor_, false);
      Fill(served);
      served.library().WaitForIndexes();
      Questions(served, "exact vectors");
    }
    {
      Served served(options_.directory, *embedder_, *extractor_, true);
      Fill(served);
      absl::Time start = absl::Now();
      Ask(served, corpus_.questions()[0], {}, nullptr);
      Say("first search, which loads the index", MsSince(start), "ms");
      start = absl::Now();
      served.library().WaitForIndexes();
      Say("index worked out in the background", MsSince(start) / 1e3, "s");
      Questions(served, "indexed");
      Filters(served);
      Say("memory of the process", static_cast<double>(ResidentBytes()) / 1e6, "MB");
    }
    Disk();
    if (options_.baselines) VectorsAlone();
    if (temporary) std::filesystem::remove_all(options_.directory);
    if (options_.as_json) std::printf("%s\n", report_.dump(1).c_str());
  }

 private:
  struct Asked {
    double ms = 0;
    v1::SearchResponse reply;
  };

  void Say(const std::string& what, double value, const char* unit) {
    report_[what] = value;
    std::fprintf(options_.as_json ? stderr : stdout, "%-58s %10.2f %s\n", what.c_str(), value, unit);
    std::fflush(stdout);
  }

  void Fill(Served& served) {
    retrieval::Library& library = served.library();
    const auto stores = OrDie(library.ListStores(""), "list");
    if (!stores.empty()) {
      store_ = stores[0].id;
      return;
    }
    store_ = OrDie(library.CreateStore({.name = "bench", .chunking = {.max_tokens = 100, .overlap_tokens = 0}}),
                   "create a store")
                 .id;
    const absl::Time start = absl::Now();
    const uint32_t documents = options_.passages / kParagraphsPerDocument;
    for (uint32_t i = 0; i < documents; ++i) {
      auto upload = OrDie(library.NewUpload(), "upload");
      const std::string number = absl::StrCat(i * kParagraphsPerDocument);
      if (!upload->Write(number).ok()) std::abort();
      OrDie(library.AddDocument({.store_id = store_,
                                 .file_name = absl::StrCat(number, ".txt"),
                                 .attributes = {{"number", static_cast<double>(i)}}},
                                std::move(upload)),
            "add");
      // The queue has an end.
      while (i % 500 == 499 && OrDie(library.GetStore("", store_), "get").documents.in_progress > 1000) {
        absl::SleepFor(absl::Milliseconds(50));
      }
    }
    while (OrDie(library.GetStore("", store_), "get").documents.completed < documents) {
      absl::SleepFor(absl::Milliseconds(100));
    }
    Say("read in, without extractor and embedder, passages a second", options_.passages / (MsSince(start) / 1e3), "");
  }

  Asked Ask(Served& served, const std::string& question, const v1::Ranking& ranking, const v1::Filter* filter) {
    v1::SearchRequest request;
    request.add_store_ids(store_);
    request.add_queries(question);
    *request.mutable_ranking() = ranking;
    if (filter != nullptr) *request.mutable_filter() = *filter;
    const absl::Time start = absl::Now();
    Asked out{.reply = served.Search(request)};
    out.ms = MsSince(start);
    return out;
  }

  void Questions(Served& served, const std::string& how) {
    v1::Ranking fused, vectors, text;
    vectors.set_embedding_weight(1);
    vectors.set_text_weight(0);
    text.set_embedding_weight(0);
    text.set_text_weight(1);
    for (const auto& [name, ranking] :
         {std::pair("both legs", fused), std::pair("vectors", vectors), std::pair("keywords", text)}) {
      std::vector<double> whole, embed, vector, keyword;
      size_t same = 0, all = 0;
      for (uint32_t i = 0; i < options_.questions + 5; ++i) {
        const std::string& question = corpus_.questions()[i % corpus_.questions().size()];
        const Asked asked = Ask(served, question, ranking, nullptr);
        if (i < 5) continue;  // warm
        whole.push_back(asked.ms);
        embed.push_back(static_cast<double>(asked.reply.embed_us()) / 1e3);
        vector.push_back(static_cast<double>(asked.reply.vector_us()) / 1e3);
        keyword.push_back(static_cast<double>(asked.reply.text_us()) / 1e3);
        std::set<std::string> found;
        for (const v1::Hit& hit : asked.reply.hits()) {
          found.insert(absl::StrCat(hit.document_id(), "/", hit.passage_span().begin()));
        }
        std::set<std::string>& truth = truth_[name][question];
        if (how == "exact vectors") {
          truth = found;
        } else if (!truth.empty()) {
          all += truth.size();
          same += static_cast<size_t>(
              std::count_if(truth.begin(), truth.end(), [&](auto& t) { return found.contains(t); }));
        }
      }
      const std::string title = absl::StrCat(how, ", ", name);
      Say(title + ", p50", Percentile(whole, 0.5), "ms");
      Say(title + ", p95", Percentile(whole, 0.95), "ms");
      if (ranking.embedding_weight() != 0 || !ranking.has_embedding_weight()) {
        Say(title + ", of it the question's vector, p50", Percentile(embed, 0.5), "ms");
        Say(title + ", of it the vectors, p50", Percentile(vector, 0.5), "ms");
      }
      if (ranking.text_weight() != 0 || !ranking.has_text_weight()) {
        Say(title + ", of it the keywords, p50", Percentile(keyword, 0.5), "ms");
      }
      if (all > 0)
        Say(title + ", share of the exact search's hits", static_cast<double>(same) / static_cast<double>(all), "");
      unfiltered_p50_ = name == std::string("both legs") ? Percentile(whole, 0.5) : unfiltered_p50_;
    }
  }

  void Filters(Served& served) {
    const double documents = options_.passages / kParagraphsPerDocument;
    for (const double passing : {0.5, 0.1, 0.05, 0.02, 0.01, 0.001}) {
      v1::Filter filter;
      v1::Comparison& comparison = *filter.mutable_comparison();
      comparison.set_key("number");
      comparison.set_op(v1::Comparison::LT);
      comparison.add_values()->set_number(std::max(1.0, documents * passing));
      std::vector<double> whole;
      for (uint32_t i = 0; i < options_.questions / 2 + 2; ++i) {
        const Asked asked = Ask(served, corpus_.questions()[i % corpus_.questions().size()], {}, &filter);
        if (i >= 2) whole.push_back(asked.ms);
      }
      Say(absl::StrCat("filter that lets ", passing * 100, " % pass, p50"), Percentile(whole, 0.5), "ms");
      Say(absl::StrCat("filter that lets ", passing * 100, " % pass, times the unfiltered p50"),
          Percentile(whole, 0.5) / unfiltered_p50_, "");
    }
  }

  void Disk() {
    uint64_t all = 0, index = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(options_.directory)) {
      if (!entry.is_regular_file()) continue;
      all += entry.file_size();
      if (entry.path().parent_path().filename() == "index") index += entry.file_size();
    }
    Say("on disk", static_cast<double>(all) / 1e6, "MB");
    Say("of it caches of the indexes", static_cast<double>(index) / 1e6, "MB");
  }

  // The vectors alone, ours and others', the same ones and the same questions, one thread, ten neighbours.
  void VectorsAlone() {
    constexpr size_t kNeighbours = 10;
    const Vectors vectors;
    retrieval::VectorIndex index(Vectors::kDimensions);
    std::vector<float> all, questions;
    for (uint32_t i = 0; i < options_.passages; ++i) {
      const std::vector<float> one = vectors.Of(i);
      index.Add(one);
      all.insert(all.end(), one.begin(), one.end());
    }
    for (uint32_t i = 0; i < options_.questions; ++i) {
      const std::vector<float> one = vectors.Of((uint64_t{1} << 40) + i);
      questions.insert(questions.end(), one.begin(), one.end());
    }
    // The truth in single precision.
    std::vector<std::set<uint32_t>> truth;
    const auto question = [&](uint32_t i) {
      return std::span(questions).subspan(i * Vectors::kDimensions, Vectors::kDimensions);
    };
    for (uint32_t i = 0; i < options_.questions; ++i) {
      std::vector<std::pair<float, uint32_t>> scored;
      for (uint32_t p = 0; p < options_.passages; ++p) {
        float cosine = 0;
        for (uint32_t d = 0; d < Vectors::kDimensions; ++d)
          cosine += question(i)[d] * all[size_t{p} * Vectors::kDimensions + d];
        scored.emplace_back(-cosine, p);
      }
      std::partial_sort(scored.begin(), scored.begin() + kNeighbours, scored.end());
      truth.emplace_back();
      for (size_t n = 0; n < kNeighbours; ++n) truth.back().insert(scored[n].second);
    }
    const auto measure = [&](const std::string& name) {
      std::vector<double> times;
      size_t found = 0;
      for (uint32_t i = 0; i < options_.questions; ++i) {
        const absl::Time start = absl::Now();
        const auto matches = index.Search(question(i), kNeighbours, nullptr);
        times.push_back(MsSince(start));
        for (const auto& match : matches) found += truth[i].contains(match.position);
      }
      Say(name + ", p50", Percentile(times, 0.5), "ms");
      Say(name + ", p95", Percentile(times, 0.95), "ms");
      Say(name + ", recall@10", static_cast<double>(found) / static_cast<double>(kNeighbours * options_.questions), "");
    };
    measure("vectors alone, carrel, exact");
    const uint32_t cells = retrieval::VectorLists::CellsFor(options_.passages);
    std::vector<float> sample;
    const uint32_t step = std::max(1u, options_.passages / (cells * 48));
    for (uint32_t p = 0; p < options_.passages; p += step) {
      sample.insert(sample.end(), all.begin() + static_cast<ptrdiff_t>(size_t{p} * Vectors::kDimensions),
                    all.begin() + static_cast<ptrdiff_t>((size_t{p} + 1) * Vectors::kDimensions));
    }
    auto lists = retrieval::VectorLists::Train(sample, Vectors::kDimensions, cells, 1)->With(all);
    index.Install(lists->WithProbes(retrieval::ProbesFor(index, *lists, nullptr)));
    Say("vectors alone, carrel, indexed, cells looked into", index.lists()->parts().probes, "");
    measure("vectors alone, carrel, indexed");

    const std::string files = options_.directory + "/vectors-";
    std::ofstream(files + "all.f32", std::ios::binary)
        .write(reinterpret_cast<const char*>(all.data()), static_cast<std::streamsize>(all.size() * sizeof(float)));
    std::ofstream(files + "questions.f32", std::ios::binary)
        .write(reinterpret_cast<const char*>(questions.data()),
               static_cast<std::streamsize>(questions.size() * sizeof(float)));
    Others(files);
  }

  void Others(const std::string& files) {
    const std::string command =
        absl::StrCat("PYTHONPATH='", CARREL_BASELINE_PACKAGES, "' OMP_NUM_THREADS=1 /usr/bin/python3 '",
                     CARREL_BASELINES, "' '", files, "'");
    std::FILE* const pipe = ::popen(command.c_str(), "r");
    if (pipe == nullptr) OrDie(absl::StatusOr<int>(absl::ErrnoToStatus(errno, command)), "baselines");
    char line[512];
    while (std::fgets(line, sizeof(line), pipe) != nullptr) {
      const std::string text(line);
      const size_t tab = text.find('\t');
      if (tab == text.npos) continue;
      Say("vectors alone, " + text.substr(0, tab), std::strtod(text.c_str() + tab, nullptr), "");
    }
    if (::pclose(pipe) != 0)
      std::fprintf(stderr, "carrel-bench-search: the comparison ended early; what it said is above\n");
  }

  Options options_;
  const Corpus corpus_;
  std::unique_ptr<Embedder> real_;
  std::unique_ptr<CorpusEmbedder> embedder_;
  std::unique_ptr<CorpusExtractor> extractor_;
  std::string store_;
  std::map<std::string, std::map<std::string, std::set<std::string>>> truth_;  // hits by legs and question
  double unfiltered_p50_ = 1;
  json report_;
};

}  // namespace
}  // namespace carrel::bench

int main(int argc, char** argv) {
  carrel::bench::Options options;
  CLI::App app("How long searching takes, and what it finds.");
  app.add_option("--passages", options.passages, "in the store")->check(CLI::Range(1'000u, 10'000'000u));
  app.add_option("--questions", options.questions, "to ask")->check(CLI::Range(10u, 10'000u));
  app.add_option("--directory", options.directory, "keep the store here, or use the one that is there");
  app.add_flag("!--no-exact", options.exact, "do not measure without indexes (and no recall)");
  app.add_flag("!--no-baselines", options.baselines, "do not measure vectors alone, ours and others'");
  app.add_flag("--json", options.as_json, "the report as JSON on stdout");
  CLI11_PARSE(app, argc, argv);
  carrel::rpc::SetLogLevel(carrel::rpc::LogLevel::kError);
  carrel::bench::Bench(options).Run();
}
