#include "root_key.h"

#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string_view>

#include "cli/gateway_endpoint.h"
#include "sandbox/base/error.h"
#include "sandbox/base/unique_fd.h"
#include "strings.h"

namespace carrel::cli {
namespace {

// 62 signs, 43 of them: 256 bits.
constexpr std::string_view kSigns = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr size_t kLength = 43;
constexpr size_t kLengthMin = 16;
constexpr size_t kLengthMax = 512;

absl::StatusOr<std::string> NewKey() {
  std::string key = "sk-carrel-";
  while (key.size() < 10 + kLength) {
    unsigned char byte = 0;
    if (::getrandom(&byte, 1, 0) != 1) return ErrnoStatus(errno, "getrandom");
    // What would make the first signs likelier is thrown away.
    if (byte < 256 / kSigns.size() * kSigns.size()) key += kSigns[byte % kSigns.size()];
  }
  return key;
}

absl::Status CheckKey(std::string_view key) {
  bool printable = true;
  for (const char c : key) printable = printable && c > 0x20 && c < 0x7F;
  if (printable && key.size() >= kLengthMin && key.size() <= kLengthMax) return absl::OkStatus();
  // Its length is told, not the key.
  return absl::InvalidArgumentError(StrCat("CARREL_BOOTSTRAP_KEY has ", key.size(), " characters",
                                           printable ? "" : ", some of them not printable", ": expected ", kLengthMin,
                                           " to ", kLengthMax, " without spaces"));
}

absl::Status Keep(const std::string& path, const std::string& key) {
  const std::string beside = StrCat(path, ".new");
  const std::string text = StrCat(key, "\n");
  ::unlink(beside.c_str());
  const UniqueFd fd(::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd || ::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      ::fsync(fd.get()) != 0 || ::rename(beside.c_str(), path.c_str()) != 0) {
    return ErrnoStatus(errno, StrCat("writing ", path));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RootKey> PrepareRootKey(const std::string& data_dir, bool first) {
  auto kept = ReadRootKey(data_dir);
  if (kept.ok()) return RootKey{.key = *std::move(kept), .made = false};
  if (!absl::IsNotFound(kept.status())) return kept.status();
  if (!first) return RootKey{};
  const char* given = std::getenv("CARREL_BOOTSTRAP_KEY");
  RootKey root{.key = given == nullptr ? "" : given, .made = false};
  if (root.key.empty()) {
    auto made = NewKey();
    if (!made.ok()) return made.status();
    root = {.key = *std::move(made), .made = true};
  } else if (auto status = CheckKey(root.key); !status.ok()) {
    return status;
  }
  if (auto status = Keep(RootKeyPath(data_dir), root.key); !status.ok()) return status;
  return root;
}

}  // namespace carrel::cli
