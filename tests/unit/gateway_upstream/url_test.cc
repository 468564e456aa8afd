#include "gateway/upstream/url.h"

#include <gtest/gtest.h>

namespace carrel::gateway {
namespace {

TEST(Url, ReadsBases) {
  const auto plain = ParseUrl("http://Model.Test:9000/v1/");
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_FALSE(plain->tls);
  EXPECT_EQ(plain->host, "model.test");
  EXPECT_EQ(plain->port, 9000);
  EXPECT_EQ(plain->path, "/v1");
  EXPECT_EQ(plain->Authority(), "model.test:9000");

  const auto secure = ParseUrl("https://user:p%40ss@[::1]");
  ASSERT_TRUE(secure.ok()) << secure.status();
  EXPECT_TRUE(secure->tls);
  EXPECT_EQ(secure->host, "::1");
  EXPECT_EQ(secure->port, 443);
  EXPECT_EQ(secure->path, "");
  EXPECT_EQ(secure->user_info, "user:p%40ss");
  EXPECT_EQ(secure->Authority(), "[::1]");
}

TEST(Url, RefusesWhatIsNone) {
  for (const char* text :
       {"", "model.test", "ftp://model.test", "http://", "http://:80", "http://a:0", "http://a:65536", "http://a:b",
        "http://[::1", "http://a/?q", "http://a/#f", "http://a b", "http://a\r\nb", "http://\xC3\xA9"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseUrl(text).status())) << text;
  }
}

TEST(Url, AnErrorDoesNotTellThePassword) {
  const auto status = ParseUrl("http://user:secret@host:port").status();
  EXPECT_EQ(std::string(status.message()).find("secret"), std::string::npos) << status;
}

}  // namespace
}  // namespace carrel::gateway
