#include "retrieval/library.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <latch>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "retrieval/fakes.h"
#include "retrieval/vector_index.h"

namespace carrel::retrieval {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr char kOwner[] = "project-a";

class LibraryTest : public testing::Test {
 protected:
  LibraryTest() {
    std::string path = testing::TempDir() + "/library-XXXXXX";
    directory_ = ::mkdtemp(path.data());
  }
  ~LibraryTest() override {
    library_.reset();
    std::filesystem::remove_all(directory_);
  }

  void Open(LibraryOptions options = {}) {
    library_.reset();
    options.directory = directory_;
    options.now_ms = [this] { return absl::ToUnixMillis(absl::Now()) + skew_ms_; };
    absl::StatusOr<std::unique_ptr<Library>> opened = Library::Open(std::move(options), {&embedder_}, extractor_);
    ASSERT_TRUE(opened.ok()) << opened.status();
    library_ = *std::move(opened);
  }

  std::string MakeStore(const std::string& owner = kOwner) {
    absl::StatusOr<StoreInfo> store =
        library_->CreateStore({.owner = owner, .name = "notes", .chunking = {.max_tokens = 100, .overlap_tokens = 50}});
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? store->id : "";
  }

  absl::StatusOr<DocumentInfo> Add(const std::string& store, const std::string& name, const std::string& text,
                                   const std::string& id = "", Attributes attributes = {},
                                   std::optional<Chunking> chunking = std::nullopt) {
    absl::StatusOr<std::unique_ptr<Upload>> upload = library_->NewUpload();
    if (!upload.ok()) return upload.status();
    if (absl::Status status = (*upload)->Write(text); !status.ok()) return status;
    return library_->AddDocument({.owner = kOwner,
                                  .store_id = store,
                                  .file_name = name,
                                  .id = id,
                                  .attributes = std::move(attributes),
                                  .chunking = chunking},
                                 *std::move(upload));
  }

  DocumentInfo AddAndWait(const std::string& store, const std::string& name, const std::string& text,
                          const std::string& id = "", Attributes attributes = {}) {
    absl::StatusOr<DocumentInfo> added = Add(store, name, text, id, std::move(attributes));
    EXPECT_TRUE(added.ok()) << added.status();
    if (!added.ok()) return {};
    absl::StatusOr<DocumentInfo> done = Wait(store, added->id);
    EXPECT_TRUE(done.ok()) << done.status();
    return done.ok() ? *done : DocumentInfo{};
  }

  absl::StatusOr<DocumentInfo> Wait(const std::string& store, const std::string& id) {
    return library_->WaitForDocument({kOwner, store, id}, absl::Now() + absl::Seconds(20), [] { return false; });
  }

  std::vector<Hit> Search(std::vector<std::string> stores, const std::string& text, std::optional<Filter> filter = {},
                          Ranking ranking = {}) {
    absl::StatusOr<SearchAnswer> answer = library_->Search({.owner = kOwner,
                                                            .store_ids = std::move(stores),
                                                            .queries = {text},
                                                            .filter = std::move(filter),
                                                            .ranking = ranking});
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.ok() ? answer->hits : std::vector<Hit>{};
  }

  std::string Content(const std::string& store, const std::string& id, std::optional<Span> span = {}) {
    std::string text;
    const absl::Status status = library_->ReadContent({kOwner, store, id}, span, [&](uint32_t, std::string_view piece) {
      text += piece;
      return true;
    });
    EXPECT_TRUE(status.ok()) << status;
    return text;
  }

  DocumentInfo AddUntilItFails(const std::string& store, const std::string& id);

  uint64_t BytesOnDisk() const {
    uint64_t bytes = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_)) {
      if (entry.is_regular_file()) bytes += entry.file_size();
    }
    return bytes;
  }

  std::string directory_;
  std::atomic<int64_t> skew_ms_ = 0;
  FakeEmbedder embedder_;
  PlainTextExtractor extractor_;
  std::unique_ptr<Library> library_;
};

constexpr char kGarden[] =
    "The garden lies behind the house. Tomatoes need six hours of sun a day. Water them in the morning. "
    "Beans climb on poles of hazel wood.";
constexpr char kEngine[] =
    "The engine has four cylinders. Change the oil every ten thousand kilometres. The spark plugs are checked each "
    "spring.";

TEST_F(LibraryTest, ADocumentIsFoundAndCitedVerbatim) {
  Open();
  const std::string store = MakeStore();
  const DocumentInfo garden = AddAndWait(store, "garden.txt", kGarden);
  AddAndWait(store, "engine.txt", kEngine);
  EXPECT_EQ(garden.status, DocumentStatus::kCompleted);
  EXPECT_EQ(garden.verdict, Verdict::kRead);
  const std::vector<Hit> hits = Search({store}, "How much sun do tomatoes need?");
  ASSERT_FALSE(hits.empty());
  EXPECT_EQ(hits[0].file_name, "garden.txt");
  EXPECT_EQ(hits[0].document_id, garden.id);
  EXPECT_EQ(hits[0].score, 1.0);
  ASSERT_FALSE(hits[0].citations.empty());
  const Citation& citation = hits[0].citations[0];
  EXPECT_THAT(citation.quote, HasSubstr("Tomatoes need six hours of sun"));
  EXPECT_EQ(citation.quote, Content(store, garden.id, citation.span));
  EXPECT_EQ(hits[0].passage, Content(store, garden.id, hits[0].passage_span));
  EXPECT_EQ(citation.first_page, 1u);
  EXPECT_EQ(citation.first_page_label, "1");
}

TEST_F(LibraryTest, ContentComesBackWholeAndByCodePoints) {
  Open();
  const std::string store = MakeStore();
  std::string text;
  for (int i = 0; i < 4000; ++i) text += absl::StrCat("Größe ", i, " — 東京. ");
  const DocumentInfo document = AddAndWait(store, "long.txt", text);
  EXPECT_EQ(Content(store, document.id), text);
  EXPECT_EQ(Content(store, document.id, Span{0, 5}), "Größe");
  const Span across{16'380, 16'390};
  absl::StatusOr<std::u32string> points = FromUtf8(text);
  ASSERT_TRUE(points.ok());
  EXPECT_EQ(Content(store, document.id, across), ToUtf8(points->substr(across.begin, across.size())));
  EXPECT_EQ(
      library_->ReadContent({kOwner, store, document.id}, Span{5, 1'000'000}, [](auto, auto) { return true; }).code(),
      absl::StatusCode::kOutOfRange);
}

TEST_F(LibraryTest, FatesAreValues) {
  Open();
  const std::string store = MakeStore();
  EXPECT_EQ(AddAndWait(store, "a.txt", "").verdict, Verdict::kEmpty);
  EXPECT_EQ(AddAndWait(store, "b.txt", "\xff\xfe\xfd").verdict, Verdict::kDamaged);
  const DocumentInfo exe = AddAndWait(store, "c.exe", "MZ");
  EXPECT_EQ(exe.verdict, Verdict::kUnsupported);
  EXPECT_THAT(exe.message, HasSubstr(".exe"));
  EXPECT_THAT(exe.message, HasSubstr(".pdf"));
  const absl::StatusOr<StoreInfo> info = library_->GetStore(kOwner, store);
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->documents.failed, 3u);
}

TEST_F(LibraryTest, TheSameBytesAreReadOnce) {
  Open();
  const std::string first = MakeStore(), second = MakeStore();
  AddAndWait(first, "garden.txt", kGarden);
  const size_t embedded = embedder_.passages_embedded();
  AddAndWait(second, "copy.txt", kGarden);
  AddAndWait(second, "again.txt", kGarden);
  EXPECT_EQ(extractor_.calls(), 1);
  EXPECT_EQ(embedder_.passages_embedded(), embedded);
  EXPECT_THAT(Search({second}, "tomatoes"), SizeIs(1));
  EXPECT_THAT(Search({first, second}, "tomatoes"), SizeIs(1));  // the same passage is one hit
}

TEST_F(LibraryTest, IdsAreIdempotent) {
  Open();
  const std::string store = MakeStore();
  ASSERT_TRUE(Add(store, "a.txt", kGarden, "doc").ok());
  EXPECT_TRUE(Add(store, "a.txt", kGarden, "doc").ok());
  EXPECT_EQ(Add(store, "a.txt", kEngine, "doc").status().code(), absl::StatusCode::kAlreadyExists);
  const NewStore fixed{.owner = kOwner, .name = "x", .id = "mine"};
  EXPECT_TRUE(library_->CreateStore(fixed).ok());
  EXPECT_TRUE(library_->CreateStore(fixed).ok());
  EXPECT_EQ(library_->CreateStore({.owner = kOwner, .name = "y", .id = "mine"}).status().code(),
            absl::StatusCode::kAlreadyExists);
}

TEST_F(LibraryTest, AnotherOwnerSeesNothing) {
  Open();
  const std::string store = MakeStore();
  const DocumentInfo document = AddAndWait(store, "a.txt", kGarden);
  const std::string other = "project-b";
  EXPECT_EQ(library_->GetStore(other, store).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(library_->GetDocument({other, store, document.id}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(library_->DeleteDocument({other, store, document.id}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(library_->Search({.owner = other, .store_ids = {store}, .queries = {"sun"}}).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(library_->DeleteStore(other, store).value(), false);
  EXPECT_THAT(library_->ListStores(other).value(), IsEmpty());
  EXPECT_THAT(library_->ListStores(kOwner).value(), SizeIs(1));
}

TEST_F(LibraryTest, ADeletedDocumentIsGoneFromBothLegsAndTheDisk) {
  Open();
  const std::string store = MakeStore();
  const DocumentInfo document = AddAndWait(store, "a.txt", absl::StrCat(kGarden, " The password is xyzzyplugh."));
  AddAndWait(store, "b.txt", kEngine);
  ASSERT_THAT(Search({store}, "xyzzyplugh", {}, {.embedding_weight = 0, .text_weight = 1}), SizeIs(1));
  EXPECT_EQ(library_->DeleteDocument({kOwner, store, document.id}).value(), true);
  EXPECT_EQ(library_->DeleteDocument({kOwner, store, document.id}).value(), false);
  EXPECT_THAT(Search({store}, "xyzzyplugh", {}, {.embedding_weight = 0, .text_weight = 1}), IsEmpty());
  for (const Hit& hit : Search({store}, "tomatoes")) EXPECT_EQ(hit.file_name, "b.txt");
  ASSERT_TRUE(library_->Maintain().ok());
  library_.reset();
  const std::string grep = absl::StrCat("grep -rqi xyzzyplugh ", directory_);
  EXPECT_NE(std::system(grep.c_str()), 0) << "the text is still on the disk";
  Open();
  EXPECT_THAT(Search({store}, "tomatoes"), testing::Each(testing::Field(&Hit::file_name, "b.txt")));
}

TEST_F(LibraryTest, DeletingAStorePurgesIt) {
  Open();
  const std::string store = MakeStore();
  AddAndWait(store, "a.txt", kGarden);
  EXPECT_EQ(library_->DeleteStore(kOwner, store).value(), true);
  EXPECT_EQ(library_->DeleteStore(kOwner, store).value(), false);
  EXPECT_EQ(library_->GetStore(kOwner, store).status().code(), absl::StatusCode::kNotFound);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_ + "/blobs")) {
    EXPECT_FALSE(entry.is_regular_file()) << entry.path();
  }
}

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

TEST_F(LibraryTest, OursFailingIsTriedAgain) {
  Open();
  const std::string store = MakeStore();
  embedder_.FailNext(2);
  EXPECT_EQ(AddAndWait(store, "a.txt", kGarden).status, DocumentStatus::kCompleted);
  EXPECT_EQ(extractor_.calls(), 1);  // it went on after the extraction
}

// What keeps failing is failed after five attempts with pauses between; the clock is moved over them.
DocumentInfo LibraryTest::AddUntilItFails(const std::string& store, const std::string& id) {
  embedder_.FailNext(1'000);
  EXPECT_TRUE(Add(store, "a.txt", kGarden, id).ok());
  absl::StatusOr<DocumentInfo> failed = absl::InternalError("");
  do {
    skew_ms_ += 60'000;
    failed =
        library_->WaitForDocument({kOwner, store, id}, absl::Now() + absl::Milliseconds(100), [] { return false; });
    if (!failed.ok()) return {};
  } while (failed->status == DocumentStatus::kInProgress);
  embedder_.FailNext(0);
  return *failed;
}

TEST_F(LibraryTest, AFailedDocumentIsTriedAgainWhenItComesAgain) {
  Open();
  const std::string store = MakeStore();
  const DocumentInfo failed = AddUntilItFails(store, "doc");
  EXPECT_EQ(failed.verdict, Verdict::kInternal);
  EXPECT_EQ(Add(store, "a.txt", kEngine, "doc").status().code(), absl::StatusCode::kAlreadyExists);

  const absl::StatusOr<DocumentInfo> again = Add(store, "b.txt", kGarden, "doc", {{"year", 2020.0}});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->status, DocumentStatus::kInProgress);
  const absl::StatusOr<DocumentInfo> done = Wait(store, "doc");
  ASSERT_TRUE(done.ok());
  EXPECT_EQ(done->status, DocumentStatus::kCompleted);
  EXPECT_EQ(done->file_name, "b.txt");
  const Filter filter{Comparison{.key = "year", .values = {2020.0}}};
  EXPECT_THAT(Search({store}, "tomatoes", filter), SizeIs(1));
}

TEST_F(LibraryTest, AFailedDocumentMayComeAgainInAnotherChunking) {
  Open();
  const std::string store = MakeStore(), other = MakeStore();
  AddUntilItFails(store, "doc");
  ASSERT_EQ(AddUntilItFails(other, "doc").status, DocumentStatus::kFailed);
  const Chunking chunking{.max_tokens = 200, .overlap_tokens = 20};
  ASSERT_TRUE(Add(store, "a.txt", kGarden, "doc", {}, chunking).ok());
  const absl::StatusOr<DocumentInfo> done = Wait(store, "doc");
  ASSERT_TRUE(done.ok());
  EXPECT_EQ(done->status, DocumentStatus::kCompleted);
  EXPECT_EQ(done->chunking, chunking);
  EXPECT_THAT(Search({store}, "tomatoes"), SizeIs(1));
  // A document that was read keeps its chunking, and a failure of the document itself stays what it is.
  EXPECT_EQ(Add(store, "a.txt", kGarden, "doc").status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(AddAndWait(store, "b.txt", "\xff", "damaged").verdict, Verdict::kDamaged);
  const int calls = extractor_.calls();
  EXPECT_EQ(AddAndWait(store, "b.txt", "\xff", "damaged").verdict, Verdict::kDamaged);
  EXPECT_EQ(extractor_.calls(), calls);
  const absl::StatusOr<DocumentInfo> untouched = library_->GetDocument({kOwner, other, "doc"});
  ASSERT_TRUE(untouched.ok());
  EXPECT_EQ(untouched->status, DocumentStatus::kFailed);
}

TEST_F(LibraryTest, AStoreExpiresAfterItsLastUse) {
  Open();
  absl::StatusOr<StoreInfo> store = library_->CreateStore({.owner = kOwner, .name = "short", .expires_after_days = 1});
  ASSERT_TRUE(store.ok());
  skew_ms_ = 23 * 3'600'000;
  EXPECT_TRUE(library_->Search({.owner = kOwner, .store_ids = {store->id}, .queries = {"x"}}).ok());  // a use
  skew_ms_ = 46 * 3'600'000;
  EXPECT_TRUE(library_->GetStore(kOwner, store->id).ok());
  skew_ms_ = 48 * 3'600'000;
  EXPECT_EQ(library_->GetStore(kOwner, store->id).status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(library_->Maintain().ok());
  skew_ms_ = 0;
  EXPECT_EQ(library_->GetStore(kOwner, store->id).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(LibraryTest, DeletingWhileItIsReadStopsTheWork) {
  Open();
  const std::string store = MakeStore();
  std::latch reading(1), go_on(1);
  extractor_.Before([&] {
    reading.count_down();
    go_on.wait();
  });
  const absl::StatusOr<DocumentInfo> added = Add(store, "a.txt", kGarden);
  ASSERT_TRUE(added.ok());
  reading.wait();
  EXPECT_EQ(library_->GetDocument({kOwner, store, added->id})->progress.phase, Phase::kExtracting);
  EXPECT_EQ(library_->DeleteDocument({kOwner, store, added->id}).value(), true);
  extractor_.Before(nullptr);
  go_on.count_down();
  AddAndWait(store, "b.txt", kEngine);
  for (const Hit& hit : Search({store}, "tomatoes sun")) EXPECT_EQ(hit.file_name, "b.txt");
}

TEST_F(LibraryTest, StoresTakeTurns) {
  Open();
  const std::string busy = MakeStore(), quiet = MakeStore();
  // Owned by the callback, which the extractor calls until the library is closed, after this function's end.
  std::promise<void> queued;
  extractor_.Before([gate = queued.get_future().share()] { gate.wait(); });
  std::vector<std::string> ids;
  for (int i = 0; i < 12; ++i) ids.push_back(Add(busy, "a.txt", absl::StrCat(kGarden, " Number ", i))->id);
  const std::string one = Add(quiet, "b.txt", kEngine)->id;
  queued.set_value();
  ASSERT_TRUE(Wait(quiet, one).ok());
  // The quiet store's only document did not wait for all of the busy one's.
  EXPECT_EQ(library_->GetDocument({kOwner, busy, ids.back()})->status, DocumentStatus::kInProgress);
  library_.reset();  // its workers wait at our latch, which ends with this function
}

TEST_F(LibraryTest, AcknowledgedDocumentsSurviveKill) {
  // Children add documents and are killed at random moments; what they acknowledged over the pipe must all be there.
  std::vector<std::string> acknowledged;
  Open();
  const std::string store = MakeStore();
  library_.reset();
  for (int round = 0; round < 6; ++round) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::close(ends[0]);
      Open();
      for (int i = 0; library_ != nullptr; ++i) {
        const std::string id = absl::StrCat("doc-", round, "-", i);
        if (!Add(store, "a.txt", absl::StrCat(kGarden, " It is number ", round, " and ", i, "."), id).ok()) ::_exit(1);
        const std::string line = id + "\n";
        if (::write(ends[1], line.data(), line.size()) < 0) ::_exit(2);
      }
      ::_exit(3);
    }
    ::close(ends[1]);
    std::string lines;
    char buffer[512];
    const size_t enough = 60 + static_cast<size_t>(round) * 70;  // bytes of ids: another moment each time
    for (ssize_t n = 0; lines.size() < enough && (n = ::read(ends[0], buffer, sizeof(buffer))) > 0;) {
      lines.append(buffer, static_cast<size_t>(n));
    }
    ::kill(child, SIGKILL);
    for (ssize_t n = 0; (n = ::read(ends[0], buffer, sizeof(buffer))) > 0;)
      lines.append(buffer, static_cast<size_t>(n));
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself: " << WEXITSTATUS(status);
    for (size_t begin = 0, end = 0; (end = lines.find('\n', begin)) != lines.npos; begin = end + 1) {
      acknowledged.push_back(lines.substr(begin, end - begin));
    }
  }
  Open();
  ASSERT_GT(acknowledged.size(), 20u);
  for (const std::string& id : acknowledged) {
    const absl::StatusOr<DocumentInfo> document = Wait(store, id);
    ASSERT_TRUE(document.ok()) << id << ": " << document.status();
    EXPECT_EQ(document->status, DocumentStatus::kCompleted) << id;
    const std::vector<Hit> hits = Search({store}, Content(store, id));
    ASSERT_FALSE(hits.empty());
  }
}

TEST_F(LibraryTest, AThousandAdditionsAndDeletionsDoNotGrowTheDisk) {
  Open();
  const std::string store = MakeStore();
  const auto text = [](int n, int sentences) {
    std::string out;
    for (int i = 0; i < sentences; ++i) {
      absl::StrAppend(&out, "Sentence ", i, " of document ", n, " speaks of item ", (i + n) * 7919 % 100'000, ". ");
    }
    return out;
  };
  for (int i = 0; i < 8; ++i) AddAndWait(store, "live.txt", text(100'000 + i, 120));
  ASSERT_TRUE(library_->Maintain().ok());
  const uint64_t before = BytesOnDisk();
  for (int i = 0; i < 1000; ++i) {
    const DocumentInfo document = AddAndWait(store, "a.txt", text(i, 1 + i % 97));
    ASSERT_EQ(document.status, DocumentStatus::kCompleted) << document.message;
    ASSERT_EQ(library_->DeleteDocument({kOwner, store, document.id}).value(), true);
  }
  ASSERT_TRUE(library_->Maintain().ok());
  EXPECT_LE(BytesOnDisk(), before * 3 / 2);
}

// With indexes from the first passages on: what is found must be the same as without, through additions (a tail),
// deletions, filters, a restart (from the caches) and damage to them.
TEST_F(LibraryTest, IndexesFindTheSameThroughChangesAndRestarts) {
  const LibraryOptions indexed{.indexed_vectors_min = 40, .indexed_terms_min = 40, .index_tail_max = 8};
  Open(indexed);
  const std::string store = MakeStore();
  std::map<std::string, std::string> texts;
  const std::vector<std::string> words = {"pump", "valve", "lamp", "filter", "hose",  "motor", "switch", "gauge",
                                          "fan",  "belt",  "gear", "spring", "clamp", "screw", "nozzle", "float"};
  const auto add = [&](int i) {
    const std::string id = absl::StrCat("d", i);
    texts[id] = absl::StrCat("Part ", i, ": the ", words[static_cast<size_t>(i) % 16], " is next to the ",
                             words[static_cast<size_t>(i / 16) % 16], " and number ", i * 7, " is on it.");
    AddAndWait(store, id + ".txt", texts[id], id, {{"even", i % 2 == 0}, {"n", static_cast<double>(i)}});
  };
  const auto check = [&](const char* when) {
    Search({store}, "which loads the index");
    library_->WaitForIndexes();
    for (const bool filtered : {false, true}) {
      std::optional<Filter> filter;
      if (filtered) filter = Filter{Comparison{.key = "even", .op = Comparison::Operator::kEq, .values = {true}}};
      for (const int i : {3, 8, 40, 77, 102, 119}) {
        const std::string id = absl::StrCat("d", i);
        bool found = false;
        for (const Hit& hit : Search({store}, absl::StrCat("number ", i * 7), filter)) {
          EXPECT_TRUE(texts.contains(hit.document_id)) << when << ": " << hit.document_id << " was deleted";
          EXPECT_EQ(hit.passage, texts[hit.document_id]) << when;
          if (filtered) {
            EXPECT_EQ(hit.attributes.at("even"), AttributeValue(true)) << when;
          }
          if (hit.document_id == id) found = hit.text_rank == 1;
        }
        EXPECT_EQ(found, texts.contains(id) && (!filtered || i % 2 == 0)) << when << ", " << id;
      }
    }
  };
  for (int i = 0; i < 100; ++i) add(i);
  check("made");
  const std::string cells = directory_ + "/index/1.cells", terms = directory_ + "/index/1.terms";
  EXPECT_TRUE(std::filesystem::exists(cells));
  EXPECT_TRUE(std::filesystem::exists(terms));
  for (int i = 100; i < 120; ++i) add(i);
  check("with a tail");
  Open(indexed);
  check("from the caches");
  for (const int i : {3, 40, 77}) {
    ASSERT_TRUE(library_->DeleteDocument({kOwner, store, absl::StrCat("d", i)}).value());
    texts.erase(absl::StrCat("d", i));
  }
  EXPECT_FALSE(std::filesystem::exists(terms)) << "the words of what was deleted are still on disk";
  check("after deletions");
  Open(indexed);
  check("after deletions and a restart");
  ASSERT_TRUE(library_->UpdateDocument({kOwner, store, "d8"}, {{"even", false}}).ok());
  const auto only = Search({store}, "number 56", Filter{Comparison{.key = "even", .values = {true}}});
  EXPECT_TRUE(std::none_of(only.begin(), only.end(), [](const Hit& hit) { return hit.document_id == "d8"; }));
  ASSERT_TRUE(library_->UpdateDocument({kOwner, store, "d8"}, {{"even", true}}).ok());
  library_.reset();
  std::filesystem::resize_file(cells, 100);
  std::ofstream(terms) << "not a cache";
  Open(indexed);
  check("with damaged caches");
}

// The file of vectors: used, never trusted, and without what is deleted.
TEST_F(LibraryTest, DamageToTheFileOfVectorsChangesNothing) {
  const LibraryOptions indexed{
      .sync_full = false, .indexed_vectors_min = 30, .indexed_terms_min = 30, .index_tail_max = 8};
  Open(indexed);
  const std::string store = MakeStore();
  std::vector<std::string> texts;
  std::set<std::vector<float>> vectors;  // the fake's are few: of two texts with the same one either would be right
  for (int i = 0; texts.size() < 60; ++i) {
    const std::string text = absl::StrCat("Locker ", i, " holds the coat of guest number ", i * 13, ".");
    const std::string_view view = text;
    if (!vectors.insert(embedder_.Embed({&view, 1}, TextRole::kPassage).value()[0].values).second) continue;
    AddAndWait(store, "a.txt", text, absl::StrCat("d", texts.size()));
    texts.push_back(text);
  }
  const auto all_are_found = [&](const std::string& when) {
    for (size_t i = 0; i < texts.size(); i += 7) {
      const std::vector<Hit> hits = Search({store}, texts[i], {}, {.embedding_weight = 1, .text_weight = 0});
      ASSERT_FALSE(hits.empty()) << when;
      EXPECT_EQ(hits[0].passage, texts[i]) << when;
      EXPECT_NEAR(hits[0].vector_score, 1, 0.01) << when;
      ASSERT_THAT(hits[0].citations, SizeIs(1));
      EXPECT_EQ(hits[0].citations[0].quote, texts[i]) << when;
    }
  };
  all_are_found("made");
  library_->WaitForIndexes();
  const std::string file = directory_ + "/index/1.vectors";
  ASSERT_TRUE(std::filesystem::exists(file));
  const auto size = std::filesystem::file_size(file);
  const auto code_of = [&](const std::string& text) {
    VectorIndex index(64);
    const std::string_view view = text;
    index.Add(embedder_.Embed({&view, 1}, TextRole::kPassage).value()[0].values);
    const auto codes = index.Codes(0, 1);
    return std::string(codes.begin(), codes.end());
  };
  const auto bytes = [&] {
    std::ifstream in(file, std::ios::binary);
    return std::string((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  };
  EXPECT_THAT(bytes(), HasSubstr(code_of(texts[20])));
  ASSERT_TRUE(library_->DeleteDocument({kOwner, store, "d20"}).value());
  EXPECT_THAT(bytes(), testing::Not(HasSubstr(code_of(texts[20])))) << "the deleted text's vector is still on disk";
  texts.erase(texts.begin() + 20);
  for (size_t at = 3; at < size; at += size / 12) {
    library_.reset();
    {
      std::fstream out(file, std::ios::binary | std::ios::in | std::ios::out);
      out.seekg(static_cast<std::streamoff>(at));
      const auto byte = static_cast<char>(out.get() ^ 0x40);
      out.seekp(static_cast<std::streamoff>(at));
      out.put(byte);
    }
    Open(indexed);
    all_are_found(absl::StrCat("byte ", at, " of ", size, " changed"));
    if (at > size / 2) library_->WaitForIndexes();
  }
  for (const auto cut : {size - 1, size / 2, uintmax_t{20}, uintmax_t{0}}) {
    library_->WaitForIndexes();
    library_.reset();
    std::filesystem::resize_file(file, cut);
    Open(indexed);
    all_are_found(absl::StrCat("cut at ", cut));
  }
}

// What was deleted while the index was not in memory is not in its file either; nor what a crash left there.
TEST_F(LibraryTest, DeletedVectorsLeaveTheFileOfAnUnloadedStore) {
  const LibraryOptions indexed{
      .sync_full = false, .indexed_vectors_min = 30, .indexed_terms_min = 30, .index_tail_max = 8};
  Open(indexed);
  const std::string store = MakeStore();
  for (int i = 0; i < 40; ++i)
    AddAndWait(store, "a.txt", absl::StrCat("Shelf ", i, " has jar ", i * 3), absl::StrCat(i));
  Search({store}, "jar");
  library_->WaitForIndexes();
  Open(indexed);
  ASSERT_TRUE(library_->DeleteDocument({kOwner, store, "7"}).value());
  const std::vector<Hit> hits = Search({store}, "Shelf 7 has jar 21");
  EXPECT_TRUE(std::none_of(hits.begin(), hits.end(), [](const Hit& hit) { return hit.document_id == "7"; }));
  ASSERT_FALSE(hits.empty());
}

// After a deletion the words' index is written anew without what is gone, so that the next start finds one.
TEST_F(LibraryTest, TheIndexOfWordsComesBackWithoutWhatWasDeleted) {
  Open({.sync_full = false,
        .indexed_vectors_min = 30,
        .indexed_terms_min = 30,
        .index_tail_max = 8,
        .index_purge_pause = absl::ZeroDuration()});
  const std::string store = MakeStore();
  for (int i = 0; i < 40; ++i) {
    AddAndWait(store, "a.txt", absl::StrCat("Crate ", i, " weighs ", i * 3, i == 5 ? " and is of zirconium" : ""),
               absl::StrCat(i));
  }
  Search({store}, "crate");
  library_->WaitForIndexes();
  const std::string terms = directory_ + "/index/1.terms";
  const auto bytes = [&] {
    std::ifstream in(terms, std::ios::binary);
    return std::string((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  };
  EXPECT_THAT(bytes(), HasSubstr("zirconium"));
  ASSERT_TRUE(library_->DeleteDocument({kOwner, store, "5"}).value());
  library_->WaitForIndexes();
  EXPECT_THAT(bytes(), testing::AllOf(HasSubstr("crate"), testing::Not(HasSubstr("zirconium"))));
  EXPECT_EQ(Search({store}, "crate weighs 21", {}, {.embedding_weight = 0, .text_weight = 1})[0].document_id, "7");
}

// A store that grows large is made ready before anybody searches it.
TEST_F(LibraryTest, ALargeStoreIsMadeReadyWhileItGrows) {
  Open({.sync_full = false, .indexed_vectors_min = 30, .indexed_terms_min = 30, .index_tail_max = 8});
  const std::string store = MakeStore();
  for (int i = 0; i < 50; ++i)
    AddAndWait(store, "a.txt", absl::StrCat("Bay ", i, " is for boat ", 900 + i), absl::StrCat(i));
  library_->WaitForIndexes();
  for (const char* ending : {"vectors", "cells", "terms"}) {
    EXPECT_TRUE(std::filesystem::exists(absl::StrCat(directory_, "/index/1.", ending))) << ending;
  }
  EXPECT_EQ(Search({store}, "boat 907")[0].document_id, "7");
}

// Hundreds of stores in memory for two: each is loaded when it is asked, and dropped for the next.
TEST_F(LibraryTest, ManySmallStoresInLittleMemory) {
  Open({.sync_full = false, .index_bytes_max = 300'000});
  std::vector<std::string> stores;
  for (int i = 0; i < 150; ++i) {
    stores.push_back(MakeStore());
    AddAndWait(stores.back(), "a.txt", absl::StrCat("Drawer ", i, " keeps the key of door ", i * 11, "."));
  }
  for (int i = 0; i < 300; ++i) {
    const int wanted = (i * 37) % 150;
    const std::vector<Hit> hits = Search({stores[static_cast<size_t>(wanted)]}, absl::StrCat("door ", wanted * 11));
    ASSERT_THAT(hits, SizeIs(1));
    EXPECT_THAT(hits[0].passage, HasSubstr(absl::StrCat("Drawer ", wanted, " ")));
  }
}

// A store whose index was dropped for memory is loaded again, and has missed nothing.
TEST_F(LibraryTest, StoresTakeTurnsInMemory) {
  Open({.index_bytes_max = 1});
  const std::string a = MakeStore(), b = MakeStore();
  AddAndWait(a, "a.txt", "the first store knows about apples");
  AddAndWait(b, "b.txt", "the second store knows about bananas");
  for (int round = 0; round < 3; ++round) {
    EXPECT_THAT(Search({a}, "apples"), SizeIs(static_cast<size_t>(round) + 1));
    AddAndWait(a, "more.txt", absl::StrCat("apples again, round ", round));
    EXPECT_THAT(Search({b}, "bananas"), SizeIs(1));
    EXPECT_THAT(Search({a}, "apples"), SizeIs(static_cast<size_t>(round) + 2));
    ASSERT_TRUE(library_->DeleteDocument({kOwner, b, "none"}).ok());
  }
  EXPECT_THAT(Search({a, b}, "apples bananas"), SizeIs(testing::Ge(4u)));
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
  EXPECT_EQ(both[0].score, 1);
  library_.reset();
}

TEST_F(LibraryTest, OneProcessAtATime) {
  Open();
  FakeEmbedder embedder;
  PlainTextExtractor extractor;
  EXPECT_EQ(Library::Open({.directory = directory_}, {&embedder}, extractor).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace carrel::retrieval
