#include "rpc/address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace carrel::rpc {
namespace {

using ::testing::HasSubstr;

std::string ErrorOf(std::string_view text) {
  const auto address = ParseAddress(text);
  return address.ok() ? "" : std::string(address.status().message().data(), address.status().message().size());
}

TEST(Address, ReadsUnixSockets) {
  const auto address = ParseAddress("unix:/run/carrel/grpc.sock");
  ASSERT_TRUE(address.ok());
  EXPECT_EQ(address->kind, Address::Kind::kUnix);
  EXPECT_EQ(address->path, "/run/carrel/grpc.sock");
  EXPECT_TRUE(address->loopback());
  EXPECT_EQ(address->ToString(), "unix:/run/carrel/grpc.sock");
}

TEST(Address, ReadsTcpWithNamesAndNumbers) {
  for (const char* text : {"127.0.0.1:8081", "localhost:0", "[::1]:65535", "carrel.example:443"}) {
    const auto address = ParseAddress(text);
    ASSERT_TRUE(address.ok()) << text;
    EXPECT_EQ(address->ToString(), text);
  }
}

TEST(Address, KnowsWhatNeverLeavesTheMachine) {
  EXPECT_TRUE(ParseAddress("127.0.0.1:1")->loopback());
  EXPECT_TRUE(ParseAddress("[::1]:1")->loopback());
  EXPECT_TRUE(ParseAddress("localhost:1")->loopback());
  EXPECT_FALSE(ParseAddress("0.0.0.0:1")->loopback());
  EXPECT_FALSE(ParseAddress("[::]:1")->loopback());
  EXPECT_FALSE(ParseAddress("localhost.example:1")->loopback());
}

TEST(Address, RefusesANameThatOnlyLooksLikeLoopback) { EXPECT_FALSE(ParseAddress("127.0.0.1.example:1")->loopback()); }

TEST(Address, SaysWhatIsWrong) {
  EXPECT_THAT(ErrorOf("unix:"), HasSubstr("without a path"));
  EXPECT_THAT(ErrorOf("unix:" + std::string(108, 'x')), HasSubstr("107"));
  EXPECT_THAT(ErrorOf("8081"), HasSubstr("no port"));
  EXPECT_THAT(ErrorOf(":8081"), HasSubstr("127.0.0.1:8081"));
  EXPECT_THAT(ErrorOf("::1:8081"), HasSubstr("brackets"));
  EXPECT_THAT(ErrorOf("127.0.0.1:65536"), HasSubstr("0 to 65535"));
  EXPECT_THAT(ErrorOf("127.0.0.1:"), HasSubstr("port"));
  EXPECT_THAT(ErrorOf("dns:///x:1"), HasSubstr("host"));
  EXPECT_EQ(ErrorOf("unix:" + std::string(107, 'x')), "");
}

}  // namespace
}  // namespace carrel::rpc
