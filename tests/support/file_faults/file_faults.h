// Faults of the disk, for tests: linked into a program, it stands between everything in it (SQLite too) and the calls
// that change files, counts those below one directory, and lets one of them fail or end the process.
//
// Counted: write, pwrite, fsync, fdatasync, ftruncate, rename, unlink, mkdir, and open where it makes a file. Not what
// is written through a mapping (SQLite's shared index of its log, which is made anew after a crash).
// Thread-safe; one per process.
#pragma once

#include <cstdint>
#include <string>

namespace carrel::testing {

enum class FileOperation : uint8_t { kAny, kWrite, kSync, kTruncate, kRename, kUnlink, kCreate };

struct FileFault {
  FileOperation operation = FileOperation::kAny;  // which ones count
  uint64_t at = 1;                                // the first that is hit, from 1
  // 0: the process is ended there, as by kill -9; a write has written its first half.
  int error = 0;
  bool lasts = false;  // all that follow are hit too
};

// Counts from here on. `directory`: absolute. One that a fault is hit in stays hit until ClearFileFault.
void SetFileFault(const std::string& directory, const FileFault& fault);
void ClearFileFault();
// How many have been counted, and hit, since SetFileFault.
[[nodiscard]] uint64_t FileOperationsCounted();
[[nodiscard]] uint64_t FileFaultsHit();

}  // namespace carrel::testing
