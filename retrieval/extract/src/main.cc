// carrel-extract: a document on fd 0, frames of retrieval/wire.h on fd 1, then it ends. Always run in a jail.
//
// Exit: 0 when a VERDICT frame was written; 2 usage; 1 when not even that could be done.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "csv.h"
#include "docx.h"
#include "frame_writer.h"
#include "html.h"
#include "json.h"
#include "last_words.h"
#include "pdf.h"
#include "picture.h"
#include "plain_text.h"
#include "pptx.h"
#include "recognise.h"
#include "retrieval/wire.h"
#include "xlsx.h"

namespace carrel::retrieval::extract {
namespace {

using wire::ExtractLimit;
using wire::ExtractVerdict;

constexpr int kRequestFd = 3;

constexpr std::string_view kUsage =
    "usage: carrel-extract --type TYPE [--pages-max N] [--words-per-page-max N] [--input-bytes-max N]\n"
    "                      [--output-bytes-max N] [--cpu-seconds-max N] [--memory-bytes-max N] < document > frames\n"
    "       carrel-extract --type pdf --picture PAGE [--dpi N] [--pixels-max N] [limits as above] < document > frames\n"
    "       TYPE: pdf, txt, md, html, csv, tsv, json, jsonl, docx, pptx, xlsx, or source\n"
    "       without arguments: the request is read from fd 3\n";

struct TypeName {
  std::string_view name;
  wire::DocumentType type;
};
constexpr TypeName kTypeNames[] = {
    {"pdf", wire::DocumentType::kPdf},     {"txt", wire::DocumentType::kText},
    {"md", wire::DocumentType::kMarkdown}, {"html", wire::DocumentType::kHtml},
    {"csv", wire::DocumentType::kCsv},     {"tsv", wire::DocumentType::kTsv},
    {"json", wire::DocumentType::kJson},   {"jsonl", wire::DocumentType::kJsonLines},
    {"docx", wire::DocumentType::kDocx},   {"pptx", wire::DocumentType::kPptx},
    {"xlsx", wire::DocumentType::kXlsx},   {"source", wire::DocumentType::kSource},
};

// What is asked for.
struct Order {
  wire::Request request;
  wire::PictureOrder picture;
  std::vector<wire::PictureBox> boxes;
  wire::RecogniseOrder recognise;
};

template <typename Number>
bool ParseNumber(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

bool SetOption(std::string_view name, std::string_view value, Order& order) {
  wire::Request& request = order.request;
  if (name == "--type") {
    for (const TypeName& known : kTypeNames) {
      if (known.name != value) continue;
      request.type = known.type;
      return true;
    }
    return false;
  }
  if (name == "--pages-max") return ParseNumber(value, request.pages_max);
  if (name == "--words-per-page-max") return ParseNumber(value, request.words_per_page_max);
  if (name == "--input-bytes-max") return ParseNumber(value, request.input_bytes_max);
  if (name == "--output-bytes-max") return ParseNumber(value, request.output_bytes_max);
  if (name == "--cpu-seconds-max") return ParseNumber(value, request.cpu_seconds_max);
  if (name == "--memory-bytes-max") return ParseNumber(value, request.memory_bytes_max);
  if (name == "--picture") {
    request.task = wire::Task::kPicture;
    return ParseNumber(value, order.picture.page);
  }
  if (name == "--dpi") return ParseNumber(value, order.picture.dpi);
  if (name == "--pixels-max") return ParseNumber(value, order.picture.pixels_max);
  return false;
}

std::optional<Order> OrderFromArguments(int argc, char** argv) {
  Order order;
  bool typed = false;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (!SetOption(argv[i], argv[i + 1], order)) return std::nullopt;
    typed = typed || std::string_view(argv[i]) == "--type";
  }
  if (argc % 2 == 0 || !typed) return std::nullopt;
  return order;
}

bool ReadRequest(void* into, size_t size) {
  auto* bytes = static_cast<char*>(into);
  size_t have = 0;
  while (have < size) {
    const ssize_t got = ::read(kRequestFd, bytes + have, size - have);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    have += static_cast<size_t>(got);
  }
  return true;
}

std::optional<Order> OrderFromDescriptor() {
  Order order;
  if (!ReadRequest(&order.request, sizeof order.request) || order.request.version != 1) return std::nullopt;
  if (order.request.task == wire::Task::kPicture) {
    if (!ReadRequest(&order.picture, sizeof order.picture)) return std::nullopt;
    if (order.picture.boxes > wire::kPictureBoxesMax) return std::nullopt;
    order.boxes.resize(order.picture.boxes);
    if (!ReadRequest(order.boxes.data(), order.boxes.size() * sizeof(wire::PictureBox))) return std::nullopt;
  }
  if (order.request.task == wire::Task::kRecognise && !ReadRequest(&order.recognise, sizeof order.recognise)) {
    return std::nullopt;
  }
  ::close(kRequestFd);
  return order;
}

// The document, mapped when it is a file, else read.
class Document final {
 public:
  explicit Document(uint64_t bytes_max) : bytes_max_(bytes_max) {}
  Document(const Document&) = delete;
  Document& operator=(const Document&) = delete;
  ~Document() {
    if (map_ != nullptr) ::munmap(map_, map_size_);
  }

  // false: longer than bytes_max. Throws std::system_error.
  bool Load() {
    struct stat info {};
    if (::fstat(STDIN_FILENO, &info) != 0) throw std::system_error(errno, std::generic_category(), "fstat");
    return S_ISREG(info.st_mode) ? Map(static_cast<uint64_t>(info.st_size)) : Read();
  }
  [[nodiscard]] std::string_view bytes() const {
    return map_ != nullptr ? std::string_view(static_cast<const char*>(map_), map_size_) : read_;
  }

 private:
  bool Map(uint64_t size) {
    if (size > bytes_max_) return false;
    if (size == 0) return true;
    void* map = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, STDIN_FILENO, 0);
    if (map == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
    map_ = map;
    map_size_ = size;
    return true;
  }

  bool Read() {
    constexpr size_t kPiece = 1u << 18;
    while (true) {
      const size_t have = read_.size();
      read_.resize(have + kPiece);
      const ssize_t got = ::read(STDIN_FILENO, read_.data() + have, kPiece);
      if (got < 0 && errno != EINTR) throw std::system_error(errno, std::generic_category(), "read");
      read_.resize(have + static_cast<size_t>(std::max<ssize_t>(got, 0)));
      if (got == 0) return true;
      if (read_.size() > bytes_max_) return false;
    }
  }

  const uint64_t bytes_max_;
  void* map_ = nullptr;
  size_t map_size_ = 0;
  std::string read_;
};

Verdict Extract(const Order& order, FrameWriter& out) {
  const wire::Request& request = order.request;
  Document document(request.input_bytes_max);
  if (!document.Load()) {
    return {.verdict = ExtractVerdict::kLimit, .limit = ExtractLimit::kInput, .detail = request.input_bytes_max};
  }
  if (document.bytes().empty()) return {.verdict = ExtractVerdict::kEmpty, .sentence = "It holds not a byte."};
  if (request.task == wire::Task::kPicture) return DrawPage(document.bytes(), order.picture, order.boxes, out);
  switch (request.type) {
    case wire::DocumentType::kPdf:
      return ExtractPdf(document.bytes(), request, out);
    case wire::DocumentType::kHtml:
      return ExtractHtml(document.bytes(), out);
    case wire::DocumentType::kCsv:
    case wire::DocumentType::kTsv:
      return ExtractCsv(document.bytes(), request.type, out);
    case wire::DocumentType::kJson:
    case wire::DocumentType::kJsonLines:
      return ExtractJson(document.bytes(), request.type, out);
    case wire::DocumentType::kDocx:
      return ExtractDocx(document.bytes(), out);
    case wire::DocumentType::kPptx:
      return ExtractPptx(document.bytes(), request.pages_max, out);
    case wire::DocumentType::kXlsx:
      return ExtractXlsx(document.bytes(), request.pages_max, out);
    default:
      break;
  }
  if (static_cast<uint8_t>(request.type) <= wire::kDocumentTypeMax &&
      wire::ShapeOf(request.type) == wire::Shape::kText) {
    return ExtractPlainText(document.bytes(), request.type, out);
  }
  return {.verdict = ExtractVerdict::kInternal,
          .sentence = "The extractor was asked for a type that it does not know."};
}

Verdict ExtractOrSayWhy(const Order& order, FrameWriter& out) {
  try {
    return Extract(order, out);
  } catch (const std::bad_alloc&) {
    return {
        .verdict = ExtractVerdict::kLimit, .limit = ExtractLimit::kMemory, .detail = order.request.memory_bytes_max};
  } catch (const OutputLimit& limit) {
    return {.verdict = ExtractVerdict::kLimit, .limit = ExtractLimit::kOutput, .detail = limit.bytes_max};
  } catch (const std::system_error& error) {
    return {.verdict = ExtractVerdict::kInternal,
            .sentence = std::string("The extractor could not read its input: ") + error.what() + "."};
  }
}

int Main(int argc, char** argv) {
  const std::optional<Order> order = argc > 1 ? OrderFromArguments(argc, argv) : OrderFromDescriptor();
  if (!order) {
    std::fwrite(kUsage.data(), 1, kUsage.size(), stderr);
    return 2;
  }
  if (order->request.task == wire::Task::kRecognise) {
    const int error = BecomeTesseract(order->request, order->recognise);
    std::fprintf(stderr, "carrel-extract: tesseract: %s\n", std::strerror(error));
    return 1;
  }
  try {
    const wire::Request& request = order->request;
    InstallLastWords(STDOUT_FILENO, request.cpu_seconds_max, request.memory_bytes_max);
    FrameWriter out(STDOUT_FILENO, request.output_bytes_max);
    out.Magic();
    out.WriteVerdict(ExtractOrSayWhy(*order, out));
    return 0;
  } catch (const OutputClosed&) {
    return 1;
  } catch (const std::exception&) {
    return 1;
  }
}

}  // namespace
}  // namespace carrel::retrieval::extract

int main(int argc, char** argv) {
  const int code = carrel::retrieval::extract::Main(argc, argv);
  // Without destructors: a document that took minutes to read can take long to free, and nobody waits for that.
  ::_exit(code);
}
