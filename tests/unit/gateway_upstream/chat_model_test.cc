// The model's client against a server that answers as the test says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "gateway/upstream/openai_chat_model.h"
#include "scripted_server.h"

namespace carrel::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Listener final : public ChatListener {
 public:
  void OnDelta(ChatDelta delta) override {
    const absl::MutexLock lock(&mutex_);
    EXPECT_FALSE(ended_);
    texts_.push_back(delta.text);
    for (const ChatToolDelta& call : delta.tool_calls) arguments_ += call.arguments;
  }
  void OnEnd(absl::StatusOr<ChatEnd> end) override {
    const absl::MutexLock lock(&mutex_);
    EXPECT_FALSE(ended_);
    ended_ = true;
    end_ = std::move(end);
  }
  absl::StatusOr<ChatEnd> Wait() {
    const absl::MutexLock lock(&mutex_);
    if (!mutex_.AwaitWithTimeout(absl::Condition(&ended_), absl::Seconds(20))) return absl::UnknownError("no end");
    return end_;
  }
  bool WaitForText() {
    const absl::MutexLock lock(&mutex_);
    auto some = [this] { return !texts_.empty(); };
    return mutex_.AwaitWithTimeout(absl::Condition(&some), absl::Seconds(20));
  }
  bool ended() {
    const absl::MutexLock lock(&mutex_);
    return ended_;
  }
  std::vector<std::string> texts() {
    const absl::MutexLock lock(&mutex_);
    return texts_;
  }

 private:
  absl::Mutex mutex_;
  bool ended_ = false;
  absl::StatusOr<ChatEnd> end_ = absl::UnknownError("");
  std::vector<std::string> texts_;
  std::string arguments_;
};

std::string Text(std::string_view text) {
  return absl::StrCat(R"({"choices":[{"index":0,"delta":{"content":")", std::string(text), R"("}}]})");
}
constexpr char kStop[] = R"({"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]})";
constexpr char kUsage[] = R"({"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}})";

// A good, short answer.
bool AnswerWell(ScriptedWire& wire) {
  wire.Write(StreamHead() + Event(Text("one ")) + Event(Text("two")) + Event(kStop) + Event(kUsage) + Event("[DONE]"));
  return wire.Write(LastChunk());
}

UpstreamOptions OptionsFor(const ScriptedServer& server) {
  UpstreamOptions options{.base_url = absl::StrCat("http://127.0.0.1:", server.port(), "/v1"), .api_key = "sesame"};
  options.retry.wait_first = absl::Milliseconds(2);
  options.first_byte_timeout = absl::Seconds(10);
  options.idle_timeout = absl::Seconds(10);
  return options;
}

std::unique_ptr<ChatModel> MakeModel(const UpstreamOptions& options) {
  auto model = MakeOpenAiChatModel(options);
  EXPECT_TRUE(model.ok()) << model.status();
  return *std::move(model);
}

absl::StatusOr<ChatEnd> Ask(ChatModel& model, std::vector<std::string>* texts = nullptr) {
  auto listener = std::make_shared<Listener>();
  const auto call = model.Start({.model = "m", .messages = {{.parts = {{.text = "hello"}}}}}, listener);
  auto end = listener->Wait();
  if (texts != nullptr) *texts = listener->texts();
  return end;
}

TEST(ChatModel, StreamsAnAnswerWithItsUsage) {
  ScriptedServer server([](const ScriptedRequest&, ScriptedWire& wire) { return AnswerWell(wire); });
  const auto model = MakeModel(OptionsFor(server));
  std::vector<std::string> texts;
  const auto end = Ask(*model, &texts);
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->reason, ChatEnd::Reason::kStop);
  EXPECT_EQ(end->usage, (TokenUsage{.prompt_tokens = 3, .completion_tokens = 2}));
  EXPECT_THAT(texts, ElementsAre("one ", "two"));
  const ScriptedRequest request = server.requests().at(0);
  EXPECT_EQ(request.target, "/v1/chat/completions");
  EXPECT_EQ(request.headers.at("authorization"), "Bearer sesame");
}

TEST(ChatModel, KeepsItsConnection) {
  ScriptedServer server([](const ScriptedRequest&, ScriptedWire& wire) { return AnswerWell(wire); });
  const auto model = MakeModel(OptionsFor(server));
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(Ask(*model).ok());
    // The end is told before the last chunk is read.
    absl::SleepFor(absl::Milliseconds(50));
  }
  EXPECT_EQ(server.connections(), 1);
}

TEST(ChatModel, AConnectionThatWentStaleIsReplaced) {
  ScriptedServer server([](const ScriptedRequest&, ScriptedWire& wire) {
    AnswerWell(wire);
    return false;  // closes, without having said so
  });
  const auto model = MakeModel(OptionsFor(server));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Ask(*model).ok());
}

TEST(ChatModel, TriesAgainWhatMayPass) {
  ScriptedServer server([](const ScriptedRequest& request, ScriptedWire& wire) {
    switch (request.number) {
      case 1:
        return wire.Write(PlainAnswer(500, "application/json", R"({"error":{"message":"oops"}})"));
      case 2:
        return wire.Write(
            PlainAnswer(429, "application/json", R"({"error":{"message":"slow down"}})", "Retry-After: 0\r\n"));
      case 3:
        return false;  // no answer at all
      default:
        return AnswerWell(wire);
    }
  });
  const auto model = MakeModel(OptionsFor(server));
  EXPECT_TRUE(Ask(*model).ok());
  EXPECT_EQ(server.requests().size(), 4U);
}

TEST(ChatModel, WaitsAsLongAsTheServerSays) {
  ScriptedServer server([](const ScriptedRequest& request, ScriptedWire& wire) {
    if (request.number > 1) return AnswerWell(wire);
    return wire.Write(PlainAnswer(429, "application/json", "{}", "retry-after-ms: 300\r\n"));
  });
  const auto model = MakeModel(OptionsFor(server));
  const absl::Time begin = absl::Now();
  EXPECT_TRUE(Ask(*model).ok());
  EXPECT_GE(absl::Now() - begin, absl::Milliseconds(300));
}

TEST(ChatModel, GivesUpWithTheLastReason) {
  ScriptedServer server([](const ScriptedRequest&, ScriptedWire& wire) {
    return wire.Write(PlainAnswer(429, "application/json", R"({"error":{"message":"slow down"}})"));
  });
  const auto model = MakeModel(OptionsFor(server));
  EXPECT_EQ(Ask(*model).status(), absl::ResourceExhaustedError("slow down"));
  EXPECT_EQ(server.requests().size(), 4U);
}

TEST(ChatModel, DoesNotRepeatWhatCannotPass) {
  for (const auto& [status, body] :
       std::vector<std::pair<int, std::string>>{{400, R"({"error":{"message":"bad"}})"},
                                                {401, R"({"error":{"message":"bad"}})"},
                                                {429, R"({"error":{"message":"bad","code":"insufficient_quota"}})"}}) {
    ScriptedServer server([&, status = status, body = body](const ScriptedRequest&, ScriptedWire& wire) {
      return wire.Write(PlainAnswer(status, "application/json", body));
    });
    const auto model = MakeModel(OptionsFor(server));
    EXPECT_THAT(std::string(Ask(*model).status().message()), HasSubstr("bad"));
    EXPECT_EQ(server.requests().size(), 1U) << status;
  }
}

TEST(ChatModel, AServerWithoutUsageInStreamsIsAskedWithout) {
  ScriptedServer server([](const ScriptedRequest& request, ScriptedWire& wire) {
    if (request.body.find("stream_options") == std::string::npos) return AnswerWell(wire);
    return wire.Write(PlainAnswer(400, "application/json", R"({"error":{"message":"unknown field stream_options"}})"));
  });
  const auto model = MakeModel(OptionsFor(server));
  EXPECT_TRUE(Ask(*model).ok());
  EXPECT_TRUE(Ask(*model).ok());
  EXPECT_EQ(server.requests().size(), 3U);
}

TEST(ChatModel, AWholeAnswerServesToo) {
  ScriptedServer server([](const ScriptedRequest&, ScriptedWire& wire) {
    return wire.Write(PlainAnswer(200, "application/json",
                                  R"({"choices":[{"message":{"content":"all"},"finish_reason":"length"}]})"));
  });
  const auto model = MakeModel(OptionsFor(server));
  std::vector<std::string> texts;
  const auto end = Ask(*model, &texts);
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->reason, ChatEnd::Reason::kLength);
  EXPECT_FALSE(end->usage.has_value());
  EXPECT_THAT(texts, ElementsAre("all"));
}

TEST(ChatModel, AnAnswerThatBreaksOffIsAnErrorAndNotRepeated) {
  ScriptedServer server([](const ScriptedRequest&, ScriptedWire& wire) {
    wire.Write(StreamHead() + Event(Text("half")));
    return false;
  });
  const auto model = MakeModel(OptionsFor(server));
  EXPECT_TRUE(absl::IsUnavailable(Ask(*model).status()));
  EXPECT_EQ(server.requests().size(), 1U);
}

TEST(ChatModel, NonsenseIsAnError) {
  for (const std::string& nonsense :
       {StreamHead() + Event("{broken") + LastChunk(), StreamHead() + Event(R"({"error":{"message":"died"}})"),
        StreamHead() + LastChunk(), PlainAnswer(200, "application/json", "<html>"),
        std::string("SSH-2.0-OpenSSH_9.2\r\n\r\n")}) {
    ScriptedServer server([&](const ScriptedRequest&, ScriptedWire& wire) {
      wire.Write(nonsense);
      return false;
    });
    const auto model = MakeModel(OptionsFor(server));
    EXPECT_FALSE(Ask(*model).ok());
    EXPECT_EQ(server.requests().size(), 4U) << nonsense;
  }
}

TEST(ChatModel, AnEndlessEventIsCutOff) {
  ScriptedServer server([](const ScriptedRequest&, ScriptedWire& wire) {
    wire.Write(StreamHead());
    while (wire.Write(Chunk(std::string(1000, 'x')))) {
    }
    return false;
  });
  UpstreamOptions options = OptionsFor(server);
  options.event_bytes_max = 10'000;
  options.retry.attempts_max = 1;
  const auto model = MakeModel(options);
  EXPECT_TRUE(absl::IsResourceExhausted(Ask(*model).status()));
}

TEST(ChatModel, SilenceTimesOut) {
  ScriptedServer before([](const ScriptedRequest&, ScriptedWire& wire) { return !wire.WaitForClose(); });
  UpstreamOptions options = OptionsFor(before);
  options.first_byte_timeout = absl::Milliseconds(100);
  EXPECT_TRUE(absl::IsDeadlineExceeded(Ask(*MakeModel(options)).status()));

  ScriptedServer amid([](const ScriptedRequest&, ScriptedWire& wire) {
    wire.Write(StreamHead() + Event(Text("half")));
    return !wire.WaitForClose();
  });
  options = OptionsFor(amid);
  options.idle_timeout = absl::Milliseconds(100);
  EXPECT_TRUE(absl::IsDeadlineExceeded(Ask(*MakeModel(options)).status()));
}

// Connected as far as we can tell, but nobody has taken the connection, nor will: the kernel drops what we send.
TEST(ChatModel, AServerThatAcceptsNothingIsTriedAgain) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), length), 0);
  ASSERT_EQ(::listen(listener, 0), 0);
  ASSERT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length), 0);
  UpstreamOptions options{.base_url = absl::StrCat("http://127.0.0.1:", ntohs(address.sin_port), "/v1"),
                          .connect_timeout = absl::Milliseconds(500)};
  options.retry.attempts_max = 2;
  options.retry.wait_first = absl::Milliseconds(2);
  const auto model = MakeModel(options);
  std::vector<std::shared_ptr<Listener>> listeners;
  std::vector<std::unique_ptr<ChatCall>> calls;
  for (int i = 0; i < 6; ++i) {
    listeners.push_back(std::make_shared<Listener>());
    calls.push_back(model->Start({.model = "m"}, listeners.back()));
  }
  // The first takes the queue's one place and is acknowledged; the others end.
  int ended = 0;
  for (const absl::Time end = absl::Now() + absl::Seconds(15); ended < 5 && absl::Now() < end;) {
    absl::SleepFor(absl::Milliseconds(50));
    ended = 0;
    for (const auto& one : listeners) ended += one->ended();
  }
  EXPECT_GE(ended, 4);
  ::close(listener);
}

TEST(ChatModel, CancellingClosesTheConnectionAndIsSilent) {
  absl::Notification closed;
  ScriptedServer server([&](const ScriptedRequest&, ScriptedWire& wire) {
    wire.Write(StreamHead() + Event(Text("half")));
    if (wire.WaitForClose()) closed.Notify();
    return false;
  });
  const auto model = MakeModel(OptionsFor(server));
  auto listener = std::make_shared<Listener>();
  auto call = model->Start({.model = "m"}, listener);
  ASSERT_TRUE(listener->WaitForText());
  call.reset();
  EXPECT_TRUE(closed.WaitForNotificationWithTimeout(absl::Seconds(5)));
  EXPECT_FALSE(listener->ended());
}

TEST(ChatModel, CancellingEndsAWaitForARetry) {
  ScriptedServer server([](const ScriptedRequest&, ScriptedWire& wire) {
    return wire.Write(PlainAnswer(503, "application/json", "{}", "Retry-After: 30\r\n"));
  });
  auto model = MakeModel(OptionsFor(server));
  auto listener = std::make_shared<Listener>();
  auto call = model->Start({.model = "m"}, listener);
  while (server.requests().empty()) absl::SleepFor(absl::Milliseconds(5));
  absl::SleepFor(absl::Milliseconds(50));
  call.reset();
  EXPECT_FALSE(listener->ended());
  model.reset();
}

TEST(ChatModel, ManyAtOnceShareOneThread) {
  ScriptedServer server([](const ScriptedRequest&, ScriptedWire& wire) {
    absl::SleepFor(absl::Milliseconds(200));
    return AnswerWell(wire);
  });
  const auto model = MakeModel(OptionsFor(server));
  std::vector<std::shared_ptr<Listener>> listeners;
  std::vector<std::unique_ptr<ChatCall>> calls;
  const absl::Time begin = absl::Now();
  for (int i = 0; i < 100; ++i) {
    listeners.push_back(std::make_shared<Listener>());
    calls.push_back(model->Start({.model = "m"}, listeners.back()));
  }
  for (const auto& listener : listeners) EXPECT_TRUE(listener->Wait().ok());
  EXPECT_LT(absl::Now() - begin, absl::Seconds(10));
}

TEST(ChatModel, WithoutOneConfiguredSaysHow) {
  const auto model = MakeModel({});
  const auto status = Ask(*model).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("CARREL_MODEL_BASE_URL"));
}

TEST(ChatModel, RefusesOptionsThatCannotWork) {
  EXPECT_TRUE(absl::IsInvalidArgument(MakeOpenAiChatModel({.base_url = "model"}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(MakeOpenAiChatModel({.base_url = "http://a:b@c"}).status()));
  EXPECT_TRUE(
      absl::IsInvalidArgument(MakeOpenAiChatModel({.base_url = "https://a", .ca_file = "/does/not/exist"}).status()));
  EXPECT_TRUE(
      absl::IsInvalidArgument(MakeOpenAiChatModel({.base_url = "http://a", .proxy_url = "socks5://p"}).status()));
}

TEST(ChatModel, ListsModels) {
  ScriptedServer server([](const ScriptedRequest& request, ScriptedWire& wire) {
    EXPECT_EQ(request.target, "/v1/models");
    return wire.Write(PlainAnswer(200, "application/json", R"({"object":"list","data":[]})"));
  });
  const auto model = MakeModel(OptionsFor(server));
  absl::Notification done;
  absl::StatusOr<JsonText> models = absl::UnknownError("");
  model->ListModels([&](absl::StatusOr<JsonText> got) {
    models = std::move(got);
    done.Notify();
  });
  ASSERT_TRUE(done.WaitForNotificationWithTimeout(absl::Seconds(20)));
  ASSERT_TRUE(models.ok()) << models.status();
  EXPECT_EQ(models->text, R"({"object":"list","data":[]})");
}

TEST(ChatModel, AProxyGetsTheWholeAddress) {
  ScriptedServer proxy([](const ScriptedRequest&, ScriptedWire& wire) { return AnswerWell(wire); });
  UpstreamOptions options = OptionsFor(proxy);
  options.base_url = "http://model.test:9000/v1";
  options.proxy_url = absl::StrCat("http://me:p%40ss@127.0.0.1:", proxy.port());
  EXPECT_TRUE(Ask(*MakeModel(options)).ok());
  const ScriptedRequest request = proxy.requests().at(0);
  EXPECT_EQ(request.target, "http://model.test:9000/v1/chat/completions");
  EXPECT_EQ(request.headers.at("host"), "model.test:9000");
  EXPECT_EQ(request.headers.at("proxy-authorization"), "Basic bWU6cEBzcw==");
}

class ChatModelOverTls : public ::testing::Test {
 protected:
  ChatModelOverTls() : certificate_(MakeTestCertificate()) {
    std::string name = (std::filesystem::temp_directory_path() / "carrel_ca_XXXXXX").string();
    const int fd = ::mkstemp(name.data());
    EXPECT_GE(fd, 0);
    ::close(fd);
    ca_file_ = name;
    std::ofstream(ca_file_) << certificate_.certificate_pem;
  }
  ~ChatModelOverTls() override { std::filesystem::remove(ca_file_); }

  TestCertificate certificate_;
  std::string ca_file_;
};

TEST_F(ChatModelOverTls, TrustsOnlyTheAuthoritiesOfTheFile) {
  ScriptedServer server([](const ScriptedRequest&, ScriptedWire& wire) { return AnswerWell(wire); }, &certificate_);
  UpstreamOptions options = OptionsFor(server);
  options.base_url = absl::StrCat("https://localhost:", server.port(), "/v1");
  options.ca_file = ca_file_;
  const auto model = MakeModel(options);
  EXPECT_TRUE(Ask(*model).ok());
  absl::SleepFor(absl::Milliseconds(50));
  EXPECT_TRUE(Ask(*model).ok());
  EXPECT_EQ(server.connections(), 1);

  options.ca_file.clear();
  EXPECT_TRUE(absl::IsFailedPrecondition(Ask(*MakeModel(options)).status()));
}

TEST_F(ChatModelOverTls, ACertificateForAnotherNameIsRefused) {
  ScriptedServer server([](const ScriptedRequest&, ScriptedWire& wire) { return AnswerWell(wire); }, &certificate_);
  UpstreamOptions options = OptionsFor(server);
  options.base_url = absl::StrCat("https://127.0.0.1:", server.port(), "/v1");
  options.ca_file = ca_file_;
  EXPECT_TRUE(absl::IsFailedPrecondition(Ask(*MakeModel(options)).status()));
  EXPECT_TRUE(server.requests().empty());
}

TEST_F(ChatModelOverTls, ThroughAProxyByATunnel) {
  ScriptedServer server(
      [](const ScriptedRequest& request, ScriptedWire& wire) {
        if (request.method == "CONNECT") return wire.Write("HTTP/1.1 200 Connection established\r\n\r\n");
        return AnswerWell(wire);
      },
      &certificate_);
  UpstreamOptions options = OptionsFor(server);
  options.base_url = "https://localhost/v1";
  options.proxy_url = absl::StrCat("http://127.0.0.1:", server.port());
  options.ca_file = ca_file_;
  EXPECT_TRUE(Ask(*MakeModel(options)).ok());
  EXPECT_EQ(server.requests().at(0).target, "localhost:443");
  EXPECT_EQ(server.requests().at(0).headers.contains("authorization"), false);
  EXPECT_EQ(server.requests().at(1).target, "/v1/chat/completions");
}

}  // namespace
}  // namespace carrel::gateway
