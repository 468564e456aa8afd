// An embedding model on disk: a directory with manifest.json and the files it names.
//
// Any WordPiece BERT export (ONNX with input_ids, attention_mask and, if it has it, token_type_ids; the first output is
// the last hidden state) can be brought by writing a manifest; see models/all-MiniLM-L6-v2/manifest.json. Fields:
//   format (1), name, dimensions, window_tokens (special tokens included), pooling ("mean" | "cls"), query_prefix,
//   passage_prefix, licence, source (for people), weights {file, sha256}, tokenizer {file, sha256}; and, if wanted,
//   alias, another name to ask for it by ("fast"); and calibration {half, width} (embedder.h), without which scores say
//   nothing of whether there is an answer. tests/quality prints what it is measured from.
// Unknown fields are errors.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "retrieval/embedder.h"

namespace carrel::retrieval {

enum class Pooling : uint8_t { kMean, kCls };

struct ModelDirectory {
  std::string name;
  std::string alias;  // "": none
  uint32_t dimensions = 0;
  uint32_t window_tokens = 0;
  Pooling pooling = Pooling::kMean;
  std::string query_prefix;
  std::string passage_prefix;
  std::string licence;
  std::optional<Calibration> calibration;
  std::string weights_path;    // absolute or relative as the directory was
  std::string tokenizer_path;  // a Hugging Face tokenizer.json
};

// Reads the manifest and checks the sha256 of each file (about 0.3 s for 90 MB).
// NOT_FOUND: no manifest or file; FAILED_PRECONDITION: a checksum or the manifest is wrong, with the file and field.
[[nodiscard]] absl::StatusOr<ModelDirectory> OpenModelDirectory(const std::string& path);

// The models of `directory` (each a directory with a manifest), by name; `first` (a name or an alias) before the
// others. NOT_FOUND: there is no model `first`, with those that are there; else as OpenModelDirectory.
[[nodiscard]] absl::StatusOr<std::vector<ModelDirectory>> OpenModels(const std::string& directory,
                                                                     const std::string& first);

}  // namespace carrel::retrieval
