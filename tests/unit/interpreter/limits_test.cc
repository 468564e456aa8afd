#include "interpreter/engine/limits.h"

#include <gtest/gtest.h>

#include "interpreter/engine/errors.h"

namespace carrel::interpreter {
namespace {

const sandbox::PolicyInfo kOpen = {.name = "python"};

TEST(Limits, NothingAskedGivesTheDefaults) {
  const Limits defaults = DefaultLimits(kOpen);
  const absl::StatusOr<Limits> limits = ResolveSessionLimits({}, defaults, MaximumLimits(kOpen));
  ASSERT_TRUE(limits.ok());
  EXPECT_EQ(*limits, defaults);
  EXPECT_EQ(limits->wall_ms, 60'000u);
  EXPECT_EQ(limits->memory_bytes, 1ull << 30);
}

TEST(Limits, EveryFieldIsHeldToItsRange) {
  const Limits defaults = DefaultLimits(kOpen);
  const Limits maxima = MaximumLimits(kOpen);
  for (const LimitField& field : kLimitFields) {
    Limits over;
    over.*field.field = field.max + 1;
    const absl::StatusOr<Limits> refused = ResolveSessionLimits(over, defaults, maxima);
    ASSERT_FALSE(refused.ok()) << field.name;
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(FactsOf(refused.status())->field, "limits." + std::string(field.name));
    Limits at;
    at.*field.field = field.max;
    EXPECT_TRUE(ResolveSessionLimits(at, defaults, maxima).ok()) << field.name;
    if (field.min > 1) {
      Limits under;
      under.*field.field = field.min - 1;
      EXPECT_FALSE(ResolveSessionLimits(under, defaults, maxima).ok()) << field.name;
    }
  }
}

TEST(Limits, TheOperatorsDefaultsComeBeforeThePolicysAndUnderItsCaps) {
  sandbox::PolicyInfo policy = kOpen;
  policy.defaults.memory_bytes = 128 << 20;
  policy.caps.memory_bytes = 256 << 20;
  const absl::StatusOr<Limits> configured =
      ParseLimits({{"wall_ms", "30000"}, {"session_cpu_ms", "600000"}, {"memory_bytes", "536870912"}});
  ASSERT_TRUE(configured.ok()) << configured.status();
  const Limits defaults = DefaultLimits(policy, *configured);
  EXPECT_EQ(defaults.wall_ms, 30'000u);
  EXPECT_EQ(defaults.session_cpu_ms, 600'000u);
  EXPECT_EQ(defaults.memory_bytes, 256u << 20);
  EXPECT_EQ(defaults.cpu_ms, DefaultLimits(policy).cpu_ms);
}

TEST(Limits, AWrongDefaultIsToldWithWhatWouldBeRight) {
  const absl::Status name = ParseLimits({{"wall", "1"}}).status();
  EXPECT_EQ(name.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(name.message().find("wall_ms, cpu_ms"), absl::string_view::npos) << name;
  for (const char* value : {"0", "-1", "soon", "600001", ""}) {
    const absl::Status status = ParseLimits({{"wall_ms", value}}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << value;
    EXPECT_NE(status.message().find("1 to 600000"), absl::string_view::npos) << status;
  }
}

TEST(Limits, ThePolicyCapsBoth) {
  sandbox::PolicyInfo policy = kOpen;
  policy.caps.memory_bytes = 256 << 20;
  policy.defaults.processes = 16;
  EXPECT_EQ(MaximumLimits(policy).memory_bytes, 256u << 20);
  EXPECT_EQ(DefaultLimits(policy).memory_bytes, 256u << 20) << "a default is never over its maximum";
  EXPECT_EQ(DefaultLimits(policy).processes, 16u);
}

TEST(Limits, ACallCannotChangeWhatIsFixed) {
  const Limits session = DefaultLimits(kOpen);
  Limits call;
  call.wall_ms = 5;
  ASSERT_TRUE(ResolveCallLimits(call, session, MaximumLimits(kOpen)).ok());
  EXPECT_EQ(ResolveCallLimits(call, session, MaximumLimits(kOpen))->wall_ms, 5u);
  call.memory_bytes = session.memory_bytes;
  EXPECT_TRUE(ResolveCallLimits(call, session, MaximumLimits(kOpen)).ok()) << "the same is no change";
  call.memory_bytes = session.memory_bytes / 2;
  EXPECT_FALSE(ResolveCallLimits(call, session, MaximumLimits(kOpen)).ok());
}

}  // namespace
}  // namespace carrel::interpreter
