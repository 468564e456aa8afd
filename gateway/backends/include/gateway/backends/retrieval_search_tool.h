// The search tool over the retrieval service: a vector store is a store of the same name, a file a document.
#pragma once

#include <grpcpp/channel.h>

#include <memory>

#include "absl/time/time.h"
#include "gateway/ports/file_store.h"
#include "gateway/ports/search_tool.h"

namespace carrel::gateway {

struct SearchToolOptions {
  // Of one call; handing over a file may take ten times as long.
  absl::Duration call_max = absl::Seconds(60);
};

// `files` must outlive the tool.
[[nodiscard]] std::unique_ptr<SearchTool> MakeRetrievalSearchTool(std::shared_ptr<grpc::Channel> channel,
                                                                  FileStore& files, SearchToolOptions options);

}  // namespace carrel::gateway
