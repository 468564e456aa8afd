// An Embedder that runs a BERT in this process, by OpenVINO on the CPU. Its source is the one file that knows OpenVINO.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "retrieval/embedder.h"
#include "retrieval/model_directory.h"

namespace carrel::retrieval {

struct OpenVinoOptions {
  // Threads of one inference. 0: one per CPU that this process may use, at most 8.
  uint32_t threads_max = 0;
};

// Loads and compiles the model (about a second). FAILED_PRECONDITION: it is not such a model as the manifest says.
[[nodiscard]] absl::StatusOr<std::unique_ptr<Embedder>> MakeOpenVinoEmbedder(const ModelDirectory& model,
                                                                             const OpenVinoOptions& options);

}  // namespace carrel::retrieval
