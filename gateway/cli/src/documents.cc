#include "documents.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "absl/strings/ascii.h"
#include "strings.h"

namespace carrel::cli {
namespace {

namespace fs = std::filesystem;

constexpr size_t kDocumentsMax = 100'000;
// What carrel-retrieval reads (document_types_test).
constexpr std::string_view kExtensions[] = {
    ".bash",  ".bat",  ".c",        ".cc",    ".cfg",   ".cjs",    ".cmake", ".conf", ".cpp",  ".cs",
    ".css",   ".csv",  ".cxx",      ".diff",  ".docx",  ".go",     ".h",     ".hh",   ".hpp",  ".htm",
    ".html",  ".hxx",  ".ini",      ".java",  ".js",    ".json",   ".jsonl", ".jsx",  ".kt",   ".log",
    ".lua",   ".m",    ".markdown", ".md",    ".mjs",   ".ndjson", ".patch", ".pdf",  ".php",  ".pl",
    ".pm",    ".pptx", ".proto",    ".ps1",   ".py",    ".pyi",    ".r",     ".rb",   ".rs",   ".rst",
    ".scala", ".scss", ".sh",       ".sql",   ".swift", ".tab",    ".tex",   ".text", ".toml", ".ts",
    ".tsv",   ".tsx",  ".txt",      ".xhtml", ".xlsx",  ".xml",    ".yaml",  ".yml"};

bool IsHidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

absl::Status TooMany(const std::string& directory) {
  return absl::InvalidArgumentError(StrCat(directory, " has more than ", kDocumentsMax, " documents"));
}

absl::StatusOr<std::vector<DocumentPath>> Below(const std::string& directory, Console& console) {
  std::vector<DocumentPath> found;
  size_t left_out = 0;
  std::error_code error;
  fs::recursive_directory_iterator at(directory, error);
  for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    std::error_code ignored;
    if (IsHidden(at->path())) {
      at.disable_recursion_pending();
      continue;
    }
    // Of what a link points to nothing is taken: the directory was named, not the rest of the disk.
    if (!fs::is_regular_file(at->symlink_status(ignored))) continue;
    if (!IsDocumentName(at->path().filename().string())) {
      ++left_out;
      continue;
    }
    found.push_back({.path = at->path().string(), .below = at->path().lexically_relative(directory).string()});
    if (found.size() > kDocumentsMax) return TooMany(directory);
  }
  if (error) return absl::InvalidArgumentError(StrCat("reading ", directory, ": ", error.message()));
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.below < b.below; });
  if (left_out > 0) {
    console.Say(StrCat(directory, ": ", left_out, left_out == 1 ? " file" : " files",
                       " of other kinds left out; a file that is named itself is added whatever it is"));
  }
  if (found.empty()) return absl::InvalidArgumentError(StrCat("there is no document in ", directory));
  return found;
}

}  // namespace

bool IsDocumentName(const std::string& file_name) {
  const std::string extension = absl::AsciiStrToLower(fs::path(file_name).extension().string());
  return std::find(std::begin(kExtensions), std::end(kExtensions), extension) != std::end(kExtensions);
}

absl::StatusOr<std::vector<DocumentPath>> FindDocuments(const std::vector<std::string>& paths, Console& console) {
  std::vector<DocumentPath> documents;
  for (const std::string& path : paths) {
    std::error_code ignored;
    if (!fs::is_directory(path, ignored)) {
      documents.push_back({.path = path, .below = fs::path(path).filename().string()});
      continue;
    }
    auto below = Below(path, console);
    if (!below.ok()) return below.status();
    documents.insert(documents.end(), below->begin(), below->end());
    if (documents.size() > kDocumentsMax) return TooMany(path);
  }
  return documents;
}

}  // namespace carrel::cli
