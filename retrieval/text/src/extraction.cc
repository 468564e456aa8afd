#include "retrieval/extraction.h"

#include <fcntl.h>

#include <utility>

#include "absl/strings/ascii.h"
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
    {".markdown", DocumentType::kMarkdown}, {".md", DocumentType::kMarkdown}, {".pdf", DocumentType::kPdf},
    {".text", DocumentType::kText},         {".txt", DocumentType::kText},
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

class JailedExtractor final : public Extractor {
 public:
  JailedExtractor(sandbox::JailMaker& jails, std::string policy, RecognitionOptions recognition)
      : jails_(jails), policy_(std::move(policy)), recognition_(std::move(recognition)) {}

  absl::StatusOr<Extraction> Extract(ExtractionRequest request) override {
    ExtractionLimits limits = request.limits;
    limits.memory_bytes_max = MemoryWithinCap(jails_, policy_, limits.memory_bytes_max);
    FrameDecoder decoder({.pages_max = limits.pages_max,
                          .words_per_page_max = limits.words_per_page_max,
                          .output_bytes_max = limits.output_bytes_max});
    size_t pages_reported = 0;
    const auto take = [&](std::string_view bytes, bool& done) {
      absl::Status status = decoder.Feed(bytes);
      const RawDocument& seen = decoder.document();
      if (seen.pages.size() != pages_reported && request.on_page) {
        pages_reported = seen.pages.size();
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
