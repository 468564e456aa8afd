#include "interpreter/engine/artifacts.h"

#include <errno.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_split.h"
#include "interpreter/engine/errors.h"
#include "interpreter/engine/text.h"
#include "interpreter/engine/utf8.h"

namespace carrel::interpreter {
namespace {

using Kind = sandbox::WorkspaceEntry::Kind;

constexpr size_t kReadBytes = 256 << 10;
constexpr size_t kPathBytesMax = 1024;
constexpr size_t kNameBytesMax = 255;
constexpr size_t kPartsMax = 16;

bool IsControl(char c) { return static_cast<uint8_t>(c) < 0x20 || c == 0x7F; }

// The bytes of the character at `at` that a reader takes for something else: control codes above ASCII (a terminal
// obeys them), line and paragraph separators, byte order marks, and what turns the direction of the text around it. 0:
// none.
size_t MisleadingBytes(std::string_view text, size_t at) {
  const std::string_view rest = text.substr(at, 3);
  const auto byte = [&](size_t i) { return i < rest.size() ? static_cast<uint8_t>(rest[i]) : uint8_t{0}; };
  if (byte(0) == 0xC2 && byte(1) >= 0x80 && byte(1) < 0xA0) return 2;                        // U+0080 to U+009F
  if (byte(0) == 0xD8 && byte(1) == 0x9C) return 2;                                          // U+061C
  if (byte(0) == 0xE2 && byte(1) == 0x80 && (byte(2) == 0x8E || byte(2) == 0x8F)) return 3;  // U+200E, U+200F
  if (byte(0) == 0xE2 && byte(1) == 0x80 && byte(2) >= 0xA8 && byte(2) <= 0xAE) return 3;    // U+2028 to U+202E
  if (byte(0) == 0xE2 && byte(1) == 0x81 && byte(2) >= 0xA6 && byte(2) <= 0xA9) return 3;    // U+2066 to U+2069
  if (rest == "\xEF\xBB\xBF") return 3;                                                      // U+FEFF
  return 0;
}

// A name that can be shown as it is.
bool PlainText(std::string_view path) {
  if (!IsUtf8(path) || std::any_of(path.begin(), path.end(), IsControl)) return false;
  for (size_t at = 0; at < path.size(); ++at) {
    if (MisleadingBytes(path, at) > 0) return false;
  }
  return true;
}

bool Hidden(std::string_view path) { return path.starts_with('.') || path.find("/.") != std::string_view::npos; }

bool Changed(const sandbox::WorkspaceEntry& before, const sandbox::WorkspaceEntry& after) {
  return before.size_bytes != after.size_bytes || before.modified_ns != after.modified_ns ||
         before.changed_ns != after.changed_ns || before.inode != after.inode || before.kind != after.kind;
}

// Why `entry` is no artifact; "" when it is one.
std::string_view SkipReason(const sandbox::WorkspaceEntry& entry) {
  switch (entry.kind) {
    case Kind::kSymlink:
      return "symlink";
    case Kind::kFifo:
      return "fifo";
    case Kind::kSocket:
      return "socket";
    case Kind::kDevice:
      return "device";
    case Kind::kRegular:
    case Kind::kDirectory:
      break;
  }
  if (!PlainText(entry.path)) return "name";
  if (Hidden(entry.path)) return "hidden";
  return "";
}

class Sha256 final {
 public:
  Sha256() : context_(EVP_MD_CTX_new()) { EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr); }
  void Add(std::string_view bytes) { EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()); }
  [[nodiscard]] std::string Hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int length = 0;
    EVP_DigestFinal_ex(context_.get(), digest.data(), &length);
    return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest.data()), length));
  }

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

struct FileFacts {
  std::string sha256;
  std::string head;
  std::string content;
};

// nullopt: it has not `size` bytes (somebody is writing it), or cannot be read.
std::optional<FileFacts> ReadFile(int fd, uint64_t size, bool keep) {
  FileFacts facts;
  Sha256 hash;
  std::string buffer(std::min<uint64_t>(size + 1, kReadBytes), '\0');
  uint64_t total = 0;
  while (true) {
    const ssize_t count = TEMP_FAILURE_RETRY(::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(total)));
    if (count < 0) return std::nullopt;
    if (count == 0) break;
    const std::string_view piece(buffer.data(), static_cast<size_t>(count));
    if (total == 0) facts.head = piece.substr(0, 64);
    total += piece.size();
    if (total > size) return std::nullopt;
    hash.Add(piece);
    if (keep) facts.content.append(piece);
  }
  if (total != size) return std::nullopt;
  facts.sha256 = hash.Hex();
  return facts;
}

std::string ReadHead(int fd) {
  std::string head(64, '\0');
  const ssize_t count = TEMP_FAILURE_RETRY(::pread(fd, head.data(), head.size(), 0));
  head.resize(static_cast<size_t>(std::max<ssize_t>(count, 0)));
  return head;
}

struct TypeOf {
  std::string_view key;
  std::string_view media_type;
};
constexpr std::array<TypeOf, 8> kSignatures = {{
    {std::string_view("\x89PNG\r\n\x1a\n", 8), "image/png"},
    {"\xFF\xD8\xFF", "image/jpeg"},
    {"GIF87a", "image/gif"},
    {"GIF89a", "image/gif"},
    {"%PDF-", "application/pdf"},
    {std::string_view("\x1F\x8B", 2), "application/gzip"},
    {"SQLite format 3", "application/vnd.sqlite3"},
    {"PAR1", "application/vnd.apache.parquet"},
}};
constexpr std::array<TypeOf, 31> kExtensions = {{
    {"csv", "text/csv"},
    {"tsv", "text/tab-separated-values"},
    {"txt", "text/plain"},
    {"log", "text/plain"},
    {"md", "text/markdown"},
    {"html", "text/html"},
    {"htm", "text/html"},
    {"css", "text/css"},
    {"js", "text/javascript"},
    {"py", "text/x-python"},
    {"json", "application/json"},
    {"jsonl", "application/jsonl"},
    {"ipynb", "application/x-ipynb+json"},
    {"xml", "application/xml"},
    {"yaml", "application/yaml"},
    {"yml", "application/yaml"},
    {"svg", "image/svg+xml"},
    {"webp", "image/webp"},
    {"bmp", "image/bmp"},
    {"tif", "image/tiff"},
    {"tiff", "image/tiff"},
    {"docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
    {"xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
    {"pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"},
    {"zip", "application/zip"},
    {"tar", "application/x-tar"},
    {"mp4", "video/mp4"},
    {"mp3", "audio/mpeg"},
    {"wav", "audio/wav"},
    {"tex", "application/x-tex"},
    {"rtf", "application/rtf"},
}};

}  // namespace

WorkspaceState StateOf(const sandbox::WorkspaceListing& listing) {
  WorkspaceState state;
  for (const sandbox::WorkspaceEntry& entry : listing.entries) state.emplace(entry.path, entry);
  return state;
}

WorkspaceChanges Compare(const WorkspaceState& before, const sandbox::WorkspaceListing& after) {
  WorkspaceChanges changes;
  std::map<std::string_view, const sandbox::WorkspaceEntry*> now;
  for (const sandbox::WorkspaceEntry& entry : after.entries) now.emplace(entry.path, &entry);
  for (const auto& [path, entry] : now) {
    if (entry->kind == Kind::kDirectory) continue;
    const auto was = before.find(std::string(path));
    if (was != before.end() && !Changed(was->second, *entry)) continue;
    const std::string_view reason = SkipReason(*entry);
    if (reason.empty()) {
      changes.files.push_back(*entry);
    } else {
      changes.skipped.push_back({EscapePath(path), std::string(reason)});
    }
  }
  if (after.incomplete) {
    changes.skipped.push_back({"", "scan limit"});
    return changes;
  }
  for (const auto& [path, entry] : before) {
    if (entry.kind == Kind::kRegular && !Hidden(path) && !now.contains(path)) {
      changes.removed.push_back(EscapePath(path));
    }
  }
  return changes;
}

bool Collect(sandbox::Workspace& workspace, const Limits& limits, ReturnFiles return_files, WorkspaceChanges& changes,
             const std::function<void(Artifact)>& emit) {
  bool touched = false;
  uint64_t bytes_left = limits.artifact_bytes;
  uint64_t count_left = limits.artifacts;
  for (const sandbox::WorkspaceEntry& entry : changes.files) {
    if (count_left == 0) {
      touched = true;
      changes.skipped.push_back({EscapePath(entry.path), "too many"});
      continue;
    }
    absl::StatusOr<sandbox::OpenedFile> file = workspace.OpenRead(entry.path);
    if (!file.ok()) {
      // Gone or replaced since it was listed: something of the code's still runs.
      const bool moved = absl::IsNotFound(file.status()) || absl::IsFailedPrecondition(file.status());
      changes.skipped.push_back({EscapePath(entry.path), moved ? "changed" : "unreadable"});
      continue;
    }
    Artifact artifact{.path = entry.path, .size_bytes = file->size_bytes};
    if (file->size_bytes > bytes_left) {
      touched = true;
      artifact.media_type = MediaType(entry.path, ReadHead(file->fd.get()));
      if (return_files == ReturnFiles::kBytes) changes.skipped.push_back({EscapePath(entry.path), "too large"});
    } else {
      std::optional<FileFacts> facts = ReadFile(file->fd.get(), file->size_bytes, return_files == ReturnFiles::kBytes);
      if (!facts) {
        changes.skipped.push_back({EscapePath(entry.path), "changed"});
        continue;
      }
      bytes_left -= file->size_bytes;
      artifact.media_type = MediaType(entry.path, facts->head);
      artifact.sha256 = std::move(facts->sha256);
      artifact.content = std::move(facts->content);
    }
    --count_left;
    emit(std::move(artifact));
  }
  return touched;
}

std::string EscapePath(std::string_view path) {
  std::string text;
  const bool valid = IsUtf8(path);
  size_t misleading = 0;
  for (size_t at = 0; at < path.size(); ++at) {
    const char c = path[at];
    if (valid && misleading == 0) misleading = MisleadingBytes(path, at);
    const bool escape = IsControl(c) || c == '\\' || misleading > 0 || (!valid && static_cast<uint8_t>(c) >= 0x80);
    if (misleading > 0) --misleading;
    if (escape) {
      text += StrCat("\\x", absl::BytesToHexString(absl::string_view(&c, 1)));
    } else {
      text.push_back(c);
    }
  }
  return text;
}

std::string MediaType(std::string_view path, std::string_view head) {
  for (const TypeOf& signature : kSignatures) {
    if (head.starts_with(signature.key)) return std::string(signature.media_type);
  }
  const size_t dot = path.rfind('.');
  if (dot != std::string_view::npos) {
    const std::string extension = absl::AsciiStrToLower(ToAbsl(path.substr(dot + 1)));
    for (const TypeOf& known : kExtensions) {
      if (extension == known.key) return std::string(known.media_type);
    }
  }
  return "application/octet-stream";
}

absl::Status CheckPath(std::string_view field, std::string_view path) {
  const auto refuse = [&](std::string_view expected) {
    return InvalidField(field, EscapePath(path.substr(0, 200)), expected);
  };
  if (path.empty() || path.size() > kPathBytesMax) return refuse("1 to 1024 bytes, relative to /mnt/data");
  if (!PlainText(path)) {
    return refuse("UTF-8 without control characters and without what turns the direction of text around");
  }
  const std::vector<absl::string_view> parts = absl::StrSplit(ToAbsl(path), '/');
  if (parts.size() > kPartsMax) return refuse("at most 16 parts");
  for (const absl::string_view part : parts) {
    if (part.empty() || part == "." || part == "..")
      return refuse("a relative path without empty, \".\" or \"..\" parts");
    if (part.size() > kNameBytesMax) return refuse("parts of at most 255 bytes");
  }
  return absl::OkStatus();
}

}  // namespace carrel::interpreter
