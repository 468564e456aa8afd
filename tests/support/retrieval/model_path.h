// Where the tests find the embedding model: what ./dev build puts into the share directory.
#pragma once

#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "retrieval/openvino_embedder.h"

namespace carrel::retrieval {

inline std::string ModelPath(const std::string& name = "bge-small-en-v1.5") { return CARREL_SHARE "/models/" + name; }

// The default model, loaded once per test executable, in f32: the same numbers on every machine.
inline Embedder& SharedEmbedder() {
  static const std::unique_ptr<Embedder> kEmbedder = [] {
    absl::StatusOr<ModelDirectory> model = OpenModelDirectory(ModelPath());
    if (!model.ok()) {
      ADD_FAILURE() << model.status();
      std::abort();
    }
    absl::StatusOr<std::unique_ptr<Embedder>> embedder = MakeOpenVinoEmbedder(*model, {});
    if (!embedder.ok()) {
      ADD_FAILURE() << embedder.status();
      std::abort();
    }
    return *std::move(embedder);
  }();
  return *kEmbedder;
}

}  // namespace carrel::retrieval
