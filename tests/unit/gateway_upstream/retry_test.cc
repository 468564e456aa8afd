#include "gateway/upstream/retry.h"

#include <gtest/gtest.h>

#include <random>

namespace carrel::gateway {
namespace {

TEST(Retry, OnlyWhatMayPassIsTriedAgain) {
  for (const int status : {408, 409, 425, 429, 500, 502, 503, 504, 529}) EXPECT_TRUE(IsRetryableStatus(status));
  for (const int status : {200, 400, 401, 403, 404, 413, 422, 501}) EXPECT_FALSE(IsRetryableStatus(status));
}

TEST(Retry, ReadsBothWaysOfSayingWhen) {
  const absl::Time now = absl::FromUnixSeconds(1'700'000'000);  // Tue, 14 Nov 2023 22:13:20 GMT
  EXPECT_EQ(ReadRetryAfter("7", "", now), absl::Seconds(7));
  EXPECT_EQ(ReadRetryAfter("7", "250", now), absl::Milliseconds(250));
  EXPECT_EQ(ReadRetryAfter("Tue, 14 Nov 2023 22:13:30 GMT", "", now), absl::Seconds(10));
  EXPECT_EQ(ReadRetryAfter("Tue, 14 Nov 2023 22:13:10 GMT", "", now), absl::ZeroDuration());
  EXPECT_EQ(ReadRetryAfter("soon", "-1", now), std::nullopt);
  EXPECT_EQ(ReadRetryAfter("", "", now), std::nullopt);
}

TEST(Retry, WaitsGrowWithinTheirBounds) {
  std::mt19937_64 random(1);
  const RetryPolicy policy{.attempts_max = 10, .wait_first = absl::Seconds(1), .wait_max = absl::Seconds(5)};
  for (int round = 0; round < 100; ++round) {
    for (int attempt = 1; attempt < 10; ++attempt) {
      const auto wait = WaitBeforeRetry(policy, attempt, std::nullopt, random);
      const absl::Duration step = std::min(absl::Seconds(1) * (1 << (attempt - 1)), absl::Seconds(5));
      ASSERT_TRUE(wait.has_value());
      EXPECT_GE(*wait, step / 2);
      EXPECT_LE(*wait, step);
    }
  }
  EXPECT_EQ(WaitBeforeRetry(policy, 10, std::nullopt, random), std::nullopt);
}

TEST(Retry, ObeysTheServerUpToABound) {
  std::mt19937_64 random(1);
  const RetryPolicy policy{.retry_after_max = absl::Seconds(60)};
  EXPECT_EQ(WaitBeforeRetry(policy, 1, absl::Seconds(30), random), absl::Seconds(30));
  EXPECT_EQ(WaitBeforeRetry(policy, 1, absl::Seconds(61), random), std::nullopt);
}

}  // namespace
}  // namespace carrel::gateway
