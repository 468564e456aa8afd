#include "interpreter/engine/workspace_archive.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "interpreter/engine/artifacts.h"
#include "interpreter/engine/errors.h"
#include "interpreter/engine/text.h"
#include "sandbox/base/error.h"

namespace carrel::interpreter {
namespace {

using Kind = sandbox::WorkspaceEntry::Kind;

constexpr size_t kCopyBytes = 256 << 10;
// As many as an import takes; a listing of that many is quick, but nobody waits for a prompt here.
constexpr sandbox::ListOptions kListOptions = {.entries_max = 10'000, .depth_max = 16, .time_max = absl::Seconds(5)};

// Why `entry` is not exported; "" when it is.
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
  return CheckPath("path", entry.path).ok() ? "" : "name";
}

absl::Status CopyToArchive(const sandbox::OpenedFile& file, const std::string& path, TarWriter& tar) {
  std::string buffer(std::min<uint64_t>(file.size_bytes, kCopyBytes), '\0');
  for (uint64_t at = 0; at < file.size_bytes;) {
    const uint64_t wanted = std::min<uint64_t>(buffer.size(), file.size_bytes - at);
    const ssize_t count = TEMP_FAILURE_RETRY(::pread(file.fd.get(), buffer.data(), wanted, static_cast<off_t>(at)));
    if (count < 0) return ErrnoStatus(errno, path);
    if (count == 0) return absl::AbortedError(StrCat(EscapePath(path), " became shorter while it was read"));
    at += static_cast<uint64_t>(count);
    if (absl::Status sent = tar.Data({buffer.data(), static_cast<size_t>(count)}); !sent.ok()) return sent;
  }
  return absl::OkStatus();
}

// The bytes of one file of the archive, as a descriptor that ends where they end: a pipe, and whoever fills it.
class Feed final {
 public:
  Feed(int archive, uint64_t offset, uint64_t bytes, UniqueFd into)
      : thread_([=, pipe = std::move(into)] { Fill(archive, offset, bytes, pipe.get()); }) {}
  ~Feed() { thread_.join(); }
  Feed(const Feed&) = delete;
  Feed& operator=(const Feed&) = delete;

 private:
  static void Fill(int archive, uint64_t offset, uint64_t bytes, int pipe) {
    // A reader that gives up is no reason to die; the thread ends with its mask.
    sigset_t broken_pipe;
    ::sigemptyset(&broken_pipe);
    ::sigaddset(&broken_pipe, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
    std::array<char, 64 << 10> buffer;
    while (bytes > 0) {
      const ssize_t got = TEMP_FAILURE_RETRY(
          ::pread(archive, buffer.data(), std::min<uint64_t>(bytes, buffer.size()), static_cast<off_t>(offset)));
      if (got <= 0) return;  // what was written is then too short, and that is seen
      for (ssize_t done = 0; done < got;) {
        const ssize_t put = TEMP_FAILURE_RETRY(
            ::write(pipe, buffer.data() + done, static_cast<size_t>(got) - static_cast<size_t>(done)));
        if (put < 0) return;
        done += put;
      }
      offset += static_cast<uint64_t>(got);
      bytes -= static_cast<uint64_t>(got);
    }
  }

  std::thread thread_;
};

absl::StatusOr<sandbox::WorkspaceEntry> WriteFile(sandbox::Workspace& workspace, int archive,
                                                  const TarReader::Found& found, bool replace) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe2");
  UniqueFd source(ends[0]);
  const TarEntry& entry = found.entry;
  const Feed feed(archive, found.offset, entry.size_bytes, UniqueFd(ends[1]));
  absl::StatusOr<sandbox::WorkspaceEntry> written = workspace.Write(
      entry.path, std::move(source), {.replace = replace, .mode = entry.mode, .modified_ns = entry.modified_ns});
  if (written.ok() && written->size_bytes != entry.size_bytes) {
    return absl::InternalError(
        StrCat(EscapePath(entry.path), " was written with ", written->size_bytes, " of ", entry.size_bytes, " bytes"));
  }
  return written;
}

// Every entry by path, checked against each other; what each of them is by itself the reader has checked.
absl::StatusOr<std::map<std::string, TarReader::Found>> LookThrough(int archive, uint64_t archive_bytes,
                                                                    uint64_t content_bytes_max) {
  TarReader reader(archive, archive_bytes, {.content_bytes_max = content_bytes_max});
  std::map<std::string, TarReader::Found> entries;
  while (true) {
    absl::StatusOr<std::optional<TarReader::Found>> found = reader.Next();
    if (!found.ok()) return found.status();
    if (!*found) break;
    const std::string path = (*found)->entry.path;
    if (!entries.emplace(path, **std::move(found)).second) {
      return InvalidField("archive", EscapePath(path), "each path once");
    }
  }
  for (const auto& [path, found] : entries) {
    for (size_t slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
      const auto parent = entries.find(path.substr(0, slash));
      if (parent != entries.end() && parent->second.entry.kind == TarEntry::Kind::kFile) {
        return InvalidField("archive", EscapePath(path), "nothing below a file of the same archive");
      }
    }
  }
  return entries;
}

class Importer final {
 public:
  Importer(sandbox::Workspace& workspace, int archive, bool replace)
      : workspace_(workspace), archive_(archive), replace_(replace) {}

  absl::StatusOr<ImportedArchive> Import(const std::map<std::string, TarReader::Found>& entries) {
    absl::Status done = Write(entries);
    if (done.ok()) return std::move(imported_);
    // As far as the code lets us, what is in a directory before the directory.
    for (auto path = fresh_.rbegin(); path != fresh_.rend(); ++path) (void)workspace_.Remove(*path);
    return done;
  }

 private:
  absl::Status Write(const std::map<std::string, TarReader::Found>& entries) {
    const absl::StatusOr<sandbox::WorkspaceListing> before = workspace_.List(kListOptions);
    if (!before.ok()) return before.status();
    std::map<std::string_view, Kind> there;
    for (const sandbox::WorkspaceEntry& entry : before->entries) there.emplace(entry.path, entry.kind);
    for (const auto& [path, found] : entries) {
      const bool file = found.entry.kind == TarEntry::Kind::kFile;
      if (file && !replace_ && there.contains(path)) {
        return absl::AlreadyExistsError(StrCat(EscapePath(path), " is in the workspace already"));
      }
    }
    // By path, so that directories come before what is in them; open until that is written.
    for (const auto& [path, found] : entries) {
      const TarEntry& entry = found.entry;
      if (entry.kind == TarEntry::Kind::kDirectory) {
        if (absl::Status made = workspace_.MakeDirectory(path, {.mode = entry.mode | 0700}); !made.ok()) return made;
        if (!there.contains(path)) fresh_.push_back(path);
        ++imported_.summary.directories;
        continue;
      }
      absl::StatusOr<sandbox::WorkspaceEntry> written = WriteFile(workspace_, archive_, found, replace_);
      if (!written.ok()) return written.status();
      if (!there.contains(path)) fresh_.push_back(path);
      ++imported_.summary.files;
      imported_.summary.bytes += entry.size_bytes;
      imported_.written.push_back(*std::move(written));
    }
    // What was written into a directory has changed its time.
    for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
      const TarEntry& directory = entry->second.entry;
      if (directory.kind != TarEntry::Kind::kDirectory) continue;
      if (absl::Status set =
              workspace_.MakeDirectory(directory.path, {.mode = directory.mode, .modified_ns = directory.modified_ns});
          !set.ok()) {
        return set;
      }
    }
    return absl::OkStatus();
  }

  sandbox::Workspace& workspace_;
  const int archive_;
  const bool replace_;
  ImportedArchive imported_;
  std::vector<std::string> fresh_;
};

}  // namespace

absl::StatusOr<ArchiveSummary> WriteArchive(sandbox::Workspace& workspace, const TarWriter::Sink& sink) {
  absl::StatusOr<sandbox::WorkspaceListing> listing = workspace.List(kListOptions);
  if (!listing.ok()) return listing.status();
  std::vector<sandbox::WorkspaceEntry>& entries = listing->entries;
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  ArchiveSummary summary;
  TarWriter tar(sink);
  for (const sandbox::WorkspaceEntry& entry : entries) {
    if (const std::string_view reason = SkipReason(entry); !reason.empty()) {
      summary.skipped.push_back({EscapePath(entry.path), std::string(reason)});
      continue;
    }
    TarEntry header{.path = entry.path, .mode = entry.mode, .modified_ns = entry.modified_ns};
    if (entry.kind == Kind::kDirectory) {
      header.kind = TarEntry::Kind::kDirectory;
      if (absl::Status added = tar.Add(header); !added.ok()) return added;
      ++summary.directories;
      continue;
    }
    const absl::StatusOr<sandbox::OpenedFile> file = workspace.OpenRead(entry.path);
    if (!file.ok()) {
      const bool moved = absl::IsNotFound(file.status()) || absl::IsFailedPrecondition(file.status());
      summary.skipped.push_back({EscapePath(entry.path), moved ? "changed" : "unreadable"});
      continue;
    }
    header.size_bytes = file->size_bytes;
    if (absl::Status added = tar.Add(header); !added.ok()) return added;
    if (absl::Status copied = CopyToArchive(*file, entry.path, tar); !copied.ok()) return copied;
    ++summary.files;
    summary.bytes += file->size_bytes;
  }
  if (listing->incomplete) summary.skipped.push_back({"", "scan limit"});
  if (absl::Status ended = tar.Finish(); !ended.ok()) return ended;
  return summary;
}

absl::StatusOr<ImportedArchive> ReadArchive(sandbox::Workspace& workspace, int archive, uint64_t archive_bytes,
                                            uint64_t content_bytes_max, bool replace) {
  const absl::StatusOr<std::map<std::string, TarReader::Found>> entries =
      LookThrough(archive, archive_bytes, content_bytes_max);
  if (!entries.ok()) return entries.status();
  return Importer(workspace, archive, replace).Import(*entries);
}

}  // namespace carrel::interpreter
