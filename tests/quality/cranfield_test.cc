// Ranking quality on the Cranfield collection, through the whole library: 1 400 abstracts are read in, cut, embedded
// and indexed as documents, 225 questions are searched, and each leg and their fusion are held to a floor.
//
// The judgements number the questions 1..225 in the order of the query file, whose own <num> runs to 365.
// Yardsticks, same measures, measured elsewhere: FTS5 0.359 (0.377 with a stemmer), bge-small 0.415, fused by
// reciprocal rank 0.439 nDCG@10; recall@20 0.482 (0.503), 0.554, 0.57.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "retrieval/library.h"
#include "retrieval/model_path.h"
#include "unanswerable.h"

namespace carrel::retrieval {
namespace {

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

// The texts of all <tag> elements of `xml`, white space made single.
std::vector<std::string> Elements(const std::string& xml, const std::string& tag) {
  std::vector<std::string> out;
  const std::string open = absl::StrCat("<", tag, ">"), close = absl::StrCat("</", tag, ">");
  for (size_t at = xml.find(open); at != xml.npos; at = xml.find(open, at)) {
    at += open.size();
    std::istringstream words(xml.substr(at, xml.find(close, at) - at));
    std::string text;
    for (std::string word; words >> word;) absl::StrAppend(&text, text.empty() ? "" : " ", word);
    out.push_back(std::move(text));
  }
  return out;
}

// A first line with the title, then the text.
class AbstractExtractor final : public Extractor {
 public:
  absl::StatusOr<Extraction> Extract(ExtractionRequest request) override {
    std::string bytes(1u << 16, '\0');
    const ssize_t size = ::read(request.bytes.get(), bytes.data(), bytes.size());
    if (size < 0) return absl::InternalError("read");
    bytes.resize(static_cast<size_t>(size));
    const size_t line = bytes.find('\n');
    Extraction out{.verdict = Verdict::kRead, .pages = 1};
    out.document.title = bytes.substr(0, line);
    absl::StatusOr<std::u32string> text = FromUtf8(std::string_view(bytes).substr(line + 1));
    if (!text.ok()) return text.status();
    out.document.text = *std::move(text);
    const auto end = static_cast<uint32_t>(out.document.text.size());
    out.document.body_end = end;
    out.document.pages.push_back({.number = 1, .label = "1", .body = {0, end}, .margin = {end, end}});
    return out;
  }
};

// Every question is asked a dozen times, and its vector takes ten times as long as the search.
class RememberingEmbedder final : public Embedder {
 public:
  explicit RememberingEmbedder(Embedder& inner) : inner_(inner) {}
  const std::string& name() const override { return inner_.name(); }
  const std::string& alias() const override { return inner_.alias(); }
  const std::string& licence() const override { return inner_.licence(); }
  uint32_t dimensions() const override { return inner_.dimensions(); }
  uint32_t window_tokens() const override { return inner_.window_tokens(); }
  uint32_t batch() const override { return inner_.batch(); }
  std::optional<Calibration> calibration() const override { return inner_.calibration(); }
  size_t CountTokens(std::string_view utf8) const override { return inner_.CountTokens(utf8); }
  absl::StatusOr<std::vector<Embedding>> Embed(std::span<const std::string_view> texts, TextRole role) override {
    if (role != TextRole::kQuery || texts.size() != 1) return inner_.Embed(texts, role);
    const auto known = questions_.find(texts[0]);
    if (known != questions_.end()) return std::vector<Embedding>{known->second};
    absl::StatusOr<std::vector<Embedding>> made = inner_.Embed(texts, role);
    if (made.ok()) questions_.emplace(texts[0], made->front());
    return made;
  }

 private:
  Embedder& inner_;
  std::map<std::string, Embedding, std::less<>> questions_;  // asked by one thread
};

struct Quality {
  double ndcg10 = 0;
  double recall20 = 0;
};

Quality Measure(const std::vector<std::string>& ranked, const std::set<std::string>& relevant) {
  double gain = 0, ideal = 0, found = 0;
  for (size_t i = 0; i < ranked.size() && i < 20; ++i) {
    if (!relevant.contains(ranked[i])) continue;
    found += 1;
    if (i < 10) gain += 1 / std::log2(static_cast<double>(i) + 2);
  }
  for (size_t i = 0; i < relevant.size() && i < 10; ++i) ideal += 1 / std::log2(static_cast<double>(i) + 2);
  return {.ndcg10 = gain / ideal, .recall20 = found / static_cast<double>(relevant.size())};
}

struct Leg {
  const char* name;
  Ranking ranking;
  Quality floor;
};

using Judgements = std::map<size_t, std::set<std::string>>;  // the documents that answer question 1, 2, ...

// What `leg` finds, which is held to its floor.
Quality Search(Library& library, const std::string& store_id, const Leg& leg, const std::vector<std::string>& questions,
               const Judgements& relevant) {
  Quality sum;
  const absl::Time start = absl::Now();
  for (const auto& [number, wanted] : relevant) {
    const absl::StatusOr<SearchAnswer> answer = library.Search(
        {.store_ids = {store_id}, .queries = {questions[number - 1]}, .max_results = 20, .ranking = leg.ranking});
    if (!answer.ok()) {
      ADD_FAILURE() << answer.status();
      return sum;
    }
    std::vector<std::string> ranked;
    for (const Hit& hit : answer->hits) {
      const std::string document = hit.file_name.substr(0, hit.file_name.size() - 4);
      if (std::find(ranked.begin(), ranked.end(), document) == ranked.end()) ranked.push_back(document);
    }
    const Quality quality = Measure(ranked, wanted);
    sum.ndcg10 += quality.ndcg10;
    sum.recall20 += quality.recall20;
  }
  const auto judged = static_cast<double>(relevant.size());
  sum.ndcg10 /= judged;
  sum.recall20 /= judged;
  std::printf("%-18s nDCG@10 %.4f  recall@20 %.4f  %zu questions, %.1f ms each\n", leg.name, sum.ndcg10, sum.recall20,
              relevant.size(), absl::ToDoubleMilliseconds(absl::Now() - start) / judged);
  EXPECT_GE(sum.ndcg10, leg.floor.ndcg10) << leg.name;
  EXPECT_GE(sum.recall20, leg.floor.recall20) << leg.name;
  return sum;
}

TEST(CranfieldTest, EachLegAndTheirFusionKeepTheirQuality) {
  const std::string data = CARREL_TESTDATA "/cranfield/";
  const std::string collection = ReadFile(data + "cran.all.1400.xml");
  const std::vector<std::string> numbers = Elements(collection, "docno"), titles = Elements(collection, "title"),
                                 texts = Elements(collection, "text");
  ASSERT_EQ(numbers.size(), 1400u);
  ASSERT_EQ(titles.size(), 1400u);
  ASSERT_EQ(texts.size(), 1400u);
  const std::vector<std::string> questions = Elements(ReadFile(data + "cran.qry.xml"), "title");
  ASSERT_EQ(questions.size(), 225u);
  Judgements relevant;
  std::ifstream judgements(data + "cranqrel.trec.txt");
  std::string document;
  size_t question = 0;
  int unused = 0, grade = 0;
  while (judgements >> question >> unused >> document >> grade) {
    if (grade >= 1) relevant[question].insert(document);
  }

  std::string directory = testing::TempDir() + "/cranfield-XXXXXX";
  ASSERT_NE(::mkdtemp(directory.data()), nullptr);
  AbstractExtractor extractor;
  RememberingEmbedder embedder(SharedEmbedder());
  absl::StatusOr<std::unique_ptr<Library>> library =
      Library::Open({.directory = directory, .sync_full = false}, {&embedder}, extractor);
  ASSERT_TRUE(library.ok()) << library.status();
  absl::StatusOr<StoreInfo> store = (*library)->CreateStore({.name = "cranfield"});
  ASSERT_TRUE(store.ok());
  const absl::Time start = absl::Now();
  for (size_t i = 0; i < texts.size(); ++i) {
    absl::StatusOr<std::unique_ptr<Upload>> upload = (*library)->NewUpload();
    ASSERT_TRUE(upload.ok());
    // Two abstracts are empty; their title is all that there is.
    ASSERT_TRUE((*upload)->Write(absl::StrCat(titles[i], "\n", texts[i].empty() ? numbers[i] : texts[i])).ok());
    ASSERT_TRUE(
        (*library)
            ->AddDocument({.store_id = store->id, .file_name = absl::StrCat(numbers[i], ".txt")}, *std::move(upload))
            .ok());
  }
  for (StoreInfo info = *store; info.documents.completed < 1400; absl::SleepFor(absl::Milliseconds(100))) {
    ASSERT_LT(absl::Now() - start, absl::Minutes(15));
    info = (*library)->GetStore("", store->id).value();
    ASSERT_EQ(info.documents.failed, 0u);
  }
  std::printf("read in: %.1f s\n", absl::ToDoubleSeconds(absl::Now() - start));

  // The floors are what Carrel promises; the collection is fixed and the work is deterministic, so that what falls
  // below is a change for the worse, not noise. Measured when they were written: 0.3886, 0.4162, 0.4604.
  const std::vector<Leg> legs = {
      // FTS5 with a stemmer and title weights, function words left out, in plain Python: 0.388.
      {"keywords", {.embedding_weight = 0, .text_weight = 1}, {.ndcg10 = 0.385, .recall20 = 0.52}},
      // What the model gives without our cutting and indexing: 0.415.
      {"vectors", {.embedding_weight = 1, .text_weight = 0}, {.ndcg10 = 0.415, .recall20 = 0.54}},
      // More than either leg, and than reciprocal rank fusion alone (0.443).
      {"fused", {}, {.ndcg10 = 0.45, .recall20 = 0.575}},
  };
  std::vector<Quality> measured;
  for (const Leg& leg : legs) measured.push_back(Search(**library, store->id, leg, questions, relevant));
  EXPECT_GT(measured[2].ndcg10, std::max(measured[0].ndcg10, measured[1].ndcg10));
  EXPECT_GT(measured[2].recall20, std::max(measured[0].recall20, measured[1].recall20));

  // Of the questions that find something relevant, those that still do with a threshold; and the foreign ones that find
  // nothing. Measured when they were written: 1.000 and 0.600.
  const auto finds = [&](size_t q, double threshold) {
    const auto answer = (*library)->Search(
        {.store_ids = {store->id}, .queries = {questions[q]}, .ranking = {.score_threshold = threshold}});
    if (!answer.ok()) return false;
    return std::any_of(answer->hits.begin(), answer->hits.end(), [&](const Hit& hit) {
      return relevant[q + 1].contains(hit.file_name.substr(0, hit.file_name.size() - 4));
    });
  };
  for (const double threshold : kThresholds) {
    double found = 0, kept = 0, dropped = 0;
    for (size_t q = 0; q < questions.size(); ++q) {
      if (!finds(q, 0)) continue;
      found += 1;
      kept += finds(q, threshold) ? 1 : 0;
    }
    const std::vector<std::string> foreign = UnanswerableQuestions();
    for (const std::string& text : foreign) {
      const auto answer =
          (*library)->Search({.store_ids = {store->id}, .queries = {text}, .ranking = {.score_threshold = threshold}});
      dropped += answer.ok() && answer->hits.empty() ? 1 : 0;
    }
    std::printf("threshold %.2f: answers kept %.3f, foreign questions without a hit %.3f\n", threshold, kept / found,
                dropped / static_cast<double>(foreign.size()));
    if (threshold != kNamedThreshold) continue;
    EXPECT_GE(kept / found, 0.99);
    EXPECT_GE(dropped / static_cast<double>(foreign.size()), 0.55);
  }
  library->reset();

  // As the service asks: with numbers as coarse as this machine finds faster. Measured when they were written, with
  // int8 weights: 0.4165, 0.4595.
  absl::StatusOr<ModelDirectory> model = OpenModelDirectory(ModelPath());
  ASSERT_TRUE(model.ok()) << model.status();
  absl::StatusOr<std::unique_ptr<Embedder>> fastest = MakeOpenVinoEmbedder(*model, {.fastest = true});
  ASSERT_TRUE(fastest.ok()) << fastest.status();
  library = Library::Open({.directory = directory, .sync_full = false}, {fastest->get()}, extractor);
  ASSERT_TRUE(library.ok()) << library.status();
  const std::vector<Leg> coarser = {
      {"vectors, as served", {.embedding_weight = 1, .text_weight = 0}, {.ndcg10 = 0.412, .recall20 = 0.54}},
      {"fused, as served", {}, {.ndcg10 = 0.45, .recall20 = 0.575}},
  };
  for (const Leg& leg : coarser) Search(**library, store->id, leg, questions, relevant);
  library->reset();  // before its embedders
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace carrel::retrieval
