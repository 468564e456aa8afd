// Where the chat model is, and how it is reached.
#pragma once

#include <cstddef>
#include <map>
#include <string>

#include "absl/time/time.h"
#include "gateway/upstream/retry.h"

namespace carrel::gateway {

struct UpstreamOptions {
  // "http://host:port/v1"; "/chat/completions" is appended. Empty: no model is configured, and every call says so.
  std::string base_url;
  // Sent as "Authorization: Bearer …"; empty: no such header.
  std::string api_key;
  // What a client calls a model -> what the upstream calls it. Other names pass unchanged.
  std::map<std::string, std::string> model_aliases;

  // A PEM file with the authorities to trust instead of the system's; empty: the system's.
  std::string ca_file;
  // "http://[user:password@]host:port": requests go through it (CONNECT for https). Empty: directly.
  std::string proxy_url;

  // Of looking the host up, and again of connecting to it with the proxy's answer and TLS.
  absl::Duration connect_timeout = absl::Seconds(10);
  // Until the head of the answer; a model that reasons before its first token takes minutes.
  absl::Duration first_byte_timeout = absl::Minutes(5);
  // Between two pieces of the answer.
  absl::Duration idle_timeout = absl::Minutes(2);

  std::size_t response_bytes_max = std::size_t{64} << 20;
  std::size_t event_bytes_max = std::size_t{4} << 20;
  std::size_t request_bytes_max = std::size_t{64} << 20;
  std::size_t idle_connections_max = 32;
  absl::Duration idle_connection_age_max = absl::Seconds(30);

  RetryPolicy retry;
};

}  // namespace carrel::gateway
