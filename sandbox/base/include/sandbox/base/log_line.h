// Lines on stderr from a process that must never wait for who reads them.
#pragma once

#include <string_view>

namespace carrel {

// One line (without its end) on descriptor 2, at most 4 KiB of it. When the pipe is full, or nobody is there, it is
// lost: whoever stops reading a log must not stop the writer. Not for use between fork and exec.
void LogLineWithoutWaiting(std::string_view line) noexcept;

}  // namespace carrel
