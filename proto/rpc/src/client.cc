#include "rpc/client.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "credentials.h"
#include "rpc/status.h"
#include "strings.h"

namespace carrel::rpc {
namespace {

// gRPC reads a target as a URI, so what is special in one is percent-encoded.
std::string Target(const Address& address) {
  if (address.kind == Address::Kind::kTcp) return StrCat("dns:///", address.ToString());
  std::string target = "unix:";
  for (const char c : address.path) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || std::strchr("/._~-", c) != nullptr) {
      target += c;
    } else {
      absl::StrAppendFormat(&target, "%%%02X", static_cast<unsigned char>(c));
    }
  }
  return target;
}

// Why a unix socket does not answer; found by trying it without gRPC.
std::string ExplainUnix(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return std::strerror(errno);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), std::min(path.size(), sizeof(address.sun_path) - 1));
  std::string why = "it does not answer";
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    switch (errno) {
      case ENOENT:
        why = "there is no such socket: is `carrel serve` running with this data directory?";
        break;
      case ECONNREFUSED:
        why = "nobody listens there any more: start `carrel serve`";
        break;
      case EACCES:
        why = StrCat("uid ", ::geteuid(), " may not open it: use the account that runs `carrel serve`, or root");
        break;
      default:
        why = std::strerror(errno);
    }
  } else {
    // A gRPC server speaks first (its settings); one that refuses the peer closes.
    pollfd item{.fd = fd, .events = POLLIN, .revents = 0};
    char byte = 0;
    if (::poll(&item, 1, 1000) > 0 && ::recv(fd, &byte, 1, MSG_DONTWAIT) <= 0) {
      why = StrCat("it refuses uid ", ::geteuid(), ": add it to rpc.allowed_uids");
    }
  }
  ::close(fd);
  return why;
}

absl::Status Unreachable(const Address& address) {
  return absl::UnavailableError(StrCat("cannot reach ", address.ToString(), ": ",
                                       address.kind == Address::Kind::kUnix
                                           ? ExplainUnix(address.path)
                                           : "nobody answers there, or TLS does not agree"));
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const ChannelOptions& options) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(static_cast<int>(options.message_bytes_max));
  // Our servers are never behind a proxy that the environment names for the web.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // A channel of its own: the back-off of an earlier one is not inherited.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  // In spite of its name no back-off, but how long one attempt may take, TLS's handshake included.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 10'000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  if (options.address.kind == Address::Kind::kTcp) {
    auto made = TcpChannelCredentials(options);
    if (!made.ok()) return made.status();
    credentials = *std::move(made);
  } else {
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);  // see server.cc
  }
  return grpc::CreateCustomChannel(Target(options.address), credentials, arguments);
}

absl::Status WaitUntilConnected(grpc::Channel& channel, const Address& address, absl::Duration timeout) {
  const auto deadline = absl::ToChronoTime(absl::Now() + timeout);
  for (;;) {
    const grpc_connectivity_state state = channel.GetState(/*try_to_connect=*/true);
    if (state == GRPC_CHANNEL_READY) return absl::OkStatus();
    if (state == GRPC_CHANNEL_TRANSIENT_FAILURE || state == GRPC_CHANNEL_SHUTDOWN) return Unreachable(address);
    if (!channel.WaitForStateChange(state, deadline)) return Unreachable(address);
  }
}

absl::Status CheckHealth(const std::shared_ptr<grpc::Channel>& channel, const std::string& service,
                         absl::Duration timeout) {
  // grpc.health.v1.HealthCheckRequest{service = 1} and its response {status = 1}, by hand: two fields, and gRPC's own
  // generated code for them is not installed.
  std::string request;
  request += '\x0A';
  if (service.size() > 127) return absl::InvalidArgumentError("the service's name is too long");
  request += static_cast<char>(service.size());
  request += service;
  const grpc::Slice slice(request);
  grpc::ByteBuffer message(&slice, 1);
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  grpc::GenericStub stub(channel);
  grpc::CompletionQueue queue;
  auto call = stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check", message, &queue);
  grpc::ByteBuffer reply;
  grpc::Status status;
  call->StartCall();
  call->Finish(&reply, &status, &queue);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  queue.Shutdown();
  while (queue.Next(&tag, &ok)) {
  }
  if (!status.ok()) return FromGrpc(status, context);
  grpc::Slice bytes;
  constexpr std::string_view kServing("\x08\x01", 2);
  if (reply.DumpToSingleSlice(&bytes).ok() &&
      std::string_view(reinterpret_cast<const char*>(bytes.begin()), bytes.size()) == kServing) {
    return absl::OkStatus();
  }
  return absl::UnavailableError(StrCat(service, " is not serving"));
}

}  // namespace carrel::rpc
