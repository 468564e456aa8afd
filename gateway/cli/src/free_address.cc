#include "free_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "cli/console.h"
#include "strings.h"

namespace carrel::cli {
namespace {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

SocketAddress SocketAddressOf(const rpc::Address& address) {
  SocketAddress made;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&made.storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&made.storage);
  if (::inet_pton(AF_INET, address.host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(address.port);
    made.size = sizeof(*v4);
  } else if (::inet_pton(AF_INET6, address.host.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(address.port);
    made.size = sizeof(*v6);
  }
  return made;
}

std::string Advice(int error, std::string_view flag) {
  if (error == EADDRINUSE) {
    return StrCat("another program serves there: stop it, or choose another port, such as ", flag,
                  " 127.0.0.1:0 (any that is free)");
  }
  if (error == EACCES) return StrCat("ports below 1024 need root: choose a higher one with ", flag);
  return StrCat("choose an address of this machine with ", flag);
}

}  // namespace

absl::StatusOr<FreeAddress> FindFreeAddress(std::string_view text, std::string_view flag) {
  auto address = rpc::ParseAddress(text);
  if (!address.ok()) {
    return absl::InvalidArgumentError(StrCat(flag, ": ", std::string(address.status().message())));
  }
  if (address->kind == rpc::Address::Kind::kTcp && address->host == "localhost") address->host = "127.0.0.1";
  const SocketAddress wanted = SocketAddressOf(*address);
  if (address->kind != rpc::Address::Kind::kTcp || wanted.size == 0) {
    return absl::InvalidArgumentError(
        StrCat(flag, " is ", SafeText(text, false), ": expected HOST:PORT, the host a number or localhost"));
  }
  UniqueFd fd(::socket(wanted.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int yes = 1;
  SocketAddress bound;
  bound.size = sizeof(bound.storage);
  // As the servers do it: connections of a server before us that still linger do not count.
  if (!fd || ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) != 0 ||
      ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&wanted.storage), wanted.size) != 0 ||
      ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound.storage), &bound.size) != 0) {
    const int error = errno;
    return absl::FailedPreconditionError(StrCat("cannot listen on ", address->ToString(), " (", flag,
                                                "): ", std::strerror(error), ": ", Advice(error, flag)));
  }
  address->port =
      ntohs(bound.storage.ss_family == AF_INET ? reinterpret_cast<const sockaddr_in*>(&bound.storage)->sin_port
                                               : reinterpret_cast<const sockaddr_in6*>(&bound.storage)->sin6_port);
  return FreeAddress{.address = *std::move(address), .socket = std::move(fd)};
}

}  // namespace carrel::cli
