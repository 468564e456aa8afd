// A store that is embedded anew with another model, from the text that it has, and answers all the while.
#include <algorithm>
#include <atomic>
#include <future>
#include <thread>

#include "gmock/gmock.h"
#include "library_fixture.h"

namespace carrel::retrieval {
namespace {

using testing::HasSubstr;

class ReembeddingTest : public LibraryFixture {
 protected:
  ~ReembeddingTest() override { library_.reset(); }

  StoreInfo Store(const std::string& id) {
    const absl::StatusOr<StoreInfo> store = library_->GetStore(kOwner, id);
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *store : StoreInfo{};
  }
  absl::Status ChangeModel(const std::string& id, const std::string& model) {
    return library_->UpdateStore(kOwner, id, {.model = model}).status();
  }
  void AwaitModel(const std::string& id, const std::string& model) {
    const absl::Time end = absl::Now() + absl::Seconds(30);
    while (Store(id).model != model && absl::Now() < end) absl::SleepFor(absl::Milliseconds(5));
    EXPECT_EQ(Store(id).model, model);
    EXPECT_FALSE(Store(id).reembedding.has_value());
  }

  FakeEmbedder other_{"other", 32};
};

TEST_F(ReembeddingTest, TheOldVectorsServeUntilTheNewAreWhole) {
  ASSERT_TRUE(TryOpen({&embedder_, &other_}, {.ingest_workers = 4}).ok());
  ASSERT_TRUE(MakeStore("s").ok());
  ASSERT_TRUE(MakeStore("twin").ok());
  ASSERT_TRUE(AddAndWait("s", "a", "the pump needs oil").ok());
  ASSERT_TRUE(AddAndWait("s", "b", "the lamp needs a new bulb").ok());
  ASSERT_TRUE(AddAndWait("twin", "a", "the pump needs oil").ok());
  ASSERT_EQ(Add("s", "c", "of no type", "c.xyz")->status, DocumentStatus::kFailed);
  const int read = extractor_.calls();

  std::promise<void> go_on;
  other_.Before([gate = go_on.get_future().share()](auto) { gate.wait(); });
  ASSERT_TRUE(ChangeModel("s", "other").ok());
  ASSERT_TRUE(ChangeModel("s", "other").ok()) << "once more is fine";
  const StoreInfo during = Store("s");
  EXPECT_EQ(during.model, "fake");
  ASSERT_TRUE(during.reembedding.has_value());
  EXPECT_EQ(during.reembedding->model, "other");
  EXPECT_EQ(during.reembedding->documents, 3u);
  EXPECT_EQ(during.reembedding->documents_done, 1u) << "what is not readable needs no vectors";
  EXPECT_EQ(during.documents.completed, 2u);
  EXPECT_EQ(Get("s", "a")->status, DocumentStatus::kCompleted);
  EXPECT_EQ(Found("s", "a", "pump oil"), (Legs{true, true}));
  // What comes meanwhile is found by the old model at once, and goes with the others.
  ASSERT_EQ(AddAndWait("s", "d", "the belt is slack")->status, DocumentStatus::kCompleted);
  EXPECT_EQ(Found("s", "d", "belt"), (Legs{true, true}));
  ASSERT_EQ(Delete("s", "b").value(), true);
  EXPECT_EQ(Store("s").reembedding->documents, 3u);

  go_on.set_value();
  AwaitModel("s", "other");
  // The new one, for one model or for both at once.
  EXPECT_LE(extractor_.calls(), read + 2) << "what had been read was read again";
  EXPECT_EQ(Found("s", "a", "pump oil"), (Legs{true, true}));
  EXPECT_EQ(Found("s", "d", "belt"), (Legs{true, true}));
  EXPECT_EQ(Found("s", "b", "lamp bulb"), Legs{});
  EXPECT_EQ(Content("s", "a").value_or(""), "the pump needs oil");
  EXPECT_EQ(Get("s", "c")->status, DocumentStatus::kFailed);
  EXPECT_THAT(Get("s", "c")->message, HasSubstr("not read"));
  EXPECT_EQ(Store("twin").model, "fake");
  EXPECT_EQ(Found("twin", "a", "pump oil"), (Legs{true, true})) << "the other store keeps its own";
  // The same text with two models is one hit.
  const auto both = library_->Search({.owner = kOwner, .store_ids = {"s", "twin"}, .queries = {"pump"}});
  ASSERT_TRUE(both.ok()) << both.status();
  EXPECT_EQ(std::count_if(both->hits.begin(), both->hits.end(), [](auto& hit) { return hit.document_id == "a"; }), 1);
}

TEST_F(ReembeddingTest, ALongDocumentKeepsItsHeadingsAndPassages) {
  ASSERT_TRUE(TryOpen({&embedder_, &other_}).ok());
  ASSERT_TRUE(MakeStore("s").ok());
  std::string text;
  for (int i = 0; i < 300; ++i) absl::StrAppend(&text, "Größe ", i, " is kept in drawer ", i * 7, ". ");
  ASSERT_TRUE(AddAndWait("s", "a", text).ok());
  const DocumentInfo before = *Get("s", "a");
  const auto hits = Search("s", "Größe 120 drawer 840")->hits;
  ASSERT_TRUE(ChangeModel("s", "other").ok());
  AwaitModel("s", "other");
  const DocumentInfo after = *Get("s", "a");
  EXPECT_EQ(after.passages, before.passages);
  EXPECT_EQ(after.characters, before.characters);
  EXPECT_EQ(after.pages, before.pages);
  EXPECT_EQ(after.verdict, before.verdict);
  EXPECT_EQ(Content("s", "a").value_or(""), text);
  const auto again = Search("s", "Größe 120 drawer 840")->hits;
  ASSERT_FALSE(again.empty());
  EXPECT_EQ(again[0].citations[0].quote, hits[0].citations[0].quote);
  ASSERT_TRUE(library_->Maintain().ok());
  EXPECT_LE(Store("s").usage_bytes, before.usage_bytes) << "vectors are half as long, and the old ones are gone";
}

TEST_F(ReembeddingTest, GoesOnAfterARestartAndWithoutTheOldModel) {
  ASSERT_TRUE(TryOpen({&embedder_}).ok());
  ASSERT_TRUE(MakeStore("s").ok());
  ASSERT_TRUE(AddAndWait("s", "a", "the pump needs oil").ok());
  ASSERT_TRUE(TryOpen({&other_}).ok());
  const absl::StatusOr<SearchAnswer> refused = Search("s", "pump");
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("made with the model fake"));
  EXPECT_EQ(ChangeModel("s", "third").code(), absl::StatusCode::kInvalidArgument);
  other_.FailNext(1'000'000);
  ASSERT_TRUE(ChangeModel("s", "other").ok());
  ASSERT_TRUE(Add("s", "b", "the lamp is green").ok()) << "it waits for the model that will be there";
  library_.reset();
  other_.FailNext(0);
  ASSERT_TRUE(TryOpen({&other_}).ok());
  AwaitModel("s", "other");
  EXPECT_EQ(Found("s", "a", "pump"), (Legs{true, true}));
  EXPECT_EQ(Wait("s", "b")->status, DocumentStatus::kCompleted);
  EXPECT_EQ(Found("s", "b", "lamp"), (Legs{true, true}));
}

TEST_F(ReembeddingTest, WhatCannotBeEmbeddedAnewIsNotLost) {
  ASSERT_TRUE(TryOpen({&embedder_, &other_}).ok());
  ASSERT_TRUE(MakeStore("s").ok());
  ASSERT_TRUE(AddAndWait("s", "a", "the pump needs oil").ok());
  other_.FailNext(5);
  ASSERT_TRUE(ChangeModel("s", "other").ok());
  const absl::Time end = absl::Now() + absl::Seconds(60);
  while (Store("s").reembedding->documents_failed == 0 && absl::Now() < end) absl::SleepFor(absl::Milliseconds(20));
  const StoreInfo store = Store("s");
  ASSERT_TRUE(store.reembedding.has_value());
  EXPECT_EQ(store.reembedding->documents_failed, 1u);
  EXPECT_EQ(store.reembedding->documents_done, 0u);
  EXPECT_THAT(store.reembedding->message, HasSubstr("the fake was told to fail"));
  EXPECT_EQ(store.model, "fake");
  EXPECT_EQ(Found("s", "a", "pump"), (Legs{true, true}));
  ASSERT_TRUE(ChangeModel("s", "other").ok()) << "which tries again";
  AwaitModel("s", "other");
  EXPECT_EQ(Found("s", "a", "pump"), (Legs{true, true}));
}

TEST_F(ReembeddingTest, CanBeCalledOff) {
  ASSERT_TRUE(TryOpen({&embedder_, &other_}).ok());
  ASSERT_TRUE(MakeStore("s").ok());
  ASSERT_TRUE(AddAndWait("s", "a", "the pump needs oil").ok());
  std::promise<void> go_on;
  other_.Before([gate = go_on.get_future().share()](auto) { gate.wait(); });
  ASSERT_TRUE(ChangeModel("s", "other").ok());
  ASSERT_TRUE(ChangeModel("s", "fake").ok());
  EXPECT_FALSE(Store("s").reembedding.has_value());
  go_on.set_value();
  ASSERT_TRUE(library_->Maintain().ok());
  EXPECT_EQ(Store("s").model, "fake");
  EXPECT_EQ(Found("s", "a", "pump"), (Legs{true, true}));
  ASSERT_TRUE(library_->DeleteStore(kOwner, "s").ok());
}

TEST_F(ReembeddingTest, DeletingOnTheWayLeavesNothing) {
  ASSERT_TRUE(TryOpen({&embedder_, &other_}).ok());
  ASSERT_TRUE(MakeStore("s").ok());
  ASSERT_TRUE(MakeStore("t").ok());
  ASSERT_TRUE(AddAndWait("s", "a", "the pump needs oil").ok());
  ASSERT_TRUE(AddAndWait("t", "b", "the lamp is green").ok());
  std::promise<void> go_on;
  other_.Before([gate = go_on.get_future().share()](auto) { gate.wait(); });
  ASSERT_TRUE(ChangeModel("s", "other").ok());
  ASSERT_TRUE(ChangeModel("t", "other").ok());
  ASSERT_EQ(Delete("s", "a").value(), true);
  ASSERT_EQ(library_->DeleteStore(kOwner, "t").value(), true);
  go_on.set_value();
  ASSERT_TRUE(library_->Maintain().ok());
  AwaitModel("s", "other");
  size_t blobs = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_ + "/blobs")) {
    blobs += entry.is_regular_file();
  }
  EXPECT_EQ(blobs, 0u);
}

// Searches while stores change their model to and fro: each is answered whole, by one model or the other.
TEST_F(ReembeddingTest, EverySearchMeanwhileIsWhole) {
  FakeEmbedder same_length("third", 64);  // wrong vectors of the right length would not be noticed as an error
  ASSERT_TRUE(TryOpen({&embedder_, &same_length}).ok());
  ASSERT_TRUE(MakeStore("s").ok());
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(AddAndWait("s", absl::StrCat("d", i), absl::StrCat("note ", i, " about item", i)).ok());
  }
  std::atomic<bool> over = false;
  std::thread searches([&] {
    for (int i = 0; !over; i = (i + 1) % 20) {
      EXPECT_EQ(Found("s", absl::StrCat("d", i), absl::StrCat("item", i)), (Legs{true, true})) << i;
    }
  });
  for (int round = 0; round < 6; ++round) {
    const std::string model = round % 2 == 0 ? "third" : "fake";
    EXPECT_TRUE(ChangeModel("s", model).ok());
    AwaitModel("s", model);
  }
  over = true;
  searches.join();
  library_.reset();
}

}  // namespace
}  // namespace carrel::retrieval
