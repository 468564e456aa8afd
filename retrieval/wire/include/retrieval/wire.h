// What carrel-extract and the retrieval server say to each other. The one header that both include.
//
// The extractor is fed by descriptors and believed about nothing:
//   fd 0  the document's bytes, to the end (a file or a pipe);
//   fd 1  its output: kMagic, then frames, the last of which is a VERDICT frame;
//   fd 3  a Request, exactly sizeof(Request) bytes; for a picture a PictureOrder behind it, and then its boxes; for
//         recognition a RecogniseOrder. When fd 3 is closed, argv says the same (for people and tests).
//
// A frame is u32 payload length, u8 type, payload. Numbers are little-endian; f32 are IEEE 754; strings are UTF-8, with
// their length in bytes before them (u16, or u32 where said). Frames in order:
//   DOCUMENT  once: u8 document type; u32 pages in all (0: no pages, a text file); str16 title
//   BEGIN     before the work on each page: u32 page number. A crash later is that page's.
//   PAGE      u32 page number (rising); f32 width, height (points, as displayed); str16 label; u32 words; the words:
//             str16 text; f32 x_min, y_min, x_max, y_max; f32 font size; u8 rotation (quarter turns, 0..3); u8
//             WordFlags
//   UNREAD    after the PAGE of a page without words whose contents are compressed in a way that is not known: u32 page
//             number
//   OUTLINE   0..n, in the outline's order: u8 level (1 is the top); str16 title. After the pages, so that a broken
//             outline costs no text.
//   TEXT      of a text file: str32 text, in order, each frame whole code points
//   PART      of a document of blocks that has parts (slides, sheets): u32 number (rising, at most DOCUMENT's pages);
//             str16 name, of a sheet. The blocks after it stand there. Such a document may lack a damaged part.
//   BLOCKS    of a document of blocks, in order: u32 count; the blocks: u8 BlockKind; u8 level; str32 text, whole code
//             points
//   IMAGE     the only frames of a picture (Task::kPicture): str32 bytes of one PNG file, in order
//   VERDICT   once, last: u8 ExtractVerdict; u8 ExtractLimit; u64 detail; str16 sentence. An end without it means that
//             the extractor was killed or died.
// A word's text is glyphs from left to right, unrepaired. Everything of meaning is made of it
// outside, where it can be tested without a PDF.
#pragma once

#include <cstddef>
#include <cstdint>

namespace carrel::retrieval::wire {

inline constexpr char kMagic[8] = {'C', 'R', 'L', 'X', 'T', 'R', '0', '1'};
inline constexpr size_t kFrameHeaderBytes = 5;
// A page of 100 000 words of ten letters is 4 MB. More is refused by either side.
inline constexpr uint32_t kFrameBytesMax = 16u << 20;
inline constexpr uint32_t kTextFrameBytes = 256u << 10;
inline constexpr uint32_t kWordBytesMax = 4096;
inline constexpr uint32_t kTitleBytesMax = 4096;
inline constexpr uint32_t kOutlineItemsMax = 20'000;
inline constexpr uint32_t kImageFrameBytes = 256u << 10;
// Lines of a quote on one page, with much to spare.
inline constexpr uint32_t kPictureBoxesMax = 4096;

enum class FrameType : uint8_t {
  kDocument = 1,
  kOutline = 2,
  kBegin = 3,
  kPage = 4,
  kText = 5,
  kVerdict = 6,
  kUnread = 7,
  kPart = 16,
  kBlocks = 17,
  kImage = 32,
};

// Stored with what was read: a number keeps its meaning for ever. Source code is text to the extractor; the languages
// differ in how their definitions are found outside.
enum class DocumentType : uint8_t {
  kPdf = 1,
  kText = 2,
  kMarkdown = 3,
  kHtml = 4,
  kCsv = 5,
  kTsv = 6,
  kJson = 7,
  kJsonLines = 8,
  kDocx = 9,
  kPptx = 10,
  kXlsx = 11,
  kSource = 12,  // of which no definitions are looked for
  kPython = 13,
  kRuby = 14,
  kGo = 15,
  kRust = 16,
  kTex = 17,
  kBraces = 18,  // Java, C#, JavaScript, PHP and their like
};
inline constexpr uint8_t kDocumentTypeMax = 18;

// How the text of a document comes: as words with their places, as it stands, or as blocks.
enum class Shape : uint8_t { kPages, kText, kBlocks };
constexpr Shape ShapeOf(DocumentType type) {
  if (type == DocumentType::kPdf) return Shape::kPages;
  const bool blocks = type >= DocumentType::kHtml && type <= DocumentType::kXlsx;
  return blocks ? Shape::kBlocks : Shape::kText;
}
// Rows of tables, lines of code: a line is a whole, as a sentence of prose is.
constexpr bool ByLine(DocumentType type) {
  return (type >= DocumentType::kCsv && type <= DocumentType::kJsonLines) || type >= DocumentType::kXlsx;
}
constexpr bool HasParts(DocumentType type) { return type == DocumentType::kPptx || type == DocumentType::kXlsx; }

enum class BlockKind : uint8_t {
  kParagraph = 1,
  kHeading = 2,   // level 1 (the top) to 9
  kItem = 3,      // of a list, with its bullet or number; level 1 is the outermost
  kRow = 4,       // of a table: one line
  kVerbatim = 5,  // lines as they are
  kMore = 6,      // goes on where the block before ended: long blocks come in pieces
};
inline constexpr uint32_t kBlockBytesMax = 64u << 10;
inline constexpr uint8_t kBlockLevelMax = 9;
// Some ten books of prose, or a table of as many rows.
inline constexpr uint32_t kBlocksMax = 4'000'000;

enum class Task : uint8_t {
  kRead = 0,
  kPicture = 1,    // one page of a PDF, drawn
  kRecognise = 2,  // fd 0 is a PNG file: it becomes `tesseract`, whose TSV goes out in place of frames
};

enum class ExtractVerdict : uint8_t {
  kRead = 1,
  kEncrypted = 2,
  kDamaged = 3,
  kEmpty = 4,
  kNoText = 5,
  kUnsupported = 6,
  kLimit = 7,  // ExtractLimit says which; pages sent before are good
  kInternal = 8,
};

enum class ExtractLimit : uint8_t {
  kNone = 0,
  kPages = 1,
  kWords = 2,   // of one page
  kOutput = 3,  // bytes
  kInput = 4,   // bytes
  kMemory = 5,
  kCpu = 6,
  kShape = 7,    // a reader's own: the sentence says which, as a clause ("at most 100 columns of a row are read")
  kPixels = 16,  // of a picture
};

enum WordFlags : uint8_t { kSpaceAfter = 1, kBold = 2, kFixedWidth = 4 };

// Fixed layout, written as it lies in memory: both ends are the same machine.
struct Request {
  uint32_t version = 1;
  DocumentType type = DocumentType::kPdf;
  Task task = Task::kRead;
  uint8_t reserved[2] = {};
  uint32_t pages_max = 5'000;
  uint32_t words_per_page_max = 100'000;
  uint64_t input_bytes_max = 512u << 20;
  uint64_t output_bytes_max = 512u << 20;
  // RLIMIT_CPU and RLIMIT_DATA that the extractor sets itself, so that it can say which limit it was; the jail's are
  // behind them. 0: none.
  uint64_t cpu_seconds_max = 0;
  uint64_t memory_bytes_max = 0;
};
static_assert(sizeof(Request) == 48);

struct PictureOrder {
  uint32_t page = 1;  // 1-based
  uint32_t dpi = 144;
  uint32_t pixels_max = 16'000'000;
  uint32_t boxes = 0;  // of what follows, at most kPictureBoxesMax
};
static_assert(sizeof(PictureOrder) == 16);

struct RecogniseOrder {
  uint32_t dpi = 300;
  char languages[60] = {};  // as tesseract takes them, "eng+deu"; ends with a zero
};
static_assert(sizeof(RecogniseOrder) == 64);

// To be highlighted: points, origin at the top left of the page as displayed.
struct PictureBox {
  float x_min = 0;
  float y_min = 0;
  float x_max = 0;
  float y_max = 0;
};
static_assert(sizeof(PictureBox) == 16);

}  // namespace carrel::retrieval::wire
