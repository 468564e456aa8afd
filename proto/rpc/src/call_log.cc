#include "call_log.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/clock.h"
#include "rpc/log.h"
#include "rpc/status.h"

namespace carrel::rpc {
namespace {

using grpc::experimental::InterceptionHookPoints;

// The `owner` field of a request, or of the `header` that a client stream begins with.
std::optional<std::string> OwnerOf(const google::protobuf::Message& message) {
  const auto* field = message.GetDescriptor()->FindFieldByName("owner");
  if (field != nullptr && field->type() == google::protobuf::FieldDescriptor::TYPE_STRING && !field->is_repeated()) {
    return message.GetReflection()->GetString(message, field);
  }
  const auto* header = message.GetDescriptor()->FindFieldByName("header");
  if (header == nullptr || header->type() != google::protobuf::FieldDescriptor::TYPE_MESSAGE || header->is_repeated() ||
      !message.GetReflection()->HasField(message, header)) {
    return std::nullopt;
  }
  return OwnerOf(message.GetReflection()->GetMessage(message, header));
}

class CallLog final : public grpc::experimental::Interceptor {
 public:
  CallLog(const CallObservers& observers, grpc::experimental::ServerRpcInfo* info)
      : observers_(observers), context_(info->server_context()), method_(info->method()), started_(absl::Now()) {
    // The health check is asked every second by some, its watch lives for ever, and its messages are no protobufs.
    counted_ = !method_.starts_with("/grpc.");
  }

  ~CallLog() override {
    if (!counted_ || !begun_) return;
    EndDeadline();
    const absl::Duration elapsed = absl::Now() - started_;
    const std::string code(CodeName(code_));
    if (observers_.metrics != nullptr) {
      observers_.metrics->CallFinished(method_, code, elapsed, bytes_in_, bytes_out_);
    }
    const bool ours = code_ == grpc::StatusCode::INTERNAL || code_ == grpc::StatusCode::UNKNOWN ||
                      code_ == grpc::StatusCode::DATA_LOSS;
    // The sentence of an error is logged only when it is about us: others may quote what the user sent.
    if (ours) {
      Log(LogLevel::kError, "rpc",
          {{"method", method_},
           {"code", code},
           {"ms", absl::ToDoubleMilliseconds(elapsed)},
           {"peer", peer_},
           {"owner", owner_},
           {"bytes_in", bytes_in_},
           {"bytes_out", bytes_out_},
           {"error", error_}});
    } else {
      Log(LogLevel::kInfo, "rpc",
          {{"method", method_},
           {"code", code},
           {"ms", absl::ToDoubleMilliseconds(elapsed)},
           {"peer", peer_},
           {"owner", owner_},
           {"bytes_in", bytes_in_},
           {"bytes_out", bytes_out_}});
    }
  }

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (counted_) Observe(methods);
    methods->Proceed();
  }

 private:
  void Observe(grpc::experimental::InterceptorBatchMethods* methods) {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) Begin();
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_MESSAGE)) {
      // Every service that is not grpc's own has protobuf messages, and those have Message as their first base.
      const auto* message = static_cast<const google::protobuf::Message*>(methods->GetRecvMessage());
      if (message != nullptr) {
        bytes_in_ += message->ByteSizeLong();
        if (!owner_known_) {
          owner_ = OwnerOf(*message).value_or("");
          owner_known_ = true;
        }
      }
    }
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_MESSAGE)) {
      if (auto* buffer = methods->GetSerializedSendMessage(); buffer != nullptr) bytes_out_ += buffer->Length();
    }
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      const grpc::Status status = methods->GetSendStatus();
      code_ = context_->IsCancelled() ? static_cast<int>(grpc::StatusCode::CANCELLED)
                                      : static_cast<int>(status.error_code());
      error_ = status.error_message();
      EndDeadline();
    }
  }

  void Begin() {
    begun_ = true;
    peer_ = observers_.peers != nullptr ? observers_.peers->Describe(context_->peer()) : context_->peer();
    if (observers_.metrics != nullptr) observers_.metrics->CallStarted(method_);
    if (context_->deadline() == std::chrono::system_clock::time_point::max()) {
      ticket_ = observers_.deadlines->Add(absl::Now() + observers_.call_max, context_);
    }
  }

  // The context is not touched by the deadlines' thread once this has returned.
  void EndDeadline() {
    if (ticket_.has_value()) observers_.deadlines->Remove(*ticket_);
    ticket_.reset();
  }

  const CallObservers& observers_;
  grpc::ServerContextBase* const context_;
  const std::string method_;
  const absl::Time started_;
  bool counted_ = true;
  bool begun_ = false;
  bool owner_known_ = false;
  std::optional<CallDeadlines::Ticket> ticket_;
  std::string peer_;
  std::string owner_;
  std::string error_;
  // A call whose handler never came to send a status was cancelled.
  int code_ = grpc::StatusCode::CANCELLED;
  uint64_t bytes_in_ = 0;
  uint64_t bytes_out_ = 0;
};

class CallLogFactory final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit CallLogFactory(CallObservers observers) : observers_(observers) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(grpc::experimental::ServerRpcInfo* info) override {
    return new CallLog(observers_, info);
  }

 private:
  const CallObservers observers_;
};

}  // namespace

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeCallLog(CallObservers observers) {
  return std::make_unique<CallLogFactory>(observers);
}

}  // namespace carrel::rpc
