#include "gateway/upstream/retry.h"

#include <algorithm>
#include <cstdint>
#include <string>

#include "absl/random/uniform_int_distribution.h"
#include "absl/strings/numbers.h"

namespace carrel::gateway {

bool IsRetryableStatus(int http_status) {
  return http_status == 408 || http_status == 409 || http_status == 425 || http_status == 429 ||
         (http_status >= 500 && http_status != 501);
}

std::optional<absl::Duration> ReadRetryAfter(std::string_view retry_after, std::string_view retry_after_ms,
                                             absl::Time now) {
  double number = 0;
  if (absl::SimpleAtod(std::string(retry_after_ms), &number) && number >= 0) return absl::Milliseconds(number);
  const std::string text(retry_after);
  if (absl::SimpleAtod(text, &number) && number >= 0) return absl::Seconds(number);
  absl::Time date;
  if (std::string error; absl::ParseTime("%a, %d %b %Y %H:%M:%S GMT", text, &date, &error)) {
    return std::max(absl::ZeroDuration(), date - now);
  }
  return std::nullopt;
}

std::optional<absl::Duration> WaitBeforeRetry(const RetryPolicy& policy, int attempt,
                                              std::optional<absl::Duration> retry_after, absl::BitGenRef random) {
  if (attempt >= policy.attempts_max) return std::nullopt;
  if (retry_after.has_value() && *retry_after > policy.retry_after_max) return std::nullopt;
  const absl::Duration step = std::min(policy.wait_first * (1 << std::min(attempt - 1, 16)), policy.wait_max);
  const absl::Duration jittered = step / 2 + absl::Microseconds(absl::uniform_int_distribution<std::int64_t>(
                                                 0, absl::ToInt64Microseconds(step / 2))(random));
  return std::max(jittered, retry_after.value_or(absl::ZeroDuration()));
}

}  // namespace carrel::gateway
