#include "rpc/status.h"

#include <gtest/gtest.h>

#include <string>

namespace carrel::rpc {
namespace {

std::string Message(const absl::Status& status) { return {status.message().data(), status.message().size()}; }

TEST(Status, InvalidFieldSaysFieldValueAndWhatIsRight) {
  const absl::Status status = InvalidField("limits.wall_ms", "0", "1 to 600000");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Message(status), "limits.wall_ms is 0: expected 1 to 600000");
  const auto detail = DetailOf(status);
  ASSERT_TRUE(detail.has_value());
  EXPECT_EQ(detail->field(), "limits.wall_ms");
  EXPECT_EQ(detail->value(), "0");
  EXPECT_EQ(detail->expected(), "1 to 600000");
}

TEST(Status, RefusedValuesAreCutAndMadeUtf8) {
  const auto detail = DetailOf(InvalidField("path", std::string(1000, '\xFF'), "UTF-8"));
  ASSERT_TRUE(detail.has_value());
  EXPECT_LE(detail->value().size(), 210u);
  EXPECT_EQ(detail->value().substr(0, 3), "\xEF\xBF\xBD");
}

TEST(Status, RetryAfterKeepsTheFieldAndIsNeverZero) {
  const auto detail = DetailOf(RetryAfter(InvalidField("f", "v", "e"), absl::Microseconds(1)));
  ASSERT_TRUE(detail.has_value());
  EXPECT_EQ(detail->field(), "f");
  EXPECT_EQ(detail->retry_after_ms(), 1u);
}

TEST(Status, PlainErrorsHaveNoDetail) { EXPECT_FALSE(DetailOf(absl::NotFoundError("x")).has_value()); }

TEST(Status, NamesOfCodes) {
  EXPECT_EQ(CodeName(0), "OK");
  EXPECT_EQ(CodeName(5), "NOT_FOUND");
  EXPECT_EQ(CodeName(16), "UNAUTHENTICATED");
  EXPECT_EQ(CodeName(17), "UNKNOWN");
  EXPECT_EQ(CodeName(-1), "UNKNOWN");
}

}  // namespace
}  // namespace carrel::rpc
