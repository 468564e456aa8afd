// Searching a library: filters, weights, thresholds, and what counts as one hit.
#include <algorithm>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "library_test.h"

namespace carrel::retrieval {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

TEST_F(LibraryTest, FiltersReachBothLegs) {
  Open();
  const std::string store = MakeStore();
  AddAndWait(store, "a.txt", kGarden, "", {{"year", 2020.0}, {"kind", std::string("book")}});
  AddAndWait(store, "b.txt", std::string(kGarden) + " Second edition.", "", {{"year", 2022.0}});
  const auto year = [](Comparison::Operator op, double value) {
    return Filter{.kind = Comparison{.key = "year", .op = op, .values = {AttributeValue(value)}}};
  };
  for (const Ranking& ranking : {Ranking{}, Ranking{.embedding_weight = 0, .text_weight = 1},
                                 Ranking{.embedding_weight = 1, .text_weight = 0}}) {
    EXPECT_THAT(Search({store}, "tomatoes sun", year(Comparison::Operator::kGt, 2021), ranking),
                ElementsAre(testing::Field(&Hit::file_name, "b.txt")));
    EXPECT_THAT(Search({store}, "tomatoes sun", year(Comparison::Operator::kLte, 2020), ranking),
                ElementsAre(testing::Field(&Hit::file_name, "a.txt")));
    EXPECT_THAT(Search({store}, "tomatoes sun", year(Comparison::Operator::kEq, 1999), ranking), IsEmpty());
  }
}

TEST_F(LibraryTest, ThresholdAndScores) {
  Open();
  const std::string store = MakeStore();
  AddAndWait(store, "a.txt", kGarden);
  AddAndWait(store, "b.txt", kEngine);
  const std::vector<Hit> hits = Search({store}, "tomatoes in the engine");
  ASSERT_THAT(hits, SizeIs(2));
  EXPECT_GE(hits[0].score, hits[1].score);
  for (const Hit& hit : hits) {
    EXPECT_GT(hit.score, 0);
    EXPECT_LE(hit.score, 1);
  }
  EXPECT_THAT(Search({store}, "tomatoes", {}, {.score_threshold = 0.999}), SizeIs(1));
  const std::vector<Hit> plain = Search({store}, "tomatoes", {}, {.ranker = Ranking::Ranker::kNone});
  ASSERT_FALSE(plain.empty());
  EXPECT_NEAR(plain[0].score, plain[0].vector_score, 1e-6);
}

// Every operator and kind of value reaches both legs, and a filter never leaves fewer hits than there are.
TEST_F(LibraryTest, EveryFilterGivesAllThatPasses) {
  using Op = Comparison::Operator;
  for (const bool indexed : {false, true}) {
    if (indexed) {
      Open({.sync_full = false, .indexed_vectors_min = 30, .indexed_terms_min = 30, .index_tail_max = 8});
    } else {
      Open({.sync_full = false});
    }
    const std::string store = MakeStore();
    for (int i = 0; i < 120; ++i) {
      Attributes attributes = {{"n", static_cast<double>(i)}, {"even", i % 2 == 0}};
      if (i % 3 == 0) attributes["kind"] = std::string(i % 6 == 0 ? "book" : "map");
      AddAndWait(store, "a.txt", absl::StrCat("Lantern ", i, " hangs by the gate of house ", i * 17), absl::StrCat(i),
                 std::move(attributes));
    }
    Search({store}, "lantern");
    library_->WaitForIndexes();
    const auto is = [](const char* key, Op op, std::vector<AttributeValue> values) {
      return Filter{Comparison{.key = key, .op = op, .values = std::move(values)}};
    };
    const auto both = [](Compound::Operator op, std::vector<Filter> filters) {
      return Filter{Compound{.op = op, .filters = std::move(filters)}};
    };
    const std::vector<std::pair<Filter, std::function<bool(int)>>> cases = {
        {is("n", Op::kEq, {7.0}), [](int i) { return i == 7; }},
        {is("n", Op::kNe, {7.0}), [](int i) { return i != 7; }},
        {is("n", Op::kGt, {100.0}), [](int i) { return i > 100; }},
        {is("n", Op::kGte, {100.0}), [](int i) { return i >= 100; }},
        {is("n", Op::kLt, {5.0}), [](int i) { return i < 5; }},
        {is("n", Op::kLte, {5.0}), [](int i) { return i <= 5; }},
        {is("n", Op::kIn, {3.0, 90.0, 500.0}), [](int i) { return i == 3 || i == 90; }},
        {is("n", Op::kNin, {3.0, 90.0}), [](int i) { return i != 3 && i != 90; }},
        {is("even", Op::kEq, {true}), [](int i) { return i % 2 == 0; }},
        {is("kind", Op::kEq, {std::string("map")}), [](int i) { return i % 3 == 0 && i % 6 != 0; }},
        {is("kind", Op::kGt, {std::string("book")}), [](int i) { return i % 3 == 0 && i % 6 != 0; }},
        {is("kind", Op::kNe, {std::string("map")}), [](int i) { return i % 3 != 0 || i % 6 == 0; }},
        {is("n", Op::kEq, {std::string("7")}), [](int) { return false; }},  // a text is no number
        {both(Compound::Operator::kAnd, {is("even", Op::kEq, {false}), is("n", Op::kLt, {10.0})}),
         [](int i) { return i % 2 == 1 && i < 10; }},
        {both(Compound::Operator::kOr, {is("n", Op::kLt, {2.0}), is("kind", Op::kEq, {std::string("book")})}),
         [](int i) { return i < 2 || i % 6 == 0; }}};
    for (size_t c = 0; c < cases.size(); ++c) {
      size_t passing = 0;
      for (int i = 0; i < 120; ++i) passing += cases[c].second(i);
      for (const Ranking& ranking : {Ranking{}, Ranking{.embedding_weight = 0, .text_weight = 1},
                                     Ranking{.embedding_weight = 1, .text_weight = 0}}) {
        const std::vector<Hit> hits = Search({store}, "lantern gate house", cases[c].first, ranking);
        EXPECT_THAT(hits, SizeIs(std::min<size_t>(10, passing))) << "filter " << c << (indexed ? ", indexed" : "");
        for (const Hit& hit : hits) {
          EXPECT_TRUE(cases[c].second(std::stoi(hit.document_id))) << "filter " << c << ", " << hit.document_id;
        }
      }
    }
  }
}

// Weights and k change the order as reciprocal rank fusion says; scores stay within 0 to 1 and fall with the rank.
TEST_F(LibraryTest, WeightsAndKAreTheCallers) {
  Open();
  const std::string store = MakeStore();
  for (int i = 0; i < 30; ++i) {
    AddAndWait(store, "a.txt", absl::StrCat("Oak ", i, " stands by mill ", i % 5, " and pond ", i % 3),
               absl::StrCat(i));
  }
  for (const double vectors : {0.0, 0.2, 1.0, 5.0}) {
    for (const uint32_t k : {1u, 60u, 1000u}) {
      double last = 1;
      const std::vector<Hit> hits =
          Search({store}, "oak 7 by mill 2", {}, {.embedding_weight = vectors, .text_weight = 1, .rrf_k = k});
      ASSERT_THAT(hits, SizeIs(10));
      for (const Hit& hit : hits) {
        EXPECT_GE(hit.score, 0);
        EXPECT_LE(hit.score, last) << "weight " << vectors << ", k " << k;
        last = hit.score;
        if (vectors == 0) {
          EXPECT_EQ(hit.vector_rank, 0u);
        }
      }
    }
  }
  const auto second = [&](uint32_t k) {
    return Search({store}, "oak 7 by mill 2", {}, {.embedding_weight = 0, .text_weight = 1, .rrf_k = k})[1].score;
  };
  EXPECT_NEAR(second(1), 2.0 / 3, 1e-9);
  EXPECT_NEAR(second(60), 61.0 / 62, 1e-9);
}

// Several questions over several stores are one ranking; the reply says what took the time.
TEST_F(LibraryTest, SeveralQuestionsAndStoresAtOnce) {
  Open();
  const std::string garden = MakeStore(), garage = MakeStore();
  AddAndWait(garden, "garden.txt", kGarden);
  AddAndWait(garage, "engine.txt", kEngine);
  AddAndWait(garage, "garden.txt", kGarden);  // the same content in both: one hit
  const absl::StatusOr<SearchAnswer> answer =
      library_->Search({.owner = kOwner,
                        .store_ids = {garden, garage},
                        .queries = {"how much sun do tomatoes need", "when to change the oil of the engine"}});
  ASSERT_TRUE(answer.ok()) << answer.status();
  std::vector<std::string> names;
  for (const Hit& hit : answer->hits) names.push_back(hit.file_name);
  EXPECT_THAT(names, testing::UnorderedElementsAre("garden.txt", "engine.txt"));
  EXPECT_GT(answer->elapsed_us, 0u);
  EXPECT_GE(answer->elapsed_us, answer->embed_us + answer->vector_us + answer->text_us);
}

// Passages of one document overlap by design; the answer has one of each place, with the quotes of its neighbours.
TEST_F(LibraryTest, OverlappingNeighboursAreOneHit) {
  Open();
  const std::string store = MakeStore();
  std::string text;
  for (int i = 0; i < 80; ++i) {
    absl::StrAppend(&text, "The ferry calls at island ", i, " every morning and takes mail and milk. ");
  }
  AddAndWait(store, "ferry.txt", text);
  const std::vector<Hit> hits = Search({store}, "ferry island mail milk");
  ASSERT_FALSE(hits.empty());
  for (size_t a = 0; a < hits.size(); ++a) {
    for (size_t b = a + 1; b < hits.size(); ++b) {
      const Span one = hits[a].passage_span, other = hits[b].passage_span;
      const uint32_t begin = std::max(one.begin, other.begin), end = std::min(one.end, other.end);
      EXPECT_TRUE(begin >= end || (end - begin) * 2 < std::min(one.size(), other.size())) << a << " and " << b;
    }
    for (const Citation& citation : hits[a].citations) {
      EXPECT_TRUE(hits[a].passage_span.Contains(citation.span));
      EXPECT_EQ(citation.quote, text.substr(citation.span.begin, citation.span.size()));
    }
  }
}

TEST_F(LibraryTest, ScriptsWithoutSpacesAreFoundByBothLegs) {
  Open();
  const std::string store = MakeStore();
  AddAndWait(store, "ja.txt", "東京は日本の首都であり、世界最大の都市圏を形成している。");
  AddAndWait(store, "zh.txt", "长江是中国最长的河流，流经十一个省市。");
  AddAndWait(store, "th.txt", "กรุงเทพมหานครเป็นเมืองหลวงของประเทศไทย");
  AddAndWait(store, "ko.txt", "서울은 대한민국의 수도이자 최대 도시이다.");
  for (const auto& [question, file] : {std::pair("日本の首都", "ja.txt"), std::pair("中国河流", "zh.txt"),
                                       std::pair("เมืองหลวง", "th.txt"), std::pair("대한민국 수도", "ko.txt")}) {
    const std::vector<Hit> hits = Search({store}, question);
    ASSERT_FALSE(hits.empty()) << question;
    EXPECT_EQ(hits[0].file_name, file);
    EXPECT_EQ(hits[0].text_rank, 1u) << question;
    EXPECT_NE(hits[0].vector_rank, 0u) << question;
  }
}

TEST_F(LibraryTest, NearlyTheSameTextIsOneHit) {
  Open();
  const std::string store = MakeStore();
  std::string text = "The quarterly report of the harbour authority. ";
  for (int i = 0; i < 9; ++i) absl::StrAppend(&text, "Ship number ", i * 31, " unloaded grain at pier ", i, ". ");
  AddAndWait(store, "final.txt", text);
  AddAndWait(store, "final-2.txt", text + "Signed.");
  AddAndWait(store, "other.txt", "The harbour authority has a new address for reports.");
  EXPECT_THAT(Search({store}, "harbour authority report grain"), SizeIs(2));
}

TEST_F(LibraryTest, ScoresSayWhetherAnythingAnswers) {
  Open();
  const std::string store = MakeStore();
  AddAndWait(store, "a.txt", kGarden);
  AddAndWait(store, "b.txt", kEngine);
  const char* const questions[] = {"how much sun do tomatoes need", "oil of the engine", "giraffes and penguins"};
  std::vector<std::vector<Hit>> plain;
  for (const char* question : questions) plain.push_back(Search({store}, question));
  EXPECT_GE(plain[2].at(0).score, 0.6);
  embedder_.Calibrate({.half = 0.3, .width = 0.02});
  for (size_t i = 0; i < plain.size(); ++i) {
    const std::vector<Hit> hits = Search({store}, questions[i]);
    ASSERT_EQ(hits.size(), plain[i].size());
    // One factor for all: the order, and how they stand to each other, is what it was.
    const double factor = hits[0].score / plain[i][0].score;
    for (size_t j = 0; j < hits.size(); ++j) {
      EXPECT_EQ(hits[j].document_id, plain[i][j].document_id);
      EXPECT_NEAR(hits[j].score, factor * plain[i][j].score, 1e-9);
    }
    EXPECT_EQ(Search({store}, questions[i], {}, {.score_threshold = 0.45}).empty(), i == 2) << hits[0].score;
    // A leg alone keeps its ranks, and the ranker `none` its cosine.
    EXPECT_EQ(Search({store}, questions[i], {}, {.text_weight = 0}).at(0).score, 1);
    const Hit cosine = Search({store}, questions[i], {}, {.ranker = Ranking::Ranker::kNone}).at(0);
    EXPECT_NEAR(cosine.score, cosine.vector_score, 1e-6);
  }
  EXPECT_EQ(Search({store}, "engine", {}, {.embedding_weight = 0}).at(0).score, 1);
}

// Every version of the form answers better than anything else, and they fill both legs; one of them is a hit.
TEST_F(LibraryTest, ManyVersionsOfOneTextLeaveRoomForOthers) {
  Open({.sync_full = false});
  const std::string store = MakeStore();
  constexpr int kVersions = 150, kOthers = 12;
  for (int i = 0; i < kVersions; ++i) {
    std::string form = "Tomatoes need sun, tomatoes need water, tomatoes need poles; this is the form about tomatoes. ";
    for (int n = 0; n < 6; ++n) absl::StrAppend(&form, "Fill in line ", n, " of the form with the garden's name. ");
    ASSERT_TRUE(Add(store, absl::StrCat("form", i, ".txt"), absl::StrCat(form, "Copy ", i, ".")).ok());
  }
  for (int i = 0; i < kOthers; ++i) {
    const std::string word = absl::StrCat("word", i);
    ASSERT_TRUE(Add(store, absl::StrCat("other", i, ".txt"),
                    absl::StrCat(word, " of page ", i * 7, ", where ", word, " stands beside tomatoes and ", word, i))
                    .ok());
  }
  while (library_->GetStore(kOwner, store)->documents.in_progress > 0) absl::SleepFor(absl::Milliseconds(10));
  const std::vector<Hit> hits = Search({store}, "what do tomatoes need");
  ASSERT_THAT(hits, SizeIs(10));
  EXPECT_THAT(hits[0].file_name, testing::StartsWith("form"));
  for (size_t i = 1; i < hits.size(); ++i) EXPECT_THAT(hits[i].file_name, testing::StartsWith("other"));
  // A threshold that is met ends the search; what is below it is not looked for.
  EXPECT_THAT(Search({store}, "what do tomatoes need", {}, {.score_threshold = 0.9}), SizeIs(1));
}

// As FakeEmbedder, but any two of its vectors are near each other: its cosines are all higher.
class CloseEmbedder final : public Embedder {
 public:
  const std::string& name() const override { return name_; }
  const std::string& alias() const override { return none_; }
  const std::string& licence() const override { return none_; }
  uint32_t dimensions() const override { return fake_.dimensions() + 1; }
  uint32_t window_tokens() const override { return fake_.window_tokens(); }
  uint32_t batch() const override { return fake_.batch(); }
  size_t CountTokens(std::string_view utf8) const override { return fake_.CountTokens(utf8); }
  absl::StatusOr<std::vector<Embedding>> Embed(std::span<const std::string_view> texts, TextRole role) override {
    absl::StatusOr<std::vector<Embedding>> out = fake_.Embed(texts, role);
    for (Embedding& one : *out) {
      for (float& v : one.values) v *= 0.6F;
      one.values.push_back(0.8F);
    }
    return out;
  }

 private:
  FakeEmbedder fake_;
  const std::string name_ = "close", none_;
};

TEST_F(LibraryTest, StoresOfDifferentModelsDoNotCrowdEachOtherOut) {
  CloseEmbedder close;
  library_.reset();
  library_ = *Library::Open({.directory = directory_}, {&embedder_, &close}, extractor_);
  const std::string far = MakeStore();
  const std::string near = library_->CreateStore({.owner = kOwner, .name = "near", .model = "close"})->id;
  for (int i = 0; i < 12; ++i) {
    AddAndWait(far, absl::StrCat("far", i, ".txt"), absl::StrCat("Beans", i, " and row", i, " of beans"));
    AddAndWait(near, absl::StrCat("near", i, ".txt"), absl::StrCat("Clouds", i, " and sky", i, " of nothing"));
  }
  // Only the one store knows of beans, but the other's cosines are all higher.
  const std::vector<Hit> hits = Search({near, far}, "beans", {}, {.text_weight = 0});
  ASSERT_THAT(hits, SizeIs(10));
  const auto of_far = std::count_if(hits.begin(), hits.end(), [&](const Hit& hit) { return hit.store_id == far; });
  EXPECT_EQ(of_far, 5);
  EXPECT_GT(hits.back().score, 0.9);  // the fifth of its list
  const std::vector<Hit> both = Search({near, far}, "beans");
  ASSERT_THAT(both, SizeIs(10));
  EXPECT_EQ(both[0].store_id, far);
  EXPECT_GT(both[0].score, 0.95);  // all of them answer equally well: the first of one leg need not be the other's
  library_.reset();
}

}  // namespace
}  // namespace carrel::retrieval
