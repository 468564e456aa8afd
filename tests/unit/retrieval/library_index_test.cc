// The indexes behind a library: caches that are used, never trusted, and hold nothing that was deleted.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "library_test.h"
#include "retrieval/vector_index.h"

namespace carrel::retrieval {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

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
  EXPECT_EQ(Search({store}, "Bay 7 is for boat 907")[0].document_id, "7");
}

// Whoever sees that a document is completed finds it by its words and by its meaning, without a moment in between. And
// goes on to, also while the background makes the index of words anew every few documents.
TEST_F(LibraryTest, WhatIsCompletedIsFoundAtOnce) {
  for (const uint32_t tail_max : {20'000u, 1u}) {
    Open({.sync_full = false, .indexed_terms_min = 1, .index_tail_max = tail_max});
    const std::string store = MakeStore();
    AddAndWait(store, "a.txt", "The first note.", "first");
    Search({store}, "which loads the index");
    const auto text_of = [](int i) { return absl::StrCat("Bay ", i, " is for boat ", 900 + i); };
    for (int i = 0; i < 200; ++i) {
      const std::string id = absl::StrCat("d", i);
      ASSERT_TRUE(Add(store, "a.txt", text_of(i), id).ok());
      while (LibraryFixture::Get(store, id)->status == DocumentStatus::kInProgress) std::this_thread::yield();
      ASSERT_EQ(Found(store, id, text_of(i)), (Legs{true, true})) << i;
    }
    library_->WaitForIndexes();
    for (int i = 0; i < 200; ++i) {
      ASSERT_EQ(Found(store, absl::StrCat("d", i), text_of(i)), (Legs{true, true})) << i;
    }
  }
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

}  // namespace
}  // namespace carrel::retrieval
