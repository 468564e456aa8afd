#include "own_pages.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <optional>
#include <utility>

#include "mappings.h"

namespace carrel::interpreter {
namespace {

// From the kernel's Documentation/admin-guide/mm/pagemap.rst.
constexpr uint64_t kPresent = uint64_t{1} << 63;
constexpr uint64_t kOfFile = uint64_t{1} << 61;
constexpr uint64_t kExclusive = uint64_t{1} << 56;
constexpr size_t kPageBytes = 4096;
// Two runs with so few pages between them are one: a call costs as much as a page.
constexpr size_t kGapPages = 0;

// Adds to `own` the pages of a mapping that this process has for itself, and not from a file. false: /proc does not
// tell.
bool AddOwnPages(int pagemap, const Mapping& mapping, std::vector<uintptr_t>* own) {
  std::array<uint64_t, 512> entries;
  for (uintptr_t start = mapping.start; start < mapping.end;) {
    const size_t count = std::min((mapping.end - start) / kPageBytes, entries.size());
    const ssize_t got = ::pread(pagemap, entries.data(), count * sizeof(uint64_t),
                                static_cast<off_t>(start / kPageBytes * sizeof(uint64_t)));
    if (got <= 0) return false;
    const size_t pages = static_cast<size_t>(got) / sizeof(uint64_t);
    for (size_t i = 0; i < pages; ++i) {
      if ((entries[i] & (kPresent | kExclusive | kOfFile)) == (kPresent | kExclusive)) {
        own->push_back(start + i * kPageBytes);
      }
    }
    start += pages * kPageBytes;
  }
  return true;
}

std::optional<std::vector<uintptr_t>> OwnPages() {
  const std::optional<std::vector<Mapping>> mappings = ReadMappings();
  const int pagemap = ::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  bool readable = mappings && pagemap >= 0;
  std::vector<uintptr_t> own;
  for (size_t i = 0; readable && i < mappings->size(); ++i) {
    if ((*mappings)[i].own_writable) readable = AddOwnPages(pagemap, (*mappings)[i], &own);
  }
  if (pagemap >= 0) ::close(pagemap);
  return readable ? std::optional(std::move(own)) : std::nullopt;
}

}  // namespace

bool WriteOwnPages(int fd) {
  const std::optional<std::vector<uintptr_t>> own = OwnPages();
  if (!own) return false;
  const char* at = reinterpret_cast<const char*>(own->data());
  for (size_t left = own->size() * sizeof(uintptr_t); left > 0;) {
    const ssize_t written = ::write(fd, at, left);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    at += written;
    left -= static_cast<size_t>(written);
  }
  return true;
}

std::vector<PageRange> ReadPages(int fd) {
  std::vector<uintptr_t> copied;
  std::array<uintptr_t, 512> buffer;
  size_t have = 0;  // bytes in the buffer: a pipe may cut a number in two
  while (true) {
    const ssize_t got = ::read(fd, reinterpret_cast<char*>(buffer.data()) + have, sizeof buffer - have);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    have += static_cast<size_t>(got);
    const size_t whole = have / sizeof(uintptr_t);
    copied.insert(copied.end(), buffer.begin(), buffer.begin() + static_cast<ptrdiff_t>(whole));
    have -= whole * sizeof(uintptr_t);
    if (have > 0) buffer[0] = buffer[whole];
  }
  const std::optional<std::vector<Mapping>> mappings = ReadMappings();
  if (!mappings) return {};
  std::vector<PageRange> ranges;
  auto mapping = mappings->begin();  // both are in the order of the addresses
  for (const uintptr_t page : copied) {
    while (mapping != mappings->end() && mapping->end <= page) ++mapping;
    if (mapping == mappings->end()) break;
    if (page < mapping->start || !mapping->own_writable) continue;
    if (!ranges.empty() && page - (ranges.back().start + ranges.back().bytes) <= kGapPages * kPageBytes) {
      ranges.back().bytes = page + kPageBytes - ranges.back().start;
    } else {
      ranges.push_back({.start = page, .bytes = kPageBytes});
    }
  }
  return ranges;
}

void CopyPages(std::span<const PageRange> pages) {
  for (const PageRange& range : pages) {
    const int done = ::madvise(reinterpret_cast<void*>(range.start), range.bytes, MADV_POPULATE_WRITE);
    if (done != 0 && errno == EINVAL) return;  // this kernel does not know it
  }
}

}  // namespace carrel::interpreter
