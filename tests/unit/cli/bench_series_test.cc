#include "gateway/cli/src/bench_series.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace carrel::cli {
namespace {

Series Of(int count) {
  Series series("a call", "call");
  // Not in order.
  for (int i = 0; i < count; ++i) series.Add((i * 37) % count + 1);
  return series;
}

TEST(Series, QuantilesAreOfTheSortedValues) {
  const Series series = Of(101);  // 1 to 101
  EXPECT_EQ(series.size(), 101U);
  EXPECT_EQ(series.Quantile(0), 1);
  EXPECT_EQ(series.Quantile(0.5), 51);
  EXPECT_EQ(series.Quantile(0.95), 96);
  EXPECT_EQ(series.Quantile(0.99), 100);
  EXPECT_EQ(series.Quantile(1), 101);
}

TEST(Series, FewValuesHaveQuantilesToo) {
  EXPECT_TRUE(Of(0).empty());
  EXPECT_EQ(Of(0).Quantile(0.5), 0);
  EXPECT_EQ(Of(1).Quantile(0.5), 1);
  EXPECT_EQ(Of(1).Quantile(0.99), 1);
  for (int count = 1; count < 12; ++count) {
    const Series series = Of(count);
    EXPECT_LE(series.Quantile(0.5), series.Quantile(0.9));
    EXPECT_LE(series.Quantile(0.9), series.Quantile(0.95));
    EXPECT_LE(series.Quantile(0.95), series.Quantile(0.99));
    EXPECT_LE(series.Quantile(0.99), series.Quantile(1));
    EXPECT_EQ(series.Quantile(1), count);
  }
}

TEST(Series, JsonHasTheKeyTheNumberAndMilliseconds) {
  const auto json = nlohmann::json::parse("{" + Of(101).Json() + "}");
  EXPECT_EQ(json, nlohmann::json::parse(R"({"call": {"n": 101, "p50_ms": 51.0, "p90_ms": 91.0, "p95_ms": 96.0,
                                            "p99_ms": 100.0, "max_ms": 101.0}})"));
}

TEST(Series, TheLineHasItsNameAndFourColumns) {
  EXPECT_THAT(Of(101).Line(), ::testing::MatchesRegex("  a call +51.00 +96.00 +100.00 +101.00   101"));
}

}  // namespace
}  // namespace carrel::cli
