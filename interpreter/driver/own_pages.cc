#include "own_pages.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <functional>

namespace carrel::interpreter {
namespace {

// From the kernel's Documentation/admin-guide/mm/pagemap.rst.
constexpr uint64_t kPresent = uint64_t{1} << 63;
constexpr uint64_t kOfFile = uint64_t{1} << 61;
constexpr uint64_t kExclusive = uint64_t{1} << 56;
constexpr size_t kPageBytes = 4096;
// Two runs with so few pages between them are one: a call costs as much as a page.
constexpr size_t kGapPages = 0;

// Calls `found` for every page of a private writable mapping whose bits under `mask` are `wanted`, in order. false:
// /proc cannot be read.
bool ForEachPage(uint64_t mask, uint64_t wanted, const std::function<void(uintptr_t)>& found) {
  std::FILE* maps = std::fopen("/proc/self/maps", "re");
  const int pagemap = ::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  bool readable = maps != nullptr && pagemap >= 0;
  std::array<char, 4096> line;
  while (readable && std::fgets(line.data(), line.size(), maps) != nullptr) {
    uintptr_t start = 0;
    uintptr_t end = 0;
    std::array<char, 5> rights{};
    if (std::sscanf(line.data(), "%" SCNxPTR "-%" SCNxPTR " %4s", &start, &end, rights.data()) != 3) continue;
    if (rights[1] != 'w' || rights[3] != 'p') continue;
    std::array<uint64_t, 512> entries;
    while (start < end) {
      const size_t count = std::min((end - start) / kPageBytes, entries.size());
      const ssize_t got = ::pread(pagemap, entries.data(), count * sizeof(uint64_t),
                                  static_cast<off_t>(start / kPageBytes * sizeof(uint64_t)));
      if (got <= 0) {
        readable = false;
        break;
      }
      for (size_t i = 0; i < static_cast<size_t>(got) / sizeof(uint64_t); ++i) {
        if ((entries[i] & mask) == wanted) found(start + i * kPageBytes);
      }
      start += static_cast<size_t>(got) / sizeof(uint64_t) * kPageBytes;
    }
  }
  if (maps != nullptr) std::fclose(maps);
  if (pagemap >= 0) ::close(pagemap);
  return readable;
}

}  // namespace

bool WriteOwnPages(int fd) {
  std::vector<uintptr_t> own;
  const auto keep = [&own](uintptr_t page) { own.push_back(page); };
  if (!ForEachPage(kPresent | kExclusive | kOfFile, kPresent | kExclusive, keep)) return false;
  const char* at = reinterpret_cast<const char*>(own.data());
  for (size_t left = own.size() * sizeof(uintptr_t); left > 0;) {
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
  // Both are in the order of the addresses.
  std::vector<PageRange> ranges;
  size_t at = 0;
  const bool readable = ForEachPage(0, 0, [&](uintptr_t page) {
    while (at < copied.size() && copied[at] < page) ++at;
    if (at == copied.size() || copied[at] != page) return;
    if (!ranges.empty() && page - (ranges.back().start + ranges.back().bytes) <= kGapPages * kPageBytes) {
      ranges.back().bytes = page + kPageBytes - ranges.back().start;
    } else {
      ranges.push_back({.start = page, .bytes = kPageBytes});
    }
  });
  return readable ? ranges : std::vector<PageRange>();
}

void CopyPages(std::span<const PageRange> pages) {
  for (const PageRange& range : pages) {
    const int done = ::madvise(reinterpret_cast<void*>(range.start), range.bytes, MADV_POPULATE_WRITE);
    if (done != 0 && errno == EINVAL) return;  // this kernel does not know it
  }
}

}  // namespace carrel::interpreter
