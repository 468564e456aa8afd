// Addresses that a server of ours will listen on, looked at beforehand.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "rpc/address.h"
#include "sandbox/base/unique_fd.h"

namespace carrel::cli {

// A TCP address that was free a moment ago, with a port in place of 0. The socket is bound to it and does not listen:
// while it is there nobody is given the same port; the server can bind once it is gone.
struct FreeAddress {
  rpc::Address address;
  UniqueFd socket;
};

// `text`: "HOST:PORT", the host a number or localhost. FAILED_PRECONDITION: somebody has it, or it is not this
// machine's; the message says what to give to `flag` ("--http") instead.
[[nodiscard]] absl::StatusOr<FreeAddress> FindFreeAddress(std::string_view text, std::string_view flag);

}  // namespace carrel::cli
