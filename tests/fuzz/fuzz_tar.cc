// Archives that strangers send. Promised: an error, or entries whose names are plain and relative and whose bytes lie
// in the archive, within the limits; and what was taken is written and read again as the same.
#include <sys/mman.h>
#include <unistd.h>

#include <vector>

#include "fuzzer.h"
#include "interpreter/engine/artifacts.h"
#include "interpreter/engine/tar.h"
#include "sandbox/base/unique_fd.h"

namespace carrel::fuzz {
namespace {

using namespace interpreter;  // NOLINT(google-build-using-namespace)

constexpr TarLimits kLimits = {.entries_max = 50, .content_bytes_max = 5000};

UniqueFd FileOf(std::string_view bytes) {
  UniqueFd file(::memfd_create("archive", MFD_CLOEXEC));
  FUZZ_CHECK(::write(file.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  return file;
}

// Else every mutation of a header would end at its checksum.
std::string WithChecksums(std::string_view input) {
  std::string archive(input);
  for (size_t at = 0; at + 512 <= archive.size(); at += 512) {
    if (archive.compare(at + 257, 5, "ustar") != 0) continue;
    archive.replace(at + 148, 8, 8, ' ');
    unsigned sum = 0;
    for (size_t i = 0; i < 512; ++i) sum += static_cast<uint8_t>(archive[at + i]);
    for (size_t i = 6; i > 0; --i, sum /= 8) archive[at + 147 + i] = static_cast<char>('0' + sum % 8);
    archive[at + 154] = '\0';
  }
  return archive;
}

// Empty when it is refused.
std::vector<TarEntry> Read(std::string_view archive) {
  const UniqueFd file = FileOf(archive);
  TarReader reader(file.get(), archive.size(), kLimits);
  std::vector<TarEntry> entries;
  uint64_t content = 0;
  while (true) {
    const auto found = reader.Next();
    if (!found.ok()) return {};
    if (!*found) return entries;
    const TarEntry& entry = (*found)->entry;
    FUZZ_CHECK(CheckPath("path", entry.path).ok());
    FUZZ_CHECK(entry.mode <= 0777);
    FUZZ_CHECK((*found)->offset <= archive.size() && entry.size_bytes <= archive.size() - (*found)->offset);
    content += entry.size_bytes;
    // Planted: a limit that is not held for files with short names.
    if (Planted() && entry.size_bytes > 512 && entry.path.size() < 6) content += kLimits.content_bytes_max;
    FUZZ_CHECK(content <= kLimits.content_bytes_max);
    entries.push_back(entry);
    FUZZ_CHECK(entries.size() <= kLimits.entries_max);
  }
}

}  // namespace

void Target(std::string_view input) {
  const std::vector<TarEntry> entries = Read(input.size() % 4 == 3 ? std::string(input) : WithChecksums(input));
  std::string again;
  TarWriter writer([&again](std::string_view bytes) {
    again.append(bytes);
    return absl::OkStatus();
  });
  for (const TarEntry& entry : entries) {
    FUZZ_CHECK(writer.Add(entry).ok());
    FUZZ_CHECK(entry.size_bytes == 0 || writer.Data(std::string(entry.size_bytes, 'x')).ok());
  }
  FUZZ_CHECK(writer.Finish().ok());
  const std::vector<TarEntry> read = Read(again);
  FUZZ_CHECK(read.size() == entries.size());
  for (size_t i = 0; i < read.size(); ++i) {
    FUZZ_CHECK(read[i].path == entries[i].path && read[i].kind == entries[i].kind);
    FUZZ_CHECK(read[i].size_bytes == entries[i].size_bytes && read[i].mode == entries[i].mode);
    FUZZ_CHECK(read[i].modified_ns == entries[i].modified_ns);
  }
}

}  // namespace carrel::fuzz
