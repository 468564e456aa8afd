// carrel-bench-search: how long searching takes by the size of the store and the selectivity of a filter, how much of
// what an exact search finds the indexes find, what they take of time, memory and disk; thousands of small stores; and
// the vectors alone beside chromadb and faiss-cpu in the same run.
//
// Whole searches go over gRPC on a unix socket through the real service and library, both legs, with the question
// embedded by the real model. The texts are synthetic with a natural vocabulary, the vectors clustered (corpus.h,
// served.h). What a user can do over gRPC with real vectors is measured by `carrel bench search`.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "report.h"
#include "retrieval/openvino_embedder.h"
#include "retrieval/vector_index.h"
#include "rpc/log.h"
#include "served.h"
#include "vectors_alone.h"

namespace carrel::bench {
namespace {

namespace v1 = retrieval::v1;
namespace fs = std::filesystem;

constexpr uint32_t kParagraphsPerDocument = 100;
constexpr uint32_t kParagraphsOfSmallStores = 20;
constexpr uint64_t kSmallStoresBytes = 64u << 20;
constexpr uint32_t kWarm = 5;  // questions that are not counted

struct Options {
  uint32_t passages = 100'000;
  uint32_t questions = 200;
  uint32_t words = 0;     // of each question; 0: all
  uint32_t stores = 0;    // instead: so many small ones
  std::string directory;  // "": a temporary one
  bool exact = true;      // measure without indexes first; the truth for recall
  bool alone = true;      // vectors alone
  bool others = true;     // beside chromadb and faiss-cpu
  bool as_json = false;
};

double MsSince(absl::Time start) { return absl::ToDoubleMilliseconds(absl::Now() - start); }

double ResidentMb() {
  std::ifstream in("/proc/self/statm");
  uint64_t all = 0, resident = 0;
  in >> all >> resident;
  return static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE)) / 1e6;
}

// Takes the files out of the page cache, as after a start of the machine.
void Forget(const std::string& directory) {
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (!entry.is_regular_file()) continue;
    const int fd = ::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    ::fdatasync(fd);
    ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    ::close(fd);
  }
}

class Bench {
 public:
  explicit Bench(Options options) : options_(std::move(options)), corpus_(CARREL_TESTDATA), report_(options_.as_json) {
    const auto model =
        OrDie(retrieval::OpenModelDirectory(CARREL_SHARE "/models/bge-small-en-v1.5"), "the embedding model");
    real_ = OrDie(retrieval::MakeOpenVinoEmbedder(model, {.threads_max = 1, .fastest = true}), "the model");
    embedder_ = std::make_unique<CorpusEmbedder>(*real_);
    extractor_ = std::make_unique<CorpusExtractor>(corpus_);
    report_.Say("vector instructions", std::string(retrieval::VectorInstructions()));
  }

  void Run() {
    const bool temporary = options_.directory.empty();
    if (temporary) {
      std::string path = (fs::temp_directory_path() / "carrel-bench-XXXXXX").string();
      if (::mkdtemp(path.data()) == nullptr) Die("mkdtemp", absl::ErrnoToStatus(errno, path));
      options_.directory = path;
    }
    fs::create_directories(options_.directory + "/data");
    if (options_.stores > 0) {
      SmallStores();
    } else {
      LargeStore();
    }
    Disk();
    if (options_.alone && options_.stores == 0) {
      VectorsAlone(options_.directory, options_.passages, options_.questions, options_.others, report_);
    }
    if (temporary) fs::remove_all(options_.directory);
    report_.Print();
  }

 private:
  struct Asked {
    double ms = 0;
    v1::SearchResponse reply;
  };

  ServedOptions Serving() const { return {.directory = options_.directory}; }

  void LargeStore() {
    {
      Served served(Serving(), *embedder_, *extractor_);
      Fill(served);
    }
    if (options_.exact) {
      ServedOptions exact = Serving();
      exact.indexes = false;
      Served served(exact, *embedder_, *extractor_);
      Ask(served, corpus_.questions()[0], {}, nullptr);
      served.library().WaitForIndexes();
      Questions(served, "exact vectors");
    }
    // Reading what a start finds, with nothing of it in memory.
    Forget(options_.directory);
    Served served(Serving(), *embedder_, *extractor_);
    absl::Time start = absl::Now();
    Ask(served, corpus_.questions()[0], {}, nullptr);
    report_.Say("first search after a start, files not in memory", MsSince(start), "ms");
    Meanwhile(served);
    FirstTimes(served);
    Questions(served, "indexed");
    Filters(served);
    report_.Say("memory of the process", ResidentMb(), "MB");
    Changes(served);
  }

  void Fill(Served& served) {
    const auto stores = OrDie(served.library().ListStores(""), "list");
    const uint32_t documents = options_.passages / kParagraphsPerDocument;
    store_ = stores.empty() ? served.MakeStore() : stores[0].id;
    const uint64_t there = stores.empty() ? 0 : stores[0].documents.completed;
    if (there >= documents) return;
    const absl::Time start = absl::Now();
    std::vector<double> asked;
    for (uint64_t i = there; i < documents; ++i) {
      served.Add(store_, i * kParagraphsPerDocument, kParagraphsPerDocument, static_cast<double>(i));
      if (i % 200 == 199) served.Await(store_, i - 150);  // the queue has an end
    }
    served.Await(store_, documents);
    report_.Say("read in, without extractor and embedder, passages a second",
                static_cast<double>(documents - there) * kParagraphsPerDocument / (MsSince(start) / 1e3), "");
    served.library().WaitForIndexes();
    report_.Say("until it was indexed, from the first document on", MsSince(start) / 1e3, "s");
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

  // The time of embedding is that of the words.
  std::string Question(uint32_t i) const {
    const std::string& whole = corpus_.questions()[i % corpus_.questions().size()];
    std::string_view left = whole;
    for (uint32_t word = 0; word < options_.words && !left.empty(); ++word) {
      left.remove_prefix(std::min(left.size(), left.find(' ')));
      left.remove_prefix(std::min(left.size(), left.find_first_not_of(' ')));
    }
    return options_.words == 0 ? whole : whole.substr(0, whole.size() - left.size());
  }

  // Questions while the background works, if it has something to do.
  void Meanwhile(Served& served) {
    std::atomic<bool> done = false;
    const absl::Time start = absl::Now();
    std::thread waiter([&] {
      served.library().WaitForIndexes();
      done = true;
    });
    std::vector<double> whole;
    for (uint32_t i = 0; !done; ++i) whole.push_back(Ask(served, Question(i), {}, nullptr).ms);
    waiter.join();
    const double seconds = MsSince(start) / 1e3;
    if (whole.size() < 20) return;
    report_.Say("background work on the index", seconds, "s");
    report_.Say("searches meanwhile, p50", Percentile(whole, 0.5), "ms");
    report_.Say("searches meanwhile, p99", Percentile(whole, 0.99), "ms");
  }

  // Every question once, while what it finds is still to be read from the disk.
  void FirstTimes(Served& served) {
    std::vector<double> whole;
    for (uint32_t i = 0; i < std::min<size_t>(options_.questions, corpus_.questions().size()); ++i) {
      whole.push_back(Ask(served, Question(i), {}, nullptr).ms);
    }
    report_.Say("indexed, both legs, passages not in memory, p50", Percentile(whole, 0.5), "ms");
    report_.Say("indexed, both legs, passages not in memory, p95", Percentile(whole, 0.95), "ms");
  }

  void Questions(Served& served, const std::string& how) {
    v1::Ranking fused, vectors, text;
    vectors.set_embedding_weight(1);
    vectors.set_text_weight(0);
    text.set_embedding_weight(0);
    text.set_text_weight(1);
    for (const auto& [name, ranking] :
         {std::pair("both legs", fused), std::pair("vectors", vectors), std::pair("keywords", text)}) {
      std::vector<double> whole, embed, vector, keyword, inside;
      size_t same = 0, all = 0;
      for (uint32_t i = 0; i < options_.questions + kWarm; ++i) {
        const Asked asked = Ask(served, Question(i), ranking, nullptr);
        if (i < kWarm) continue;
        whole.push_back(asked.ms);
        inside.push_back(static_cast<double>(asked.reply.elapsed_us()) / 1e3);
        embed.push_back(static_cast<double>(asked.reply.embed_us()) / 1e3);
        vector.push_back(static_cast<double>(asked.reply.vector_us()) / 1e3);
        keyword.push_back(static_cast<double>(asked.reply.text_us()) / 1e3);
        std::set<std::string> found;
        for (const v1::Hit& hit : asked.reply.hits()) {
          found.insert(absl::StrCat(hit.document_id(), "/", hit.passage_span().begin()));
        }
        std::set<std::string>& truth = truth_[name][Question(i)];
        if (how == "exact vectors") {
          truth = found;
        } else if (!truth.empty()) {
          all += truth.size();
          same += static_cast<size_t>(
              std::count_if(truth.begin(), truth.end(), [&](auto& t) { return found.contains(t); }));
        }
      }
      const std::string title = absl::StrCat(how, ", ", name);
      report_.Say(title + ", p50", Percentile(whole, 0.5), "ms");
      report_.Say(title + ", p95", Percentile(whole, 0.95), "ms");
      report_.Say(title + ", of it in the library, p50", Percentile(inside, 0.5), "ms");
      if (Percentile(embed, 1) > 0) {
        report_.Say(title + ", of it the question's vector, p50", Percentile(embed, 0.5), "ms");
        report_.Say(title + ", of it the vectors, p50", Percentile(vector, 0.5), "ms");
      }
      if (Percentile(keyword, 1) > 0) report_.Say(title + ", of it the keywords, p50", Percentile(keyword, 0.5), "ms");
      if (all > 0) {
        report_.Say(title + ", share of the exact search's hits", static_cast<double>(same) / static_cast<double>(all),
                    "");
      }
      if (name == std::string("both legs")) unfiltered_p50_ = Percentile(whole, 0.5);
    }
  }

  void Filters(Served& served) {
    const double documents = options_.passages / kParagraphsPerDocument;
    for (const double passing : {0.9, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.001}) {
      v1::Filter filter;
      v1::Comparison& comparison = *filter.mutable_comparison();
      comparison.set_key("number");
      comparison.set_op(v1::Comparison::LT);
      comparison.add_values()->set_number(std::max(1.0, documents * passing));
      std::vector<double> whole;
      for (uint32_t i = 0; i < options_.questions / 2 + kWarm; ++i) {
        const Asked asked = Ask(served, Question(i), {}, &filter);
        if (i >= kWarm) whole.push_back(asked.ms);
      }
      report_.Say(absl::StrCat("filter that lets ", passing * 100, " % pass, p50"), Percentile(whole, 0.5), "ms");
      report_.Say(absl::StrCat("filter that lets ", passing * 100, " % pass, times the unfiltered p50"),
                  Percentile(whole, 0.5) / unfiltered_p50_, "");
    }
  }

  // One document in fifty is deleted and made again: dead places, and a tail that no index has yet.
  void Changes(Served& served) {
    const uint32_t documents = options_.passages / kParagraphsPerDocument;
    retrieval::DocumentList list{.store_id = store_, .limit = 1000};
    const auto page = OrDie(served.library().ListDocuments(list), "list");
    uint32_t changed = 0;
    for (const auto& document : page.documents) {
      if (changed >= std::max(1u, documents / 50)) break;
      const double number = std::get<double>(document.attributes.at("number"));
      OrDie(served.library().DeleteDocument({"", store_, document.id}), "delete");
      served.Add(store_, static_cast<uint64_t>(number) * kParagraphsPerDocument, kParagraphsPerDocument, number);
      ++changed;
    }
    served.Await(store_, documents);
    std::vector<double> whole;
    for (uint32_t i = 0; i < options_.questions + kWarm; ++i) {
      const Asked asked = Ask(served, Question(i), {}, nullptr);
      if (i >= kWarm) whole.push_back(asked.ms);
    }
    report_.Say("with 2 % deleted and 2 % new, p50", Percentile(whole, 0.5), "ms");
    report_.Say("with 2 % deleted and 2 % new, p99", Percentile(whole, 0.99), "ms");
  }

  // Each with one document, all opened lazily in little memory, asked in no order.
  void SmallStores() {
    ServedOptions little = Serving();
    little.index_bytes_max = kSmallStoresBytes;
    Served served(little, *embedder_, *extractor_);
    std::vector<std::string> stores;
    for (const auto& store : OrDie(served.library().ListStores(""), "list")) stores.push_back(store.id);
    std::vector<double> made, added;
    while (stores.size() < options_.stores) {
      absl::Time start = absl::Now();
      stores.push_back(served.MakeStore());
      made.push_back(MsSince(start));
      start = absl::Now();
      served.Add(stores.back(), stores.size() * kParagraphsOfSmallStores, kParagraphsOfSmallStores, 0);
      served.Await(stores.back(), 1);
      added.push_back(MsSince(start));
    }
    if (!made.empty()) {
      const auto last = static_cast<ptrdiff_t>(std::min<size_t>(made.size(), 100));
      report_.Say("making one of the last 100 stores, p50", Percentile({made.end() - last, made.end()}, 0.5), "ms");
      report_.Say("a document into one of them, p50", Percentile({added.end() - last, added.end()}, 0.5), "ms");
    }
    report_.Say("memory of the process before the first search", ResidentMb(), "MB");
    std::vector<double> whole;
    for (uint32_t i = 0; i < 2 * options_.stores; ++i) {
      store_ = stores[(uint64_t{i} * 7919) % stores.size()];
      whole.push_back(Ask(served, Question(i), {}, nullptr).ms);
    }
    report_.Say("a search of another store each time, p50", Percentile(whole, 0.5), "ms");
    report_.Say("a search of another store each time, p99", Percentile(whole, 0.99), "ms");
    report_.Say("memory of the process after them", ResidentMb(), "MB");
  }

  void Disk() {
    uint64_t all = 0, index = 0;
    for (const auto& entry : fs::recursive_directory_iterator(options_.directory + "/data")) {
      if (!entry.is_regular_file()) continue;
      all += entry.file_size();
      if (entry.path().parent_path().filename() == "index") index += entry.file_size();
    }
    report_.Say("on disk", static_cast<double>(all) / 1e6, "MB");
    report_.Say("of it caches of the indexes", static_cast<double>(index) / 1e6, "MB");
  }

  Options options_;
  const Corpus corpus_;
  std::unique_ptr<retrieval::Embedder> real_;
  std::unique_ptr<CorpusEmbedder> embedder_;
  std::unique_ptr<CorpusExtractor> extractor_;
  std::string store_;
  std::map<std::string, std::map<std::string, std::set<std::string>>> truth_;  // hits by legs and question
  double unfiltered_p50_ = 1;
  Report report_;
};

}  // namespace
}  // namespace carrel::bench

int main(int argc, char** argv) {
  carrel::bench::Options options;
  CLI::App app(
      "How long searching takes over gRPC, and what it finds. The texts are synthetic with the vocabulary and word "
      "order "
      "of English abstracts, the vectors of passages made up (clustered); questions are embedded by the real model. "
      "`carrel bench search` measures with real vectors and documents.");
  app.add_option("--passages", options.passages, "in the store")->check(CLI::Range(1'000u, 10'000'000u));
  app.add_option("--questions", options.questions, "to ask")->check(CLI::Range(10u, 10'000u));
  app.add_option("--words", options.words, "of each question, the first ones (default: all, 18 on average)")
      ->check(CLI::Range(1u, 100u));
  app.add_option("--stores", options.stores, "instead: so many small stores, of 20 passages, in 64 MiB")
      ->check(CLI::Range(1u, 100'000u));
  app.add_option("--directory", options.directory, "keep the store here, or use the one that is there");
  app.add_flag("!--no-exact", options.exact, "do not measure without indexes (and no recall)");
  app.add_flag("!--no-alone", options.alone, "do not measure vectors alone");
  app.add_flag("!--no-baselines", options.others, "do not measure others' vectors");
  app.add_flag("--json", options.as_json, "the report as JSON on stdout");
  CLI11_PARSE(app, argc, argv);
  carrel::rpc::SetLogLevel(carrel::rpc::LogLevel::kError);
  carrel::bench::Bench(options).Run();
}
