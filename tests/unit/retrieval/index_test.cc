// The structures that a store's index is made of, each against a plain scan.
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "retrieval/attribute_index.h"
#include "retrieval/index_cache.h"
#include "retrieval/postings.h"
#include "retrieval/text_sketch.h"
#include "retrieval/vector_index.h"

namespace carrel::retrieval {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

TEST(PositionSetTest, AgreesWithASetThroughChanges) {
  std::mt19937 random(1);
  PositionSet set(300);
  std::set<uint32_t> expected;
  for (int round = 0; round < 400; ++round) {
    const uint32_t begin = random() % 300, end = begin + random() % 150;
    if (random() % 2 == 0) {
      set.AddRange(begin, end);
      for (uint32_t i = begin; i < std::min(end, 300u); ++i) expected.insert(i);
    } else {
      set.RemoveRange(begin, end);
      for (uint32_t i = begin; i < end; ++i) expected.erase(i);
    }
    if (round % 50 == 0) {
      set.Complement();
      std::set<uint32_t> others;
      for (uint32_t i = 0; i < 300; ++i) {
        if (!expected.contains(i)) others.insert(i);
      }
      expected = others;
    }
    std::vector<uint32_t> got;
    set.ForEach([&](uint32_t p) { got.push_back(p); });
    ASSERT_EQ(got, std::vector<uint32_t>(expected.begin(), expected.end()));
    ASSERT_EQ(set.count(), expected.size());
  }
}

std::vector<float> UnitVector(std::mt19937& random, size_t dimensions) {
  std::normal_distribution<float> normal;
  std::vector<float> out(dimensions);
  float square = 0;
  for (float& v : out) {
    v = normal(random);
    square += v * v;
  }
  for (float& v : out) v /= std::sqrt(square);
  return out;
}

// Near one of a few directions, as texts about a few things are.
std::vector<float> Clustered(std::mt19937& random, const std::vector<std::vector<float>>& centres) {
  std::vector<float> out = UnitVector(random, centres[0].size());
  const std::vector<float>& centre = centres[random() % centres.size()];
  float square = 0;
  for (size_t d = 0; d < out.size(); ++d) {
    out[d] = centre[d] + 0.6f * out[d];
    square += out[d] * out[d];
  }
  for (float& v : out) v /= std::sqrt(square);
  return out;
}

void ExpectAsOfAPlainScan(uint32_t dimensions) {
  SCOPED_TRACE(dimensions);
  std::mt19937 random(3);
  VectorIndex index(dimensions);
  std::vector<std::vector<float>> rows;
  for (int i = 0; i < 500; ++i) {
    rows.push_back(UnitVector(random, dimensions));
    index.Add(rows.back());
  }
  for (const uint32_t one_in : {1u, 2u, 7u, 60u}) {
    PositionSet allowed(500);
    for (uint32_t i = 0; i < 500; ++i) {
      if (random() % one_in == 0) allowed.Add(i);
    }
    const std::vector<float> query = UnitVector(random, dimensions);
    std::vector<std::pair<float, uint32_t>> expected;
    for (uint32_t i = 0; i < 500; ++i) {
      if (!allowed.Has(i)) continue;
      float cosine = 0;
      for (size_t d = 0; d < dimensions; ++d) cosine += query[d] * rows[i][d];
      expected.emplace_back(-cosine, i);
    }
    std::sort(expected.begin(), expected.end());
    const std::vector<VectorMatch> got = index.Search(query, 10, one_in == 1 ? nullptr : &allowed);
    ASSERT_EQ(got.size(), std::min<size_t>(10, expected.size()));
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_NEAR(got[i].cosine, -expected[i].first, 2e-3);  // half precision
    }
    EXPECT_EQ(got[0].position, expected[0].second);
  }
}

// Multiples of 16 and of 8 go by wider instructions than the rest.
TEST(VectorIndexTest, AgreesWithAPlainScanWhateverIsAllowed) {
  for (const uint32_t dimensions : {384, 16, 24, 10}) ExpectAsOfAPlainScan(dimensions);
}

// What is kept can be written down and read back, over the ends of blocks.
TEST(VectorIndexTest, CodesComeBack) {
  std::mt19937 random(4);
  VectorIndex index(8), copy(8);
  const uint32_t size = 40'000;
  for (uint32_t i = 0; i < size; ++i) index.Add(UnitVector(random, 8));
  for (uint32_t at = 0; at < size;) {
    const std::span<uint8_t> to = copy.AddCodes(size - at);
    for (size_t done = 0; done < to.size();) {
      const uint32_t begin = at + static_cast<uint32_t>(done / index.code_size());
      const std::span<const uint8_t> from =
          index.Codes(begin, at + static_cast<uint32_t>(to.size() / index.code_size()));
      std::copy(from.begin(), from.end(), to.begin() + static_cast<ptrdiff_t>(done));
      done += from.size();
    }
    at += static_cast<uint32_t>(to.size() / index.code_size());
  }
  ASSERT_EQ(copy.size(), size);
  EXPECT_EQ(copy.Read(0, size), index.Read(0, size));
  EXPECT_LT(VectorIndex(384).bytes(), 1'000u) << "an empty one is small";
  VectorIndex small(384);
  for (int i = 0; i < 50; ++i) small.Add(UnitVector(random, 384));
  EXPECT_LT(small.bytes(), 100'000u) << "so is that of a small store: thousands are in memory";
}

TEST(VectorIndexTest, EmptyAndNothingAllowed) {
  VectorIndex index(4);
  const std::vector<float> query = {1, 0, 0, 0};
  EXPECT_THAT(index.Search(query, 5, nullptr), IsEmpty());
  index.Add(query);
  index.Add({});  // a place with nothing in it
  const PositionSet none(2);
  EXPECT_THAT(index.Search(query, 5, &none), IsEmpty());
  EXPECT_EQ(index.Search(query, 1, nullptr)[0].position, 0u);
}

TEST(VectorIndexTest, CellsFindWhatAScanFindsWithTailAndFilter) {
  std::mt19937 random(5);
  std::vector<std::vector<float>> centres;
  for (int i = 0; i < 40; ++i) centres.push_back(UnitVector(random, 24));
  VectorIndex index(24);
  for (int i = 0; i < 30'000; ++i) index.Add(Clustered(random, centres));
  std::shared_ptr<const VectorLists> lists = VectorLists::Train(index.Read(0, 6'000), 24, 64, 1);
  EXPECT_EQ(lists->cells(), 64u);
  lists = lists->With(index.Read(0, 20'000))->With(index.Read(20'000, 29'000));
  EXPECT_EQ(lists->listed(), 29'000u);  // a thousand are the tail
  lists = lists->WithProbes(24);
  index.Install(lists);
  PositionSet half(30'000);
  for (uint32_t i = 0; i < 30'000; ++i) {
    if (i % 8 != 0) half.Add(i);
  }
  for (const PositionSet* allowed :
       {static_cast<const PositionSet*>(nullptr), static_cast<const PositionSet*>(&half)}) {
    size_t found = 0;
    for (int q = 0; q < 50; ++q) {
      const std::vector<float> query = Clustered(random, centres);
      std::set<uint32_t> truth;
      for (const VectorMatch& m : index.SearchExactly(query, 20, allowed)) truth.insert(m.position);
      for (const VectorMatch& m : index.Search(query, 20, allowed)) {
        found += truth.contains(m.position);
        ASSERT_TRUE(allowed == nullptr || allowed->Has(m.position));
      }
    }
    EXPECT_GE(found, 980u);
  }
}

TEST(VectorListsTest, PartsThatDoNotFitAreRefused) {
  const std::vector<float> centroids = {1, 0, 0, 1};
  using Parts = VectorLists::Parts;
  EXPECT_TRUE(
      VectorLists::FromParts(Parts{.dimensions = 2, .probes = 1, .centroids = centroids, .cell_of = {0, 1, 1}}).ok());
  EXPECT_FALSE(
      VectorLists::FromParts(Parts{.dimensions = 2, .probes = 1, .centroids = centroids, .cell_of = {0, 2}}).ok());
  EXPECT_FALSE(VectorLists::FromParts(Parts{.dimensions = 3, .probes = 1, .centroids = centroids}).ok());
  EXPECT_FALSE(VectorLists::FromParts(Parts{.dimensions = 0, .probes = 1, .centroids = centroids}).ok());
  EXPECT_FALSE(VectorLists::FromParts(Parts{.dimensions = 2, .probes = 3, .centroids = centroids}).ok());
}

// Texts whose words are as unevenly common as those of a language.
struct Corpus {
  struct Text {
    std::string heading, body;
  };
  std::vector<Text> texts;

  static Corpus Make(std::mt19937& random, size_t count) {
    Corpus out;
    for (size_t i = 0; i < count; ++i) {
      Text text;
      for (size_t w = 3 + random() % 60; w > 0; --w)
        absl::StrAppend(&text.body, text.body.empty() ? "" : " ", Word(random));
      if (random() % 3 == 0) text.heading = absl::StrCat(Word(random), " ", Word(random));
      out.texts.push_back(std::move(text));
    }
    return out;
  }
  static std::string Word(std::mt19937& random) {
    const double u = std::uniform_real_distribution<>(0, 1)(random);
    return absl::StrCat("w", static_cast<int>(std::pow(600.0, u)));
  }
};

std::map<std::string, uint32_t> Counted(const Corpus::Text& text, uint32_t& length) {
  std::map<std::string, uint32_t> out;
  length = 0;
  for (const auto& [part, weight] : {std::pair(&text.heading, 2u), std::pair(&text.body, 1u)}) {
    std::istringstream words(*part);
    for (std::string word; words >> word; ++length) out[word] += weight;
  }
  return out;
}

// BM25 of every text, as the contract says it: statistics of all, lengths by the average of the first `base`.
std::vector<double> PlainScores(const Corpus& corpus, size_t base, const std::vector<std::string>& terms) {
  std::vector<std::map<std::string, uint32_t>> counts;
  std::vector<uint32_t> lengths;
  double average = 0;
  for (size_t i = 0; i < corpus.texts.size(); ++i) {
    uint32_t length = 0;
    counts.push_back(Counted(corpus.texts[i], length));
    lengths.push_back(length);
    if (i < base) average += length / static_cast<double>(base);
  }
  std::vector<double> out(corpus.texts.size(), 0);
  for (const std::string& term : terms) {
    double frequency = 0;
    for (const auto& one : counts) frequency += static_cast<double>(one.contains(term));
    if (frequency == 0) continue;
    const double n = static_cast<double>(counts.size());
    const double weight = std::max(1e-6, std::log((n - frequency + 0.5) / (frequency + 0.5)));
    for (size_t i = 0; i < counts.size(); ++i) {
      const auto found = counts[i].find(term);
      if (found == counts[i].end()) continue;
      const double tf = found->second;
      out[i] += weight * tf * 2.2 / (tf + 1.2 * (0.25 + 0.75 * lengths[i] / average));
    }
  }
  return out;
}

TEST(PostingsTest, TheBestAreExactlyThoseOfAPlainScan) {
  std::mt19937 random(11);
  const Corpus corpus = Corpus::Make(random, 11'000);  // of more than one window
  const size_t base_size = 10'000;
  Postings::Builder builder;
  for (size_t i = 0; i < base_size; ++i) builder.Add(corpus.texts[i].heading, corpus.texts[i].body);
  const std::shared_ptr<const Postings> base = builder.Finish();
  PostingsTail tail(base.get());
  for (size_t i = base_size; i < corpus.texts.size(); ++i) tail.Add(corpus.texts[i].heading, corpus.texts[i].body);
  ASSERT_EQ(base->positions(), base_size);

  for (int round = 0; round < 80; ++round) {
    std::vector<std::string> terms;
    for (size_t i = 1 + random() % (round % 3 == 0 ? 30 : 9); i > 0; --i) {
      std::string word = round % 10 == 0 ? "absent" : Corpus::Word(random);
      if (std::find(terms.begin(), terms.end(), word) == terms.end()) terms.push_back(word);
    }
    PositionSet allowed(11'000);
    const uint32_t one_in = std::vector<uint32_t>{1, 2, 20, 500}[static_cast<size_t>(round) % 4];
    for (uint32_t i = 0; i < 11'000; ++i) {
      if (random() % one_in == 0) allowed.Add(i);
    }
    const std::vector<double> scores = PlainScores(corpus, base_size, terms);
    std::vector<double> expected;
    for (uint32_t i = 0; i < 11'000; ++i) {
      if (scores[i] > 0 && allowed.Has(i)) expected.push_back(scores[i]);
    }
    std::sort(expected.rbegin(), expected.rend());
    const std::vector<TermScore> got = SearchPostings(*base, tail, terms, 50, one_in == 1 ? nullptr : &allowed);
    ASSERT_EQ(got.size(), std::min<size_t>(50, expected.size())) << round;
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_NEAR(got[i].bm25, expected[i], 1e-4 * (1 + expected[i]));
      EXPECT_NEAR(got[i].bm25, scores[got[i].position], 1e-4 * (1 + expected[i]));
      EXPECT_TRUE(allowed.Has(got[i].position));
    }
  }
}

TEST(PostingsTest, WithoutIsAsIfItHadNeverBeenThere) {
  std::mt19937 random(13);
  const Corpus corpus = Corpus::Make(random, 3'000);
  Postings::Builder all, some;
  PositionSet gone(3'000);
  for (uint32_t i = 0; i < 3'000; ++i) {
    const Corpus::Text& text = corpus.texts[i];
    const bool dead = i % 7 == 0 || (i > 1'000 && i < 1'400);
    if (dead) gone.Add(i);
    const std::string body = i % 7 == 0 ? absl::StrCat(text.body, " secret", i) : text.body;
    all.Add(text.heading, body);
    dead ? some.Add("", "") : some.Add(text.heading, text.body);
  }
  const std::shared_ptr<const Postings> without = all.Finish()->Without(gone), expected = some.Finish();
  EXPECT_EQ(without->Frequency("secret7"), 0u);
  EXPECT_EQ(without->positions(), 3'000u);
  const PostingsTail tail(without.get()), expected_tail(expected.get());
  for (int round = 0; round < 60; ++round) {
    std::vector<std::string> terms;
    for (int i = 0; i < 4; ++i) terms.push_back(Corpus::Word(random));
    std::sort(terms.begin(), terms.end());
    terms.erase(std::unique(terms.begin(), terms.end()), terms.end());
    for (const std::string& term : terms) EXPECT_EQ(without->Frequency(term), expected->Frequency(term)) << term;
    const auto got = SearchPostings(*without, tail, terms, 3'000, nullptr);
    const auto wanted = SearchPostings(*expected, expected_tail, terms, 3'000, nullptr);
    ASSERT_EQ(got.size(), wanted.size());
    std::set<uint32_t> positions;
    for (const TermScore& match : got) {
      EXPECT_FALSE(gone.Has(match.position));
      positions.insert(match.position);
    }
    for (const TermScore& match : wanted) EXPECT_TRUE(positions.contains(match.position));
  }
}

// Positions further apart than one block may span.
TEST(PostingsTest, RareTermsFarApartAreFound) {
  Postings::Builder builder;
  for (uint32_t i = 0; i < 200'000; ++i) {
    builder.Add("", i % 50'000 == 7 ? "common rare" : i % 3 == 0 ? "common" : "");
  }
  const std::shared_ptr<const Postings> base = builder.Finish();
  EXPECT_EQ(base->Frequency("rare"), 4u);
  EXPECT_EQ(base->Frequency("none"), 0u);
  const PostingsTail tail(base.get());
  const std::vector<std::string> terms = {"rare", "common"};
  const std::vector<TermScore> got = SearchPostings(*base, tail, terms, 4, nullptr);
  ASSERT_THAT(got, SizeIs(4));
  for (uint32_t i = 0; i < 4; ++i) EXPECT_EQ(got[i].position, i * 50'000 + 7);
}

class CacheTest : public testing::Test {
 protected:
  CacheTest() : path_(absl::StrCat(testing::TempDir(), "/cache-", ::getpid(), ".terms")) {}
  ~CacheTest() override { std::filesystem::remove(path_); }

  void WritePostings() {
    std::mt19937 random(2);
    Postings::Builder builder;
    for (const Corpus::Text& text : Corpus::Make(random, 300).texts) builder.Add(text.heading, text.body);
    absl::StatusOr<CacheWriter> out = CacheWriter::Create(path_);
    ASSERT_TRUE(out.ok()) << out.status();
    ASSERT_TRUE(builder.Finish()->Write(*out).ok());
    ASSERT_FALSE(std::filesystem::exists(path_));  // not before it is whole
    ASSERT_TRUE(out->Commit().ok());
  }
  absl::StatusOr<std::shared_ptr<const Postings>> Read() {
    absl::StatusOr<CacheReader> in = CacheReader::Open(path_);
    if (!in.ok()) return in.status();
    return Postings::Read(*in);
  }

  const std::string path_;
};

TEST_F(CacheTest, WhatWasWrittenIsRead) {
  WritePostings();
  const auto read = Read();
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ((*read)->positions(), 300u);
  EXPECT_GT((*read)->Frequency("w2"), 10u);
}

// Attack or accident: any bit of the file, and any length of it.
TEST_F(CacheTest, EveryDamageIsFound) {
  WritePostings();
  std::ifstream in(path_, std::ios::binary);
  const std::string good((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  std::mt19937 random(9);
  for (int round = 0; round < 300; ++round) {
    std::string bad = good;
    if (round % 3 == 0) {
      bad.resize(random() % bad.size());
    } else {
      char& byte = bad[random() % bad.size()];
      byte = static_cast<char>(byte ^ (1 << random() % 8));
    }
    std::ofstream(path_, std::ios::binary) << bad;
    EXPECT_EQ(Read().status().code(), absl::StatusCode::kDataLoss) << round;
  }
}

// Attack: a file whose checksum holds and whose numbers lie. Reading refuses it, or what is read can be searched.
TEST_F(CacheTest, NumbersThatLieAreRefusedOrHarmless) {
  WritePostings();
  std::ifstream in(path_, std::ios::binary);
  const std::string good((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  std::mt19937 random(10);
  const std::vector<std::string> terms = {"w1", "w2", "w3", "w40", "w100"};
  int refused = 0;
  for (int round = 0; round < 500; ++round) {
    std::string bad = good;
    for (int i = 0; i < 3; ++i) bad[8 + random() % (bad.size() - 16)] = static_cast<char>(random());
    CacheChecksum sum;
    sum.Add(std::string_view(bad).substr(0, bad.size() - 8));
    const uint64_t value = sum.Value();
    std::copy_n(reinterpret_cast<const char*>(&value), 8, bad.end() - 8);
    std::ofstream(path_, std::ios::binary) << bad;
    const auto read = Read();
    if (!read.ok()) {
      ++refused;
      continue;
    }
    const PostingsTail tail(read->get());
    EXPECT_LE(SearchPostings(**read, tail, terms, 20, nullptr).size(), 20u);
  }
  EXPECT_GT(refused, 100);
}

TEST_F(CacheTest, NoFileIsNotFound) { EXPECT_EQ(Read().status().code(), absl::StatusCode::kNotFound); }

AttributeValue RandomValue(std::mt19937& random) {
  switch (random() % 4) {
    case 0:
      return absl::StrCat("t", random() % 5);
    case 1:
      return static_cast<double>(random() % 7) - 2;
    case 2:
      return random() % 2 == 0;
    default:
      return static_cast<double>(random() % 3);
  }
}

Filter RandomFilter(std::mt19937& random, int depth) {
  if (depth > 0 && random() % 2 == 0) {
    Compound compound{.op = random() % 2 == 0 ? Compound::Operator::kAnd : Compound::Operator::kOr};
    for (size_t i = 1 + random() % 3; i > 0; --i) compound.filters.push_back(RandomFilter(random, depth - 1));
    return {compound};
  }
  Comparison comparison{.key = absl::StrCat("k", random() % 4),
                        .op = static_cast<Comparison::Operator>(1 + random() % 8)};
  const bool many = comparison.op == Comparison::Operator::kIn || comparison.op == Comparison::Operator::kNin;
  for (size_t i = many ? 1 + random() % 3 : 1; i > 0; --i) comparison.values.push_back(RandomValue(random));
  return {comparison};
}

TEST(AttributeIndexTest, AgreesWithHoldsForEveryDocument) {
  std::mt19937 random(21);
  AttributeIndex index;
  std::map<int64_t, Attributes> documents;
  for (int round = 0; round < 3'000; ++round) {
    const auto document = static_cast<int64_t>(random() % 400);
    if (random() % 5 == 0) {
      documents.erase(document);
      index.Remove(document);
    } else {
      Attributes attributes;
      for (size_t i = random() % 4; i > 0; --i) attributes[absl::StrCat("k", random() % 4)] = RandomValue(random);
      documents[document] = attributes;
      index.Put(document, 1'000 + document, attributes);
    }
    if (round % 5 != 0) continue;
    const Filter filter = RandomFilter(random, 3);
    std::set<int64_t> expected, got;
    for (const auto& [id, attributes] : documents) {
      if (Holds(filter, attributes)) expected.insert(1'000 + id);
    }
    index.ForEachContent(filter, [&](int64_t content) { got.insert(content); });
    ASSERT_EQ(got, expected) << round;
  }
}

// What is kept of a filter is found again by its key: no two that differ may share one.
TEST(FilterTest, KeysTellFiltersApart) {
  using Op = Comparison::Operator;
  const auto comparison = [](const char* key, Op op, std::vector<AttributeValue> values) {
    return Filter{Comparison{.key = key, .op = op, .values = std::move(values)}};
  };
  const auto compound = [](Compound::Operator op, std::vector<Filter> filters) {
    return Filter{Compound{.op = op, .filters = std::move(filters)}};
  };
  const std::vector<Filter> different = {
      comparison("a", Op::kEq, {1.0}),
      comparison("a", Op::kEq, {-0.0}),
      comparison("a", Op::kEq, {std::string("1")}),
      comparison("a", Op::kEq, {true}),
      comparison("a", Op::kEq, {false}),
      comparison("a", Op::kNe, {1.0}),
      comparison("a:1", Op::kEq, {1.0}),
      comparison("a", Op::kIn, {1.0, 2.0}),
      comparison("a", Op::kIn, {std::string("x"), std::string("y")}),
      comparison("a", Op::kIn, {std::string("xt1:y")}),
      compound(Compound::Operator::kAnd, {comparison("a", Op::kEq, {1.0}), comparison("b", Op::kEq, {1.0})}),
      compound(Compound::Operator::kOr, {comparison("a", Op::kEq, {1.0}), comparison("b", Op::kEq, {1.0})}),
      compound(Compound::Operator::kAnd, {compound(Compound::Operator::kAnd, {comparison("a", Op::kEq, {1.0})}),
                                          comparison("b", Op::kEq, {1.0})}),
      compound(Compound::Operator::kAnd, {})};
  std::set<std::string> keys;
  for (const Filter& filter : different) keys.insert(FilterKey(filter));
  EXPECT_EQ(keys.size(), different.size());
}

TEST(AttributeIndexTest, NotANumberIsEqualToNothing) {
  AttributeIndex index;
  index.Put(1, 1, {{"k", std::nan("")}});
  index.Put(2, 2, {{"k", 1.0}});
  for (const auto op : {Comparison::Operator::kEq, Comparison::Operator::kGte, Comparison::Operator::kIn}) {
    int found = 0;
    index.ForEachContent({Comparison{.key = "k", .op = op, .values = {std::nan("")}}}, [&](int64_t) { ++found; });
    EXPECT_EQ(found, 0);
  }
}

TEST(TextSketchTest, NearlyTheSameIsToldFromAnother) {
  std::string text;
  for (int i = 0; i < 200; ++i) absl::StrAppend(&text, "sentence number ", i * i, " says something of its own. ");
  const TextSketch sketch(text);
  std::string edited = text;
  edited.replace(edited.size() / 2, 6, "A WORD");
  EXPECT_TRUE(sketch.NearlyEquals(TextSketch(edited)));
  std::string spaced = "  ";
  for (const char c : text)
    spaced += c == ' ' ? std::string(" \n ") : std::string(1, static_cast<char>(std::toupper(c)));
  EXPECT_TRUE(sketch.NearlyEquals(TextSketch(spaced)));
  EXPECT_FALSE(sketch.NearlyEquals(TextSketch(text.substr(text.size() / 2))));
  EXPECT_FALSE(TextSketch("東京は日本の首都です。").NearlyEquals(TextSketch("京都は日本の古都です。")));
  EXPECT_TRUE(TextSketch("東京は日本の首都です。").NearlyEquals(TextSketch("東京は日本の首都です。")));
  EXPECT_FALSE(TextSketch("yes").NearlyEquals(TextSketch("no")));
}

}  // namespace
}  // namespace carrel::retrieval
