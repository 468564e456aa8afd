// Where a server listens: a unix socket or a TCP address.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace carrel::rpc {

struct Address {
  enum class Kind : uint8_t { kUnix, kTcp };
  Kind kind = Kind::kUnix;
  std::string path;   // kUnix: absolute or relative to the working directory, at most 107 bytes
  std::string host;   // kTcp: a name or a number, an IPv6 number without its brackets
  uint16_t port = 0;  // kTcp: 0 lets the kernel choose (for a server)

  // 127.0.0.0/8, ::1 and "localhost": what never leaves the machine.
  [[nodiscard]] bool loopback() const;
  // As it is written in configuration: "unix:PATH", "HOST:PORT", "[::1]:PORT".
  [[nodiscard]] std::string ToString() const;

  friend bool operator==(const Address&, const Address&) = default;
};

// Reads "unix:PATH" or "HOST:PORT". INVALID_ARGUMENT with a sentence that says what would be right; a TCP address
// without a host is refused too: listening everywhere has to be asked for by name.
[[nodiscard]] absl::StatusOr<Address> ParseAddress(std::string_view text);

}  // namespace carrel::rpc
