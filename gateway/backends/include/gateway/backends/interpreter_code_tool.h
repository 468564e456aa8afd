// The code tool over the interpreter's gRPC service: a container is a session of the same name.
#pragma once

#include <grpcpp/channel.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/time/time.h"
#include "gateway/ports/code_tool.h"
#include "gateway/ports/file_store.h"

namespace carrel::gateway {

struct CodeToolOptions {
  // Calls that are carried out at once; further ones wait for their turn.
  std::size_t calls_max = 64;
  // Of one call with everything around it. The interpreter has its own, shorter limit on the code.
  absl::Duration call_max = absl::Minutes(10);
  // How long a call waits for a session while all that the interpreter allows are at work.
  absl::Duration session_wait_max = absl::Seconds(60);
  // A file that the code wrote; a larger one is named in the text and not kept.
  uint64_t file_bytes_max = uint64_t{512} << 20;
  // Pictures of one call; further ones are counted in the text.
  std::size_t images_max = 32;
};

// `files` must outlive the tool.
[[nodiscard]] std::unique_ptr<CodeTool> MakeInterpreterCodeTool(std::shared_ptr<grpc::Channel> channel,
                                                                FileStore& files, CodeToolOptions options);

}  // namespace carrel::gateway
