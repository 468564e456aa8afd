#include "rpc/address.h"

#include <arpa/inet.h>
#include <sys/un.h>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "strings.h"

namespace carrel::rpc {
namespace {

constexpr std::string_view kExpected =
    "expected unix:PATH or HOST:PORT, such as unix:/run/carrel.sock or 127.0.0.1:8081";

absl::StatusOr<Address> ParseUnix(std::string_view path) {
  // What fits into sockaddr_un with its final NUL.
  constexpr size_t kPathBytesMax = sizeof(sockaddr_un::sun_path) - 1;
  if (path.empty()) return absl::InvalidArgumentError(StrCat("unix: without a path: ", kExpected));
  if (path.size() > kPathBytesMax) {
    return absl::InvalidArgumentError(StrCat("the socket path ", path, " has ", path.size(),
                                             " bytes, and the kernel takes ", kPathBytesMax,
                                             ": choose a shorter directory"));
  }
  if (path.find('\0') != std::string_view::npos) {
    return absl::InvalidArgumentError("a socket path cannot hold a NUL byte");
  }
  return Address{.kind = Address::Kind::kUnix, .path = std::string(path)};
}

}  // namespace

bool Address::loopback() const {
  if (kind == Kind::kUnix) return true;
  in_addr number{};
  // A number, not a name that begins like one.
  const bool v4 = ::inet_pton(AF_INET, host.c_str(), &number) == 1 && (ntohl(number.s_addr) >> 24) == 127;
  return v4 || host == "localhost" || host == "::1";
}

std::string Address::ToString() const {
  if (kind == Kind::kUnix) return StrCat("unix:", path);
  if (host.find(':') != std::string_view::npos) return StrCat("[", host, "]:", port);
  return StrCat(host, ":", port);
}

absl::StatusOr<Address> ParseAddress(std::string_view text) {
  if (text.starts_with("unix:")) return ParseUnix(text.substr(5));
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    return absl::InvalidArgumentError(StrCat("the address \"", text, "\" has no port: ", kExpected));
  }
  std::string_view host = text.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return absl::InvalidArgumentError(
        StrCat("the address \"", text, "\" is ambiguous: write an IPv6 host in brackets, [::1]:8081"));
  }
  if (host.empty()) {
    return absl::InvalidArgumentError(StrCat("the address \"", text, "\" has no host: write 127.0.0.1", text,
                                             " for this machine only, or the address that others are to reach"));
  }
  for (const char c : host) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '-' && c != '_' && c != ':' &&
        c != '%') {
      return absl::InvalidArgumentError(StrCat("the host in \"", text, "\" is not one: ", kExpected));
    }
  }
  uint32_t port = 0;
  if (!absl::SimpleAtoi(Absl(text.substr(colon + 1)), &port) || port > 65535) {
    return absl::InvalidArgumentError(StrCat("the port in \"", text, "\" is not one: expected 0 to 65535"));
  }
  return Address{.kind = Address::Kind::kTcp, .host = std::string(host), .port = static_cast<uint16_t>(port)};
}

}  // namespace carrel::rpc
