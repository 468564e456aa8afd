#include "message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "routes.h"

namespace carrel::gateway::http {
namespace {

using ::testing::ElementsAre;

TEST(QueryTest, ReadsWhatClientsWrite) {
  Query query("limit=10&include%5B%5D=a%5B*%5D.b&include[]=c&include=d&q=a+b%26&&empty=&=x&%zz=1");
  EXPECT_EQ(query.Get("limit"), "10");
  EXPECT_THAT(query.All("include"), ElementsAre("a[*].b", "c", "d"));
  EXPECT_EQ(query.Get("q"), "a b&");
  EXPECT_EQ(query.Get("empty"), "");
  EXPECT_EQ(query.Get("absent"), std::nullopt);
}

TEST(QueryTest, BytesBecomeText) {
  EXPECT_EQ(ToUtf8("caf\xc3\xa9"), "caf\xc3\xa9");
  EXPECT_EQ(ToUtf8("caf\xe9"), "caf\xc3\xa9");
  EXPECT_EQ(ToUtf8("\xed\xa0\x80"), "\xc3\xad\xc2\xa0\xc2\x80");
}

TEST(RoutesTest, TheTreeStandsUnderEveryBase) {
  EXPECT_EQ(BelowBase("/v1/threads"), "/threads");
  EXPECT_EQ(BelowBase("/openai/threads"), "/threads");
  EXPECT_EQ(BelowBase("/openai/v1/threads"), "/threads");
  EXPECT_EQ(BelowBase("/threads"), "/threads");
  EXPECT_EQ(BelowBase("/v1x/threads"), "/v1x/threads");
}

TEST(RoutesTest, AnIdThatCannotBeOneIsRefused) {
  Request request;
  request.method = "GET";
  request.path = "/threads/undefined/messages";
  EXPECT_EQ(ErrorOf(FindRoute(request).status())->kind, ErrorKind::kIdPrefix);
  request.path = "/threads/thread_1/runs/run_1/steps/anything";
  EXPECT_TRUE(FindRoute(request).ok());
  EXPECT_EQ(request.Id("step_id"), "anything");
  request.path = "/nowhere";
  EXPECT_EQ(ErrorOf(FindRoute(request).status())->kind, ErrorKind::kUrlUnknown);
  request.method = "PATCH";
  request.path = "/files";
  EXPECT_EQ(ErrorOf(FindRoute(request).status())->kind, ErrorKind::kMethodNotAllowed);
  request.method = "GET";
  request.path = "/carrel/keys";
  EXPECT_EQ(ErrorOf(FindRoute(request).status())->kind, ErrorKind::kUrlUnknown);
  request.admin = true;
  EXPECT_TRUE(FindRoute(request).ok());
}

TEST(RoutesTest, TheVersionComesFromTheHeaderThenFromAzure) {
  using openai::ApiVersion;
  EXPECT_EQ(VersionOf("assistants=v1", ""), ApiVersion::kV1);
  EXPECT_EQ(VersionOf("assistants=v2", "2024-02-15-preview"), ApiVersion::kV2);
  EXPECT_EQ(VersionOf("", "2024-02-15-preview"), ApiVersion::kV1);
  EXPECT_EQ(VersionOf("", "2024-05-01-preview"), ApiVersion::kV2);
  EXPECT_EQ(VersionOf("", "preview"), ApiVersion::kV2);
  EXPECT_EQ(VersionOf("", ""), ApiVersion::kV2);
}

}  // namespace
}  // namespace carrel::gateway::http
