// An Embedder that runs a BERT in this process, by OpenVINO on the CPU.
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
  // Take what is fastest here. Whether bf16, and for questions int8 weights, are faster is measured and never assumed:
  // where the silicon lacks it, bf16 is emulated and up to 50 times slower. What is taken gives the same vectors
  // (cosine to f32's at least 0.999, checked). Questions of usual lengths get a compiled model each where there is
  // memory for it. Loading takes three times as long.
  bool fastest = false;
  // Read the tokenizer now and the weights when something is to be embedded; what is wrong with them is said then.
  bool load_at_first_use = false;
};

// Loads and compiles the model (about a second). FAILED_PRECONDITION: it is not such a model as the manifest says.
[[nodiscard]] absl::StatusOr<std::unique_ptr<Embedder>> MakeOpenVinoEmbedder(const ModelDirectory& model,
                                                                             const OpenVinoOptions& options);

}  // namespace carrel::retrieval
