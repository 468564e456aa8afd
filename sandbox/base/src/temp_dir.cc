#include "sandbox/base/temp_dir.h"

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

#include "sandbox/base/error.h"

namespace carrel {

absl::StatusOr<TempDir> TempDir::Create(const std::string& parent) {
  const char* variable = std::getenv("TMPDIR");
  std::string path = !parent.empty() ? parent : variable != nullptr && *variable != 0 ? variable : "/tmp";
  path += "/carrel-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) return ErrnoStatus(errno, path);
  return TempDir(path);
}

TempDir::TempDir(TempDir&& other) noexcept : path_(std::exchange(other.path_, {})) {}

TempDir& TempDir::operator=(TempDir&& other) noexcept {
  if (this != &other) {
    Remove();
    path_ = std::exchange(other.path_, {});
  }
  return *this;
}

TempDir::~TempDir() { Remove(); }

void TempDir::Remove() {
  if (path_.empty()) return;
  std::error_code ignored;  // a destructor has nobody to tell
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace carrel
