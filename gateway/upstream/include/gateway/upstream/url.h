// The base address of a chat model or of a proxy.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace carrel::gateway {

struct Url {
  // true: https.
  bool tls = false;
  // Lower-case; an IPv6 address without its brackets.
  std::string host;
  std::uint16_t port = 0;
  // Begins with '/', or is empty; never ends with '/'.
  std::string path;
  // "user:password" as written, still percent-encoded; only proxies may have one.
  std::string user_info;

  // What a Host header says: the port only where it is not the scheme's own.
  [[nodiscard]] std::string Authority() const;
};

// http:// or https://, a host, and perhaps a port and a path. INVALID_ARGUMENT for anything else, also for a query, a
// fragment and control characters. Never repeats user_info in an error.
[[nodiscard]] absl::StatusOr<Url> ParseUrl(std::string_view text);

}  // namespace carrel::gateway
