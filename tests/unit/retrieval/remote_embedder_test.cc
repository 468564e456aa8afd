// The remote embedder against a model server that is honest, slow, wrong, or hostile.
#include "retrieval/remote_embedder.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace carrel::retrieval {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// Answers every connection with what `answer` makes of the request; one at a time.
class ModelServer {
 public:
  using Answer = std::function<std::string(const std::string& head, const json& body)>;
  explicit ModelServer(Answer answer) : answer_(std::move(answer)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
    socklen_t size = sizeof(address);
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_, 64), 0);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Serve(); });
  }
  ~ModelServer() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  std::string url() const { return absl::StrCat("http://127.0.0.1:", port_, "/v1"); }
  int calls() const { return calls_; }

  static std::string Http(int status, const std::string& body, const std::string& headers = "") {
    return absl::StrCat("HTTP/1.1 ", status, " X\r\ncontent-length: ", body.size(), "\r\nconnection: close\r\n",
                        headers, "\r\n", body);
  }
  // Vectors as they ought to be: (i + 1, 1, 0) for the i-th text.
  static std::string Good(const json& request) {
    json data = json::array();
    for (size_t i = 0; i < request.at("input").size(); ++i) {
      data.push_back({{"index", i}, {"embedding", {static_cast<double>(i) + 1, 1.0, 0.0}}});
    }
    return Http(200, json{{"data", data}}.dump());
  }

 private:
  void Serve() {
    while (true) {
      const int connection = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (connection < 0) return;
      std::string got;
      size_t head = std::string::npos, length = 0;
      char buffer[65536];
      while (head == got.npos || got.size() < head + 4 + length) {
        const ssize_t n = ::read(connection, buffer, sizeof(buffer));
        if (n <= 0) break;
        got.append(buffer, static_cast<size_t>(n));
        head = got.find("\r\n\r\n");
        const size_t at = got.find("Content-Length: ");
        if (head != got.npos && at < head) length = std::stoul(got.substr(at + 16));
      }
      ++calls_;
      const std::string reply = answer_(got.substr(0, head), json::parse(got.substr(head + 4), nullptr, false));
      for (size_t sent = 0; sent < reply.size();) {
        const ssize_t n = ::send(connection, reply.data() + sent, reply.size() - sent, MSG_NOSIGNAL);
        if (n <= 0) break;
        sent += static_cast<size_t>(n);
      }
      ::close(connection);
    }
  }

  Answer answer_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::atomic<int> calls_ = 0;
  std::thread thread_;
};

std::unique_ptr<Embedder> Remote(const std::string& url) {
  absl::StatusOr<std::unique_ptr<Embedder>> out = MakeRemoteEmbedder({.base_url = url,
                                                                      .model = "m",
                                                                      .api_key = "sk-secret",
                                                                      .dimensions = 3,
                                                                      .query_prefix = "query: ",
                                                                      .batch_max = 2,
                                                                      .call_max = absl::Milliseconds(500),
                                                                      .tries_max = 3,
                                                                      .pause = absl::Milliseconds(5)});
  EXPECT_TRUE(out.ok()) << out.status();
  return *std::move(out);
}

absl::StatusOr<std::vector<Embedding>> EmbedOne(const std::string& url, TextRole role = TextRole::kPassage) {
  const std::string_view text = "a text";
  return Remote(url)->Embed({&text, 1}, role);
}

TEST(RemoteEmbedderTest, BatchesComeBackInOrderAsUnitVectors) {
  std::mutex mutex;
  std::vector<size_t> batches;
  std::string head;
  ModelServer server([&](const std::string& h, const json& body) {
    const std::lock_guard lock(mutex);
    head = h;
    batches.push_back(body.at("input").size());
    EXPECT_EQ(body.at("model"), "m");
    return ModelServer::Good(body);
  });
  const std::vector<std::string_view> texts = {"one", "two", "three", "four", "five"};
  const auto out = Remote(server.url())->Embed(texts, TextRole::kPassage);
  ASSERT_TRUE(out.ok()) << out.status();
  ASSERT_EQ(out->size(), 5u);
  EXPECT_NEAR((*out)[0].values[0], std::sqrt(0.5), 1e-6);
  EXPECT_NEAR((*out)[1].values[0], 2 / std::sqrt(5.0), 1e-6);
  EXPECT_EQ(batches, (std::vector<size_t>{2, 2, 1}));
  EXPECT_THAT(head, AllOf(HasSubstr("POST /v1/embeddings "), HasSubstr("authorization: Bearer sk-secret")));
}

TEST(RemoteEmbedderTest, PrefixesAndCutsKeepCharactersWhole) {
  std::string sent;
  ModelServer server([&](const std::string&, const json& body) {
    sent = body.at("input").at(0);
    return ModelServer::Good(body);
  });
  ASSERT_TRUE(EmbedOne(server.url(), TextRole::kQuery).ok());
  EXPECT_EQ(sent, "query: a text");
  std::string text;
  while (text.size() < 5000) text += "\u4eac\u00e9";
  const std::string_view view = text;
  const auto out = Remote(server.url())->Embed({&view, 1}, TextRole::kPassage);
  ASSERT_TRUE(out.ok()) << out.status();
  EXPECT_TRUE((*out)[0].truncated);
  EXPECT_TRUE(text.starts_with(sent)) << "cut inside a character";
  EXPECT_GT(sent.size(), 1500u);
}

TEST(RemoteEmbedderTest, WhatPassesIsTriedAgain) {
  int call = 0;
  ModelServer server([&](const std::string&, const json& body) {
    ++call;
    if (call == 1) return ModelServer::Http(429, "slow down", "retry-after: 0\r\n");
    if (call == 2) return ModelServer::Http(503, "");
    return ModelServer::Good(body);
  });
  EXPECT_TRUE(EmbedOne(server.url()).ok());
  EXPECT_EQ(server.calls(), 3);
}

TEST(RemoteEmbedderTest, WhatStaysIsUnavailableWithWhatTheServerSaid) {
  ModelServer server([](const std::string&, const json&) {
    return ModelServer::Http(500, "{\"error\":{\"message\":\"out of\\nmemory\"}}");
  });
  const absl::Status status = EmbedOne(server.url()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("answered 500: out of memory"), Not(HasSubstr("sk-secret"))));
  EXPECT_EQ(server.calls(), 3);
}

TEST(RemoteEmbedderTest, ARefusalIsNotTriedAgain) {
  ModelServer server([](const std::string&, const json&) { return ModelServer::Http(401, "no such key"); });
  EXPECT_EQ(EmbedOne(server.url()).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(server.calls(), 1);
}

// Attacks of a model server on who asks it.
TEST(RemoteEmbedderTest, AnswersThatAreNoAnswersAreRefused) {
  const std::vector<std::pair<const char*, std::string>> cases = {
      {"not JSON", "<html>"},
      {"no data", "{}"},
      {"data that is no list", R"({"data":{"embedding":[1,0,0]}})"},
      {"too few", R"({"data":[]})"},
      {"too many", R"({"data":[{"embedding":[1,0,0]},{"embedding":[1,0,0]}]})"},
      {"another length", R"({"data":[{"embedding":[1,0]}]})"},
      {"texts for numbers", R"({"data":[{"embedding":["1","0","0"]}]})"},
      {"null", R"({"data":[{"embedding":[null,0,0]}]})"},
      {"zeros", R"({"data":[{"embedding":[0,0,0]}]})"},
      {"numbers without end", R"({"data":[{"embedding":[1e308,1e308,1e308]}]})"},
      {"index too high", R"({"data":[{"index":7,"embedding":[1,0,0]}]})"},
      {"negative index", R"({"data":[{"index":-1,"embedding":[1,0,0]}]})"},
      {"nested deep", std::string(50'000, '[')},
      {"a flood", R"({"data":[{"embedding":[)" + std::string(4 << 20, ' ')},
  };
  for (const auto& [what, body] : cases) {
    ModelServer server([&, &answer = body](const std::string&, const json&) { return ModelServer::Http(200, answer); });
    EXPECT_EQ(EmbedOne(server.url()).status().code(), absl::StatusCode::kFailedPrecondition) << what;
    EXPECT_EQ(server.calls(), 1) << what;
  }
}

TEST(RemoteEmbedderTest, ARedirectIsNotFollowed) {
  ModelServer elsewhere([](const std::string&, const json& body) { return ModelServer::Good(body); });
  ModelServer server([&](const std::string&, const json&) {
    return ModelServer::Http(307, "", absl::StrCat("location: ", elsewhere.url(), "/embeddings\r\n"));
  });
  EXPECT_EQ(EmbedOne(server.url()).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(elsewhere.calls(), 0) << "the key went to another server";
}

TEST(RemoteEmbedderTest, SilenceEndsAfterItsLimit) {
  std::atomic<bool> end = false;
  ModelServer server([&](const std::string&, const json&) {
    for (int i = 0; i < 200 && !end; ++i) absl::SleepFor(absl::Milliseconds(10));
    return std::string();
  });
  EXPECT_EQ(EmbedOne(server.url()).status().code(), absl::StatusCode::kUnavailable);
  end = true;
}

TEST(RemoteEmbedderTest, NobodyThereIsUnavailable) {
  EXPECT_EQ(EmbedOne("http://127.0.0.1:1/v1").status().code(), absl::StatusCode::kUnavailable);
}

TEST(RemoteEmbedderTest, OptionsAreChecked) {
  for (const RemoteEmbedderOptions& bad : {
           RemoteEmbedderOptions{.base_url = "file:///etc/passwd", .model = "m", .dimensions = 3},
           RemoteEmbedderOptions{.base_url = "http://localhost", .model = "", .dimensions = 3},
           RemoteEmbedderOptions{.base_url = "http://localhost", .model = "m", .dimensions = 0},
           RemoteEmbedderOptions{.base_url = "http://localhost", .model = "m", .dimensions = 5000},
           RemoteEmbedderOptions{.base_url = "http://localhost", .model = "m", .api_key = "a\r\nb", .dimensions = 3},
       }) {
    EXPECT_EQ(MakeRemoteEmbedder(bad).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace carrel::retrieval
