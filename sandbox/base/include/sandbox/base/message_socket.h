// Messages with descriptors over unix sockets.
//
// Everything received is close-on-exec. Functions, not a class: the descriptor's owner is the caller's.
#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sandbox/base/unique_fd.h"

namespace carrel {

// What one message can carry.
inline constexpr size_t kMessageFdsMax = 16;

struct SocketPair {
  UniqueFd first;
  UniqueFd second;
};

// Two connected SOCK_SEQPACKET sockets: messages keep their borders, and the end of one side is seen by the other.
[[nodiscard]] absl::StatusOr<SocketPair> MakeSocketPair();

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};
[[nodiscard]] absl::StatusOr<Pipe> MakePipe();

// One message. Never raises SIGPIPE. UNAVAILABLE: the other side is gone; RESOURCE_EXHAUSTED: would block, and the
// socket is non-blocking (or the message's descriptors are too many in flight).
[[nodiscard]] absl::Status SendMessage(int socket, std::span<const std::byte> bytes, std::span<const int> fds = {});

struct ReceivedMessage {
  size_t size = 0;  // 0: the other side is gone
  std::vector<UniqueFd> fds;
  // Some or all of its descriptors could not be received: this process has no room for them (RLIMIT_NOFILE), or they
  // were more than kMessageFdsMax.
  bool fds_lost = false;
};

// One message into `buffer`. A longer one is DATA_LOSS and its descriptors are closed. RESOURCE_EXHAUSTED: nothing
// there, and the socket is non-blocking.
[[nodiscard]] absl::StatusOr<ReceivedMessage> ReceiveMessage(int socket, std::span<std::byte> buffer);

// A trivially copyable struct as one message.
template <typename T>
[[nodiscard]] std::span<const std::byte> BytesOf(const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  return std::as_bytes(std::span<const T, 1>(&value, 1));
}
template <typename T>
[[nodiscard]] std::span<std::byte> WritableBytesOf(T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  return std::as_writable_bytes(std::span<T, 1>(&value, 1));
}

[[nodiscard]] absl::Status SetNonBlocking(int fd);

}  // namespace carrel
