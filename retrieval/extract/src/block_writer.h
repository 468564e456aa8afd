// BLOCKS and PART frames of retrieval/wire.h, many blocks a frame.
//
// Not thread-safe. Throws what FrameWriter throws, and ShapeLimit.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "frame_writer.h"
#include "retrieval/wire.h"

namespace carrel::retrieval::extract {

// A reader's own limit was reached: what was read before stays good.
struct ShapeLimit {
  std::string clause;  // "at most 100 columns of a row are read"
};
// The document is not read, or not further, for the reason given.
struct Refusal {
  Verdict verdict;
};

class BlockWriter final {
 public:
  explicit BlockWriter(FrameWriter& out) : out_(out) {}
  // Once, before all else. `parts`: slides or sheets in all.
  void Document(wire::DocumentType type, uint32_t parts, std::string_view title);
  void Part(uint32_t number, std::string_view name);
  // `text`: UTF-8, of any length. Empty ones are not sent.
  void Block(wire::BlockKind kind, uint8_t level, std::string_view text);
  void Row(std::string_view text) { Block(wire::BlockKind::kRow, 0, text); }
  void Flush();

 private:
  void Put(wire::BlockKind kind, uint8_t level, std::string_view text);
  FrameWriter& out_;
  Payload frame_;
  uint32_t in_frame_ = 0;
  uint32_t blocks_ = 0;
};

// Runs a reader, sends what it left unsent however it ended, and turns its exceptions into the verdict.
[[nodiscard]] Verdict ReadBlocks(FrameWriter& out, const std::function<Verdict(BlockWriter&)>& read);

// Cut to `bytes_max` at a character's border.
[[nodiscard]] std::string_view CutUtf8(std::string_view text, size_t bytes_max);

}  // namespace carrel::retrieval::extract
