#include "retrieval/extraction.h"

#include <fcntl.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "conclude.h"
#include "extractor_run.h"
#include "recognition.h"
#include "retrieval/frame_decoder.h"

namespace carrel::retrieval {
namespace {

struct Extension {
  std::string_view name;
  DocumentType type;
};
constexpr Extension kExtensions[] = {
    {".bash", DocumentType::kSource},  {".bat", DocumentType::kSource},  {".c", DocumentType::kSource},
    {".cc", DocumentType::kSource},    {".cfg", DocumentType::kSource},  {".cjs", DocumentType::kBraces},
    {".cmake", DocumentType::kSource}, {".conf", DocumentType::kSource}, {".cpp", DocumentType::kSource},
    {".cs", DocumentType::kBraces},    {".css", DocumentType::kSource},  {".csv", DocumentType::kCsv},
    {".cxx", DocumentType::kSource},   {".diff", DocumentType::kSource}, {".docx", DocumentType::kDocx},
    {".go", DocumentType::kGo},        {".h", DocumentType::kSource},    {".hh", DocumentType::kSource},
    {".hpp", DocumentType::kSource},   {".htm", DocumentType::kHtml},    {".html", DocumentType::kHtml},
    {".hxx", DocumentType::kSource},   {".ini", DocumentType::kSource},  {".java", DocumentType::kBraces},
    {".js", DocumentType::kBraces},    {".json", DocumentType::kJson},   {".jsonl", DocumentType::kJsonLines},
    {".jsx", DocumentType::kBraces},   {".kt", DocumentType::kSource},   {".log", DocumentType::kSource},
    {".lua", DocumentType::kSource},   {".m", DocumentType::kSource},    {".markdown", DocumentType::kMarkdown},
    {".md", DocumentType::kMarkdown},  {".mjs", DocumentType::kBraces},  {".ndjson", DocumentType::kJsonLines},
    {".patch", DocumentType::kSource}, {".pdf", DocumentType::kPdf},     {".php", DocumentType::kBraces},
    {".pl", DocumentType::kSource},    {".pm", DocumentType::kSource},   {".pptx", DocumentType::kPptx},
    {".proto", DocumentType::kSource}, {".ps1", DocumentType::kSource},  {".py", DocumentType::kPython},
    {".pyi", DocumentType::kPython},   {".r", DocumentType::kSource},    {".rb", DocumentType::kRuby},
    {".rs", DocumentType::kRust},      {".rst", DocumentType::kText},    {".scala", DocumentType::kSource},
    {".scss", DocumentType::kSource},  {".sh", DocumentType::kSource},   {".sql", DocumentType::kSource},
    {".swift", DocumentType::kSource}, {".tab", DocumentType::kTsv},     {".tex", DocumentType::kTex},
    {".text", DocumentType::kText},    {".toml", DocumentType::kSource}, {".ts", DocumentType::kBraces},
    {".tsv", DocumentType::kTsv},      {".tsx", DocumentType::kBraces},  {".txt", DocumentType::kText},
    {".xhtml", DocumentType::kHtml},   {".xlsx", DocumentType::kXlsx},   {".xml", DocumentType::kSource},
    {".yaml", DocumentType::kSource},  {".yml", DocumentType::kSource},
};

// Of files that people have and that are not read: what would be.
struct Advice {
  std::string_view extension;
  const char* save_as;
};
constexpr Advice kAdvice[] = {
    {".doc", ".docx"}, {".dot", ".docx"}, {".odp", ".pptx"}, {".ods", ".xlsx"}, {".odt", ".docx"},
    {".pps", ".pptx"}, {".ppt", ".pptx"}, {".rtf", ".docx"}, {".xls", ".xlsx"}, {".xlsb", ".xlsx"},
};

wire::Request WireRequest(DocumentType type, const ExtractionLimits& limits) {
  wire::Request request;
  request.type = type;
  request.pages_max = limits.pages_max;
  request.words_per_page_max = limits.words_per_page_max;
  request.input_bytes_max = limits.document_bytes_max;
  request.output_bytes_max = limits.output_bytes_max;
  request.cpu_seconds_max = limits.cpu_seconds_max;
  // Below the jail's limit, so that the extractor gets to say so itself.
  request.memory_bytes_max = limits.memory_bytes_max / 8 * 7;
  return request;
}

// What is no PDF is nearly all text, which is held several times over while passages are made of it.
ExtractionLimits WithinText(DocumentType type, ExtractionLimits limits) {
  if (type != DocumentType::kPdf) limits.output_bytes_max = std::min(limits.output_bytes_max, limits.text_bytes_max);
  return limits;
}

class JailedExtractor final : public Extractor {
 public:
  JailedExtractor(sandbox::JailMaker& jails, std::string policy, RecognitionOptions recognition)
      : jails_(jails), policy_(std::move(policy)), recognition_(std::move(recognition)) {}

  absl::StatusOr<Extraction> Extract(ExtractionRequest request) override {
    ExtractionLimits limits = WithinText(request.type, request.limits);
    limits.memory_bytes_max = MemoryWithinCap(jails_, policy_, limits.memory_bytes_max);
    FrameDecoder decoder({.pages_max = limits.pages_max,
                          .words_per_page_max = limits.words_per_page_max,
                          .output_bytes_max = limits.output_bytes_max});
    size_t pages_reported = 0;
    const auto take = [&](std::string_view bytes, bool& done) {
      absl::Status status = decoder.Feed(bytes);
      const RawDocument& seen = decoder.document();
      const size_t pages = seen.pages.size() + seen.parts.size();
      if (pages != pages_reported && request.on_page) {
        pages_reported = pages;
        request.on_page(static_cast<uint32_t>(pages_reported), seen.pages_in_all);
      }
      done = seen.verdict.has_value();
      return status;
    };
    const wire::Request head = WireRequest(request.type, limits);
    const auto cancelled = [&] { return request.stop.stop_requested(); };
    UniqueFd pictures;  // the same bytes once more, for pages that are pictures
    if (recognition_.enabled && request.type == DocumentType::kPdf) {
      pictures = UniqueFd(::fcntl(request.bytes.get(), F_DUPFD_CLOEXEC, 0));
    }
    const absl::StatusOr<ExtractorEnd> end =
        RunExtractor(jails_,
                     {.policy = policy_,
                      .bytes = std::move(request.bytes),
                      .request = std::string(reinterpret_cast<const char*>(&head), sizeof head),
                      .memory_bytes = limits.memory_bytes_max,
                      // The extractor's own limit comes first, and says so.
                      .cpu_seconds = limits.cpu_seconds_max + 10,
                      .wall_max = limits.wall_max,
                      .cancelled = cancelled},
                     take);
    if (!end.ok()) return end.status();
    RawDocument raw = decoder.TakeDocument();
    if (pictures && raw.begun) {
      const absl::Status recognised = RecognisePages({.jails = jails_,
                                                      .policy = policy_,
                                                      .options = recognition_,
                                                      .bytes = pictures,
                                                      .words_per_page_max = limits.words_per_page_max,
                                                      .cancelled = cancelled},
                                                     raw);
      if (!recognised.ok()) return recognised;
    }
    return Conclude(std::move(raw), *end, limits);
  }

 private:
  sandbox::JailMaker& jails_;
  const std::string policy_;
  const RecognitionOptions recognition_;
};

}  // namespace

std::optional<DocumentType> DocumentTypeOf(std::string_view file_name) {
  const std::string name = absl::AsciiStrToLower(std::string(file_name));
  for (const Extension& extension : kExtensions) {
    if (name.size() > extension.name.size() && name.ends_with(extension.name)) return extension.type;
  }
  return std::nullopt;
}

std::string UnreadableMessage(std::string_view file_name) {
  const size_t dot = file_name.rfind('.');
  const std::string extension =
      dot == std::string_view::npos ? "" : absl::AsciiStrToLower(std::string(file_name.substr(dot)));
  for (const Advice& advice : kAdvice) {
    if (extension != advice.extension) continue;
    return absl::StrCat("Files of the type \"", extension, "\" are not read; save it as ", advice.save_as, ".");
  }
  return absl::StrCat("Files of the type \"", extension,
                      "\" are not read; these are: ", absl::StrJoin(ReadableExtensions(), ", "), ".");
}

std::vector<std::string> ReadableExtensions() {
  std::vector<std::string> names;
  for (const Extension& extension : kExtensions) names.emplace_back(extension.name);
  return names;
}

std::unique_ptr<Extractor> MakeJailedExtractor(sandbox::JailMaker& jails, std::string policy,
                                               RecognitionOptions recognition) {
  return std::make_unique<JailedExtractor>(jails, std::move(policy), std::move(recognition));
}

}  // namespace carrel::retrieval
