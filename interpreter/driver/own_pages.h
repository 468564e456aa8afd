// Which pages a forked process has copied, and how another gets its copies of the same ones at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace carrel::interpreter {

struct PageRange {
  uintptr_t start = 0;
  size_t bytes = 0;
};

// In a forked child: writes the ranges of pages that are its own and were writable in its parent to `fd`. false: /proc
// does not tell.
[[nodiscard]] bool WriteOwnPages(int fd);
// In the parent: reads them to the end of the file, and leaves out what it has not mapped itself.
[[nodiscard]] std::vector<PageRange> ReadPages(int fd);
// In another child: copies them. What cannot be copied at once (before Linux 5.14) is copied when it is written to.
void CopyPages(std::span<const PageRange> pages);

}  // namespace carrel::interpreter
