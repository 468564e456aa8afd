#include "retrieval/extraction.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "conclude.h"
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

// How soon a stop request is seen while nothing comes.
constexpr int kTickMs = 50;
constexpr absl::Duration kEndMax = absl::Seconds(5);

absl::Status Errno(const char* what) {
  return absl::InternalError(absl::StrCat("extraction: ", what, ": ", std::strerror(errno)));
}

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

absl::StatusOr<Pipe> MakePipe() {
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) return Errno("pipe2");
  return Pipe{.read = UniqueFd(ends[0]), .write = UniqueFd(ends[1])};
}

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
ExtractionRequest WithinText(ExtractionRequest request) {
  uint64_t& output = request.limits.output_bytes_max;
  if (request.type != DocumentType::kPdf) output = std::min(output, request.limits.text_bytes_max);
  return request;
}

// One run of the extractor.
class Run final {
 public:
  Run(sandbox::JailMaker& jails, const std::string& policy, ExtractionRequest request)
      : jails_(jails),
        policy_(policy),
        request_(WithinText(std::move(request))),
        decoder_({.pages_max = request_.limits.pages_max,
                  .words_per_page_max = request_.limits.words_per_page_max,
                  .output_bytes_max = request_.limits.output_bytes_max}) {}

  absl::StatusOr<Extraction> Go() {
    const absl::Time deadline = absl::Now() + request_.limits.wall_max;
    if (absl::Status status = Start(deadline); !status.ok()) return status;
    if (absl::Status status = Read(deadline); !status.ok()) {
      static_cast<void>(jail_->KillAll());
      return status;
    }
    // Whatever it is still at: the verdict is in, or the pipe is closed, or it was stopped.
    if (end_.time_limit || !end_.wire.ok()) static_cast<void>(jail_->KillAll());
    end_.exit = jail_->WaitForExit(kEndMax);
    return Conclude(decoder_.TakeDocument(), end_, request_.limits);
  }

 private:
  // The policy's caps are the operator's word: less than was asked is taken.
  void KeepWithinCaps(sandbox::JailLimits& limits) {
    for (const sandbox::PolicyInfo& policy : jails_.policies()) {
      if (policy.name != policy_) continue;
      const auto cap = [](uint64_t& asked, uint64_t most) {
        if (most != 0) asked = std::min(asked, most);
      };
      cap(limits.memory_bytes, policy.caps.memory_bytes);
      cap(limits.cpu_seconds, policy.caps.cpu_seconds);
    }
    request_.limits.memory_bytes_max = limits.memory_bytes;
  }

  absl::Status Start(absl::Time deadline) {
    absl::StatusOr<Pipe> output = MakePipe();
    if (!output.ok()) return output.status();
    absl::StatusOr<Pipe> control = MakePipe();
    if (!control.ok()) return control.status();

    sandbox::JailRequest jail;
    jail.policy = policy_;
    jail.limits.memory_bytes = request_.limits.memory_bytes_max;
    // The extractor's own limit comes first, and says so.
    jail.limits.cpu_seconds = request_.limits.cpu_seconds_max + 10;
    KeepWithinCaps(jail.limits);

    const wire::Request head = WireRequest(request_.type, request_.limits);
    static_assert(sizeof head <= 4096, "fits an empty pipe at once");
    if (::write(control->write.get(), &head, sizeof head) != static_cast<ssize_t>(sizeof head)) return Errno("write");

    jail.standard_input = std::move(request_.bytes);
    jail.standard_output = std::move(output->write);
    jail.control = std::move(control->read);
    absl::StatusOr<std::unique_ptr<sandbox::Jail>> made = jails_.Create(std::move(jail), deadline);
    if (!made.ok()) return made.status();
    jail_ = *std::move(made);
    output_ = std::move(output->read);
    return absl::OkStatus();
  }

  // Until the pipe's end, a verdict, the deadline or nonsense; only CANCELLED and our own faults are errors.
  absl::Status Read(absl::Time deadline) {
    std::string buffer(256u << 10, '\0');
    while (true) {
      if (request_.stop.stop_requested()) return absl::CancelledError("the extraction was cancelled");
      if (absl::Now() >= deadline) {
        end_.time_limit = true;
        return absl::OkStatus();
      }
      struct pollfd ready {
        .fd = output_.get(), .events = POLLIN, .revents = 0
      };
      const int count = ::poll(&ready, 1, kTickMs);
      if (count < 0 && errno != EINTR) return Errno("poll");
      if (count <= 0) continue;
      const ssize_t got = ::read(output_.get(), buffer.data(), buffer.size());
      if (got < 0 && errno != EINTR) return Errno("read");
      if (got == 0) return absl::OkStatus();
      if (got < 0) continue;
      end_.wire = decoder_.Feed(std::string_view(buffer).substr(0, static_cast<size_t>(got)));
      Report();
      if (!end_.wire.ok() || decoder_.document().verdict) return absl::OkStatus();
    }
  }

  void Report() {
    const auto pages = static_cast<uint32_t>(decoder_.document().pages.size() + decoder_.document().parts.size());
    if (pages == pages_reported_ || !request_.on_page) return;
    pages_reported_ = pages;
    request_.on_page(pages, decoder_.document().pages_in_all);
  }

  sandbox::JailMaker& jails_;
  const std::string& policy_;
  ExtractionRequest request_;
  FrameDecoder decoder_;
  std::unique_ptr<sandbox::Jail> jail_;
  UniqueFd output_;
  ExtractorEnd end_;
  uint32_t pages_reported_ = 0;
};

class JailedExtractor final : public Extractor {
 public:
  JailedExtractor(sandbox::JailMaker& jails, std::string policy) : jails_(jails), policy_(std::move(policy)) {}

  absl::StatusOr<Extraction> Extract(ExtractionRequest request) override {
    return Run(jails_, policy_, std::move(request)).Go();
  }

 private:
  sandbox::JailMaker& jails_;
  const std::string policy_;
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

std::unique_ptr<Extractor> MakeJailedExtractor(sandbox::JailMaker& jails, std::string policy) {
  return std::make_unique<JailedExtractor>(jails, std::move(policy));
}

}  // namespace carrel::retrieval
