// Looking hosts up, with a resolver of the test's own: it has a time-out, can be cancelled, and its late answers do no
// harm.
#include "http_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "scripted_server.h"

namespace carrel::gateway {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using ::testing::HasSubstr;

class Whole final : public HttpReader {
 public:
  absl::Status OnHead(const HttpHead& head) override {
    status = head.status;
    return absl::OkStatus();
  }
  absl::Status OnBody(std::string_view piece) override {
    body += piece;
    return absl::OkStatus();
  }
  bool IsFinished() const override { return false; }
  int status = 0;
  std::string body;
};

class HttpClientTest : public ::testing::Test {
 protected:
  void Make(Resolve resolve, int port = 1) {
    client_ = *HttpClient::Create(
        io_, {.base_url = absl::StrCat("http://model.test:", port, "/v1"), .connect_timeout = absl::Milliseconds(100)},
        std::move(resolve));
  }
  void Ask() {
    asio::co_spawn(
        io_, [this]() -> asio::awaitable<void> { result_ = co_await client_->Exchange(request_, reader_, cancel_); },
        asio::detached);
  }

  asio::io_context io_;
  const HttpRequest request_{
      .method = "GET", .target = "/models", .content_type = "", .accept = "application/json", .body = ""};
  Whole reader_;
  CancelToken cancel_;
  std::unique_ptr<HttpClient> client_;
  absl::Status result_ = absl::UnknownError("still at it");
};

TEST_F(HttpClientTest, ANameServerThatIsSilentIsNotWaitedForAndMayAnswerLate) {
  std::vector<ResolveDone> asked;
  Make([&](const std::string& host, const std::string&, ResolveDone done) {
    EXPECT_EQ(host, "model.test");
    asked.push_back(std::move(done));
  });
  Ask();
  io_.run();
  EXPECT_TRUE(absl::IsUnavailable(result_)) << result_;
  EXPECT_THAT(std::string(result_.message()), HasSubstr("looking up model.test: no answer in 100ms"));
  client_.reset();
  ASSERT_EQ(asked.size(), 1U);
  asked[0]({}, {});
}

TEST_F(HttpClientTest, ANameThatIsUnknownIsSaid) {
  Make([](const std::string&, const std::string&, ResolveDone done) { done(asio::error::host_not_found, {}); });
  Ask();
  io_.run();
  EXPECT_TRUE(absl::IsUnavailable(result_)) << result_;
  EXPECT_THAT(std::string(result_.message()), HasSubstr("looking up model.test: Host not found"));
}

TEST_F(HttpClientTest, ALookUpCanBeCancelled) {
  Make([](const std::string&, const std::string&, ResolveDone) {});
  Ask();
  asio::post(io_, [this] { cancel_.Cancel(); });
  io_.run();
  EXPECT_TRUE(absl::IsCancelled(result_)) << result_;
}

TEST_F(HttpClientTest, AnAnswerInTimeIsUsed) {
  ScriptedServer server([](const ScriptedRequest&, ScriptedWire& wire) {
    return wire.Write(PlainAnswer(200, "application/json", "{}"));
  });
  asio::steady_timer later(io_);
  Make(
      [&](const std::string& host, const std::string& port, ResolveDone done) {
        later.expires_after(std::chrono::milliseconds(10));
        later.async_wait([&server, host, port, done = std::move(done)](boost::system::error_code) {
          const tcp::endpoint there(asio::ip::make_address("127.0.0.1"), static_cast<unsigned short>(server.port()));
          done({}, tcp::resolver::results_type::create(there, host, port));
        });
      },
      server.port());
  Ask();
  io_.run();
  EXPECT_TRUE(result_.ok()) << result_;
  EXPECT_EQ(reader_.body, "{}");
}

}  // namespace
}  // namespace carrel::gateway
