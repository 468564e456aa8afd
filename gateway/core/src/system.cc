#include "gateway/core/system.h"

#include <sys/random.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "absl/time/clock.h"

namespace carrel::gateway {
namespace {

constexpr char kBase62[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
constexpr char kHex[] = "0123456789abcdef";
constexpr size_t kIdLength = 24;
constexpr size_t kHexIdLength = 32;

// Characters of `alphabet`, each as likely as the others: bytes beyond the last whole multiple are thrown away.
std::string RandomOf(std::string_view alphabet, size_t count) {
  const unsigned usable = 256 - 256 % alphabet.size();
  std::string text;
  std::array<uint8_t, 64> bytes;
  while (text.size() < count) {
    ssize_t got = getrandom(bytes.data(), bytes.size(), 0);
    if (got < 0) {
      if (errno == EINTR) continue;
      // An id that can be guessed would be a hole; there is nothing to fall back to.
      std::perror("getrandom");
      std::abort();
    }
    for (ssize_t i = 0; i < got && text.size() < count; ++i) {
      if (bytes[i] < usable) text += alphabet[bytes[i] % alphabet.size()];
    }
  }
  return text;
}

}  // namespace

absl::Time SystemClock::Now() { return absl::Now(); }

std::string RandomText(size_t count) { return RandomOf({kBase62, sizeof(kBase62) - 1}, count); }

std::string RandomIds::New(std::string_view prefix) {
  bool hex = false;
  for (std::string_view known : {"vs_", "vsfb_", "cntr_", "cfile_", "upload_", "part_", "req_"}) hex |= prefix == known;
  return std::string(prefix) + (hex ? RandomOf({kHex, sizeof(kHex) - 1}, kHexIdLength) : RandomText(kIdLength));
}

}  // namespace carrel::gateway
