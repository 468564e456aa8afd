// Decodes what carrel-extract sends (retrieval/wire.h). The sender is untrusted: every length, number and string is
// checked before it is used, memory is bounded by the limits, and what is kept was well-formed.
//
// Not thread-safe. After the first error the decoder stays in it; what was decoded before is kept.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "retrieval/document_text.h"
#include "retrieval/wire.h"

namespace carrel::retrieval {

struct RawWord {
  Span chars;  // in RawPage::chars; not empty
  Box box;     // within the page, x_min <= x_max, y_min <= y_max
  float font_size = 0;
  uint8_t rotation = 0;
  bool space_after = false;
  bool bold = false;
  bool fixed_width = false;
};

struct RawPage {
  uint32_t number = 0;
  float width = 0;
  float height = 0;
  std::string label;
  std::u32string chars;
  std::vector<RawWord> words;
  bool unread = false;      // it has no words because it is compressed in a way that is not known
  bool recognised = false;  // not the extractor's: character recognition put the words there
};

struct RawOutlineItem {
  uint8_t level = 1;
  std::string title;
};

// A slide or a sheet.
struct RawPart {
  uint32_t number = 0;
  std::string name;
  size_t first_block = 0;  // index into RawDocument::blocks; often of no block at all
};

struct RawBlock {
  Span chars;  // in RawDocument::text
  wire::BlockKind kind = wire::BlockKind::kParagraph;
  uint8_t level = 0;
};

struct RawVerdict {
  wire::ExtractVerdict verdict = wire::ExtractVerdict::kInternal;
  wire::ExtractLimit limit = wire::ExtractLimit::kNone;
  uint64_t detail = 0;
  std::string sentence;
};

struct RawDocument {
  bool begun = false;  // a DOCUMENT frame came
  wire::DocumentType type = wire::DocumentType::kPdf;
  uint32_t pages_in_all = 0;
  std::string title;
  std::vector<RawPage> pages;
  std::vector<RawOutlineItem> outline;
  std::u32string text;  // of a text file or of blocks
  std::vector<RawPart> parts;
  std::vector<RawBlock> blocks;
  std::string picture;      // of DecoderLimits::picture
  uint32_t page_begun = 0;  // the last BEGIN
  std::optional<RawVerdict> verdict;
  // Of character recognition: whether it was asked for; "page 3: why" it failed, the first; pages that it did not come
  // to.
  bool recognition_tried = false;
  std::string recognition_failure;
  uint32_t not_recognised = 0;
};

struct DecoderLimits {
  uint32_t pages_max = 5'000;
  uint32_t words_per_page_max = 100'000;
  uint64_t output_bytes_max = 512u << 20;
  bool picture = false;  // a picture was asked for: IMAGE frames, and no others but the verdict
};

class FrameDecoder final {
 public:
  explicit FrameDecoder(const DecoderLimits& limits) : limits_(limits) {}

  // The next bytes, cut anywhere. DATA_LOSS: it is not what a sound extractor sends.
  [[nodiscard]] absl::Status Feed(std::string_view bytes);

  [[nodiscard]] const RawDocument& document() const { return document_; }
  [[nodiscard]] RawDocument TakeDocument() { return std::move(document_); }
  // false: the bytes end within a frame.
  [[nodiscard]] bool at_frame_end() const { return buffer_.empty(); }

 private:
  // The number of bytes taken off the front of `bytes`: whole frames only.
  size_t DecodeFrames(std::string_view bytes);
  absl::Status DecodeFrame(wire::FrameType type, std::string_view payload);

  const DecoderLimits limits_;
  RawDocument document_;
  absl::Status status_;
  std::string buffer_;  // the beginning of a frame
  bool magic_seen_ = false;
  uint64_t bytes_ = 0;
};

}  // namespace carrel::retrieval
