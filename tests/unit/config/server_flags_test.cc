#include "config/server_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace carrel::config {
namespace {

using ::testing::HasSubstr;

ServerFlags Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "carrel-interpreter");
  return ParseServerFlags(static_cast<int>(arguments.size()), arguments.data(), "interpreter", "1.2.3");
}

TEST(ServerFlags, ReadsBothSpellings) {
  const ServerFlags flags =
      Parse({"--listen", "unix:/a", "--data=/b", "--set", "rpc.drain_ms=5", "--set=log.level=debug"});
  ASSERT_FALSE(flags.exit_code.has_value());
  EXPECT_EQ(flags.listen, "unix:/a");
  EXPECT_EQ(flags.data_dir, "/b");
  EXPECT_EQ(flags.config.rpc.drain_ms, 5u);
  EXPECT_EQ(flags.config.log.level, "debug");
}

TEST(ServerFlags, ListenComesFromTheConfigurationWhenNoFlagSaysIt) {
  EXPECT_EQ(Parse({"--set", "interpreter.listen=unix:/c"}).listen, "unix:/c");
  EXPECT_EQ(Parse({"--set", "retrieval.listen=unix:/c"}).listen, "");
}

TEST(ServerFlags, ComplaintsExitWith2) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(Parse({"--lisen", "x"}).exit_code, 2);
  EXPECT_EQ(Parse({"--listen"}).exit_code, 2);
  EXPECT_EQ(Parse({"--set", "rpc.drain_ms"}).exit_code, 2);
  EXPECT_EQ(Parse({"--set", "rpc.drain_ms=x", "--check-config"}).exit_code, 2);
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_THAT(text, HasSubstr("unknown argument --lisen"));
  EXPECT_THAT(text, HasSubstr("rpc.drain_ms is \"x\""));
}

TEST(ServerFlags, PrintsAndExitsWith0) {
  testing::internal::CaptureStdout();
  EXPECT_EQ(Parse({"--version"}).exit_code, 0);
  EXPECT_EQ(Parse({"--check-config"}).exit_code, 0);
  EXPECT_EQ(Parse({"--print-config", "--set", "rpc.drain_ms=5"}).exit_code, 0);
  const std::string text = testing::internal::GetCapturedStdout();
  EXPECT_THAT(text, HasSubstr("carrel-interpreter 1.2.3"));
  EXPECT_THAT(text, HasSubstr("drain_ms = 5"));
}

}  // namespace
}  // namespace carrel::config
