#include "block_writer.h"

#include <algorithm>
#include <new>
#include <utility>

namespace carrel::retrieval::extract {
namespace {

using wire::BlockKind;

// Small enough that little is lost with a crash, large enough that frames cost nothing.
constexpr size_t kFrameBytes = 32u << 10;

}  // namespace

std::string_view CutUtf8(std::string_view text, size_t bytes_max) {
  if (text.size() <= bytes_max) return text;
  size_t end = bytes_max;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0u) == 0x80u) --end;
  return text.substr(0, end);
}

void BlockWriter::Document(wire::DocumentType type, uint32_t parts, std::string_view title) {
  Payload document;
  document.U8(static_cast<uint8_t>(type));
  document.U32(parts);
  document.Str16(title, wire::kTitleBytesMax);
  out_.Write(wire::FrameType::kDocument, document);
}

void BlockWriter::Part(uint32_t number, std::string_view name) {
  Flush();
  Payload part;
  part.U32(number);
  part.Str16(name, wire::kTitleBytesMax);
  out_.Write(wire::FrameType::kPart, part);
}

void BlockWriter::Block(BlockKind kind, uint8_t level, std::string_view text) {
  while (!text.empty()) {
    const std::string_view piece = CutUtf8(text, wire::kBlockBytesMax);
    Put(kind, std::min(level, wire::kBlockLevelMax), piece);
    text.remove_prefix(piece.size());
    kind = BlockKind::kMore;
  }
}

void BlockWriter::Put(BlockKind kind, uint8_t level, std::string_view text) {
  if (blocks_ == wire::kBlocksMax) {
    throw ShapeLimit{"at most " + std::to_string(wire::kBlocksMax) + " paragraphs and rows are read"};
  }
  ++blocks_;
  if (in_frame_ == 0) frame_.U32(0);
  ++in_frame_;
  frame_.U8(static_cast<uint8_t>(kind));
  frame_.U8(level);
  frame_.Str32(text);
  if (frame_.size() >= kFrameBytes) Flush();
}

void BlockWriter::Flush() {
  if (in_frame_ == 0) return;
  Payload full = std::exchange(frame_, Payload());
  full.SetU32(0, std::exchange(in_frame_, 0));
  out_.Write(wire::FrameType::kBlocks, full);
}

Verdict ReadBlocks(FrameWriter& out, const std::function<Verdict(BlockWriter&)>& read) {
  BlockWriter blocks(out);
  Verdict verdict;
  try {
    verdict = read(blocks);
  } catch (const Refusal& refusal) {
    verdict = refusal.verdict;
  } catch (const ShapeLimit& limit) {
    verdict = {.verdict = wire::ExtractVerdict::kLimit, .limit = wire::ExtractLimit::kShape, .sentence = limit.clause};
  } catch (const std::bad_alloc&) {
    blocks.Flush();
    throw;
  }
  blocks.Flush();
  return verdict;
}

}  // namespace carrel::retrieval::extract
