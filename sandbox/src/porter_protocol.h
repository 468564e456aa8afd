// What a server asks of a session's porter (its init), over a SOCK_SEQPACKET socket: one PorterRequest, followed in the
// same message by the path's bytes, with the reply's own socket as the first descriptor. All answers to a request go
// there and its end is theirs, so that requests of many threads never mix and a dead porter is an end of file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace carrel::sandbox {

enum class PorterRequestKind : uint32_t {
  kList = 1,
  kOpen,     // reply with [file]
  kWrite,    // [reply, source]
  kRemove,   // error ENOENT: there was none
  kKillAll,  // SIGKILL to everything in the session but the porter
  kInterruptAll,
  kMakeDirectory,
};

inline constexpr size_t kPorterPathBytesMax = 4096;

struct PorterRequest {
  PorterRequestKind kind = PorterRequestKind::kList;
  uint32_t path_bytes = 0;
  uint32_t replace = 0;    // WRITE
  uint32_t depth_max = 0;  // LIST
  uint64_t entries_max = 0;
  uint64_t time_max_ms = 0;
  int64_t modified_ns = 0;  // WRITE, MAKE_DIRECTORY, when has_modified
  uint32_t has_modified = 0;
  uint32_t mode = 0;  // WRITE, MAKE_DIRECTORY
};
static_assert(std::is_trivially_copyable_v<PorterRequest>);

// One entry on the wire, followed by its path. As WorkspaceEntry.
struct PorterEntry {
  uint64_t size_bytes = 0;
  uint64_t blocks_bytes = 0;
  uint64_t inode = 0;
  int64_t modified_ns = 0;
  int64_t changed_ns = 0;
  uint32_t kind = 0;
  uint32_t path_bytes = 0;
  uint32_t mode = 0;
  uint32_t reserved = 0;
};
static_assert(std::is_trivially_copyable_v<PorterEntry>);

// LIST: any number of messages with more = 1, then one with more = 0. Others: one. `count` entries follow.
struct PorterReply {
  int32_t error = 0;  // errno
  uint32_t more = 0;
  uint32_t incomplete = 0;
  uint32_t count = 0;
};
static_assert(std::is_trivially_copyable_v<PorterReply>);

// A message of either side is at most this.
inline constexpr size_t kPorterMessageBytesMax = 32 << 10;

}  // namespace carrel::sandbox
