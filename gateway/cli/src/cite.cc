// carrel cite: where a quote stands, and the pages as pictures with the quote highlighted.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "api_command.h"
#include "citation_text.h"
#include "cli/commands.h"
#include "stores.h"
#include "strings.h"

namespace carrel::cli {
namespace {

// A quote runs over a few pages at most; this many are drawn.
constexpr uint64_t kPicturesMax = 20;

struct Cited {
  std::string file_id;
  std::string file_name;
  std::string heading;
  Json citation;
};

std::string CarrelPath(const Json& store, const std::string& file_id, const std::string& rest) {
  return StrCat("/carrel/vector_stores/", EncodeUrl(Text(store, "id")), "/files/", EncodeUrl(file_id), rest);
}

absl::StatusOr<Cited> CiteSpan(ApiClient& api, const Json& store, const CiteOptions& options) {
  const auto files = FilesOfStore(api, store);
  if (!files.ok()) return files.status();
  const auto file = FileNamed(*files, options.what);
  if (!file.ok()) return file.status();
  Cited cited{.file_id = Text(*file, "id"), .file_name = Text(Below(*file, "x_carrel"), "filename")};
  auto citation = api.Get(CarrelPath(store, cited.file_id, StrCat("/citation?span=", EncodeUrl(options.span))));
  if (!citation.ok()) return citation.status();
  cited.citation = *std::move(citation);
  return cited;
}

absl::StatusOr<Cited> CiteAnswer(ApiClient& api, const Json& store, const CiteOptions& options) {
  const auto page = api.Post(StorePath(store, "/search"), {{"query", options.what}, {"max_num_results", options.rank}});
  if (!page.ok()) return page.status();
  const Json& hits = Below(*page, "data");
  if (!hits.is_array() || hits.size() < options.rank) {
    const size_t found = hits.is_array() ? hits.size() : 0;
    return absl::NotFoundError(found == 0 ? "nothing found"
                                          : StrCat("--rank ", options.rank, ": only ", found,
                                                   found == 1 ? " passage was found" : " passages were found"));
  }
  const Json& hit = hits[options.rank - 1];
  const Json& citations = Below(Below(hit, "x_carrel"), "citations");
  if (!citations.is_array() || citations.empty()) return absl::InternalError("the server's hit has no citation");
  return Cited{.file_id = Text(hit, "file_id"),
               .file_name = Text(hit, "filename"),
               .heading = Text(Below(hit, "x_carrel"), "heading"),
               .citation = citations.front()};
}

std::string SpanOf(const Json& citation) {
  const Json& span = Below(citation, "span");
  return StrCat(Count(span, "begin"), ":", Count(span, "end"));
}

// The first page's picture is where it was asked for; those of further pages stand beside it with their number.
std::string PathOf(const std::string& path, uint64_t page, uint64_t first_page) {
  if (page == first_page) return path;
  const std::filesystem::path whole(path);
  const std::string name = StrCat(whole.stem().string(), "-page-", page, whole.extension().string());
  return (whole.parent_path() / name).string();
}

absl::Status WriteFile(const std::string& path, const std::string& bytes) {
  const auto failed = [&] { return absl::InvalidArgumentError(StrCat("writing ", path, ": ", std::strerror(errno))); };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "wbe"), &std::fclose);
  if (file == nullptr) return failed();
  if (std::fwrite(bytes.data(), 1, bytes.size(), file.get()) != bytes.size() || std::fflush(file.get()) != 0) {
    return failed();
  }
  return absl::OkStatus();
}

absl::StatusOr<Json> DrawPages(ApiClient& api, const Json& store, const Cited& cited, const CiteOptions& options) {
  const uint64_t first = std::max<uint64_t>(1, Count(cited.citation, "first_page"));
  const uint64_t last = std::min(std::max(first, Count(cited.citation, "last_page")), first + kPicturesMax - 1);
  Json pictures = Json::array();
  for (uint64_t page = first; page <= last; ++page) {
    const auto reply = api.Perform(
        {.path = CarrelPath(store, cited.file_id,
                            StrCat("/pages/", page, ".png?span=", SpanOf(cited.citation), "&dpi=", options.dpi))});
    if (!reply.ok()) return reply.status();
    const std::string path = PathOf(options.png, page, first);
    if (auto status = WriteFile(path, reply->body); !status.ok()) return status;
    pictures.push_back({{"page", page}, {"path", path}});
  }
  return pictures;
}

void PrintCited(const Cited& cited, const Json& pictures, Console& console) {
  const std::string pages = PagesOf(cited.citation);
  const Json& boxes = Below(cited.citation, "boxes");
  console.Print(StrCat(SafeText(cited.file_name, false), pages.empty() ? "" : ", ", pages,
                       cited.heading.empty() ? "" : StrCat("  [", SafeText(cited.heading, false), "]")));
  console.Print(StrCat("   \"", OneLine(Text(cited.citation, "quote")), "\""));
  console.Print(StrCat("   ", cited.file_id, ", characters ", SpanOf(cited.citation)));
  if (boxes.is_array()) {
    for (const Json& box : boxes) {
      const auto side = [&](const char* name) {
        return Below(box, name).is_number() ? Below(box, name).get<double>() : 0;
      };
      console.Print(absl::StrFormat("   page %d: %.1f %.1f to %.1f %.1f", Count(box, "page"), side("x_min"),
                                    side("y_min"), side("x_max"), side("y_max")));
    }
  }
  if (const Json& recognised = Below(cited.citation, "recognised"); recognised.is_boolean() && recognised.get<bool>()) {
    console.Print("   read by character recognition, which errs now and then");
  }
  for (const Json& picture : pictures) {
    console.Print(StrCat("   page ", Count(picture, "page"), " is drawn in ", SafeText(Text(picture, "path"), false)));
  }
}

absl::StatusOr<ExitCode> CiteIn(ApiClient& api, const CiteOptions& options, Console& console) {
  const auto store = FindStore(api, options.store);
  if (!store.ok()) return store.status();
  const auto cited = options.span.empty() ? CiteAnswer(api, *store, options) : CiteSpan(api, *store, options);
  if (!cited.ok()) return cited.status();
  Json pictures = Json::array();
  if (!options.png.empty()) {
    auto drawn = DrawPages(api, *store, *cited, options);
    if (!drawn.ok()) return drawn.status();
    pictures = *std::move(drawn);
  }
  PrintCited(*cited, pictures, console);
  console.PrintJsonText(Dump({{"file_id", cited->file_id},
                              {"file_name", cited->file_name},
                              {"heading", cited->heading},
                              {"citation", cited->citation},
                              {"pictures", pictures}}));
  return ExitCode::kOk;
}

}  // namespace

ExitCode Cite(const CommonOptions& common, const CiteOptions& options, Console& console) {
  return WithApi(common, console, [&](ApiClient& api) { return CiteIn(api, options, console); });
}

}  // namespace carrel::cli
