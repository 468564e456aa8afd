#include "gateway/upstream/openai_chat_model.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <mutex>
#include <string>
#include <thread>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "chat_codec.h"
#include "gateway/upstream/sse_parser.h"
#include "http_client.h"

namespace carrel::gateway {
namespace {

namespace asio = boost::asio;

constexpr char kNoModel[] =
    "No chat model is configured: set base_url in [model] of the configuration, or CARREL_MODEL_BASE_URL, to an "
    "OpenAI-compatible base such as http://127.0.0.1:8000/v1.";
constexpr std::size_t kFailureBytesMax = 64 * 1024;

// What the thread of the model and the owner of the call share.
class CallState final {
 public:
  explicit CallState(std::shared_ptr<ChatListener> listener) : listener_(std::move(listener)) {}

  void Deliver(ChatDelta delta) {
    const std::lock_guard lock(mutex_);
    if (listener_ != nullptr) listener_->OnDelta(std::move(delta));
  }
  void End(absl::StatusOr<ChatEnd> end) {
    const std::lock_guard lock(mutex_);
    if (listener_ != nullptr) listener_->OnEnd(std::move(end));
    listener_ = nullptr;
  }
  // Returns whether the answer had not ended yet.
  bool Silence() {
    const std::lock_guard lock(mutex_);
    return std::exchange(listener_, nullptr) != nullptr;
  }

  CancelToken cancel;  // on the model's thread only

 private:
  // Held while the listener runs: Silence returns when it has.
  std::mutex mutex_;
  std::shared_ptr<ChatListener> listener_;
};

// One attempt at an answer.
class AnswerReader final : public HttpReader {
 public:
  AnswerReader(CallState& call, std::size_t event_bytes_max, std::size_t whole_bytes_max)
      : call_(call), parser_({.event_bytes_max = event_bytes_max}), whole_bytes_max_(whole_bytes_max) {}

  absl::Status OnHead(const HttpHead& head) override {
    head_ = head;
    streamed_ = head.status == 200 && head.content_type.find("application/json") == std::string::npos;
    return absl::OkStatus();
  }

  absl::Status OnBody(std::string_view piece) override {
    if (finished_) return absl::OkStatus();
    if (streamed_) return parser_.Feed(piece, [this](const SseEvent& event) { return OnEvent(event.data); });
    const std::size_t room = (head_.status == 200 ? whole_bytes_max_ : kFailureBytesMax) - body_.size();
    if (piece.size() > room && head_.status == 200) {
      return absl::ResourceExhaustedError("the model's answer is too long");
    }
    body_.append(piece.substr(0, room));
    return absl::OkStatus();
  }

  bool IsFinished() const override { return finished_; }

  // After the exchange: the answer's end, or why there is none.
  absl::Status Conclude(absl::Status exchanged) {
    if (finished_) return absl::OkStatus();
    if (!exchanged.ok()) return exchanged;
    if (head_.status != 200) return DecodeFailure(head_.status, body_);
    if (!streamed_) {
      if (auto status = OnEvent(body_); !status.ok()) return status;
    }
    const auto end = decoder_.end();
    if (!end.has_value()) return absl::UnavailableError("the model's answer broke off before its end");
    Finish(*end);
    return absl::OkStatus();
  }

  // Something of the answer has reached the listener: it cannot be begun again.
  bool delivered() const { return delivered_; }
  const HttpHead& head() const { return head_; }
  const std::string& body() const { return body_; }

 private:
  absl::Status OnEvent(std::string_view data) {
    if (finished_) return absl::OkStatus();
    if (data == "[DONE]") {
      const auto end = decoder_.end();
      // A server that says it is done without saying why has stopped.
      Finish(end.value_or(ChatEnd{}));
      return absl::OkStatus();
    }
    auto delta = decoder_.Decode(data);
    if (!delta.ok()) return delta.status();
    if (!delta->text.empty() || !delta->refusal.empty() || !delta->tool_calls.empty()) {
      delivered_ = true;
      call_.Deliver(*std::move(delta));
    }
    return absl::OkStatus();
  }

  void Finish(ChatEnd end) {
    finished_ = true;
    call_.End(std::move(end));
  }

  CallState& call_;
  SseParser parser_;
  ChatDecoder decoder_;
  std::size_t whole_bytes_max_;
  HttpHead head_;
  std::string body_;
  bool streamed_ = false;
  bool delivered_ = false;
  bool finished_ = false;
};

// Keeps a whole answer.
class WholeReader final : public HttpReader {
 public:
  absl::Status OnHead(const HttpHead& head) override {
    status = head.status;
    return absl::OkStatus();
  }
  absl::Status OnBody(std::string_view piece) override {
    if (body.size() + piece.size() > (std::size_t{4} << 20)) return absl::ResourceExhaustedError("too long an answer");
    body.append(piece);
    return absl::OkStatus();
  }
  bool IsFinished() const override { return false; }

  int status = 0;
  std::string body;
};

// One attempt failed: is another one of use?
bool IsWorthRetrying(const absl::Status& why, const AnswerReader& reader) {
  if (reader.delivered()) return false;
  if (reader.head().status != 0 && reader.head().status != 200) {
    return IsRetryableStatus(reader.head().status) && !IsQuotaExhausted(reader.body());
  }
  // Unreachable, silent, broken off, or garbled before anything was said.
  return absl::IsUnavailable(why) || absl::IsInternal(why) || absl::IsInvalidArgument(why) ||
         absl::IsResourceExhausted(why);
}

class OpenAiChatModel final : public ChatModel {
 public:
  explicit OpenAiChatModel(UpstreamOptions options) : options_(std::move(options)), work_(io_.get_executor()) {}

  ~OpenAiChatModel() override {
    io_.stop();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Init() {
    if (!options_.base_url.empty()) {
      auto client = HttpClient::Create(io_, options_);
      if (!client.ok()) return client.status();
      client_ = *std::move(client);
    }
    thread_ = std::thread([this] { io_.run(); });
    return absl::OkStatus();
  }

  std::unique_ptr<ChatCall> Start(ChatRequest request, std::shared_ptr<ChatListener> listener) override {
    auto state = std::make_shared<CallState>(std::move(listener));
    asio::co_spawn(io_, Answer(std::move(request), state), asio::detached);
    return std::make_unique<Call>(*this, std::move(state));
  }

  void ListModels(absl::AnyInvocable<void(absl::StatusOr<JsonText>)> done) override {
    asio::co_spawn(io_, FetchModels(std::move(done)), asio::detached);
  }

 private:
  class Call final : public ChatCall {
   public:
    Call(OpenAiChatModel& model, std::shared_ptr<CallState> state) : model_(model), state_(std::move(state)) {}
    ~Call() override {
      if (state_->Silence()) asio::post(model_.io_, [state = state_] { state->cancel.Cancel(); });
    }

   private:
    OpenAiChatModel& model_;
    std::shared_ptr<CallState> state_;
  };

  asio::awaitable<void> Answer(ChatRequest request, std::shared_ptr<CallState> call) {
    if (client_ == nullptr) {
      call->End(absl::FailedPreconditionError(kNoModel));
      co_return;
    }
    for (int attempt = 1;; ++attempt) {
      auto body = EncodeChatRequest(request, {.aliases = &options_.model_aliases, .ask_for_usage = ask_for_usage_});
      if (body.ok() && body->size() > options_.request_bytes_max) {
        body = absl::InvalidArgumentError("the conversation is too long to be sent to the model");
      }
      if (!body.ok()) {
        call->End(body.status());
        co_return;
      }
      AnswerReader reader(*call, options_.event_bytes_max, options_.response_bytes_max);
      const HttpRequest message{.method = "POST",
                                .target = "/chat/completions",
                                .content_type = "application/json",
                                .accept = "text/event-stream",
                                .body = *body};
      absl::Status exchanged = co_await client_->Exchange(message, reader, call->cancel);
      const absl::Status outcome = reader.Conclude(std::move(exchanged));
      if (outcome.ok() || call->cancel.cancelled()) co_return;
      if (reader.head().status == 400 && ask_for_usage_ && reader.body().find("stream_options") != std::string::npos) {
        ask_for_usage_ = false;
        continue;
      }
      std::optional<absl::Duration> wait;
      if (IsWorthRetrying(outcome, reader)) {
        wait = WaitBeforeRetry(options_.retry, attempt,
                               ReadRetryAfter(reader.head().retry_after, reader.head().retry_after_ms, absl::Now()),
                               random_);
      }
      if (!wait.has_value()) {
        call->End(outcome);
        co_return;
      }
      if (!co_await Sleep(*wait, call->cancel)) co_return;
    }
  }

  // false: cancelled meanwhile.
  asio::awaitable<bool> Sleep(absl::Duration wait, CancelToken& cancel) {
    asio::steady_timer timer(io_, std::chrono::nanoseconds(absl::ToInt64Nanoseconds(wait)));
    cancel.OnCancel([&timer] { timer.cancel(); });
    boost::system::error_code ec;
    if (!cancel.cancelled()) co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ec));
    cancel.OnCancel(nullptr);
    co_return !cancel.cancelled();
  }

  asio::awaitable<void> FetchModels(absl::AnyInvocable<void(absl::StatusOr<JsonText>)> done) {
    if (client_ == nullptr) {
      done(absl::FailedPreconditionError(kNoModel));
      co_return;
    }
    WholeReader reader;
    CancelToken never;
    const HttpRequest message{
        .method = "GET", .target = "/models", .content_type = "", .accept = "application/json", .body = ""};
    const absl::Status status = co_await client_->Exchange(message, reader, never);
    if (!status.ok()) {
      done(status);
    } else if (reader.status != 200) {
      done(DecodeFailure(reader.status, reader.body));
    } else {
      done(JsonText{std::move(reader.body)});
    }
  }

  const UpstreamOptions options_;
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  // Below: the model's thread only.
  std::unique_ptr<HttpClient> client_;
  absl::BitGen random_;
  bool ask_for_usage_ = true;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ChatModel>> MakeOpenAiChatModel(UpstreamOptions options) {
  auto model = std::make_unique<OpenAiChatModel>(std::move(options));
  if (auto status = model->Init(); !status.ok()) return status;
  return model;
}

}  // namespace carrel::gateway
