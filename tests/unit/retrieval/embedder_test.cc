#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "retrieval/model_path.h"
#include "retrieval/wordpiece.h"

namespace carrel::retrieval {
namespace {

using nlohmann::json;

json Reference(const std::string& file) {
  std::ifstream in(std::string(CARREL_TESTDATA "/retrieval/") + file);
  return json::parse(in);
}

TEST(WordPieceTest, AgreesWithTheReferenceOnHostileStrings) {
  absl::StatusOr<ModelDirectory> model = OpenModelDirectory(ModelPath());
  ASSERT_TRUE(model.ok()) << model.status();
  absl::StatusOr<WordPiece> tokenizer = WordPiece::Load(model->tokenizer_path);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const json cases = Reference("wordpiece.json");
  ASSERT_GT(cases.size(), 300u);
  for (const json& one : cases) {
    const std::string text = one.at("text");
    EXPECT_EQ(tokenizer->Encode(text), one.at("ids").get<std::vector<int32_t>>()) << one.at("text").dump(-1, ' ', true);
  }
}

TEST(WordPieceTest, InvalidUtf8IsDropped) {
  absl::StatusOr<ModelDirectory> model = OpenModelDirectory(ModelPath());
  ASSERT_TRUE(model.ok()) << model.status();
  absl::StatusOr<WordPiece> tokenizer = WordPiece::Load(model->tokenizer_path);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ(tokenizer->Encode("wing\xff\xc3 tip\xe2\x82"), tokenizer->Encode("wing tip"));
}

void ExpectVectorsOfTheReference(const std::string& name, OpenVinoOptions options, double cosine_min) {
  absl::StatusOr<ModelDirectory> model = OpenModelDirectory(ModelPath(name));
  ASSERT_TRUE(model.ok()) << model.status();
  absl::StatusOr<std::unique_ptr<Embedder>> embedder = MakeOpenVinoEmbedder(*model, options);
  ASSERT_TRUE(embedder.ok()) << embedder.status();
  const json cases = Reference("vectors-" + name + ".json");
  ASSERT_GE(cases.size(), 20u);
  std::vector<std::string> texts;
  for (const json& one : cases) texts.push_back(one.at("text"));
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  absl::StatusOr<std::vector<Embedding>> out = (*embedder)->Embed(views, TextRole::kPassage);
  ASSERT_TRUE(out.ok()) << out.status();
  for (size_t i = 0; i < cases.size(); ++i) {
    const auto expected = cases[i].at("values").get<std::vector<float>>();
    const Embedding& got = (*out)[i];
    ASSERT_EQ(got.values.size(), expected.size());
    double cosine = 0, norm = 0;
    for (size_t d = 0; d < expected.size(); ++d) {
      cosine += double{got.values[d]} * expected[d];
      norm += double{got.values[d]} * got.values[d];
    }
    EXPECT_GT(cosine, cosine_min) << texts[i].substr(0, 60);
    EXPECT_NEAR(norm, 1.0, 1e-5);
    EXPECT_EQ(got.tokens, cases[i].at("tokens").get<uint32_t>());
    EXPECT_EQ(got.truncated, cases[i].at("truncated").get<bool>());
  }
}

TEST(EmbedderTest, VectorsAgreeWithTheReference) {
  ExpectVectorsOfTheReference("bge-small-en-v1.5", {}, 0.9999);
  ExpectVectorsOfTheReference("all-MiniLM-L6-v2", {}, 0.9999);
}

// Whatever precision the measurement chooses here, and loaded at the first use.
TEST(EmbedderTest, TheFastestPrecisionGivesNearlyTheSameVectors) {
  ExpectVectorsOfTheReference("all-MiniLM-L6-v2", {.fastest = true, .load_at_first_use = true}, 0.999);
}

// Questions may take a coarser one than passages; what they find must not depend on it.
TEST(EmbedderTest, TheFastestPrecisionOfQuestionsGivesNearlyTheSameVectors) {
  for (const std::string name : {"bge-small-en-v1.5", "all-MiniLM-L6-v2"}) {
    absl::StatusOr<ModelDirectory> model = OpenModelDirectory(ModelPath(name));
    ASSERT_TRUE(model.ok()) << model.status();
    absl::StatusOr<std::unique_ptr<Embedder>> exact = MakeOpenVinoEmbedder(*model, {});
    absl::StatusOr<std::unique_ptr<Embedder>> fast = MakeOpenVinoEmbedder(*model, {.fastest = true});
    ASSERT_TRUE(exact.ok() && fast.ok()) << exact.status() << fast.status();
    for (const json& one : Reference("vectors-" + name + ".json")) {
      const std::string text = one.at("text");
      const std::string_view view = text;
      const auto a = (*exact)->Embed({&view, 1}, TextRole::kQuery), b = (*fast)->Embed({&view, 1}, TextRole::kQuery);
      ASSERT_TRUE(a.ok() && b.ok()) << a.status() << b.status();
      double cosine = 0;
      for (size_t d = 0; d < (*a)[0].values.size(); ++d) cosine += double{(*a)[0].values[d]} * (*b)[0].values[d];
      EXPECT_GT(cosine, 0.995) << name << ": " << text.substr(0, 60);
    }
  }
}

TEST(ModelDirectoryTest, AWrongChecksumIsNamed) {
  const std::string dir = testing::TempDir() + "/wrong_model";
  std::filesystem::create_directories(dir);
  std::ofstream(dir + "/w.onnx") << "not a model";
  std::ofstream(dir + "/t.json") << "{}";
  std::ofstream(dir + "/manifest.json") << R"({"format":1,"name":"m","dimensions":8,"window_tokens":16,"pooling":"cls",
    "query_prefix":"","passage_prefix":"","licence":"none","source":"",
    "weights":{"file":"w.onnx","sha256":"00"},"tokenizer":{"file":"t.json","sha256":"00"}})";
  const absl::StatusOr<ModelDirectory> model = OpenModelDirectory(dir);
  EXPECT_EQ(model.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(model.status().message()), testing::HasSubstr("w.onnx"));
  std::filesystem::remove_all(dir);
}

TEST(ModelDirectoryTest, ACalibrationIsACurve) {
  const absl::StatusOr<ModelDirectory> model = OpenModelDirectory(ModelPath());
  ASSERT_TRUE(model.ok() && model->calibration.has_value());
  const double half = model->calibration->half;
  EXPECT_DOUBLE_EQ(model->calibration->Confidence(half), 0.5);
  EXPECT_GT(model->calibration->Confidence(0.9), 0.95);
  EXPECT_LT(model->calibration->Confidence(half - 0.2), 0.05);

  const std::string dir = testing::TempDir() + "/uncalibrated_model";
  std::filesystem::create_directories(dir);
  std::ofstream(dir + "/manifest.json") << R"({"format":1,"name":"m","dimensions":8,"window_tokens":16,"pooling":"cls",
    "query_prefix":"","passage_prefix":"","licence":"none","source":"","calibration":{"half":0.5,"width":0},
    "weights":{"file":"w.onnx","sha256":"00"},"tokenizer":{"file":"t.json","sha256":"00"}})";
  EXPECT_THAT(std::string(OpenModelDirectory(dir).status().message()), testing::HasSubstr("calibration.width"));
  std::filesystem::remove_all(dir);
}

TEST(ModelDirectoryTest, TheFastModelHasThatName) {
  const absl::StatusOr<std::vector<ModelDirectory>> models = OpenModels(CARREL_SHARE "/models", "fast");
  ASSERT_TRUE(models.ok()) << models.status();
  ASSERT_GE(models->size(), 2u);
  EXPECT_EQ(models->front().name, "all-MiniLM-L6-v2");
  const absl::StatusOr<std::vector<ModelDirectory>> none = OpenModels(CARREL_SHARE "/models", "quick");
  EXPECT_EQ(none.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(none.status().message()), testing::HasSubstr("all-MiniLM-L6-v2 (fast), bge-small-en-v1.5"));
}

TEST(ModelDirectoryTest, NoDirectoryIsNotFound) {
  EXPECT_EQ(OpenModelDirectory("/nonexistent").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace carrel::retrieval
