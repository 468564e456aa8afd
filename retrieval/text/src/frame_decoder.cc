#include "retrieval/frame_decoder.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "byte_reader.h"
#include "utf8.h"

namespace carrel::retrieval {
namespace {

using wire::FrameType;

// PDF's own bound is 14 400 units, times UserUnit; beyond this a page is nonsense.
constexpr float kPageSideMax = 1'000'000;
constexpr size_t kWordBytesMin = 2 + 5 * 4 + 2;

absl::Status Bad(const char* what) { return absl::DataLossError(absl::StrCat("extractor: ", what)); }

bool IsUtf8(std::string_view bytes) {
  std::u32string ignored;
  return !AppendCodePoints(bytes, ignored).has_value();
}

absl::Status DecodeDocument(ByteReader in, RawDocument& document) {
  const uint8_t type = in.U8();
  document.pages_in_all = in.U32();
  document.title = in.Str16();
  if (!in.done()) return Bad("a DOCUMENT frame of the wrong size");
  if (document.begun) return Bad("a second DOCUMENT frame");
  if (type < 1 || type > wire::kDocumentTypeMax) return Bad("a document of an unknown type");
  if (document.title.size() > wire::kTitleBytesMax || !IsUtf8(document.title)) return Bad("a title that is no text");
  document.type = static_cast<wire::DocumentType>(type);
  document.begun = true;
  return absl::OkStatus();
}

absl::Status DecodeOutline(ByteReader in, RawDocument& document) {
  RawOutlineItem item{.level = in.U8(), .title = std::string(in.Str16())};
  if (!in.done() || item.level == 0) return Bad("a malformed OUTLINE frame");
  if (document.outline.size() >= wire::kOutlineItemsMax) return Bad("too many OUTLINE frames");
  if (item.title.size() > wire::kTitleBytesMax || !IsUtf8(item.title)) return Bad("an outline title that is no text");
  document.outline.push_back(std::move(item));
  return absl::OkStatus();
}

absl::Status DecodeBegin(ByteReader in, const DecoderLimits& limits, RawDocument& document) {
  const uint32_t number = in.U32();
  if (!in.done()) return Bad("a BEGIN frame of the wrong size");
  if (number <= document.page_begun || number > limits.pages_max) return Bad("a page out of order");
  document.page_begun = number;
  return absl::OkStatus();
}

// Clamps to the page: glyphs may stick out, a citation's box may not.
Box Within(const RawPage& page, float x0, float y0, float x1, float y1) {
  return {.x_min = std::clamp(std::min(x0, x1), 0.0F, page.width),
          .y_min = std::clamp(std::min(y0, y1), 0.0F, page.height),
          .x_max = std::clamp(std::max(x0, x1), 0.0F, page.width),
          .y_max = std::clamp(std::max(y0, y1), 0.0F, page.height)};
}

absl::Status DecodeWord(ByteReader& in, RawPage& page) {
  const std::string_view text = in.Str16();
  const float x0 = in.F32();
  const float y0 = in.F32();
  const float x1 = in.F32();
  const float y1 = in.F32();
  const float font_size = in.F32();
  const uint8_t rotation = in.U8();
  const uint8_t flags = in.U8();
  if (in.failed()) return Bad("a PAGE frame that ends within a word, or with a number that is none");
  if (text.size() > wire::kWordBytesMax || rotation > 3) return Bad("a malformed word");
  RawWord word;
  word.chars.begin = static_cast<uint32_t>(page.chars.size());
  if (AppendCodePoints(text, page.chars)) return Bad("a word that is not UTF-8");
  word.chars.end = static_cast<uint32_t>(page.chars.size());
  if (word.chars.empty()) return absl::OkStatus();
  word.box = Within(page, x0, y0, x1, y1);
  word.font_size = std::clamp(font_size, 0.0F, kPageSideMax);
  word.rotation = rotation;
  word.space_after = (flags & wire::kSpaceAfter) != 0;
  word.bold = (flags & wire::kBold) != 0;
  word.fixed_width = (flags & wire::kFixedWidth) != 0;
  page.words.push_back(word);
  return absl::OkStatus();
}

absl::Status DecodePage(ByteReader in, const DecoderLimits& limits, RawDocument& document) {
  RawPage page;
  page.number = in.U32();
  page.width = in.F32();
  page.height = in.F32();
  page.label = in.Str16();
  const uint32_t words = in.U32();
  if (in.failed()) return Bad("a PAGE frame without its head");
  const uint32_t last = document.pages.empty() ? 0 : document.pages.back().number;
  if (page.number != document.page_begun || page.number <= last) return Bad("a PAGE that was not begun");
  if (page.number > document.pages_in_all) return Bad("a PAGE past the last");
  if (page.width < 0 || page.height < 0 || page.width > kPageSideMax || page.height > kPageSideMax) {
    return Bad("a page of impossible size");
  }
  if (!IsUtf8(page.label)) return Bad("a page label that is no text");
  // Before anything is reserved: what is claimed must be there.
  if (words > limits.words_per_page_max || words > in.left() / kWordBytesMin)
    return Bad("more words than there can be");
  page.words.reserve(words);
  for (uint32_t i = 0; i < words; ++i) {
    if (absl::Status status = DecodeWord(in, page); !status.ok()) return status;
  }
  if (!in.done()) return Bad("a PAGE frame with something behind it");
  document.pages.push_back(std::move(page));
  return absl::OkStatus();
}

absl::Status DecodeUnread(ByteReader in, RawDocument& document) {
  const uint32_t number = in.U32();
  if (!in.done()) return Bad("an UNREAD frame of the wrong size");
  if (document.pages.empty() || document.pages.back().number != number) return Bad("an UNREAD frame of another page");
  document.pages.back().unread = true;
  return absl::OkStatus();
}

absl::Status DecodeText(ByteReader in, RawDocument& document) {
  const std::string_view text = in.Str32();
  if (!in.done()) return Bad("a TEXT frame of the wrong size");
  if (wire::ShapeOf(document.type) != wire::Shape::kText) return Bad("a TEXT frame in a document of another shape");
  if (AppendCodePoints(text, document.text)) return Bad("text that is not UTF-8");
  return absl::OkStatus();
}

absl::Status DecodeImage(ByteReader in, RawDocument& document) {
  const std::string_view piece = in.Str32();
  if (!in.done()) return Bad("an IMAGE frame of the wrong size");
  document.picture += piece;
  return absl::OkStatus();
}

absl::Status DecodePart(ByteReader in, const DecoderLimits& limits, RawDocument& document) {
  RawPart part{.number = in.U32(), .name = std::string(in.Str16()), .first_block = document.blocks.size()};
  if (!in.done()) return Bad("a PART frame of the wrong size");
  if (!wire::HasParts(document.type)) return Bad("a PART frame in a document without parts");
  const uint32_t last = document.parts.empty() ? 0 : document.parts.back().number;
  if (part.number <= last || part.number > limits.pages_max || part.number > document.pages_in_all) {
    return Bad("a part out of order");
  }
  if (part.name.size() > wire::kTitleBytesMax || !IsUtf8(part.name)) return Bad("a part's name that is no text");
  document.page_begun = part.number;
  document.parts.push_back(std::move(part));
  return absl::OkStatus();
}

absl::Status DecodeBlocks(ByteReader in, RawDocument& document) {
  constexpr size_t kBlockBytesMin = 2 + 4;
  const uint32_t count = in.U32();
  if (wire::ShapeOf(document.type) != wire::Shape::kBlocks) return Bad("BLOCKS in a document of another shape");
  if (wire::HasParts(document.type) && document.parts.empty()) return Bad("BLOCKS before the first part");
  if (in.failed() || count > in.left() / kBlockBytesMin) return Bad("more blocks than there can be");
  if (count > wire::kBlocksMax - document.blocks.size()) return Bad("too many blocks");
  for (uint32_t i = 0; i < count; ++i) {
    const uint8_t kind = in.U8();
    RawBlock block{.level = in.U8()};
    const std::string_view text = in.Str32();
    if (in.failed() || kind < 1 || kind > static_cast<uint8_t>(wire::BlockKind::kMore)) return Bad("a malformed block");
    if (text.size() > wire::kBlockBytesMax || block.level > wire::kBlockLevelMax) return Bad("a block over the limit");
    block.kind = static_cast<wire::BlockKind>(kind);
    const size_t first = document.parts.empty() ? 0 : document.parts.back().first_block;
    if (block.kind == wire::BlockKind::kMore && document.blocks.size() == first) return Bad("a piece of no block");
    block.chars.begin = static_cast<uint32_t>(document.text.size());
    if (AppendCodePoints(text, document.text)) return Bad("a block that is not UTF-8");
    block.chars.end = static_cast<uint32_t>(document.text.size());
    document.blocks.push_back(block);
  }
  return in.done() ? absl::OkStatus() : Bad("a BLOCKS frame with something behind it");
}

bool IsLimit(uint8_t limit) {
  return limit <= static_cast<uint8_t>(wire::ExtractLimit::kShape) ||
         limit == static_cast<uint8_t>(wire::ExtractLimit::kPixels);
}

absl::Status DecodeVerdict(ByteReader in, RawDocument& document) {
  const uint8_t verdict = in.U8();
  const uint8_t limit = in.U8();
  RawVerdict result{.detail = in.U64(), .sentence = std::string(in.Str16())};
  if (!in.done() || verdict < 1 || verdict > 8 || !IsLimit(limit)) return Bad("a malformed VERDICT frame");
  if (result.sentence.size() > 1024 || !IsUtf8(result.sentence)) return Bad("a verdict that is no text");
  result.verdict = static_cast<wire::ExtractVerdict>(verdict);
  result.limit = static_cast<wire::ExtractLimit>(limit);
  document.verdict = std::move(result);
  return absl::OkStatus();
}

}  // namespace

absl::Status FrameDecoder::DecodeFrame(FrameType type, std::string_view payload) {
  if (document_.verdict) return Bad("something after the verdict");
  if (type == FrameType::kVerdict) return DecodeVerdict(ByteReader(payload), document_);
  if (limits_.picture != (type == FrameType::kImage)) return Bad("a frame that was not asked for");
  if (type == FrameType::kImage) return DecodeImage(ByteReader(payload), document_);
  if (type == FrameType::kDocument) return DecodeDocument(ByteReader(payload), document_);
  if (!document_.begun) return Bad("a frame before DOCUMENT");
  switch (type) {
    case FrameType::kOutline:
      return DecodeOutline(ByteReader(payload), document_);
    case FrameType::kBegin:
      return DecodeBegin(ByteReader(payload), limits_, document_);
    case FrameType::kPage:
      return DecodePage(ByteReader(payload), limits_, document_);
    case FrameType::kUnread:
      return DecodeUnread(ByteReader(payload), document_);
    case FrameType::kText:
      return DecodeText(ByteReader(payload), document_);
    case FrameType::kPart:
      return DecodePart(ByteReader(payload), limits_, document_);
    case FrameType::kBlocks:
      return DecodeBlocks(ByteReader(payload), document_);
    default:
      return Bad("a frame of an unknown type");
  }
}

size_t FrameDecoder::DecodeFrames(std::string_view bytes) {
  size_t taken = 0;
  if (!magic_seen_) {
    if (bytes.size() < sizeof wire::kMagic) return 0;
    if (std::memcmp(bytes.data(), wire::kMagic, sizeof wire::kMagic) != 0) {
      status_ = Bad("not the wire format");
      return 0;
    }
    magic_seen_ = true;
    taken = sizeof wire::kMagic;
  }
  while (bytes.size() - taken >= wire::kFrameHeaderBytes) {
    uint32_t length = 0;
    std::memcpy(&length, bytes.data() + taken, sizeof length);
    if (length > wire::kFrameBytesMax) {
      status_ = Bad("a frame over the limit");
      return taken;
    }
    if (bytes.size() - taken - wire::kFrameHeaderBytes < length) break;
    const auto type = static_cast<FrameType>(bytes[taken + sizeof length]);
    status_ = DecodeFrame(type, bytes.substr(taken + wire::kFrameHeaderBytes, length));
    if (!status_.ok()) return taken;
    taken += wire::kFrameHeaderBytes + length;
  }
  return taken;
}

absl::Status FrameDecoder::Feed(std::string_view bytes) {
  if (!status_.ok()) return status_;
  bytes_ += bytes.size();
  // The verdict and the magic come on top of what the extractor counts.
  if (bytes_ > limits_.output_bytes_max + 4096) return status_ = Bad("more output than was allowed");
  if (buffer_.empty()) {
    const size_t taken = DecodeFrames(bytes);
    buffer_.assign(bytes.substr(taken));
  } else {
    buffer_.append(bytes);
    buffer_.erase(0, DecodeFrames(buffer_));
  }
  return status_;
}

}  // namespace carrel::retrieval
