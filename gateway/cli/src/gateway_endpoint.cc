#include "cli/gateway_endpoint.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "api_client.h"
#include "rpc/address.h"
#include "rpc/client.h"
#include "rpc/log.h"
#include "sandbox/base/error.h"
#include "sandbox/base/unique_fd.h"
#include "strings.h"

namespace carrel::cli {
namespace {

constexpr char kDefaultUrl[] = "http://127.0.0.1:8080";
constexpr absl::Duration kConnectMax = absl::Seconds(10);
constexpr size_t kRecordBytesMax = 64 << 10;

std::string FromEnvironment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string RecordPath(const std::string& data_dir) { return StrCat(data_dir, "/run/gateway.json"); }

// Without what people copy along from their client's base_url.
absl::StatusOr<std::string> BaseUrl(std::string url) {
  const auto trim = [&url] {
    while (url.ends_with('/')) url.pop_back();
  };
  trim();
  if (url.ends_with("/v1")) url.resize(url.size() - 3);
  trim();
  const bool http = url.starts_with("http://") && url.size() > 7;
  const bool https = url.starts_with("https://") && url.size() > 8;
  if (http || https) return url;
  return absl::InvalidArgumentError(StrCat("CARREL_URL is ", SafeText(url, false), ": expected http://HOST:PORT"));
}

// HOST of a URL that BaseUrl gave, without brackets.
std::string HostOf(const std::string& url) {
  const size_t begin = url.find("://") + 3;
  const std::string host = url.substr(begin, url.find('/', begin) - begin);
  if (host.starts_with('[')) return host.substr(1, host.find(']') - 1);
  return host.substr(0, host.find(':'));
}

bool Loopback(const std::string& host) {
  return rpc::Address{.kind = rpc::Address::Kind::kTcp, .path = "", .host = host}.loopback();
}

absl::StatusOr<std::string> FindKey(const std::string& data_dir, const std::string& url) {
  std::string key = FromEnvironment("CARREL_API_KEY");
  if (!key.empty()) return key;
  // The first key of this machine is nothing to show to another one.
  if (!Loopback(HostOf(url))) {
    return absl::UnauthenticatedError(StrCat("CARREL_URL names another machine (", url,
                                             "): set CARREL_API_KEY to a key of its own; `carrel keys create` makes "
                                             "one there"));
  }
  auto root = ReadRootKey(data_dir);
  if (root.ok()) return root;
  return absl::UnauthenticatedError(StrCat(std::string(root.status().message()),
                                           ": set CARREL_API_KEY, or start `carrel serve` with this data directory"));
}

// The Tools service as clients reach it: a server that listens everywhere is found where its HTTP is.
absl::StatusOr<rpc::Address> GrpcAddress(const std::string& text, const std::string& url) {
  auto address = rpc::ParseAddress(text);
  if (address.ok() && (address->host == "0.0.0.0" || address->host == "::")) address->host = HostOf(url);
  return address;
}

absl::StatusOr<std::string> AskForGrpc(const Place& place, const GatewayEndpoint& endpoint) {
  ApiClient api(HttpTargetOf(place, endpoint));
  const auto server = api.Get("/carrel/server");
  if (!server.ok()) return server.status();
  const auto grpc = server->find("grpc");
  if (grpc != server->end() && grpc->is_string()) return grpc->get<std::string>();
  return absl::UnavailableError(
      StrCat("the gateway at ", endpoint.url, " serves no gRPC: gateway.grpc_listen names it"));
}

}  // namespace

absl::StatusOr<GatewayEndpoint> FindGateway(const Place& place) {
  GatewayEndpoint endpoint;
  const std::string named = FromEnvironment("CARREL_URL");
  if (!named.empty()) {
    auto url = BaseUrl(named);
    if (!url.ok()) return url.status();
    endpoint.url = *std::move(url);
  } else if (auto record = ReadServeRecord(place.data_dir); record.ok()) {
    endpoint.url = record->url;
    endpoint.grpc = record->grpc;
  } else if (absl::IsNotFound(record.status())) {
    endpoint.url = kDefaultUrl;
  } else {
    return record.status();
  }
  auto key = FindKey(place.data_dir, endpoint.url);
  if (!key.ok()) return key.status();
  endpoint.key = *std::move(key);
  return endpoint;
}

HttpTarget HttpTargetOf(const Place& place, const GatewayEndpoint& endpoint) {
  return {.url = endpoint.url, .unix_socket = "", .key = endpoint.key, .ca_file = place.config.rpc.tls_ca_file};
}

void GatewayChannel::Authorize(grpc::ClientContext& context) const {
  context.AddMetadata("authorization", StrCat("Bearer ", key_));
}

absl::StatusOr<GatewayChannel> ConnectGateway(const Place& place) {
  auto endpoint = FindGateway(place);
  if (!endpoint.ok()) return endpoint.status();
  if (endpoint->grpc.empty()) {
    auto grpc = AskForGrpc(place, *endpoint);
    if (!grpc.ok()) return grpc.status();
    endpoint->grpc = *std::move(grpc);
  }
  auto address = GrpcAddress(endpoint->grpc, endpoint->url);
  if (!address.ok()) return address.status();
  const config::RpcConfig& rpc = place.config.rpc;
  auto channel = rpc::MakeChannel(
      {.address = *address,
       .tls = {.cert_file = rpc.tls_cert_file, .key_file = rpc.tls_key_file, .ca_file = rpc.tls_ca_file}});
  if (!channel.ok()) return channel.status();
  if (auto status = rpc::WaitUntilConnected(**channel, *address, kConnectMax); !status.ok()) return status;
  return GatewayChannel(*std::move(channel), endpoint->key);
}

absl::Status WriteServeRecord(const std::string& data_dir, const ServeRecord& record) {
  const std::string path = RecordPath(data_dir);
  const std::string beside = StrCat(path, ".new");
  const nlohmann::json value = {{"url", record.url}, {"grpc", record.grpc}, {"pid", ::getpid()}};
  const std::string text = value.dump() + "\n";
  const UniqueFd fd(::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!fd || ::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      ::rename(beside.c_str(), path.c_str()) != 0) {
    return ErrnoStatus(errno, StrCat("writing ", path));
  }
  return absl::OkStatus();
}

void RemoveServeRecord(const std::string& data_dir) { ::unlink(RecordPath(data_dir).c_str()); }

absl::StatusOr<ServeRecord> ReadServeRecord(const std::string& data_dir) {
  const std::string path = RecordPath(data_dir);
  std::ifstream in(path, std::ios::binary);
  if (!in.is_open()) return absl::NotFoundError(StrCat("there is no ", path));
  std::string text(kRecordBytesMax, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  const auto value = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!value.is_object() || !value.contains("url") || !value["url"].is_string() || !value.contains("grpc") ||
      !value["grpc"].is_string()) {
    return absl::InternalError(StrCat(path, " is damaged: start `carrel serve` again, or set CARREL_URL"));
  }
  return ServeRecord{.url = value["url"], .grpc = value["grpc"]};
}

std::string RootKeyPath(const std::string& data_dir) { return StrCat(data_dir, "/root.key"); }

absl::StatusOr<std::string> ReadRootKey(const std::string& data_dir) {
  const std::string path = RootKeyPath(data_dir);
  std::ifstream in(path);
  std::string line;
  if (!in.is_open()) {
    return ::access(path.c_str(), F_OK) == 0
               ? absl::PermissionDeniedError(StrCat("uid ", ::geteuid(), " may not read ", path))
               : absl::NotFoundError(StrCat("there is no ", path));
  }
  std::getline(in, line);
  if (line.empty()) return absl::NotFoundError(StrCat(path, " is empty"));
  return line;
}

}  // namespace carrel::cli
